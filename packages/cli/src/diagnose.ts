import * as tf from '@tensorflow/tfjs';
import type { StartedBackend } from '@polder/backends';
import { batches, slice, type Dataset } from '@polder/data';
import {
  curvatureFigures,
  curvatureReport,
  losses,
  lossSurface,
  mSharpness,
  type CurvatureFigures,
  type CurvatureReport,
  type LossFunction,
  type ModelTarget,
  type Progress,
  type Sharpness,
} from '@polder/diagnostics';
import { toTensors } from '@polder/trainer';
import type { DiagnoseTarget } from './diagnose-target.js';
import { version } from './version.js';

/** How to measure. */
export interface DiagnoseOptions {
  readonly limit: number;
  readonly batch: number;
  readonly seed: number;
  /** Label smoothing of the loss, 0 … 1. */
  readonly smoothing: number;
  /** Eigenvalues at each end. */
  readonly eigenvalues: number;
  /** At most so many probes of the trace. */
  readonly traceProbes?: number;
  /** At most so many gradient evaluations for eigenvalues, trace and density. */
  readonly budget?: number;
  /** Radius of the sharpness, and examples of a group. */
  readonly rho: number;
  readonly m: number;
  readonly surface?: { readonly directions: 'random' | 'eigen'; readonly points: number };
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

/** `curvature.json`: what was measured on what, and the rows of its figures. */
export interface Curvature {
  readonly version: 1;
  readonly title: string;
  readonly data: string;
  readonly examples: number;
  readonly backend: string;
  readonly seed: number;
  /** Label smoothing of the loss measured; files of before have none, and measured without. */
  readonly smoothing?: number;
  readonly report: CurvatureReport;
  readonly sharpness: Pick<Sharpness, 'value' | 'standardError' | 'baseLoss'> & {
    readonly rho: number;
    readonly m: number;
  };
  readonly surface: { readonly directions: 'random' | 'eigen'; readonly eigenvalues: readonly number[] | null } | null;
  readonly figures: CurvatureFigures;
  readonly seconds: number;
  readonly polderVersion: string;
}

/** Of hard labels these keep their precision where an example is learnt. */
const hardLoss = { logits: 'sparseSoftmaxCrossEntropy', probabilities: 'sparseCategoricalCrossentropy' } as const;

/** Cross-entropy with part of each label spread over all classes, as training with label smoothing has it. */
function smoothedLoss(outputs: DiagnoseTarget['outputs'], smoothing: number): LossFunction {
  const loss = outputs === 'logits' ? losses.softmaxCrossEntropy : losses.categoricalCrossentropy;
  return (labels, prediction) => {
    const classes = prediction.shape.at(-1)!;
    const exact = tf.cast(tf.oneHot(tf.cast(labels, 'int32'), classes), 'float32');
    return loss(tf.add(tf.mul(exact, 1 - smoothing), smoothing / classes), prediction);
  };
}

/**
 * Measures the mean cross-entropy of a model around its weights, on the first training examples: no augmentation, no
 * dropout, no weight decay, batch norm at its moving statistics. Throws what `@polder/diagnostics` throws, and the signal's reason.
 */
export async function diagnose(
  { title, model, outputs }: DiagnoseTarget,
  { train, source }: { readonly train: Dataset; readonly source: string },
  backend: StartedBackend,
  options: DiagnoseOptions,
): Promise<Curvature> {
  const start = performance.now();
  const { limit, batch: batchSize, seed, smoothing, rho, m, traceProbes, budget, signal, onProgress } = options;
  const examples = slice(train, 0, Math.min(limit, train.length));
  const target: ModelTarget = {
    model,
    loss: smoothing > 0 ? smoothedLoss(outputs, smoothing) : hardLoss[outputs],
    // A batch at a time on the device: a whole set need not fit there.
    *data() {
      for (const batch of batches(examples, { batchSize, seed: 0, epoch: 0, shuffle: false })) {
        const { images, labels } = toTensors(batch, examples);
        try {
          yield { xs: images, ys: labels };
        } finally {
          tf.dispose([images, labels]);
        }
      }
    },
  };
  const run = { seed, signal, onProgress };
  const report = await curvatureReport(target, {
    ...run,
    k: options.eigenvalues,
    ...(traceProbes !== undefined && { maxProbes: traceProbes, minProbes: Math.min(8, traceProbes) }),
    ...(budget !== undefined && { maxGradEvals: budget }),
  });
  const { value, standardError, baseLoss } = await mSharpness(target, { ...run, rho, m });
  const { surface: asked } = options;
  const surface =
    asked === undefined
      ? undefined
      : await lossSurface(target, { ...run, points: asked.points, directions: asked.directions });
  return {
    version: 1,
    title,
    data: source,
    examples: report.numSamples,
    backend: backend.backend,
    seed,
    smoothing,
    report,
    sharpness: { value, standardError, baseLoss, rho, m },
    surface: asked === undefined ? null : { directions: asked.directions, eigenvalues: surface?.eigenvalues ?? null },
    figures: curvatureFigures(report, surface),
    seconds: (performance.now() - start) / 1000,
    polderVersion: version,
  };
}
