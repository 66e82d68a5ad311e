/**
 * A row of `metrics.jsonl`. Nothing in it depends on the clock: on the cpu and wasm backends the same settings and seed
 * give the same rows, byte for byte. Accuracies are fractions in 0..1; a number that is not finite is written `null`.
 */
export type MetricsRow = StepRow | EvaluationRow | PartRow;

/** What a {@link TrainingPart} measured at one moment, such as curvature. */
export interface PartRow {
  readonly step: number;
  readonly epoch: number;
  readonly passes: number;
  readonly [measure: string]: number | null;
}

/** What the steps since the previous row of this kind did, on average. */
export interface StepRow {
  /** Steps taken so far. */
  readonly step: number;
  /** Data epochs so far, a fraction. */
  readonly epoch: number;
  /** Gradient passes over a batch so far. */
  readonly passes: number;
  /** The learning rate at the last of these steps; absent under a policy that sets its own, which reports it (`eta`). */
  readonly learningRate?: number;
  /** Mean minibatch loss at the weights before each step, with augmentation and batch statistics; null: none was finite. */
  readonly loss: number | null;
  /** Steps so far that changed nothing because a gradient was not finite. */
  readonly skippedSteps: number;
  /** The policy's metrics (`gradNorm`, `samGap`, `gamma`, …), each averaged over the steps that gave it. */
  readonly [metric: string]: number | null | undefined;
}

/** How good the weights are at one moment: inference mode, no augmentation. */
export interface EvaluationRow {
  readonly step: number;
  readonly epoch: number;
  readonly passes: number;
  readonly testLoss: number;
  readonly testTop1: number;
  readonly testTop5: number;
  /** On the training examples that are evaluated: `trainEvalExamples` of them. */
  readonly trainLoss: number;
  readonly trainTop1: number;
  readonly trainTop5: number;
  /** trainTop1 − testTop1. */
  readonly generalisationGap: number;
  /** testLoss − trainLoss. */
  readonly lossGap: number;
  /** What a part's own weights do on the test examples (`emaTestTop1`); see `TrainingPart.evaluationWeights`. */
  readonly [measure: `${string}Test${'Loss' | 'Top1' | 'Top5'}`]: number;
}

/** A row of `timing.jsonl`: what the clock did up to the step of the same number. */
export interface TimingRow {
  readonly step: number;
  readonly passes: number;
  /** Since the start, evaluations included. */
  readonly seconds: number;
  /** Since the start, in training steps alone. */
  readonly trainSeconds: number;
  /** Training examples per second of `trainSeconds`, however many passes each takes. */
  readonly imagesPerSecond: number;
  /** Tensors that TensorFlow.js holds, and their bytes. */
  readonly numTensors: number;
  readonly tensorBytes: number;
  /** Resident memory of the process; absent in a browser. */
  readonly rssBytes?: number;
  /** ISO 8601. */
  readonly time: string;
}

/** What `summary.json` says of a finished run, apart from what the clock did. */
export interface RunSummary {
  readonly status: 'completed';
  /** Why a part (early stopping) ended the training before its length was over. */
  readonly stopped?: string;
  readonly steps: number;
  /** Data epochs, a fraction. */
  readonly epochs: number;
  readonly passes: number;
  readonly passesPerStep: number;
  readonly skippedSteps: number;
  readonly testLoss: number;
  readonly testTop1: number;
  readonly testTop5: number;
  readonly trainLoss: number;
  readonly trainTop1: number;
  readonly trainTop5: number;
  readonly generalisationGap: number;
  readonly lossGap: number;
  /** L(w+ε) − L(w) at the final weights; see {@link samGap}. */
  readonly samGap: number;
  /** Means over the last ten evaluations, or over all when there are fewer (`last10Evaluations` says how many). */
  readonly last10TestTop1: number;
  readonly last10TrainTop1: number;
  readonly last10Evaluations: number;
  readonly [measure: `${string}Test${'Loss' | 'Top1' | 'Top5'}`]: number;
}
