import type { LayersModel } from '@tensorflow/tfjs-layers';
import { COMMON_CORRUPTIONS, corruptedSet, type Corruption, type Dataset, type Severity } from '@polder/data';
import { evaluate, type EvaluateOptions, type EvaluationResult } from './evaluate.js';

/** Options of {@link evaluateCorruptions}. */
export interface CorruptionOptions extends EvaluateOptions {
  /** Default: the fifteen common ones. */
  readonly corruptions?: readonly Corruption[];
  /** Default: all five. */
  readonly severities?: readonly Severity[];
  /** Of the corruptions that are made here; default 0. */
  readonly seed?: number;
  /** Opens a corrupted test set, such as the published one, instead of making it here. */
  readonly open?: (corruption: Corruption, severity: Severity) => Dataset | Promise<Dataset>;
  /** Before each set. */
  readonly onProgress?: (progress: {
    readonly corruption: Corruption;
    readonly severity: Severity;
    readonly done: number;
    readonly total: number;
  }) => void;
}

/** One corruption: an evaluation for each severity. */
export interface CorruptionRow {
  readonly corruption: Corruption;
  readonly results: readonly EvaluationResult[];
  /** Over the severities. */
  readonly meanTop1: number;
}

/** Accuracy under corruption; fractions in 0..1. */
export interface CorruptionEvaluation {
  readonly severities: readonly Severity[];
  readonly rows: readonly CorruptionRow[];
  /** Over corruptions and severities: 1 less the usual mean corruption error of CIFAR-10-C (Hendrycks & Dietterich 2019). */
  readonly meanTop1: number;
}

/**
 * Evaluates a model that gives logits on a test set of 32 × 32 RGB pictures under corruptions, each at each severity.
 * Throws what `evaluate` throws, the signal's reason, and the DataOptionError of `@polder/data` for other pictures.
 */
export async function evaluateCorruptions(
  model: LayersModel,
  test: Dataset,
  options: CorruptionOptions = {},
): Promise<CorruptionEvaluation> {
  const { corruptions = COMMON_CORRUPTIONS, severities = [1, 2, 3, 4, 5], seed = 0, onProgress, signal } = options;
  const open = options.open ?? ((corruption, severity) => corruptedSet(test, corruption, severity, seed));
  const total = corruptions.length * severities.length;
  const rows: CorruptionRow[] = [];
  let done = 0;
  for (const corruption of corruptions) {
    const results: EvaluationResult[] = [];
    for (const severity of severities) {
      signal?.throwIfAborted();
      onProgress?.({ corruption, severity, done, total });
      results.push(await evaluate(model, await open(corruption, severity), options));
      done += 1;
    }
    rows.push({ corruption, results, meanTop1: mean(results.map(({ top1 }) => top1)) });
  }
  return { severities, rows, meanTop1: mean(rows.map(({ meanTop1 }) => meanTop1)) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
