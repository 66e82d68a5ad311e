export {
  assignCheckpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  type Checkpoint,
  type CheckpointMetadata,
} from './checkpoint.js';
export { checkClassifier, ClassifierError, type ClassifierData } from './classifier.js';
export { CheckpointError, DivergedError, TrainerError, TrainOptionError } from './errors.js';
export { evaluate, type EvaluateOptions, type EvaluationResult } from './evaluate.js';
export { fit, type FitOptions, type FitResult, type Progress, type TrainingCallback } from './fit.js';
export { crossEntropyLoss, toTensors, trainableVariables, type TensorBatch } from './loss.js';
export { planTraining, type Duration, type TrainingPlan } from './plan.js';
export type { EvaluationRow, MetricsRow, RunSummary, StepRow, TimingRow } from './rows.js';
export { samGap, type SamGapOptions, type SamGapResult } from './sam-gap.js';
export { lastActivation, withoutSoftmax, type Topology } from './topology.js';
