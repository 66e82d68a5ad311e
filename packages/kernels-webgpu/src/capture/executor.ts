import * as tf from '@tensorflow/tfjs-core';
import type { ExecutionStatus, Executor, Program } from '@polder/ops';
import { BACKEND, currentBackend, type GpuBackend } from '../backend.js';
import { checkBackend } from '../guard.js';
import { trimPool } from '../pool.js';
import { flush } from '../watch.js';
import { difference, record, type Recording } from './recording.js';
import { prepareReplay, type Replay } from './replay.js';
import { structureOf, type Structure } from './structure.js';

/** Programs remembered at once: phases of a policy times batch shapes. */
const MAX_PROGRAMS = 8;

/** Recordings that may differ from the one before until a program is given up. */
const PATIENCE = 2;

type Entry =
  | { readonly state: 'seen' }
  | { readonly state: 'recorded'; readonly recording: Recording; readonly attempts: number }
  | { readonly state: 'replay'; readonly replay: Replay }
  | { readonly state: 'refused'; readonly reason: string };

/**
 * An executor for the webgpu backend. The first run of a program goes through tfjs; the next two do and are recorded;
 * when both asked the same of the GPU, that is what is sent from then on, without tfjs: buffers and bindings are made
 * once, and a step is the encoding of its dispatches. A program whose recordings differ, or that reads a tensor back to
 * the host, stays with tfjs, and `status` says why.
 *
 * `execute` throws {@link WebgpuWorkError} or {@link WebgpuDeviceLostError} for what the device has reported until then.
 */
export function createReplayExecutor(): Executor {
  const programs = new Map<string, Entry>();
  let home: GpuBackend | undefined;
  let status: ExecutionStatus = { mode: 'eager', reason: 'nothing was run yet' };

  const forgetAll = (): void => {
    for (const entry of programs.values()) forget(entry);
    programs.clear();
  };

  const remember = (key: string, entry: Entry): void => {
    programs.delete(key);
    programs.set(key, entry);
    for (const [oldest, old] of programs) {
      if (programs.size <= MAX_PROGRAMS) break;
      forget(old);
      programs.delete(oldest);
    }
  };

  return {
    get status() {
      return status;
    },
    execute(program) {
      if (tf.getBackend() !== BACKEND) {
        status = { mode: 'eager', reason: `the backend is ${tf.getBackend()}` };
        return program.run();
      }
      const backend = currentBackend();
      checkBackend(backend);
      if (home !== backend) {
        forgetAll(); // the device is another one
        home = backend;
      }
      const key = `${program.key}|${signatureOf(program.inputs)}`;
      const entry = programs.get(key) ?? { state: 'unknown' as const };
      if (entry.state === 'refused') {
        status = { mode: 'eager', reason: entry.reason };
        return program.run();
      }
      if (entry.state === 'replay' && entry.replay.isAlive()) {
        remember(key, entry);
        const { replay } = entry;
        status = {
          mode: 'replay',
          reason: `recorded as ${replay.dispatches} dispatches in ${(replay.bytes / 2 ** 20).toFixed(1)} MiB`,
        };
        return replay.run(program.inputs) as ReturnType<typeof program.run>;
      }
      if (entry.state === 'seen' || entry.state === 'recorded') {
        const { result, next } = recordOnce(backend, entry, program);
        remember(key, next);
        status =
          next.state === 'refused'
            ? { mode: 'eager', reason: next.reason }
            : { mode: 'warm-up', reason: 'the step is being recorded' };
        return result;
      }
      if (entry.state === 'replay') forget(entry);
      remember(key, { state: 'seen' });
      status = {
        mode: 'warm-up',
        reason:
          entry.state === 'replay'
            ? 'a tensor that the recorded step read is gone, so it is recorded again'
            : 'the first step of its kind',
      };
      return onGpu(backend, program);
    },
    dispose: forgetAll,
  };
}

/** Types, shapes, and which inputs share their data: a recording where two did serves only where they do. */
function signatureOf(inputs: readonly tf.Tensor[]): string {
  const first = new Map<tf.DataId, number>();
  return inputs
    .map(({ dataId, dtype, shape }, i) => {
      const before = first.get(dataId);
      if (before !== undefined) return `=${before}`;
      first.set(dataId, i);
      return `${dtype}[${shape.join()}]`;
    })
    .join(' ');
}

/**
 * Runs the program with everything on the GPU: small operations that tfjs would do on the host leave no dispatch, and
 * round differently.
 */
function onGpu<T>(backend: GpuBackend, { inputs, run }: Pick<Program<T>, 'inputs' | 'run'>): T {
  const forward = tf.env().getBool('WEBGPU_CPU_FORWARD');
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  try {
    for (const { dataId, size } of inputs) if (size > 0) backend.uploadToGPU(dataId);
    return run();
  } finally {
    tf.env().set('WEBGPU_CPU_FORWARD', forward);
  }
}

function recordOnce<T>(
  backend: GpuBackend,
  entry: Extract<Entry, { readonly state: 'seen' | 'recorded' }>,
  { inputs, run }: Program<T>,
): { readonly result: T; readonly next: Entry } {
  let structure: Structure<T> | undefined;
  const { result, recording } = onGpu(backend, {
    inputs,
    run: () =>
      record(backend, inputs, run, (made) => {
        structure = structureOf(made);
        return structure.tensors;
      }),
  });
  return { result, next: advance(backend, entry, recording, structure!) };
}

/** The state after one more recording. */
function advance(
  backend: GpuBackend,
  entry: Extract<Entry, { readonly state: 'seen' | 'recorded' }>,
  recording: Recording,
  structure: Structure<unknown>,
): Entry {
  if (recording.obstacle !== undefined) return { state: 'refused', reason: recording.obstacle };
  if (entry.state === 'seen') return { state: 'recorded', recording, attempts: 1 };
  const other = difference(entry.recording, recording);
  if (other !== undefined)
    return entry.attempts >= PATIENCE
      ? { state: 'refused', reason: other }
      : { state: 'recorded', recording, attempts: entry.attempts + 1 };
  flush(backend);
  trimPool(backend); // what the step needed so far, it needs no more
  return { state: 'replay', replay: prepareReplay(backend, recording, structure) };
}

function forget(entry: Entry): void {
  if (entry.state === 'replay') entry.replay.dispose();
}
