export {
  assignCheckpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  type Checkpoint,
  type CheckpointMetadata,
} from './checkpoint.js';
export { checkClassifier, ClassifierError, type ClassifierData } from './classifier.js';
export {
  CheckpointError,
  DivergedError,
  SettingChangedError,
  SnapshotError,
  TrainerError,
  TrainOptionError,
} from './errors.js';
export { earlyStopping, type EarlyStoppingOptions, type Monitor } from './early-stopping.js';
export { weightAverage, type WeightAverageOptions } from './ema.js';
export { evaluate, type EvaluateOptions, type EvaluationResult } from './evaluate.js';
export {
  evaluateCorruptions,
  type CorruptionEvaluation,
  type CorruptionOptions,
  type CorruptionRow,
} from './evaluate-corruptions.js';
export { fit } from './fit.js';
export type {
  CheckpointOccasion,
  CheckpointOptions,
  FitOptions,
  FitResult,
  Progress,
  TrainingCallback,
} from './fit-options.js';
export { crossEntropyLoss, toTensors, trainableVariables, type TensorBatch } from './loss.js';
export type { NonFiniteOptions } from './nonfinite-guard.js';
export { planTraining, type Duration, type TrainingPlan } from './plan.js';
export type { EvaluationRow, MetricsRow, PartRow, RunSummary, StepRow, TimingRow } from './rows.js';
export { samGap, type SamGapOptions, type SamGapResult } from './sam-gap.js';
export { snapshotVersion, type TrainingSnapshot } from './snapshot.js';
export type {
  FinishedStep,
  Json,
  Measures,
  NamedVariables,
  PartState,
  StopRequest,
  TrainingPart,
} from './training-part.js';
export { lastActivation, withoutSoftmax, type Topology } from './topology.js';
