import { givenVector, toTensors } from './flat.js';
import { withOperator } from './operator.js';
import type { RunOptions } from './session.js';
import type { ParamVector, Target } from './target.js';

/**
 * The product of the Hessian (or the operator asked for) of the mean loss over the data with `v`. The caller disposes
 * the result.
 *
 * @throws SecondOrderUnsupportedError, NonDeterministicLossError, NonFiniteError, InvalidTargetError
 */
export const hvp = async (target: Target, v: ParamVector, options: RunOptions = {}): Promise<ParamVector> =>
  withOperator(target, options, async ({ parameters, multiply }) =>
    toTensors(parameters, await multiply(await givenVector('v', parameters, v))),
  );
