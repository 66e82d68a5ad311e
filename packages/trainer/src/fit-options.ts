import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { LearningRate, Optimizer, Policy, PolicyState, Schedule } from '@polder/core';
import type { Augmentation, Dataset, Mix } from '@polder/data';
import type { NonFiniteOptions } from './nonfinite-guard.js';
import type { Duration } from './plan.js';
import type { MetricsRow, RunSummary, TimingRow } from './rows.js';
import type { SamGapOptions } from './sam-gap.js';
import type { TrainingSnapshot } from './snapshot.js';
import type { TrainingPart } from './training-part.js';

/** Options of `fit`. Give `epochs` or `passBudget`. */
export interface FitOptions<S extends PolicyState = PolicyState> extends Duration {
  /** Gives logits, [n, classes]; its trainable weights are trained in place. */
  readonly model: LayersModel;
  readonly train: Dataset;
  readonly test: Dataset;
  readonly batchSize: number;
  /** A number, or a schedule over the clock of `planTraining`: steps, or passes under a pass budget. */
  readonly learningRate: number | Schedule;
  /** Makes the base optimizer, `(learningRate) => sgd({ learningRate, momentum: 0.9 })`. */
  readonly optimizer: (learningRate: LearningRate) => Optimizer;
  /** Default: plain descent. */
  readonly policy?: Policy<S>;
  /** Order and augmentation are pure functions of (seed, epoch, example): a non-negative integer. */
  readonly seed: number;
  readonly augment?: readonly Augmentation[];
  /** Blends the examples of an epoch's batches (mixup, cutmix), or leaves them as they are; 0-based. */
  readonly mix?: (epoch: number) => Mix | undefined;
  /** In [0, 1); default 0. */
  readonly labelSmoothing?: number;
  /** See `TrainStepOptions` of core, also for the next three. */
  readonly weightDecayInLoss?: number;
  readonly clipNorm?: number;
  readonly microBatches?: number;
  readonly perturbation?: 'global' | 'micro-batch';
  /** Steps between step rows; numbers come back from the device only there. Default 10. */
  readonly logEvery?: number;
  /** Epochs between evaluations (under a pass budget: as many passes as descent needs for them). Default 1. */
  readonly evalEvery?: number;
  /** Training examples that an evaluation sees, from the first on. Default: as many as there are test examples. */
  readonly trainEvalExamples?: number;
  /** Default 256. */
  readonly evalBatchSize?: number;
  readonly samGap?: Pick<SamGapOptions, 'rho' | 'examples'>;
  readonly onMetrics?: (row: MetricsRow) => void;
  readonly onTiming?: (row: TimingRow) => void;
  /** After every step and before evaluations; nothing was read from the device for it. */
  readonly onProgress?: (progress: Progress) => void;
  /** Their time does not count in img/s. */
  readonly callbacks?: readonly TrainingCallback[];
  /** What goes along and may remember: averages of weights, stopping rules. Called in this order. */
  readonly parts?: readonly TrainingPart[];
  /** When steps with a gradient that is not finite end the training; they change nothing in any case. */
  readonly nonFinite?: NonFiniteOptions;
  /** Saves the training now and then, so that it can go on after a crash. */
  readonly checkpoint?: CheckpointOptions;
  /**
   * Goes on from here: rows, weights and summary are those of a training that was never broken off. Options must be as
   * they were, or {@link SnapshotError} names the one that is not.
   */
  readonly resumeFrom?: TrainingSnapshot;
  /** Resumes with whatever options are given, as long as the state fits the network, the policy and the optimizer. */
  readonly acceptChanges?: boolean;
  /** Stops before the next step: rejects with the signal's reason. The model keeps the weights it has then. */
  readonly signal?: AbortSignal;
}

/** When a training is saved, and how. */
export interface CheckpointOptions {
  /** Steps between checkpoints. */
  readonly everySteps?: number;
  /** Seconds between checkpoints, by the monotonic clock. With neither, only a signal and the end save. */
  readonly everySeconds?: number;
  /** Puts a snapshot in a safe place; training goes on when it is there. An error ends the training. */
  readonly save: (snapshot: TrainingSnapshot, occasion: CheckpointOccasion) => void | Promise<void>;
}

/** Why a checkpoint is made: its time has come, `signal` was aborted, or training is over. */
export type CheckpointOccasion = 'interval' | 'interrupt' | 'end';

/** What `fit` calls and waits for: the three that `curvatureCallback` of @polder/diagnostics has, for one. */
export interface TrainingCallback {
  /** After each step, with its 0-based number within the epoch. */
  readonly onBatchEnd?: (batch: number) => void | Promise<void>;
  /** After each whole epoch, before its evaluation, and after a last one that a pass budget cut short; 0-based. */
  readonly onEpochEnd?: (epoch: number) => void | Promise<void>;
  /** Once, also when training stops on an error or a signal. */
  readonly onTrainEnd?: () => void | Promise<void>;
}

/** Where training stands. */
export interface Progress {
  readonly phase: 'train' | 'evaluate';
  readonly step: number;
  readonly passes: number;
  readonly epoch: number;
  /** Of the run's clock, in 0..1. */
  readonly fraction: number;
  /** Mean loss at the last log point. */
  readonly loss: number | null;
  readonly imagesPerSecond: number;
  /** Until the end, at the pace so far. */
  readonly secondsLeft: number;
}

export interface FitResult {
  readonly summary: RunSummary;
  readonly timing: TimingRow;
}
