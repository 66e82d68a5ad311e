import * as tf from '@tensorflow/tfjs-core';
import { hasFastKernel, runKernelOfMany } from './dispatch.js';
import { leafOf, mapTree, type Tree } from './tree.js';

export interface AdamUpdateOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** λ of a parameter; 0 for no decay. */
  readonly weightDecay: (name: string, weight: tf.Tensor) => number;
  /** `coupled`: λ w is part of the gradient; `decoupled`: w ← w − η λ w beside the update. */
  readonly decayKind: 'coupled' | 'decoupled';
}

/** The numbers that all parameters share in one update, 0-D tensors. */
export interface AdamRates {
  /** η. */
  readonly rate: tf.Scalar;
  /** β₁ᵗ and β₂ᵗ, this update counted. */
  readonly power1: tf.Scalar;
  readonly power2: tf.Scalar;
}

export interface AdamTrees {
  readonly params: Tree;
  readonly firstMoment: Tree;
  readonly secondMoment: Tree;
}

/**
 * One update of Adam (Kingma & Ba 2015, algorithm 1) or AdamW (Loshchilov & Hutter 2019, algorithm 2) of a tree of
 * parameters, see `adam` of @polder/core. New tensors; one kernel call a parameter where the backend has one. Not
 * differentiable.
 */
export function adamUpdate(
  { params, firstMoment, secondMoment }: AdamTrees,
  gradient: Tree,
  { rate, power1, power2 }: AdamRates,
  options: AdamUpdateOptions,
): AdamTrees {
  const { beta1, beta2, epsilon, weightDecay, decayKind } = options;
  const updated = tf.tidy(() => {
    const stepSize = tf.div<tf.Scalar>(rate, tf.sub(1, power1));
    const rootCorrection = tf.sqrt(tf.sub<tf.Scalar>(1, power2));
    const fused = hasFastKernel('PolderAdam');
    // One tensor: a shader has few buffers.
    const rates = fused ? tf.stack([stepSize, rootCorrection, rate]) : rate;
    const update = (w: tf.Tensor, name: string): tf.Tensor[] => {
      const lambda = weightDecay(name, w);
      const [slope, first, second] = [gradient, firstMoment, secondMoment].map((tree) => leafOf(tree, name)) as [
        tf.Tensor,
        tf.Tensor,
        tf.Tensor,
      ];
      const decays = { coupled: decayKind === 'coupled' ? lambda : 0, decoupled: decayKind === 'coupled' ? 0 : lambda };
      if (fused) {
        const inputs = { weight: w, gradient: slope, first, second, rates };
        return runKernelOfMany('PolderAdam', inputs, { beta1, beta2, epsilon, ...decays });
      }
      const u = decays.coupled === 0 ? slope : tf.add(slope, tf.mul(w, lambda));
      const m = tf.add(tf.mul(first, beta1), tf.mul(u, 1 - beta1));
      const v = tf.add(tf.mul(second, beta2), tf.mul(tf.square(u), 1 - beta2));
      const denominator = tf.add(tf.div(tf.sqrt(v), rootCorrection), epsilon);
      const moved = tf.sub(w, tf.div(tf.mul(m, stepSize), denominator));
      return [decays.decoupled === 0 ? moved : tf.sub(moved, tf.mul(w, tf.mul(rate, lambda))), m, v];
    };
    return Object.fromEntries(Object.entries(params).map(([name, w]) => [name, update(w, name)]));
  });
  const part = (at: 0 | 1 | 2): Tree => mapTree(params, (_, name) => updated[name]![at]!);
  return { params: part(0), firstMoment: part(1), secondMoment: part(2) };
}
