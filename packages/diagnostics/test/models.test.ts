import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, test } from 'vitest';
import { hessianTrace, hvp, lambdaMax, losses, type ModelTarget } from '../src/index.js';
import { backends, leavingNoTensors, read, relativeError, values } from './support.js';

const { layers } = tf;

/** Weights of a fresh tf.layers model differ from run to run: fill them by the position of the weight. */
const settle = (model: tf.LayersModel): tf.LayersModel => {
  model.setWeights(
    model.getWeights().map((w, i) => {
      const name = model.weights[i]!.name;
      if (/variance|gamma/.test(name)) return tf.add(1, tf.mul(0.3, values(w.shape, i)));
      return tf.mul(values(w.shape, i + 3), 0.5);
    }),
  );
  return model;
};

const image = [8, 8, 2];
const conv = (stack: tf.layers.Layer[]): tf.LayersModel =>
  settle(
    tf.sequential({
      layers: [
        layers.conv2d({ filters: 4, kernelSize: 3, padding: 'same', inputShape: image }),
        ...stack,
        layers.globalAveragePooling2d({ dataFormat: 'channelsLast' }),
        layers.dense({ units: 3, activation: 'softmax' }),
      ],
    }),
  );

const models: Readonly<Record<string, () => tf.LayersModel>> = {
  'dense, tanh': () =>
    settle(
      tf.sequential({
        layers: [
          layers.flatten({ inputShape: image }),
          layers.dense({ units: 7, activation: 'tanh' }),
          layers.dense({ units: 3, activation: 'softmax' }),
        ],
      }),
    ),
  'convolution, batch norm, swish': () =>
    conv([
      layers.batchNormalization(),
      layers.activation({ activation: 'swish' }),
      layers.averagePooling2d({ poolSize: 2 }),
    ]),
  'separable, transposed, upsampling': () =>
    conv([
      layers.separableConv2d({ filters: 3, kernelSize: 3, padding: 'same', activation: 'sigmoid' }),
      layers.conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2, padding: 'same', activation: 'softplus' }),
      layers.upSampling2d({ size: [2, 2] }),
    ]),
  'depthwise, average pooling with padding': () =>
    conv([
      layers.depthwiseConv2d({ kernelSize: 3, padding: 'same', depthMultiplier: 2, activation: 'elu' }),
      layers.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same' }),
    ]),
  'layer norm, dropout': () =>
    conv([layers.layerNormalization(), layers.dropout({ rate: 0.5 }), layers.activation({ activation: 'tanh' })]),
  recurrent: () =>
    settle(
      tf.sequential({
        layers: [
          layers.reshape({ targetShape: [8, 16], inputShape: image }),
          layers.lstm({ units: 4 }),
          layers.dense({ units: 3, activation: 'softmax' }),
        ],
      }),
    ),
};

const labels = (): tf.Tensor => tf.oneHot(tf.tensor1d([0, 1, 2, 1], 'int32'), 3);

for (const backend of backends) {
  describe(`tf.layers models on ${backend}`, () => {
    beforeAll(async () => {
      await tf.setBackend(backend);
    });

    for (const [name, make] of Object.entries(models)) {
      for (const batchNorm of ['inference', 'batch'] as const) {
        test(`${name}, batch norm ${batchNorm}: exact products agree with differences`, async () => {
          const model = make();
          const data = { xs: values([4, ...image]), ys: labels() };
          const target: ModelTarget = { model, loss: 'categoricalCrossentropy', data, batchNorm };
          const before = await read(model.getWeights());
          const v = model.trainableWeights.map((w, i) => values(w.shape as number[], 50 + i));
          await leavingNoTensors(async () => {
            const exact = await hvp(target, v, { hvp: 'exact' });
            const difference = await hvp(target, v, { hvp: 'finite-difference', fdStep: 6e-3 });
            const error = relativeError(await read(exact), await read(difference));
            tf.dispose([...exact, ...difference]);
            expect(error).toBeLessThan(5e-3);
          });
          expect(await read(model.getWeights())).toEqual(before);
          model.dispose();
          tf.dispose([v, data]);
        });
      }
    }

    test('embedding, mean over tokens, softsign, hard sigmoid: exact products agree with differences', async () => {
      const model = settle(
        tf.sequential({
          layers: [
            layers.embedding({ inputDim: 9, outputDim: 4, inputLength: 5 }),
            layers.dense({ units: 6, activation: 'softsign' }),
            layers.globalAveragePooling1d(),
            layers.dense({ units: 5, activation: 'hardSigmoid' }),
            layers.dense({ units: 3, activation: 'softmax' }),
          ],
        }),
      );
      const data = {
        xs: tf.tensor2d([0, 8, 3, 3, 1, 2, 2, 7, 5, 4, 6, 0, 3, 1, 8, 8, 4, 4, 2, 1], [4, 5]),
        ys: labels(),
      };
      const target: ModelTarget = { model, loss: 'categoricalCrossentropy', data };
      const v = model.trainableWeights.map((w, i) => values(w.shape as number[], 60 + i));
      await leavingNoTensors(async () => {
        const exact = await hvp(target, v, { hvp: 'exact' });
        const difference = await hvp(target, v, { hvp: 'finite-difference', fdStep: 6e-3 });
        expect(relativeError(await read(exact), await read(difference))).toBeLessThan(5e-3);
        tf.dispose([...exact, ...difference]);
      });
      model.dispose();
      tf.dispose([v, data]);
    });

    test('Gauss-Newton of softmax and cross-entropy is the one on logits, and equals the Hessian of a linear model', async () => {
      const model = settle(
        tf.sequential({ layers: [layers.dense({ units: 3, activation: 'softmax', inputShape: [5] })] }),
      );
      const data = { xs: values([6, 5]), ys: tf.oneHot(tf.tensor1d([0, 1, 2, 1, 0, 2], 'int32'), 3) };
      const target: ModelTarget = { model, loss: 'categoricalCrossentropy', data };
      const v = [values([5, 3], 1), values([3], 2)];
      const hessian = await hvp(target, v, {});
      const gaussNewton = await hvp(target, v, { operator: 'gauss-newton' });
      expect(relativeError(await read(gaussNewton), await read(hessian))).toBeLessThan(1e-5);
      tf.dispose([...hessian, ...gaussNewton]);
    });
  });
}

