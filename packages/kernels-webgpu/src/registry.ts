import * as tf from '@tensorflow/tfjs-core';
import { BACKEND, type GpuBackend } from './backend.js';

/** Kernel functions by name. */
export type KernelTable = Readonly<Record<string, tf.KernelFunc>>;

/** A kernel of tfjs's registry from a function of the backend, typed by the inputs and attributes it is called with. */
export function gpuKernel(
  kernel: (backend: GpuBackend, inputs: never, attrs: never) => tf.TensorInfo | tf.TensorInfo[],
): tf.KernelFunc {
  return ({ inputs, attrs, backend }) => kernel(backend as GpuBackend, inputs as never, (attrs ?? {}) as never);
}

/** Puts kernels into tfjs's registry, over the stock ones of the same name. */
export function registerTable(table: KernelTable): void {
  for (const [kernelName, kernelFunc] of Object.entries(table)) {
    if (tf.getKernel(kernelName, BACKEND) != null) tf.unregisterKernel(kernelName, BACKEND);
    tf.registerKernel({ kernelName, backendName: BACKEND, kernelFunc });
  }
}

/** The kernel that is registered now, to be called by one that takes its place. */
export function stockKernel(kernelName: string): tf.KernelFunc {
  const kernel = tf.getKernel(kernelName, BACKEND);
  if (kernel == null) throw new Error(`tfjs-backend-webgpu 4.22 has a kernel "${kernelName}"; this one has none.`);
  return kernel.kernelFunc;
}
