import type * as tf from '@tensorflow/tfjs-core';
import { TrainOptionError, checkInteger } from '../errors.js';
import type { EvaluationRow } from '../rows.js';
import type { TrainingPart } from '../training-part.js';

/** Which weights of the way are worth keeping. */
export interface KeepBestOptions {
  /** How many evaluations' weights are kept, the best ones; default 1. */
  readonly count?: number;
  /** A number of evaluation rows: a loss is to fall, an accuracy to rise. Default `testTop1`. */
  readonly metric?: string;
}

/** {@link keepBest}'s part, which knows the best weights' file. */
export interface BestKeeper extends TrainingPart {
  /** Entries of `summary.json`; none before an evaluation gave a number. */
  summary(): Readonly<Record<string, string | number>>;
}

interface Kept {
  readonly step: number;
  readonly value: number;
}

/** Where weights are put: under a name, whole or not at all. */
interface WeightStore {
  /** `others`: weights by name that stand in for the model's own. */
  write(name: string, step: number, others: Readonly<Record<string, tf.Tensor>>): Promise<void>;
  remove(name: string): void;
}

/**
 * Keeps the weights of the best evaluations: `best`, and where more than one is kept each as `best-step<step>`. Of equal
 * ones the earlier is better. A metric of averaged weights (`emaTestTop1`) keeps the averages, those of the part of
 * `others` that has this name. Throws {@link TrainOptionError}.
 */
export function keepBest(
  { count = 1, metric = 'testTop1' }: KeepBestOptions,
  store: WeightStore,
  others: readonly TrainingPart[] = [],
): BestKeeper {
  checkInteger('keepBest.count', count, 1);
  const sign = /loss$/i.test(metric) ? -1 : 1;
  const averaging = others.find(({ name }) => metric.startsWith(`${name}Test`));
  const fileOf = ({ step }: Kept): string => `best-step${step}`;
  let kept: readonly Kept[] = [];
  return {
    name: 'keepBest',
    restore({ data }) {
      kept = data as unknown as readonly Kept[];
    },
    async afterEvaluation(row) {
      const value = valueOf(row, metric);
      // JSON has no NaN, and nothing is better or worse than one.
      if (!Number.isFinite(value)) return;
      const now: Kept = { step: row.step, value };
      const ranked = [...kept, now].sort((a, b) => sign * (b.value - a.value) || a.step - b.step);
      const next = ranked.slice(0, count);
      if (!next.includes(now)) return;
      const weights = averaging?.evaluationWeights?.() ?? {};
      if (count > 1) await store.write(fileOf(now), row.step, weights);
      if (next[0] === now) await store.write('best', row.step, weights);
      for (const dropped of ranked.slice(count)) if (count > 1) store.remove(fileOf(dropped));
      kept = next;
    },
    state: () => ({ data: kept.map(({ step, value }) => ({ step, value })) }),
    summary() {
      const [best] = kept;
      return best === undefined
        ? {}
        : {
            bestCheckpoint: 'checkpoints/best.safetensors',
            bestStep: best.step,
            bestMetric: metric,
            bestValue: best.value,
          };
    },
  };
}

function valueOf(row: EvaluationRow, metric: string): number {
  const value = (row as unknown as Readonly<Record<string, unknown>>)[metric];
  if (typeof value === 'number') return value;
  const there = Object.keys(row).filter((key) => !['step', 'epoch', 'passes'].includes(key));
  throw new TrainOptionError('keepBest.metric', `a number that evaluations give: ${there.join(', ')}`, metric);
}
