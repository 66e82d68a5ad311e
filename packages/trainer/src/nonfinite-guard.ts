import * as tf from '@tensorflow/tfjs-core';
import { checkInteger, DivergedError } from './errors.js';
import type { TrainingPart } from './training-part.js';

/** What to do about steps whose gradient is not finite. Such a step changes nothing, whatever is chosen. */
export interface NonFiniteOptions {
  /** `'skip'` (default): go on and count. `'stop'`: end the training. */
  readonly onNonFinite?: 'stop' | 'skip';
  /** Under `'skip'`: more than so many skipped steps in a row end the training all the same; default 10. */
  readonly maxSkipped?: number;
}

/** How many skipped steps in a row a training survives. Throws `TrainOptionError`. */
export function skippedInARow({ onNonFinite = 'skip', maxSkipped = 10 }: NonFiniteOptions = {}): number {
  return onNonFinite === 'stop' ? 0 : checkInteger('maxSkipped', maxSkipped, 0);
}

/**
 * Ends a training that has gone bad with a {@link DivergedError}, at the log point after it: what happened is counted on
 * the device and read there. `policy` names it in the error.
 */
export function nonFiniteGuard(policy: string, options?: NonFiniteOptions): TrainingPart {
  const limit = skippedInARow(options);
  // Skipped steps in a row: now, and at most since the last log point. One tensor, so that it is one read.
  let counts: tf.Tensor1D | undefined;
  const replace = (make: () => tf.Tensor1D): void => {
    const before = counts;
    counts = tf.keep(tf.tidy(make));
    before?.dispose();
  };
  return {
    name: 'nonFiniteGuard',
    start: () => replace(() => tf.zeros([2])),
    restore({ tensors }) {
      replace(() => tf.reshape(tensors!['counts']!, [2]));
    },
    afterStep({ finite }) {
      replace(() => {
        const [now, most] = tf.unstack(counts!) as [tf.Scalar, tf.Scalar];
        const next = tf.mul<tf.Scalar>(tf.add(now, 1), tf.sub(1, tf.cast(finite, 'float32')));
        return tf.stack([next, tf.maximum(most, next)]) as tf.Tensor1D;
      });
    },
    async afterLog({ step, passes, skippedSteps }) {
      const [, most] = await counts!.data();
      if (most! > limit) throw new DivergedError({ policy, step, passes, skippedSteps, skippedInARow: most! });
      replace(() => tf.mul(counts!, tf.tensor1d([1, 0])));
    },
    state: () => ({ tensors: { counts: counts! } }),
    dispose: () => counts?.dispose(),
  };
}
