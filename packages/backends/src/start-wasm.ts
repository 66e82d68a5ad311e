import * as tf from '@tensorflow/tfjs-core';
import { activate, importAdvice, type Started } from './activate.js';
import { BackendUnavailableError, messageOf } from './errors.js';

const mostThreadsUnasked = 4;

/** Starts wasm with our kernels, on `asked` threads or on as many as there are cores. */
export async function startWasm(asked: number | undefined): Promise<Started> {
  const packages = await Promise.all([import('@tensorflow/tfjs-backend-wasm'), import('@polder/kernels-wasm')]).catch(
    (error: unknown) => {
      throw new BackendUnavailableError(
        'wasm',
        `its package cannot be loaded (${messageOf(error)})`,
        importAdvice('@tensorflow/tfjs-backend-wasm'),
        { cause: error },
      );
    },
  );
  const threads = await startThreads(packages[1], asked);
  await activate('wasm');
  packages[1].registerWasmKernels({ threads });
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  const parts = `${simd === true ? 'with' : 'without'} SIMD, ${threads === 1 ? '1 thread' : `${threads} threads`}`;
  return { what: `wasm: WebAssembly ${parts}`, threads };
}

/** Starts the build of the backend that shares its memory, where more than one thread is wanted and can be had. */
async function startThreads(
  kernels: typeof import('@polder/kernels-wasm'),
  asked: number | undefined,
): Promise<number> {
  const threads = asked ?? Math.min(mostThreadsUnasked, coreCount());
  if (threads === 1) return 1;
  const running = tf.findBackend('wasm') as { readonly wasm?: { readonly wasmMemory?: WebAssembly.Memory } } | null;
  const shares =
    running === null ? kernels.canShareMemory() : running.wasm?.wasmMemory?.buffer instanceof SharedArrayBuffer;
  if (!shares && asked === undefined) return 1;
  if (!shares)
    throw new BackendUnavailableError(
      'wasm',
      `${threads} threads need memory that they can share`,
      running === null
        ? 'A page needs the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp; or take 1 thread.'
        : 'It runs already, with memory of its own: ask for the threads before its first use, or take 1 thread.',
    );
  if (running === null) await kernels.startThreadedWasm();
  return threads;
}

/** Cores that this process may use. */
export function coreCount(): number {
  const { navigator, process } = globalThis as {
    navigator?: { hardwareConcurrency?: number };
    process?: { getBuiltinModule?: (name: 'node:os') => { availableParallelism(): number } };
  };
  return process?.getBuiltinModule?.('node:os').availableParallelism() ?? navigator?.hardwareConcurrency ?? 1;
}
