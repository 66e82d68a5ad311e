import * as tf from '@tensorflow/tfjs';
import { setWasmPaths, type BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { opsTable } from '@polder/ops/conformance';
import { canShareMemory, registerWasmKernels, startThreadedWasm } from '../../src/index.js';
import { threadsOf } from '../../src/lanes.js';
import { runtimeOf } from '../../src/runtime.js';

// What chromium.test.ts reads when the page is done.
interface PageResult {
  readonly threads: number;
  readonly rows: number;
  readonly failures: readonly string[];
}

async function run(): Promise<PageResult> {
  setWasmPaths(new URL('/wasm/', location.href).href);
  const shared = canShareMemory();
  if (shared) await startThreadedWasm();
  else await tf.setBackend('wasm');
  registerWasmKernels({ threads: shared ? 2 : 1 });
  await new Promise((resolve) => setTimeout(resolve, 500)); // workers take part once they have started
  const failures: string[] = [];
  const rows = opsTable();
  for (const row of rows) {
    try {
      await row.run();
    } catch (error) {
      failures.push(`${row.name}: ${String(error)}`);
    }
  }
  return { threads: threadsOf(runtimeOf(tf.backend() as BackendWasm)), rows: rows.length, failures };
}

run().then(
  (result) => Object.assign(globalThis, { result }),
  (error: unknown) => Object.assign(globalThis, { result: { failures: [String(error)] } }),
);
