import * as tf from '@tensorflow/tfjs-core';
import { BackendUnavailableError, messageOf } from './errors.js';
import type { Started } from './activate.js';
import { coreCount } from './start-wasm.js';

type TensorflowKernels = typeof import('@polder/kernels-tensorflow');

// In a variable, so that no bundler follows it: a page has no use for the package, and Node may do without.
const kernelsTensorflow = '@polder/kernels-tensorflow';

/**
 * Starts native TensorFlow with our kernels, from what is installed or provisioned: downloads nothing. `threads` holds
 * for a process that has not loaded it yet.
 */
export async function startTensorflowBackend(threads: number | undefined): Promise<Started> {
  if (!inNode())
    throw new BackendUnavailableError('tensorflow', 'a page has no native TensorFlow', 'Take webgpu or wasm.');
  let kernels: TensorflowKernels;
  try {
    kernels = (await import(/* @vite-ignore */ /* webpackIgnore: true */ kernelsTensorflow)) as TensorflowKernels;
  } catch (error) {
    throw new BackendUnavailableError(
      'tensorflow',
      `${kernelsTensorflow} cannot be loaded (${messageOf(error).split('\n')[0]})`,
      `npm install ${kernelsTensorflow}`,
      { cause: error },
    );
  }
  if (threads !== undefined) {
    if (tf.findBackendFactory('tensorflow') !== null)
      throw new BackendUnavailableError(
        'tensorflow',
        'it runs already, on threads that it has chosen',
        'Ask for threads before its first use, or for none.',
      );
    process.env['TF_NUM_INTRAOP_THREADS'] = String(threads);
    process.env['TF_NUM_INTEROP_THREADS'] = String(threads);
  }
  const { reason } = await kernels.startTensorflow().catch((error: unknown) => {
    if (!(error instanceof kernels.TensorflowUnavailableError)) throw error;
    throw new BackendUnavailableError('tensorflow', error.why, error.whatToDo, { cause: error });
  });
  return { what: reason, threads: threads ?? coreCount() };
}

function inNode(): boolean {
  return (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node !== undefined;
}
