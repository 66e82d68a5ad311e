import * as tf from '@tensorflow/tfjs-core';
import { leafOf, mapTree, sgdUpdate, zerosLikeTree, zipTrees, type Tree } from '@polder/ops';
import { checkNumber, OptionError } from '../errors.js';
import { checkLearningRate, describeLearningRate, type LearningRate } from '../schedules.js';
import { decayOf, type Optimizer, type WeightDecayOptions } from './optimizer.js';

/** Options of {@link sgd}. */
export interface SgdOptions extends WeightDecayOptions {
  /** η ≥ 0; default 0.01. */
  readonly learningRate?: LearningRate;
  /** μ in [0, 1]; default 0: no slot. */
  readonly momentum?: number;
  /** Nesterov's look-ahead; needs momentum. Default false. */
  readonly nesterov?: boolean;
}

/**
 * Stochastic gradient descent with coupled weight decay, as in PyTorch (dampening 0):
 *
 *     u = d + λ w,  b ← μ b + u,  w ← w − η (nesterov ? u + μ b : b)
 *
 * Slot `momentum`: b, starting at 0. Throws `OptionError` for a value out of range or nesterov without momentum.
 */
export function sgd({
  learningRate = 0.01,
  momentum = 0,
  nesterov = false,
  weightDecay = 0,
  weightDecayFilter,
}: SgdOptions = {}): Optimizer {
  checkLearningRate('learningRate', learningRate);
  checkNumber('momentum', momentum, 0, 1);
  if (nesterov && momentum === 0) throw new OptionError('nesterov', 'a momentum above 0 with it', momentum);
  const decay = decayOf({ weightDecay, ...(weightDecayFilter && { weightDecayFilter }) });

  return {
    name: 'sgd',
    options: { learningRate: describeLearningRate(learningRate), momentum, nesterov, weightDecay },
    learningRate,
    acceptsPolicyLearningRate: true,
    init: (params) => (momentum === 0 ? {} : { momentum: zerosLikeTree(params) }),
    update(direction, slots, params, eta) {
      if (momentum === 0) {
        const u = decayed(direction, params, decay);
        return { params: zipTrees(params, u, (w, ui) => tf.sub(w, tf.mul(ui, eta))), slots };
      }
      const updated = Object.entries(params).map(([name, w]) => {
        const options = { momentum, nesterov, weightDecay: decay(name, w) };
        return [
          name,
          sgdUpdate(w, leafOf(direction, name), leafOf(slots['momentum'] as Tree, name), eta, options),
        ] as const;
      });
      return {
        params: Object.fromEntries(updated.map(([name, { weight }]) => [name, weight])),
        slots: { momentum: Object.fromEntries(updated.map(([name, { velocity }]) => [name, velocity])) },
      };
    },
  };
}

/** d + λ w: coupled decay, on the weights before the step. */
function decayed(direction: Tree, params: Tree, decay: (name: string, w: tf.Tensor) => number): Tree {
  return mapTree(direction, (d, name) => {
    const w = leafOf(params, name);
    const lambda = decay(name, w);
    return lambda === 0 ? d : tf.add(d, tf.mul(w, lambda));
  });
}
