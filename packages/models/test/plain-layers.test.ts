import { registerWasmKernels } from '@polder/kernels-wasm';
import { expectNoLeak, startBackend, type TestBackend } from '@polder/testkit';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import { lenet5, PlainLayersError, withPlainLayers } from '../src/index.js';
import { tinyFamilies } from './families.js';

const writable = Object.entries(tinyFamilies).filter(([name]) => !/vit|resnext/i.test(name));
const others = Object.entries(tinyFamilies).filter(([name]) => /vit|resnext/i.test(name));

/** Weights and statistics that are not those of a fresh network. */
function unsettle(model: tfl.LayersModel): void {
  for (const weight of model.weights) {
    const variable = weight.read() as tf.Variable;
    tf.tidy(() => {
      const noise = tf.reshape(tf.abs(tf.sin(tf.range(1, variable.size + 1))), variable.shape);
      variable.assign(tf.add(variable, tf.mul(noise, 0.2)));
    });
  }
}

describe.each<TestBackend>(['cpu', 'wasm'])('networks in plain layers on %s', (backend) => {
  beforeAll(() => startBackend(backend, backend === 'wasm' ? registerWasmKernels : undefined));

  it.each([...writable, ['lenet5', { make: () => lenet5() }] as const])(
    '%s gives the same logits, from no layer of ours, also when saved and loaded',
    async (_, { make }) => {
      const model = make();
      unsettle(model);
      const shape = model.inputs[0]!.shape.slice(1) as number[];
      await expectNoLeak(async () => {
        const plain = withPlainLayers(model);
        expect(plain.layers.map((layer) => layer.getClassName()).filter((kind) => kind.startsWith('Polder'))).toEqual(
          [],
        );
        let saved: tf.io.ModelArtifacts | undefined;
        await plain.save({
          save: (artifacts) => {
            saved = structuredClone(artifacts);
            return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } });
          },
        });
        const loaded = await tfl.loadLayersModel(tf.io.fromMemory(saved!));
        tf.tidy(() => {
          const x = tf.reshape(tf.sin(tf.range(0, 3 * shape.reduce((a, b) => a * b, 1))), [3, ...shape]);
          const [expected, own, again] = [model, plain, loaded].map((m) => (m.predict(x) as tf.Tensor).dataSync());
          const largest = Math.max(...expected!.map(Math.abs));
          expect(largest).toBeGreaterThan(0);
          own!.forEach((value, i) => expect(Math.abs(value - expected![i]!)).toBeLessThanOrEqual(1e-5 * largest));
          expect(again).toEqual(own);
        });
        plain.dispose();
        loaded.dispose();
      });
      model.dispose();
    },
  );
});

describe('networks that plain layers cannot say', () => {
  beforeAll(() => startBackend('cpu'));

  it.each(others)('%s is refused by the names of its layers', (_, { make }) => {
    const model = make();
    expect(() => withPlainLayers(model)).toThrow(PlainLayersError);
    model.dispose();
  });
});
