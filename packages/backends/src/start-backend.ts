import * as tf from '@tensorflow/tfjs-core';
import { activate, importAdvice, type Started } from './activate.js';
import { BackendUnavailableError } from './errors.js';
import { startTensorflowBackend } from './start-native.js';
import { startWasm } from './start-wasm.js';
import { startWebgpuBackend } from './start-webgpu.js';

/** What `startBackend` takes: `'auto'`, a backend that it can start itself, or one that the program has registered. */
export type BackendChoice = 'auto' | 'webgpu' | 'tensorflow' | 'wasm' | 'cpu' | (string & {});

/** A backend that `'auto'` passed over. */
export interface PassedOver {
  readonly backend: string;
  readonly why: string;
  readonly whatToDo: string;
}

/** A running backend. */
export interface StartedBackend {
  /** Its name in tfjs. */
  readonly backend: string;
  /** One line: which it is, why it was taken, and why the faster ones were not. */
  readonly reason: string;
  /** Threads that training computes on; 1 where that is not ours to say. */
  readonly threads: number;
  /** The faster backends that `'auto'` tried and could not start, in its order; empty for a backend named. */
  readonly passedOver: readonly PassedOver[];
}

export interface StartOptions {
  /**
   * Threads of the wasm backend, a whole number from 1 to 8 (default: one per core up to 4, or 1 where memory cannot be
   * shared, as in a page that is not cross-origin isolated; the numbers do not depend on it), or of native TensorFlow
   * (default: its own choice, one per core).
   */
  readonly threads?: number;
}

const mostThreads = 8;

const starters: Readonly<Record<string, (threads: number | undefined, asked: boolean) => Promise<Started>>> = {
  webgpu: (_, asked) => startWebgpuBackend({ allowSoftware: asked }),
  tensorflow: startTensorflowBackend,
  wasm: startWasm,
  cpu: startCpu,
};

/** The backends that {@link startBackend} starts without help, fastest first: the order in which `'auto'` tries them. */
export const ownBackends: readonly string[] = Object.keys(starters);

/**
 * Starts a backend, makes it tfjs's current one and registers the kernels that training needs on it. `'auto'` takes the
 * first of {@link ownBackends} that starts: webgpu where there is a GPU, native TensorFlow where it is installed or
 * provisioned, else wasm. It installs and downloads nothing. webgpu by name also takes an adapter that is software. Any
 * other backend (webgl) can be named once its package has been imported.
 *
 * Throws `BackendUnavailableError` when the backend named, or every one, cannot start, or when it cannot have the threads
 * asked for; the current backend is kept then. Throws `RangeError` for a bad number of threads.
 */
export async function startBackend(
  choice: BackendChoice = 'auto',
  { threads }: StartOptions = {},
): Promise<StartedBackend> {
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= mostThreads))
    throw new RangeError(`threads: expected a whole number from 1 to ${mostThreads}, got ${threads}.`);
  if (choice !== 'auto') {
    const { what, threads: running } = await startOne(choice, threads, true);
    return { backend: choice, reason: `${what} (asked for)`, threads: running, passedOver: [] };
  }
  const failures: BackendUnavailableError[] = [];
  for (const name of ownBackends) {
    try {
      const { what, threads: running } = await startOne(name, threads, false);
      const others = failures.map(({ backend, why }) => `; no ${backend}: ${why}`).join('');
      return {
        backend: name,
        reason: `${what} (the fastest backend here${others})`,
        threads: running,
        passedOver: failures.map(({ backend, why, whatToDo }) => ({ backend, why, whatToDo })),
      };
    } catch (error) {
      if (!(error instanceof BackendUnavailableError)) throw error;
      failures.push(error);
    }
  }
  throw new BackendUnavailableError(
    'auto',
    'none of those known could be started',
    failures.map((failure) => failure.message).join(' '),
  );
}

/** Starts one backend and describes it; when it fails, the one that was current is current again. */
async function startOne(name: string, threads: number | undefined, asked: boolean): Promise<Started> {
  const before = tf.getBackend();
  try {
    const start = Object.hasOwn(starters, name) ? starters[name] : undefined;
    return await (start === undefined ? startRegistered(name) : start(threads, asked));
  } catch (error) {
    if (before !== undefined && before !== '' && tf.findBackendFactory(before) !== null) await tf.setBackend(before);
    throw error;
  }
}

async function startCpu(): Promise<Started> {
  if (tf.findBackendFactory('cpu') === null)
    throw new BackendUnavailableError('cpu', 'its package has not been imported', importAdvice('@tensorflow/tfjs'));
  await activate('cpu');
  return { what: 'cpu: plain JavaScript, exact and slow', threads: 1 };
}

async function startRegistered(name: string): Promise<Started> {
  if (tf.findBackendFactory(name) === null && tf.findBackend(name) === null)
    throw name === 'webgl'
      ? new BackendUnavailableError(
          name,
          'its package has not been imported',
          importAdvice('@tensorflow/tfjs-backend-webgl'),
        )
      : new BackendUnavailableError(name, 'there is none of this name', `Known are auto, ${ownBackends.join(', ')}.`);
  await activate(name);
  return { what: name, threads: 1 };
}