describe('model targets', () => {
  const data = (): { xs: tf.Tensor; ys: tf.Tensor } => ({ xs: values([4, ...image]), ys: labels() });

  test('the compiled loss is the default, and every name gives what tf.layers computes', async () => {
    const model = models['dense, tanh']!();
    const batch = data();
    model.compile({ optimizer: 'sgd', loss: 'categoricalCrossentropy' });
    const compiled = await hessianTrace({ model, data: batch }, { maxGradEvals: 60 });
    const named = await hessianTrace({ model, data: batch, loss: 'categoricalCrossentropy' }, { maxGradEvals: 60 });
    expect(compiled.value).toBe(named.value);
    const output = model.predict(batch.xs) as tf.Tensor;
    for (const name of [
      'categoricalCrossentropy',
      'binaryCrossentropy',
      'meanSquaredError',
      'meanAbsoluteError',
      'hinge',
      'squaredHinge',
      'logcosh',
      'poisson',
      'kullbackLeiblerDivergence',
    ] as const) {
      model.compile({ optimizer: 'sgd', loss: name });
      const theirs = (model.evaluate(batch.xs, tf.cast(batch.ys, 'float32')) as tf.Scalar).dataSync()[0]!;
      const ours = tf.mean(losses[name](batch.ys, output)).dataSync()[0]!;
      const close = Math.abs(ours - theirs) < 2e-5 * Math.max(1, Math.abs(theirs));
      expect({ [name]: close }).toEqual({ [name]: true });
    }
  });

  test('ragged batches weigh by their examples', async () => {
    const model = models['convolution, batch norm, swish']!();
    const whole = data();
    const part = (from: number, size: number): { xs: tf.Tensor; ys: tf.Tensor } => ({
      xs: tf.slice(whole.xs, from, size),
      ys: tf.slice(whole.ys, from, size),
    });
    const v = model.trainableWeights.map((w, i) => values(w.shape as number[], 50 + i));
    const loss = 'categoricalCrossentropy';
    const together = await read(await hvp({ model, loss, data: whole }, v));
    const sources = {
      batches: [part(0, 3), part(3, 1)],
      dataset: tf.data.array([0, 3]).map((from) => part(from as number, from === 0 ? 3 : 1)),
      generator: function* generator() {
        yield part(0, 3);
        yield part(3, 1);
      },
    };
    for (const [name, source] of Object.entries(sources)) {
      const divided = await read(await hvp({ model, loss, data: source as never }, v));
      expect({ [name]: relativeError(divided, together) < 1e-5 }).toEqual({ [name]: true });
    }
  });

  test('l2 adds its multiple of the identity', async () => {
    const model = models['dense, tanh']!();
    const target: ModelTarget = { model, loss: 'categoricalCrossentropy', data: data() };
    const plain = await lambdaMax(target, { tol: 1e-5 });
    const penalised = await lambdaMax({ ...target, l2: 0.5 }, { tol: 1e-5 });
    expect(penalised.value - plain.value).toBeCloseTo(0.5, 3);
  });

  test('params chooses weights, and frozen layers are left out', async () => {
    const model = models['dense, tanh']!();
    const target: ModelTarget = { model, loss: 'categoricalCrossentropy', data: data() };
    const kernels = await hessianTrace(
      { ...target, params: (w) => w.shape.length > 1 },
      { perLayer: true, maxGradEvals: 60 },
    );
    expect(kernels.perLayer!.length).toBe(2);
    model.layers[1]!.trainable = false;
    const rest = await hessianTrace(target, { perLayer: true, maxGradEvals: 60 });
    expect(rest.perLayer!.map(({ shape }) => shape)).toEqual([[7, 3], [3]]);
  });
});
