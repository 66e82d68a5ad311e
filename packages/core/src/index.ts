export type { Evaluation, Oracle, Policy, PolicyState, PolicyStep, StepContext } from './policy.js';
export { trainStep } from './train-step.js';
export type { StepResult, TrainStep, TrainStepOptions } from './train-step.js';
export type { Loss } from './oracle.js';
export { sharpnessAware } from './sharpness-aware.js';
export type { SharpnessAwareOptimizer } from './sharpness-aware.js';
export { none, sam } from './sam.js';
export type { NoState, SamOptions } from './sam.js';
export { asamAscent, kernelsOnly, perturb, samAscent, usamAscent } from './ascent.js';
export type { Ascent, AscentStep, AsamAscentOptions, ParameterFilter, SamAscentOptions } from './ascent.js';
export { adam, adamW } from './optimizers/adam.js';
export type { AdamOptions } from './optimizers/adam.js';
export { sgd } from './optimizers/sgd.js';
export type { SgdOptions } from './optimizers/sgd.js';
export { fromTfOptimizer } from './optimizers/tf-optimizer.js';
export { decayMatrices } from './optimizers/optimizer.js';
export type { Optimizer, Slots, WeightDecayOptions } from './optimizers/optimizer.js';
export { constant, cosine, stepDecay, withWarmup } from './schedules.js';
export type { CosineOptions, LearningRate, Schedule, StepDecayOptions } from './schedules.js';
export { disposeState, flattenState, stateVersion, unflattenState } from './state.js';
export type { TrainState } from './state.js';
export {
  checkInteger,
  checkNumber,
  IncompatibleError,
  LossError,
  MissingOperationError,
  OptionError,
  PolderError,
  StateError,
} from './errors.js';
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
} from '@polder/ops';
export type { ExecutionStatus, Tree } from '@polder/ops';
