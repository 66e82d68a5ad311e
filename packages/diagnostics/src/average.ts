import * as tf from '@tensorflow/tfjs-core';
import { batchesOf, examplesOf, weightOf } from './data.js';
import { NonFiniteError, UnequalBatchesError } from './errors.js';
import type { Problem } from './problem.js';
import { gradientAt, lossAt } from './products.js';
import type { Session } from './session.js';
import type { Batch, ParamVector } from './target.js';

/** An average over the data: one flat vector over the parameters, and the weight it was taken over. */
export interface Averaged {
  readonly vector: Float64Array;
  readonly weight: number;
}

/**
 * Σ_b n_b f(b) / Σ_b n_b over the batches: by number of examples, so that a ragged last batch counts as it should.
 * Products of one batch are added up on the device and read once.
 */
export const averageVector = async (
  problem: Problem,
  session: Session,
  what: string,
  ofBatch: (batch: Batch, index: number) => tf.Tensor[],
): Promise<Averaged> => {
  let sums: tf.Tensor[] = [];
  let total = 0;
  const sizes: number[] = [];
  try {
    for await (const batch of batchesOf(problem.data)) {
      sizes.push(examplesOf(batch));
      if (problem.equalBatches && sizes.at(-1) !== sizes[0]) throw new UnequalBatchesError(sizes);
      const weight = weightOf(batch);
      const previous = sums;
      sums = tf.tidy(() => {
        const parts = ofBatch(batch, sizes.length - 1);
        return parts.map((part, i) => {
          const weighted = tf.mul(part, weight);
          return previous[i] === undefined ? weighted : tf.add(previous[i], weighted);
        });
      });
      tf.dispose(previous);
      total += weight;
      await session.pause();
    }
    return { vector: await readSums(problem, sums, total, what), weight: total };
  } finally {
    tf.dispose(sums);
  }
};

const readSums = async (problem: Problem, sums: ParamVector, total: number, what: string): Promise<Float64Array> => {
  const flat = new Float64Array(problem.dimension);
  const values = await Promise.all(sums.map(async (t) => t.data()));
  for (const [i, { name, offset }] of problem.parameters.entries()) {
    const part = values[i]!;
    for (let j = 0; j < part.length; j++) {
      const value = part[j]! / total;
      if (!Number.isFinite(value)) throw new NonFiniteError(`${what} of ${name}`);
      flat[offset + j] = value;
    }
  }
  return flat;
};

/** Mean gradient over the data, at `point` (null: where the parameters are). */
export const averageGradient = async (
  problem: Problem,
  session: Session,
  point: ParamVector | null,
): Promise<Averaged> => {
  const averaged = await averageVector(
    problem,
    session,
    'the gradient',
    (batch) => gradientAt(problem, batch, point).grads,
  );
  await session.spend(1);
  return averaged;
};

/** Mean loss over the data, at `point`, in float64 over batches. Costs a third of a gradient evaluation. */
export const averageLoss = async (problem: Problem, session: Session, point: ParamVector | null): Promise<number> => {
  let sum = 0;
  let total = 0;
  for await (const batch of batchesOf(problem.data)) {
    const weight = weightOf(batch);
    sum += weight * (await readScalar(lossAt(problem, batch, point)));
    total += weight;
    await session.pause();
  }
  await session.spend(FORWARD_COST);
  return sum / total;
};

/** A forward pass, in gradient evaluations. */
export const FORWARD_COST: number = 1 / 3;

/** The value of a scalar, which is disposed. */
export const readScalar = async (scalar: tf.Tensor): Promise<number> => {
  try {
    return (await scalar.data())[0]!;
  } finally {
    scalar.dispose();
  }
};
