import { withOperator } from './operator.js';
import type { Parameter } from './parameters.js';
import type { RunOptions } from './session.js';
import type { OperatorTarget, Target } from './target.js';

/** An operator held open. Itself a target: of every estimator, and of algorithms of your own. */
export interface LinearOperator extends OperatorTarget {
  /** Where each parameter lies in the flat vectors. */
  readonly parameters: readonly Parameter[];
  /** The product with a flat vector [size], averaged over the data. */
  readonly multiply: (v: ArrayLike<number>) => Promise<Float64Array>;
  readonly hvp: 'exact' | 'finite-difference';
  /** Gradient evaluations spent so far. */
  readonly gradEvals: () => number;
}

/**
 * Opens the Hessian (or the operator asked for) of the mean loss over the data for the time of `body`: for many products
 * at the same weights, which after the first cost a third less, in algorithms of your own (conjugate gradients, block
 * methods, an inverse). Do not change the weights meanwhile. The budget `maxGradEvals` does not bind here.
 *
 * @throws SecondOrderUnsupportedError, NonDeterministicLossError, NonFiniteError, InvalidTargetError; the signal's reason
 */
export const withLinearOperator = async <T>(
  target: Target,
  options: RunOptions,
  body: (operator: LinearOperator) => Promise<T>,
): Promise<T> =>
  withOperator(target, options, ({ dimension, parameters, hvp, multiply }, session) =>
    body({
      size: dimension,
      parameters,
      hvp,
      gradEvals: session.spent,
      multiply: (v) => multiply(v instanceof Float64Array ? v : Float64Array.from(v)),
    }),
  );

/**
 * The whole matrix of a small model, by `size` products with unit vectors: rows in the order of the flat vectors,
 * averaged with its transpose (float32 products are symmetric to rounding only).
 *
 * @throws as {@link withLinearOperator}
 */
export const denseMatrix = async (target: Target, options: RunOptions = {}): Promise<readonly Float64Array[]> =>
  withLinearOperator(target, options, async ({ size, multiply }) => {
    const columns: Float64Array[] = [];
    for (let j = 0; j < size; j++) {
      const unit = new Float64Array(size);
      unit[j] = 1;
      columns.push(await multiply(unit));
    }
    return columns.map((column, i) => column.map((value, j) => (value + columns[j]![i]!) / 2));
  });
