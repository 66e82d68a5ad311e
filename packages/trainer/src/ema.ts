import * as tf from '@tensorflow/tfjs-core';
import { axpyTrees, mapTree, scaleTree, type Tree } from '@polder/ops';
import { TrainOptionError } from './errors.js';
import type { TrainingPart } from './training-part.js';

/** Options of {@link weightAverage}; names and defaults as timm's `--model-ema` has them. */
export interface WeightAverageOptions {
  /** d in `average ← d · average + (1 − d) · weight`, in [0, 1). Default 0.9998. */
  readonly decay?: number;
  /**
   * Grows d from 0: after step t it is `min(decay, 1 − t^(−2/3))`, so that the average of a short training is not mostly
   * its start (timm's `--model-ema-warmup`). Default false.
   */
  readonly warmup?: boolean;
}

/** The decay after step `step`, 1-based: the first update copies the weights. */
function decayAt(step: number, { decay = 0.9998, warmup = false }: WeightAverageOptions): number {
  if (step <= 1) return 0;
  return warmup ? Math.min(decay, 1 - step ** (-2 / 3)) : decay;
}

/**
 * Keeps the exponential moving average of all weights (Polyak & Juditsky 1992; timm's ModelEmaV3), and has it evaluated:
 * `emaTestTop1` and its like. Batch norm's moving statistics are averaged with the kernels, as timm averages buffers. A
 * step that was thrown away for a non-finite gradient leaves the averages as they were. One copy of the weights in
 * memory; nothing is read back to the host. Throws {@link TrainOptionError} for a decay outside [0, 1).
 */
export function weightAverage(options: WeightAverageOptions = {}): TrainingPart {
  const { decay = 0.9998 } = options;
  if (!(decay >= 0 && decay < 1)) throw new TrainOptionError('ema.decay', 'a number of at least 0 and below 1', decay);
  let variables: ReadonlyMap<string, tf.Variable> = new Map();
  let averages: Tree = {};
  const replace = (make: () => Tree): void => {
    const next = tf.tidy(() => mapTree(make(), (value) => tf.keep(value)));
    tf.dispose(averages);
    averages = next;
  };
  const read = (): Tree => mapTree(Object.fromEntries(variables), share);
  return {
    name: 'ema',
    start(weights) {
      variables = weights;
      replace(read);
    },
    restore({ tensors = {} }) {
      replace(() => mapTree(tensors, share));
    },
    afterStep({ step, finite }) {
      replace(() => {
        // Not a select: a share of 0 gives the averages as they were, for weights are always finite.
        const own = tf.mul<tf.Scalar>(tf.cast(finite, 'float32'), 1 - decayAt(step, options));
        return axpyTrees(own, read(), scaleTree(averages, tf.sub<tf.Scalar>(1, own)));
      });
    },
    evaluationWeights: () => averages,
    state: () => ({ tensors: averages }),
    dispose() {
      tf.dispose(averages);
      averages = {};
    },
  };
}

/** A tensor of its own on the same data. Reshape shares data on every backend, which a clone on wasm does not. */
function share(tensor: tf.Tensor): tf.Tensor {
  return tf.reshape(tensor, tensor.shape);
}
