import { noWebgpu } from './start.js';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';

describe.skipIf(noWebgpu)('a plain tf.layers network', () => {
  it('trains on webgpu with model.fit as on cpu', async () => {
    const fit = async (backend: string): Promise<readonly number[]> => {
      await tf.setBackend(backend);
      const before = tf.memory().numTensors;
      const kernel = (seed: number): ReturnType<typeof tf.initializers.zeros> =>
        tf.initializers.glorotUniform({ seed });
      const model = tf.sequential({
        layers: [
          tf.layers.conv2d({
            inputShape: [6, 6, 2],
            filters: 4,
            kernelSize: 3,
            activation: 'relu',
            kernelInitializer: kernel(1),
          }),
          tf.layers.maxPooling2d({ poolSize: 2 }),
          tf.layers.flatten(),
          tf.layers.dense({ units: 3, activation: 'softmax', kernelInitializer: kernel(2) }),
        ],
      });
      model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
      const x = tf.tensor4d(
        Float32Array.from({ length: 12 * 6 * 6 * 2 }, (_, i) => Math.sin(i * 12.9898)),
        [12, 6, 6, 2],
      );
      const y = tf.tidy(() =>
        tf.cast(tf.oneHot(tf.tensor1d([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2], 'int32'), 3), 'float32'),
      );
      const { history } = await model.fit(x, y, { epochs: 4, batchSize: 4, shuffle: false, verbose: 0 });
      model.dispose();
      tf.dispose([x, y]);
      expect(tf.memory().numTensors).toBe(before);
      return history['loss'] as number[];
    };
    const actual = await fit('webgpu');
    const expected = await fit('cpu');
    expect(expected.at(-1)).toBeLessThan(expected[0]!);
    for (const [i, loss] of expected.entries()) expect(Math.abs(actual[i]! / loss - 1)).toBeLessThan(1e-4);
  });
});
