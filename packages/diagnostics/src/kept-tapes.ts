import type * as tf from '@tensorflow/tfjs-core';
import type { Problem } from './problem.js';
import { linearise, product, type Linearised, type OperatorName } from './products.js';
import type { Batch, ParamVector } from './target.js';

/** Products of batches, of which the recorded tapes are kept from one product to the next. */
export interface KeptTapes {
  /** The product of the batch at this place in the data with `v`. */
  readonly product: (batch: Batch, index: number, v: ParamVector) => tf.Tensor[];
  /** To be called after every pass over the data. */
  readonly passDone: () => void;
  /** Every batch of the data has its tape kept. */
  readonly complete: () => boolean;
  readonly dispose: () => void;
}

/**
 * Keeps the tape of a single batch always: it is no larger than what a product needs anyway. Those of several
 * batches are kept together while they fit `limit` bytes, else none is.
 */
export const keepingTapes = (problem: Problem, operator: OperatorName, limit: number): KeptTapes => {
  let tapes: Linearised[] = [];
  let keeps = true;
  let passed = false;
  const dispose = (): void => {
    for (const tape of tapes) tape.dispose();
    tapes = [];
  };
  return {
    product: (batch, index, v) => {
      const known = tapes[index];
      if (known !== undefined) return known.product(v);
      const held = tapes.reduce((sum, { bytes }) => sum + bytes, 0);
      // As large as the last one, the next would be too much.
      if (index > 0 && held + (tapes.at(-1)?.bytes ?? 0) > limit) keeps = false;
      if (!keeps) {
        dispose();
        return product(problem, operator, batch, v);
      }
      const tape = linearise(problem, operator, batch);
      tapes.push(tape);
      return tape.product(v);
    },
    passDone: () => {
      passed = true;
    },
    complete: () => keeps && passed,
    dispose,
  };
};
