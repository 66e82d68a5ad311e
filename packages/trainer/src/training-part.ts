import type * as tf from '@tensorflow/tfjs-core';
import type { EvaluationRow, StepRow } from './rows.js';
import type { Position } from './summary.js';

/** Plain data, as JSON has it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** All weights of the model, moving statistics too, by layer and weight name (`conv1/kernel`), as checkpoints name them. */
export type NamedVariables = ReadonlyMap<string, tf.Variable>;

/** What a part carries from one step to the next. */
export interface PartState {
  /** Still the part's own in what `state` returns; the receiver's to copy, not to keep, in `restore`. */
  readonly tensors?: Readonly<Record<string, tf.Tensor>>;
  readonly data?: Json;
}

/** Numbers that a part has measured; null for one that is not finite. */
export type Measures = Readonly<Record<string, number | null>>;

/** A step that was just taken. */
export interface FinishedStep {
  /** Steps so far, this one included. */
  readonly step: number;
  /** Data epochs so far, a fraction. */
  readonly epoch: number;
  readonly passes: number;
  /** 0-D bool: false when the step changed nothing, because a gradient was not finite. The loop disposes of it. */
  readonly finite: tf.Scalar;
}

/** An answer to {@link TrainingPart.afterEvaluation} that ends the training, as if its last step had come. */
export interface StopRequest {
  /** One line for the summary: what was reached, or no longer was. */
  readonly stop: string;
}

/**
 * Something that goes along with a training and may remember: an average of the weights, a stopping rule. Calls come in
 * the order below. A part's state is saved in checkpoints under its name, and nothing else of it: whatever it does later
 * must follow from its options, its state and what it is called with, so that a resumed run is the same run.
 */
export interface TrainingPart {
  /** Unique in a run. */
  readonly name: string;
  /** Once, before the first step and before {@link TrainingPart.restore}. */
  start?(weights: NamedVariables): void;
  /** With what `state` returned in an earlier process. Throws when it does not fit. */
  restore?(state: PartState): void;
  /** After each step, on the device: reads no tensor back. Disposes of what it makes but for its state. */
  afterStep?(step: FinishedStep): void;
  /** After each log point. May throw, to end the training with that error. */
  afterLog?(row: StepRow): void | Promise<void>;
  /**
   * After each whole epoch, before its evaluation, and after a last one that a pass budget cut short. Once more where a
   * training resumes from such a point, because the first time may have been broken off: what is done is in the state.
   * What it answers becomes a row of the metrics.
   */
  afterEpoch?(at: Position): void | Measures | Promise<void | Measures>;
  /**
   * Weights to evaluate besides the model's own, by name; weights that are not there stay the model's. Evaluation rows
   * then have `<name>TestLoss`, `<name>TestTop1` and `<name>TestTop5` too. The tensors stay the part's.
   */
  evaluationWeights?(): Readonly<Record<string, tf.Tensor>> | undefined;
  /** After each evaluation, the last one included. */
  afterEvaluation?(row: EvaluationRow): void | StopRequest | Promise<void | StopRequest>;
  /** What a checkpoint keeps; called between two steps. Absent: the part has no memory. */
  state?(): PartState;
  /** Once, at the end, also when training fails. */
  dispose?(): void;
}
