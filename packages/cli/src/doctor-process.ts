import '@tensorflow/tfjs';
import { BackendUnavailableError, probe, startBackend } from '@polder/backends';
import { createModel } from '@polder/models';
import { opsTable } from '@polder/ops/conformance';
import type { Check } from './doctor-checks.js';
import { openBackend } from './workbench.js';

// A process of its own, started by doctor.ts: its argument is a DoctorTask, its answer one DoctorAnswer.

export type DoctorTask =
  | { readonly task: 'webgpu' | 'tensorflow' | 'wasm' }
  | { readonly task: 'train'; readonly backend: string; readonly grads: boolean };

export type DoctorAnswer =
  | ({ readonly kind: 'started' } & Omit<Check, 'id' | 'title'>)
  | {
      readonly kind: 'trained';
      readonly backend: string;
      readonly reason: string;
      readonly threads: number;
      readonly probe: Check;
      readonly grads?: Check;
    }
  | { readonly kind: 'unavailable'; readonly why: string; readonly whatToDo: string };

function answerTo(task: DoctorTask): Promise<DoctorAnswer> {
  if (task.task === 'train') return examineTraining(task.backend, task.grads);
  return { webgpu: examineWebgpu, tensorflow: examineTensorflow, wasm: examineWasm }[task.task]();
}

async function examineWebgpu(): Promise<DoctorAnswer> {
  // By name, so that a software adapter answers too, to be shown for what it is.
  await startBackend('webgpu');
  const { startWebgpu } = await import('@polder/kernels-webgpu');
  const { reason, adapter } = await startWebgpu({ allowSoftware: true });
  if (!adapter.software) return { kind: 'started', status: 'ok', detail: reason, data: { adapter } };
  const detail = `${reason}: a program on the processor, for tests; training does not take it unasked`;
  return { kind: 'started', status: 'warn', detail, fix: 'Install the driver of your GPU.', data: { adapter } };
}

async function examineTensorflow(): Promise<DoctorAnswer> {
  await startBackend('tensorflow');
  const { listProvisioned, startTensorflow } = await import('@polder/kernels-tensorflow');
  const { tensorflow: version, gpu } = await startTensorflow();
  const folder = (await listProvisioned()).find((entry) => entry.current)?.folder;
  const where = folder === undefined ? '' : `, in ${folder}`;
  const detail = `libtensorflow ${version} on the ${gpu ? 'GPU' : 'CPU'}${where}`;
  return { kind: 'started', status: 'ok', detail, data: { version, gpu, folder: folder ?? null } };
}

async function examineWasm(): Promise<DoctorAnswer> {
  const { threads } = await startBackend('wasm');
  const relaxedSimd = hasRelaxedSimd();
  const simd = relaxedSimd ? 'relaxed SIMD' : 'SIMD (Node 22 and later have relaxed SIMD, which is faster)';
  const detail = `${simd}, ${threads === 1 ? '1 thread' : `${threads} threads`}`;
  return { kind: 'started', status: 'ok', detail, data: { simd: true, relaxedSimd, threads } };
}

async function examineTraining(choice: string, grads: boolean): Promise<DoctorAnswer> {
  const { backend, reason, threads } = await openBackend(choice);
  const step = await probeTraining();
  return {
    kind: 'trained',
    backend,
    reason,
    threads,
    probe: step,
    ...(grads && { grads: await checkGradients(backend) }),
  };
}

async function probeTraining(): Promise<Check> {
  const model = createModel('resnet8', { seed: 0 });
  const { ok, kernels, missing, problem } = await probe(model);
  model.dispose();
  const [id, title] = ['training', 'training'];
  const data = { kernels, missing };
  if (ok)
    return { id, title, status: 'ok', detail: `a step of resnet8 takes ${kernels.length} kernels, all there`, data };
  const [first] = missing;
  const detail =
    first === undefined
      ? `a step of resnet8 fails: ${problem}`
      : `no kernel for ${missing.map(({ kernel, neededBy }) => `${kernel} (${neededBy[0]})`).join(', ')}`;
  return { id, title, status: 'fail', detail, fix: first?.advice ?? 'Take another --backend, and report this.', data };
}

async function checkGradients(backend: string): Promise<Check> {
  const failures: { readonly name: string; readonly message: string }[] = [];
  const rows = opsTable();
  for (const { name, run } of rows) {
    try {
      await run();
    } catch (error) {
      failures.push({ name, message: error instanceof Error ? error.message : String(error) });
    }
  }
  const passed = rows.length - failures.length;
  const detail = `${passed} passed, ${failures.length} failed`;
  const [id, title, data] = ['grads', `ops on ${backend}`, { passed, failed: failures.length, failures }];
  return failures.length === 0
    ? { id, title, status: 'ok', detail, data }
    : { id, title, status: 'fail', detail, fix: 'Take another --backend, and report this with --json.', data };
}

/** The kernels use relaxed SIMD where V8 runs it fast, which is from its version 12 on. */
function hasRelaxedSimd(): boolean {
  const constant = [0xfd, 0x0c, ...Array.from({ length: 16 }, () => 0)];
  const madd = [0xfd, 0x85, 0x02];
  const body = [0, ...constant, ...constant, ...constant, ...madd, 0x0b];
  const code = [1, body.length, ...body];
  const module = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 0x0a, code.length, ...code];
  return Number.parseInt(process.versions.v8, 10) >= 12 && WebAssembly.validate(Uint8Array.from(module));
}

const answer = await answerTo(JSON.parse(process.argv[2]!) as DoctorTask).catch((error: unknown): DoctorAnswer => {
  if (error instanceof BackendUnavailableError)
    return { kind: 'unavailable', why: error.why, whatToDo: error.whatToDo };
  const [first] = (error instanceof Error ? error.message : String(error)).split('\n');
  return { kind: 'unavailable', why: first!, whatToDo: 'Take another --backend, and report this.' };
});
process.send!(answer, () => process.exit());
