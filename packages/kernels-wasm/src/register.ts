import * as tf from '@tensorflow/tfjs-core';
import { BACKEND, currentBackend } from './backend.js';
import { batchNorm, batchNormGrad } from './batch-norm.js';
import { convolutionKernels } from './convolution.js';
import { crossEntropyKernels } from './cross-entropy.js';
import { depthwiseKernels } from './depthwise.js';
import { elementwiseKernels } from './elementwise.js';
import { fusedConvolution } from './fused-convolution.js';
import { aliasingIdentity } from './identity.js';
import { layerNormKernels } from './layer-norm.js';
import { batchMatMul } from './mat-mul.js';
import { oneHotKernels } from './one-hot.js';
import { poolKernels } from './pool.js';
import { registerTable, runtimeKernel } from './registry.js';
import { runtimeOf, setThreads } from './runtime.js';
import { segmentSumKernels } from './segment-sum.js';
import { treeKernels } from './tree.js';

export interface WasmKernelOptions {
  /**
   * Threads that compute, the calling one included, 1 to 8; 1 unless given. More than one need the threaded build, see
   * {@link startThreadedWasm}. The results do not depend on it.
   */
  readonly threads?: number;
}

/**
 * Gives the wasm backend what training needs, fast. Call it once `await tf.setBackend('wasm')` has answered; calling it
 * again only changes the number of threads, if one is given. Throws {@link WasmBackendError} when another backend is the
 * current one, has no SIMD, or shares no memory where threads are asked for.
 */
export function registerWasmKernels({ threads }: WasmKernelOptions = {}): void {
  const runtime = runtimeOf(currentBackend());
  if (threads !== undefined) setThreads(runtime, threads);
  if (tf.getKernel('PolderConv2D', BACKEND) != null) return;
  registerTable({
    BatchMatMul: batchMatMul(),
    FusedConv2D: fusedConvolution(),
    Identity: aliasingIdentity(),
    PolderBatchNorm: runtimeKernel(batchNorm),
    PolderBatchNormGrad: runtimeKernel(batchNormGrad),
    ...convolutionKernels,
    ...crossEntropyKernels,
    ...depthwiseKernels,
    ...elementwiseKernels,
    ...layerNormKernels,
    ...oneHotKernels,
    ...poolKernels,
    ...segmentSumKernels,
    ...treeKernels,
  });
}
