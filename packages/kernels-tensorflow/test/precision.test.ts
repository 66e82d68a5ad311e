import { sam, sgd, trainStep } from '@polder/core';
import { resnet } from '@polder/models';
import { conv2d, softmaxCrossEntropy } from '@polder/ops';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerTensorflowKernels, type Precision } from '../src/index.js';
import { noTensorflow, start } from './start.js';

beforeAll(start);
afterAll(() => {
  if (!noTensorflow) registerTensorflowKernels();
});

/** Losses of SAM on one batch. */
function losses(precision: Precision, steps: number): { readonly values: readonly number[]; readonly mode: string } {
  registerTensorflowKernels({ precision });
  const model = resnet({ depth: 8, width: 16, classes: 4, inputShape: [16, 16, 3], seed: 2 });
  const images = tf.tidy(() => tf.reshape(tf.sin(tf.mul(tf.range(0, 16 * 16 * 16 * 3), 1.7)), [16, 16, 16, 3]));
  const labels = tf.tensor1d(
    Int32Array.from({ length: 16 }, (_, i) => i % 4),
    'int32',
  );
  const step = trainStep({
    loss: (batch: Readonly<{ images: tf.Tensor; labels: tf.Tensor1D }>) =>
      softmaxCrossEntropy(model.apply(batch.images, { training: true }) as tf.Tensor2D, batch.labels),
    variables: model.trainableWeights.map((w) => w.read() as tf.Variable),
    policy: sam({ rho: 0.05 }),
    optimizer: sgd({ learningRate: 0.05, momentum: 0.9 }),
  });
  const values = Array.from({ length: steps }, () => {
    const { loss, finite, metrics } = step({ images, labels });
    const value = loss.dataSync()[0]!;
    tf.dispose([loss, finite, metrics]);
    return value;
  });
  const { mode } = step.execution;
  step.dispose();
  tf.dispose([images, labels]);
  model.dispose();
  return { values, mode };
}

describe.skipIf(noTensorflow)('bf16', () => {
  it('trains, captured too, along the trajectory of float32 but not on it', () => {
    const full = losses('float32', 10);
    const low = losses('bf16', 10);
    expect([full.mode, low.mode]).toEqual(['replay', 'replay']);
    expect(low.values.at(-1)!).toBeLessThan(0.8 * low.values[0]!);
    const apart = low.values.map((value, i) => Math.abs(value - full.values[i]!) / full.values[0]!);
    // The first loss differs by rounding, 2^-9 a number and less in the mean; later ones by what training makes of it.
    expect(apart[0]).toBeGreaterThan(0);
    expect(apart[0]).toBeLessThan(2 ** -7);
    expect(Math.max(...apart)).toBeLessThan(0.1);
  });

  it('rounds the operands of products, in convolutions and matMul, and is off again when float32 is asked for', () => {
    // 1 + 2^-10 is none of bfloat16's numbers, its neighbours are 1 and 1 + 2^-7.
    const product = (): number[] =>
      tf.tidy(() => {
        const x = tf.tensor4d([1 + 2 ** -10], [1, 1, 1, 1]);
        const m = tf.reshape(x, [1, 1]) as tf.Tensor2D;
        const one = tf.ones([1, 1]) as tf.Tensor2D;
        return [conv2d(x, tf.ones([1, 1, 1, 1])), tf.matMul(m, one)].map((t) => t.dataSync()[0]!);
      });
    registerTensorflowKernels({ precision: 'bf16' });
    expect(product()).toEqual([1, 1]);
    registerTensorflowKernels();
    expect(product()).toEqual([1 + 2 ** -10, 1 + 2 ** -10]);
  });
});
