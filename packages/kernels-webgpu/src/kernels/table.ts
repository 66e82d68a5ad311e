import type { KernelTable } from '../registry.js';
import { batchNormKernels } from './batch-norm.js';
import { convolutionKernels } from './convolution.js';
import { crossEntropyKernels } from './cross-entropy.js';
import { depthwiseKernels } from './depthwise.js';
import { elementwiseKernels } from './elementwise.js';
import { layerNormKernels } from './layer-norm.js';
import { poolKernels } from './pool.js';
import { segmentSumKernels } from './segment-sum.js';
import { treeKernels } from './tree.js';

/** Every kernel of this folder; some go on calling the stock kernels whose names they take, so make it before. */
export function trainingKernels(): KernelTable {
  return {
    ...batchNormKernels,
    ...convolutionKernels(),
    ...crossEntropyKernels,
    ...depthwiseKernels,
    ...elementwiseKernels,
    ...layerNormKernels,
    ...poolKernels(),
    ...segmentSumKernels(),
    ...treeKernels,
  };
}
