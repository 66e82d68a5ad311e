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
import { registerStockRepairs } from './stock.js';
import { treeKernels } from './tree.js';

/**
 * Gives the tensorflow backend the training ops of @polder/ops as TensorFlow's own fused ops, repairs a few stock
 * kernels, and has `trainStep` record its steps and replay them as graphs. Call it once `tf.getBackend()` is 'tensorflow' (`startTensorflow` does); calling it again does nothing. Throws
 * {@link TensorflowUnavailableError} when another backend is the current one.
 */
export function registerTensorflowKernels(): void {
  const backend = currentBackend();
  if (tf.getKernel('PolderConv2D', BACKEND) != null) return;
  const lanes = ownOpLanes(backend);
  const kernels = {
    ...convolutionKernels,
    ...crossEntropyKernels,
    ...treeKernels,
    ...(!backend.isUsingGpuDevice && batchNormKernels),
    ...(lanes > 0 && { ...ownBatchNormKernels(batchNormKernels), ...ownTreeKernels, ...ownTransformerKernels }),
    // With vectors of 8 floats oneDNN's convolutions are not beaten.
    ...(lanes === 16 && ownConvolutionKernels(convolutionKernels)),
  };
  for (const [kernelName, kernelFunc] of Object.entries(kernels))
    tf.registerKernel({ kernelName, backendName: BACKEND, kernelFunc });
  registerStockRepairs(backend);
  if (lanes > 0) registerSoftmaxGradient();
  registerExecutor(BACKEND, createCaptureExecutor);
}
