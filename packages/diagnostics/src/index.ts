export {
  curvatureCallback,
  followCurvature,
  type CallbackOptions,
  type CurvatureCallback,
  type CurvatureMemory,
  type Followed,
  type FollowOptions,
  type Measured,
} from './callback.js';
export { hessianDensity, type Density, type DensityOptions } from './density.js';
export {
  DiagnosticsError,
  EmptyDataError,
  GradientsNotRegisteredError,
  InvalidTargetError,
  NonDeterministicLossError,
  NonFiniteError,
  SecondOrderUnsupportedError,
  UnequalBatchesError,
} from './errors.js';
export type { Estimate } from './estimate.js';
export { curvatureFigures, type CurvatureFigures } from './figures.js';
export {
  gradientNoise,
  localLipschitz,
  lossAndGradient,
  type GradientNoise,
  type NoiseOptions,
  type LossAndGradient,
} from './gradient-noise.js';
export { hvp } from './hvp.js';
export { inverseProduct, type InverseOptions, type Solution } from './inverse.js';
export {
  interpolate,
  lossSurface,
  normalizeDirection,
  type Interpolation,
  type InterpolationOptions,
  type Surface,
  type SurfaceOptions,
} from './landscape.js';
export { denseMatrix, withLinearOperator, type LinearOperator } from './linear-operator.js';
export { losses, type LossName } from './losses.js';
export {
  frobeniusNorm,
  hessianDiagonal,
  type Diagonal,
  type DiagonalOptions,
  type FrobeniusOptions,
  type ProbeOptions,
} from './moments.js';
export type { NormalizeOptions } from './directions.js';
export { curvatureReport, type CurvatureReport, type ReportOptions } from './report.js';
export { withSecondOrder } from './second-order/scope.js';
export type { Phase, Progress, RunOptions } from './session.js';
export {
  averageSharpness,
  mSharpness,
  worstCaseSharpness,
  type AverageSharpnessOptions,
  type BallOptions,
  type Sharpness,
  type SharpnessOptions,
  type WorstCase,
  type WorstCaseOptions,
} from './sharpness.js';
export {
  hessianSpectrum,
  lambdaMax,
  type EigenOptions,
  type Eigenpair,
  type LargestPair,
  type Spectrum,
  type SpectrumOptions,
} from './spectrum.js';
export { sweepGrid, type GridCell, type GridOptions, type GridResult } from './sweep-grid.js';
export type {
  Batch,
  DatasetLike,
  DataSource,
  FunctionTarget,
  LayerLike,
  LayersModelLike,
  LayerVariableLike,
  LossFunction,
  LossTarget,
  ModelTarget,
  OperatorTarget,
  ParamVector,
  PredictionTarget,
  Target,
  VariablesTarget,
} from './target.js';
export { hessianTrace } from './trace.js';
export type { LayerTrace, TraceEstimate, TraceOptions } from './trace-options.js';
