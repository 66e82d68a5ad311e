import * as tf from '@tensorflow/tfjs-core';
import { safeDivide, selectTensor } from '@polder/ops';
import type { StepResult } from '@polder/core';

/** Means over the steps since the last reading; `null` where no finite step gave the value. */
export interface WindowMeans {
  readonly loss: number | null;
  readonly metrics: Readonly<Record<string, number | null>>;
  /** Steps skipped since the start. */
  readonly skippedSteps: number;
}

/** Sums of what steps report, kept on the device until they are read. */
export interface Window {
  /** Takes over (and disposes of) a step's tensors. Steps that were not finite do not count. */
  add(result: StepResult): void;
  /** Reads the means, one transfer, and starts anew. `skipped` stays the caller's. */
  read(skipped: tf.Scalar): Promise<WindowMeans>;
  /** The sums under their names, in the order of the rows' columns; still the window's. */
  sums(): ReadonlyMap<string, tf.Tensor1D>;
  /** Takes over sums that another window had; copies them. */
  restore(sums: ReadonlyMap<string, tf.Tensor>): void;
  dispose(): void;
}

const lossKey = 'loss';

/** See {@link Window}: nothing is read back to the host between two readings. */
export function createWindow(): Window {
  // [sum, steps] under each name; a metric counts the steps that gave it, for policies whose phases differ.
  const sums = new Map<string, tf.Tensor1D>();
  const clear = (): void => {
    tf.dispose([...sums.values()]);
    sums.clear();
  };
  return {
    add(result) {
      const values = Object.entries({ ...prefixed(result.metrics), [lossKey]: result.loss });
      const next = tf.tidy(() =>
        values.map(([key, value]) => {
          const counted = tf.cast(result.finite, 'float32');
          const kept = selectTensor(result.finite, value, tf.zerosLike(value));
          const sample = tf.stack([kept, counted]);
          const before = sums.get(key);
          return before === undefined ? sample : tf.add(before, sample);
        }),
      );
      values.forEach(([key], i) => {
        sums.get(key)?.dispose();
        sums.set(key, next[i] as tf.Tensor1D);
      });
      tf.dispose([result.loss, result.finite, result.metrics]);
    },
    async read(skipped) {
      const keys = [...sums.keys()];
      const packed = tf.tidy(() =>
        tf.stack([
          tf.cast(skipped, 'float32'),
          ...keys.flatMap((key) => {
            const [sum, count] = tf.unstack(sums.get(key) as tf.Tensor1D) as [tf.Scalar, tf.Scalar];
            return [safeDivide(sum, count), count];
          }),
        ]),
      );
      clear();
      const values = await packed.data();
      packed.dispose();
      const mean = (key: string): number | null => {
        const at = 1 + 2 * keys.indexOf(key);
        return at > 0 && values[at + 1]! > 0 ? finiteOrNull(values[at]!) : null;
      };
      const metricKeys = keys.filter((key) => key !== lossKey);
      return {
        loss: mean(lossKey),
        metrics: Object.fromEntries(metricKeys.map((key) => [key.slice(metricPrefix.length), mean(key)])),
        skippedSteps: values[0]!,
      };
    },
    sums: () => sums,
    restore(saved) {
      clear();
      for (const [key, sum] of saved) sums.set(key, tf.keep(tf.clone(sum)) as tf.Tensor1D);
    },
    dispose: clear,
  };
}

// A policy may call a metric 'loss' too.
const metricPrefix = 'metric/';

function prefixed(metrics: StepResult['metrics']): StepResult['metrics'] {
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [metricPrefix + name, value]));
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
