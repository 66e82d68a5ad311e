import * as tf from '@tensorflow/tfjs-core';
import { averageGradient, averageLoss } from './average.js';
import { batchesOf, weightOf } from './data.js';
import { InvalidTargetError } from './errors.js';
import { givenVector, toFlat, toTensors } from './flat.js';
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
  readonly gradientNorm: number;
  /** variance / ‖ḡ‖²: how much of a step is noise. */
  readonly noiseToSignal: number;
  readonly batches: number;
  readonly gradEvals: number;
}

/**
 * Variance of minibatch gradients over the batches of the data, at the weights as they are.
 *
 * @throws InvalidTargetError for fewer than two batches, NonFiniteError; the signal's reason
 */
export const gradientNoise = async (target: Target, options: RunOptions = {}): Promise<GradientNoise> => {
  const session = createSession(options);
  const problem = problemOf(lossTarget(target, 'gradientNoise'));
  // Weighted Welford: stable where the mean is large against the spread.
  const mean = new Float64Array(problem.dimension);
  let spread = 0;
  let total = 0;
  let weightSquares = 0;
  let batches = 0;
  for await (const batch of batchesOf(problem.data)) {
    const { value, grads } = gradientAt(problem, batch, null);
    try {
      const g = await toFlat(problem.parameters, grads);
      const weight = weightOf(batch);
      total += weight;
      weightSquares += weight * weight;
      batches++;
      const before = Float64Array.from(g);
      addScaled(before, -1, mean);
      addScaled(mean, weight / total, before);
      const after = Float64Array.from(g);
      addScaled(after, -1, mean);
      spread += weight * dot(before, after);
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
  const gradientNorm = norm(mean);
  return { variance, gradientNorm, noiseToSignal: variance / gradientNorm ** 2, batches, gradEvals: session.spent() };
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
