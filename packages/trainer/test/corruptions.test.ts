import { corrupt, corruptedSet, random, shapes } from '@polder/data';
import { expectNoLeak } from '@polder/testkit';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluate, evaluateCorruptions } from '../src/index.js';

const { test } = shapes({ train: 1, test: 6, seed: 0 });
let model: tf.LayersModel;

beforeAll(async () => {
  tf.enableProdMode();
  await tf.setBackend('cpu');
  model = tf.sequential({
    layers: [
      tf.layers.averagePooling2d({ inputShape: [32, 32, 3], poolSize: 8, strides: 8 }),
      tf.layers.flatten(),
      tf.layers.dense({ units: 10 }),
    ],
  });
});
afterAll(() => model.dispose());

describe('evaluateCorruptions', () => {
  it('evaluates every corruption at every severity, and averages', async () => {
    const seen: string[] = [];
    await expectNoLeak(async () => {
      const result = await evaluateCorruptions(model, test, {
        corruptions: ['contrast', 'gaussian_noise'],
        severities: [1, 5],
        seed: 3,
        onProgress: ({ corruption, severity, done, total }) =>
          void seen.push(`${corruption} ${severity} ${done}/${total}`),
      });
      expect(result.rows.map(({ corruption }) => corruption)).toEqual(['contrast', 'gaussian_noise']);
      const noisy = await evaluate(model, corruptedSet(test, 'gaussian_noise', 5, 3));
      expect(result.rows[1]!.results[1]).toEqual(noisy);
      const all = result.rows.flatMap(({ results }) => results.map(({ top1 }) => top1));
      expect(result.meanTop1).toBeCloseTo(all.reduce((a, b) => a + b, 0) / 4, 12);
    });
    expect(seen).toEqual(['contrast 1 0/4', 'contrast 5 1/4', 'gaussian_noise 1 2/4', 'gaussian_noise 5 3/4']);
  });

  it('takes sets from elsewhere, and stops at a signal', async () => {
    const opened: string[] = [];
    const open = (corruption: string, severity: number): typeof test => {
      opened.push(`${corruption} ${severity}`);
      return test;
    };
    const { rows } = await evaluateCorruptions(model, test, { corruptions: ['fog'], severities: [2], open });
    expect(opened).toEqual(['fog 2']);
    expect(rows[0]!.results[0]).toEqual(await evaluate(model, test));
    const reason = new Error('enough');
    const stopped = evaluateCorruptions(model, test, { open, signal: AbortSignal.abort(reason) });
    await expect(stopped).rejects.toBe(reason);
  });

  it('makes each picture from (seed, corruption, severity, index) alone', () => {
    const set = corruptedSet(test, 'shot_noise', 2, 7);
    const third = test.images.subarray(2 * 3072, 3 * 3072);
    const streams = random(7, 'corrupt', 'shot_noise', 2);
    expect(set.images.subarray(2 * 3072, 3 * 3072)).toEqual(corrupt(third, 'shot_noise', 2, streams.fork(2)));
    expect(set.labels).toBe(test.labels);
    const grey = { ...test, shape: [28, 28, 1] as const };
    expect(() => corruptedSet(grey, 'fog', 1)).toThrow(/32 × 32 RGB/);
  });
});
