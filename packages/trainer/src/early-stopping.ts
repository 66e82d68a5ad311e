import { checkInteger, TrainOptionError } from './errors.js';
import type { EvaluationRow } from './rows.js';
import type { TrainingPart } from './training-part.js';

/** What an evaluation gives that can be watched. Losses are to fall, accuracies to rise. */
export type Monitor =
  | 'testTop1'
  | 'testTop5'
  | 'testLoss'
  | 'trainTop1'
  | 'trainLoss'
  | 'emaTestTop1'
  | 'emaTestTop5'
  | 'emaTestLoss';

/** Options of {@link earlyStopping}. */
export interface EarlyStoppingOptions {
  /** So many evaluations in a row without a better value end the training; at least 1. */
  readonly patience: number;
  /** A value is better when it is so by more than this; at least 0, default 0. */
  readonly minDelta?: number;
  /** Default `testTop1`. */
  readonly monitor?: Monitor;
}

/** Where the watched number stands. */
interface Standing {
  readonly best: number | null;
  /** The step of the best value. */
  readonly step: number;
  /** Evaluations since. */
  readonly stale: number;
}

/**
 * Ends a training that no longer gets better (the rule of Keras's EarlyStopping). The weights stay those of the last
 * step. What is watched is selected for: a test set that stops a training is no longer quite a test set. Throws
 * {@link TrainOptionError}.
 */
export function earlyStopping({ patience, minDelta = 0, monitor = 'testTop1' }: EarlyStoppingOptions): TrainingPart {
  checkInteger('patience', patience, 1);
  if (!(Number.isFinite(minDelta) && minDelta >= 0))
    throw new TrainOptionError('minDelta', 'a number of at least 0', minDelta);
  const sign = monitor.endsWith('Loss') ? -1 : 1;
  let standing: Standing = { best: null, step: 0, stale: 0 };
  return {
    name: 'earlyStopping',
    restore({ data }) {
      standing = data as unknown as Standing;
    },
    afterEvaluation(row: EvaluationRow) {
      const value = valueOf(row, monitor);
      const { best, step, stale } = standing;
      // Comparisons with NaN are false: it is never better.
      const better = best === null ? !Number.isNaN(value) : sign * (value - best) > minDelta;
      standing = better ? { best: value, step: row.step, stale: 0 } : { best, step, stale: stale + 1 };
      if (standing.stale < patience) return undefined;
      const since = best === null ? 'it was never a number' : `it was best at step ${step}, ${best}`;
      return { stop: `${monitor} got no better in ${patience} evaluations: ${since}` };
    },
    state: () => ({ data: { ...standing } }),
  };
}

function valueOf(row: EvaluationRow, monitor: Monitor): number {
  const value = (row as unknown as Readonly<Record<string, unknown>>)[monitor];
  if (value === undefined)
    throw new TrainOptionError('monitor', `a number that evaluations give: ${Object.keys(row).join(', ')}`, monitor);
  return typeof value === 'number' ? value : Number.NaN;
}
