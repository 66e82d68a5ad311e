export { adamUpdate, type AdamRates, type AdamTrees, type AdamUpdateOptions } from './adam.js';
export { batchNormInference, batchNormTraining, type BatchNormOptions, type BatchNormResult } from './batch-norm.js';
export { conv2d, conv2dTranspose, depthwiseConv2d, type Conv2dOptions, type ConvAttrs } from './conv.js';
export { softmaxCrossEntropy, type CrossEntropyOptions } from './cross-entropy.js';
export { REFERENCE_OPS_FLAG } from './dispatch.js';
export { embedding } from './embedding.js';
export { OpsInputError } from './errors.js';
export { createExecutor, registerExecutor, type ExecutionStatus, type Executor, type Program } from './execution.js';
export { gelu } from './gelu.js';
export { layerNorm } from './layer-norm.js';
export { avgPool, globalAveragePool, maxPool, type PoolOptions } from './pool.js';
export { repairGradients } from './repairs.js';
export { sgdUpdate, type SgdUpdateOptions } from './sgd.js';
export {
  addTrees,
  allFinite,
  axpyTrees,
  dotTrees,
  filterTree,
  globalNorm,
  leafOf,
  mapTree,
  mulTrees,
  safeDivide,
  scaleTree,
  selectTensor,
  selectTree,
  subTrees,
  zerosLikeTree,
  zipTrees,
  type Tree,
} from './tree.js';
export type { Padding, Pair, WindowOptions } from './window.js';
