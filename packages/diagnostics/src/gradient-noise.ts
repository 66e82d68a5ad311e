import * as tf from '@tensorflow/tfjs-core';
import { averageGradient, averageLoss } from './average.js';
import { batchesOf, weightOf } from './data.js';
import { InvalidTargetError } from './errors.js';
import { givenVector, toFlat, toTensors } from './flat.js';
import { tQuantile975 } from './linear-algebra/student-t.js';
import { addScaled, dot, norm } from './linear-algebra/vectors.js';
import { lossTarget } from './operator.js';
import { gradientAt } from './products.js';
import { problemOf } from './resolve.js';
import { createSession, type RunOptions } from './session.js';
import type { ParamVector, Target } from './target.js';

export interface LossAndGradient {
  readonly loss: number;
  /** The caller disposes it. */
  readonly gradient: ParamVector;
  readonly gradientNorm: number;
  readonly gradEvals: number;
}

/**
 * Mean loss and gradient over the data, weighted by examples.
 *
 * @throws InvalidTargetError, NonFiniteError; the signal's reason
 */
export const lossAndGradient = async (target: Target, options: RunOptions = {}): Promise<LossAndGradient> => {
  const session = createSession(options);
  const problem = problemOf(lossTarget(target, 'lossAndGradient'));
  const { vector } = await averageGradient(problem, session, null);
  const loss = await averageLoss(problem, session, null);
  const gradient = toTensors(problem.parameters, vector);
  return { loss, gradient, gradientNorm: norm(vector), gradEvals: session.spent() };
};

export interface GradientNoise {
  /** Σ Var(g_i) of minibatch gradients: E‖g_b − ḡ‖², unbiased over the batches. */
  readonly variance: number;
  /** Of the variance, over the draw of the batches. NaN for two batches: their one difference has no spread. */
  readonly standardError: number;
  /** 95 % interval of the variance, Student's t. */
  readonly ci95: readonly [number, number];
  /** Whether the interval is at most `relTol` of the variance to either side. */
  readonly converged: boolean;
  readonly gradientNorm: number;
  /** variance / ‖ḡ‖²: how much of a step is noise. */
  readonly noiseToSignal: number;
  readonly batches: number;
  readonly gradEvals: number;
}

export interface NoiseOptions extends RunOptions {
  /** Half-width of the 95 % interval, relative, that counts as converged. Default 0.1. */
  readonly relTol?: number;
}

/**
 * Variance of minibatch gradients over the batches of the data, at the weights as they are.
 *
 * Its error comes from the same pass: what batch i adds to the sum of squares, its deviation from the mean of those before
 * it, is for normal gradients independent of what the others add (Brown, Durbin, Evans 1975: recursive residuals), so the
 * variance is a ratio of sums of independent terms.
 *
 * @throws InvalidTargetError for fewer than two batches, NonFiniteError; the signal's reason
 */
export const gradientNoise = async (target: Target, options: NoiseOptions = {}): Promise<GradientNoise> => {
  const session = createSession(options);
  const problem = problemOf(lossTarget(target, 'gradientNoise'));
  // Weighted Welford: stable where the mean is large against the spread.
  const mean = new Float64Array(problem.dimension);
  let spread = 0;
  let total = 0;
  let weightSquares = 0;
  let batches = 0;
  const added: { readonly squares: number; readonly expected: number }[] = [];
  for await (const batch of batchesOf(problem.data)) {
    const { value, grads } = gradientAt(problem, batch, null);
    try {
      const g = await toFlat(problem.parameters, grads);
      const weight = weightOf(batch);
      const denominator = total - (total === 0 ? 0 : weightSquares / total);
      total += weight;
      weightSquares += weight * weight;
      batches++;
      const before = Float64Array.from(g);
      addScaled(before, -1, mean);
      addScaled(mean, weight / total, before);
      const after = Float64Array.from(g);
      addScaled(after, -1, mean);
      const squares = weight * dot(before, after);
      spread += squares;
      if (batches > 1) added.push({ squares, expected: total - weightSquares / total - denominator });
    } finally {
      tf.dispose([value, ...grads]);
    }
    await session.pause();
  }
  await session.spend(1);
  if (batches < 2) {
    throw new InvalidTargetError(
      'at least two batches',
      String(batches),
      'The variance is over minibatches: split the data.',
    );
  }
  const variance = spread / (total - weightSquares / total);
  const standardError = errorOfRatio(added, variance);
  const half = tQuantile975(added.length - 1) * standardError;
  const gradientNorm = norm(mean);
  return {
    variance,
    standardError,
    ci95: [variance - half, variance + half],
    converged: half <= (options.relTol ?? 0.1) * variance,
    gradientNorm,
    noiseToSignal: variance / gradientNorm ** 2,
    batches,
    gradEvals: session.spent(),
  };
};

/** Standard error of Σ squares / Σ expected about `ratio`, for independent terms. */
const errorOfRatio = (
  terms: readonly { readonly squares: number; readonly expected: number }[],
  ratio: number,
): number => {
  let squares = 0;
  let expected = 0;
  for (const term of terms) {
    squares += (term.squares - ratio * term.expected) ** 2;
    expected += term.expected;
  }
  const n = terms.length;
  return n < 2 ? NaN : Math.sqrt((squares * n) / (n - 1)) / expected;
};

/**
 * Local Lipschitz constant of the gradient between two points: ‖∇L(w) − ∇L(w′)‖ / ‖w − w′‖, on the same data; the
 * curvature a training meets along its own path. 0 where the points coincide.
 *
 * @throws InvalidTargetError, NonFiniteError; the signal's reason
 */
export const localLipschitz = async (
  target: Target,
  previous: ParamVector,
  options: RunOptions = {},
): Promise<number> => {
  const session = createSession(options);
  const problem = problemOf(lossTarget(target, 'localLipschitz'));
  const step = await toFlat(problem.parameters, problem.params);
  addScaled(step, -1, await givenVector('previous', problem.parameters, previous));
  const length = norm(step);
  if (length === 0) return 0;
  const here = (await averageGradient(problem, session, null)).vector;
  addScaled(here, -1, (await averageGradient(problem, session, previous)).vector);
  return norm(here) / length;
};
