import * as tf from '@tensorflow/tfjs-core';
import { adamUpdate, leafOf, zerosLikeTree, type Tree } from '@polder/ops';
import { checkNumber } from '../errors.js';
import { checkLearningRate, describeLearningRate, type LearningRate } from '../schedules.js';
import { decayOf, type Optimizer, type WeightDecayOptions } from './optimizer.js';

/** Options of {@link adam} and {@link adamW}. */
export interface AdamOptions extends WeightDecayOptions {
  /** η ≥ 0; default 0.001. */
  readonly learningRate?: LearningRate;
  /** β₁ in [0, 1); default 0.9. */
  readonly beta1?: number;
  /** β₂ in [0, 1); default 0.999. */
  readonly beta2?: number;
  /** Added to the root of the second moment, above 0; default 1e-8. */
  readonly epsilon?: number;
}

/**
 * Adam (Kingma & Ba 2015, algorithm 1), weight decay coupled (λ w is part of the gradient):
 *
 *     u = d + λ w,  m ← β₁ m + (1−β₁) u,  v ← β₂ v + (1−β₂) u²
 *     w ← w − η · m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε)
 *
 * Slots `firstMoment`, `secondMoment`, and `betaPower` (β₁ᵗ, β₂ᵗ kept as they are, so that a resumed run is exact).
 */
export function adam(options: AdamOptions = {}): Optimizer {
  return adamFamily('adam', options, 'coupled');
}

/** AdamW (Loshchilov & Hutter 2019, algorithm 2): Adam on d, and w ← w − η λ w beside it. Default λ 0.01. */
export function adamW(options: AdamOptions = {}): Optimizer {
  return adamFamily('adamw', { weightDecay: 0.01, ...options }, 'decoupled');
}

function adamFamily(name: string, options: AdamOptions, decayKind: 'coupled' | 'decoupled'): Optimizer {
  const { learningRate = 0.001, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  checkLearningRate('learningRate', learningRate);
  checkNumber('beta1', beta1, 0, 1 - Number.EPSILON);
  checkNumber('beta2', beta2, 0, 1 - Number.EPSILON);
  checkNumber('epsilon', epsilon, Number.MIN_VALUE);
  const decay = decayOf(options);

  return {
    name,
    options: { learningRate: describeLearningRate(learningRate), beta1, beta2, epsilon, weightDecay },
    learningRate,
    acceptsPolicyLearningRate: false,
    init: (params) => ({
      firstMoment: zerosLikeTree(params),
      secondMoment: zerosLikeTree(params),
      betaPower: { beta1: tf.scalar(1), beta2: tf.scalar(1) },
    }),
    update(direction, slots, params, eta) {
      const powers = slots['betaPower'] as Tree;
      const power1 = tf.mul<tf.Scalar>(leafOf(powers, 'beta1'), beta1);
      const power2 = tf.mul<tf.Scalar>(leafOf(powers, 'beta2'), beta2);
      const { firstMoment, secondMoment, ...updated } = adamUpdate(
        { params, firstMoment: slots['firstMoment'] as Tree, secondMoment: slots['secondMoment'] as Tree },
        direction,
        { rate: eta, power1, power2 },
        { beta1, beta2, epsilon, weightDecay: decay, decayKind },
      );
      return {
        params: updated.params,
        slots: { firstMoment, secondMoment, betaPower: { beta1: power1, beta2: power2 } },
      };
    },
  };
}
