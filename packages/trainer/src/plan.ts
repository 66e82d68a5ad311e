import { batchCount } from '@polder/data';
import { checkInteger, TrainOptionError } from './errors.js';

/** How long to train: a number of epochs, or a number of gradient passes whatever the policy makes of them. */
export interface Duration {
  readonly epochs?: number;
  /** With `epochs`: as many gradient passes as plain descent takes for them, whatever the policy makes of them. */
  readonly fairPasses?: boolean;
  /**
   * Gradient passes over a batch. Training stops before the step that would exceed it, so that policies with different
   * numbers of passes a step do the same work.
   */
  readonly passBudget?: number;
}

/** The clock of a training run: it counts steps, or gradient passes under a pass budget. */
export interface TrainingPlan {
  readonly unit: 'steps' | 'passes';
  /** The clock's value at the end. */
  readonly total: number;
  /** Steps in an epoch. Under a pass budget, an evaluation's distance too: as many passes as descent needs for an epoch. */
  readonly stepsPerEpoch: number;
  /** An incomplete last batch is left out, unless it would be the only one. */
  readonly dropLast: boolean;
}

/**
 * The clock of a run, so that a schedule can be made for it: `cosine({ initial, steps: plan.total })`.
 * Throws `TrainOptionError` unless exactly one of `epochs` and `passBudget` is given, as an integer of at least 1.
 */
export function planTraining(
  { epochs, passBudget, fairPasses }: Duration,
  examples: number,
  batchSize: number,
): TrainingPlan {
  checkInteger('batchSize', batchSize, 1);
  const dropLast = examples >= batchSize;
  const stepsPerEpoch = batchCount(examples, batchSize, dropLast);
  if (epochs !== undefined && passBudget === undefined) {
    const total = checkInteger('epochs', epochs, 1) * stepsPerEpoch;
    return { unit: fairPasses === true ? 'passes' : 'steps', total, stepsPerEpoch, dropLast };
  }
  if (passBudget !== undefined && epochs === undefined)
    return { unit: 'passes', total: checkInteger('passBudget', passBudget, 1), stepsPerEpoch, dropLast };
  throw new TrainOptionError('epochs, passBudget', 'exactly one of them', `${epochs}, ${passBudget}`);
}
