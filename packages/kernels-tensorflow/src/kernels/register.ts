import * as tf from '@tensorflow/tfjs-core';
import { registerExecutor } from '@polder/ops';
import { BACKEND, currentBackend } from '../backend.js';
import { createCaptureExecutor } from '../capture/executor.js';
import { batchNormKernels } from './batch-norm.js';
import { convolutionKernels } from './convolution.js';
import { crossEntropyKernels } from './cross-entropy.js';
import { ownBatchNormKernels } from './own-batch-norm.js';
import { ownConvolutionKernels } from './own-convolution.js';
import { ownOpLanes } from './own-ops.js';
import { ownTransformerKernels, registerSoftmaxGradient } from './own-transformer.js';
import { ownTreeKernels } from './own-tree.js';
import { matMulKernel, requireBf16, type Precision } from './precision.js';
import { registerStockRepairs } from './stock.js';
import { treeKernels } from './tree.js';

/** What was there before, and what is registered now. */
let registered: { readonly precision: Precision; readonly stockMatMul: tf.KernelFunc } | undefined;

/**
 * Gives the tensorflow backend the training ops of @polder/ops, as ops of our own where the library has them and as
 * TensorFlow's fused ones else, repairs a few stock kernels, and has `trainStep` record its steps and replay them as
 * graphs. `precision` (default 'float32') holds for convolutions and matrix products from then on; steps recorded before
 * keep the one they were recorded with. Call it once `tf.getBackend()` is 'tensorflow' (`startTensorflow` does); calling
 * it again with the same precision does nothing. Throws {@link TensorflowUnavailableError} when another backend is the
 * current one, and {@link PrecisionError} where 'bf16' cannot be multiplied.
 */
export function registerTensorflowKernels({ precision = 'float32' }: { readonly precision?: Precision } = {}): void {
  const backend = currentBackend();
  if (registered?.precision === precision) return;
  if (precision === 'bf16') requireBf16(backend);
  const lanes = ownOpLanes(backend);
  const replace = (kernelName: string, kernelFunc: tf.KernelFunc): void => {
    if (tf.getKernel(kernelName, BACKEND) != null) tf.unregisterKernel(kernelName, BACKEND);
    tf.registerKernel({ kernelName, backendName: BACKEND, kernelFunc });
  };
  const convolutions = convolutionKernels(precision);
  const stockMatMul = registered?.stockMatMul ?? tf.getKernel('BatchMatMul', BACKEND).kernelFunc;
  const kernels = {
    ...convolutions,
    ...crossEntropyKernels,
    ...treeKernels,
    ...(!backend.isUsingGpuDevice && batchNormKernels),
    ...(lanes > 0 && { ...ownBatchNormKernels(batchNormKernels), ...ownTreeKernels, ...ownTransformerKernels }),
    // With vectors of 8 floats oneDNN's convolutions are not beaten, and ours multiply float32 only.
    ...(lanes === 16 && precision === 'float32' && ownConvolutionKernels(convolutions)),
    BatchMatMul: precision === 'bf16' ? matMulKernel(precision) : stockMatMul,
  };
  for (const [kernelName, kernelFunc] of Object.entries(kernels)) replace(kernelName, kernelFunc);
  if (registered === undefined) {
    registerStockRepairs(backend);
    if (lanes > 0) registerSoftmaxGradient();
    registerExecutor(BACKEND, createCaptureExecutor);
  }
  registered = { precision, stockMatMul };
}
