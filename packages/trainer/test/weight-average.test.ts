import * as tf from '@tensorflow/tfjs';
import { expectNoLeak, startBackend } from '@polder/testkit';
import { weightAverage, type WeightAverageOptions } from '@polder/trainer';
import { beforeAll, describe, expect, it } from 'vitest';

/** Weights that change from step to step; the second stands for a moving statistic. */
const path = Array.from({ length: 12 }, (_, t) => [Math.sin(t) * 3, t * t - 1, 100 + t]);

/** The definition, in float64: the first step's weights, then d · average + (1 − d) · weights. */
function byHand(steps: readonly number[], decay: (step: number) => number): number[] {
  let average = path[0]!;
  steps.forEach((t, i) => {
    const d = i === 0 ? 0 : decay(t);
    average = average.map((value, k) => d * value + (1 - d) * path[t]![k]!);
  });
  return [...average];
}

function follow(options: WeightAverageOptions, isFinite: (step: number) => boolean = () => true): number[] {
  const kernel = tf.tidy(() => tf.variable(tf.tensor1d(path[0]!.slice(0, 2))));
  const mean = tf.tidy(() => tf.variable(tf.tensor1d(path[0]!.slice(2)), false));
  const part = weightAverage(options);
  const weights = new Map([
    ['dense/kernel', kernel],
    ['norm/moving_mean', mean],
  ]);
  part.start!(weights);
  for (let step = 1; step < path.length; step += 1) {
    tf.tidy(() => {
      kernel.assign(tf.tensor1d(path[step]!.slice(0, 2)));
      mean.assign(tf.tensor1d(path[step]!.slice(2)));
      part.afterStep!({ step, epoch: 0, passes: step, finite: tf.scalar(isFinite(step), 'bool') });
    });
    if (step === 6) {
      // As in a new process: what the state says is all there is.
      const saved = Object.fromEntries(
        Object.entries(part.state!().tensors!).map(([name, value]) => [name, tf.clone(value)]),
      );
      part.dispose!();
      part.start!(weights);
      part.restore!({ tensors: saved });
      tf.dispose(saved);
    }
  }
  const values = part.evaluationWeights!()!;
  const read = [...values['dense/kernel']!.dataSync(), ...values['norm/moving_mean']!.dataSync()];
  part.dispose!();
  tf.dispose([kernel, mean]);
  return read;
}

describe.each(['cpu', 'wasm'] as const)('weightAverage on %s', (backend) => {
  beforeAll(() => startBackend(backend));
  const steps = path.map((_, t) => t).slice(1);
  const close = (actual: readonly number[], expected: readonly number[]): void =>
    actual.forEach((value, i) => expect(Math.abs(value / expected[i]! - 1)).toBeLessThan(1e-5));

  it('is the definition, over kernels and moving statistics alike, also when it is saved and restored', () => {
    close(
      follow({ decay: 0.8 }),
      byHand(steps, () => 0.8),
    );
  });

  it('warms up: the decay after step t is 1 − t^(−2/3) until it reaches its own', () => {
    const decay = (t: number): number => Math.min(0.7, 1 - t ** (-2 / 3));
    // 1 − 5^(−2/3) = 0.66, 1 − 6^(−2/3) = 0.70.
    expect([5, 7].map(decay)).toEqual([expect.closeTo(0.658, 3), 0.7]);
    close(follow({ decay: 0.7, warmup: true }), byHand(steps, decay));
  });

  it('takes nothing in from steps that were thrown away', () => {
    const good = (t: number): boolean => ![3, 4, 11].includes(t);
    close(
      follow({ decay: 0.8 }, good),
      byHand(steps.filter(good), () => 0.8),
    );
  });

  it('leaves no tensor behind, and refuses a decay that is none', async () => {
    await expectNoLeak(async () => follow({ decay: 0.5 }));
    for (const decay of [1, -0.1, Number.NaN])
      expect(() => weightAverage({ decay })).toThrow('ema.decay: expected a number of at least 0 and below 1');
  });
});
