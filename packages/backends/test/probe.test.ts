import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { probe, startBackend } from '@polder/backends';
import { vit } from '@polder/models';
import { expectNoLeak } from '@polder/testkit';
import { beforeAll, describe, expect, it } from 'vitest';

function convnet(): tf.Sequential {
  return tf.sequential({
    layers: [
      tf.layers.conv2d({ inputShape: [8, 8, 3], filters: 4, kernelSize: 3, name: 'stem' }),
      tf.layers.batchNormalization({ name: 'norm' }),
      tf.layers.depthwiseConv2d({ kernelSize: 3, name: 'spread' }),
      tf.layers.flatten(),
      tf.layers.dense({ units: 10 }),
    ],
  });
}

async function weightsOf(model: tf.LayersModel): Promise<readonly (readonly number[])[]> {
  return Promise.all(model.getWeights().map(async (weight) => [...(await weight.data())]));
}

describe('probe on stock wasm', () => {
  beforeAll(() => tf.setBackend('wasm'));

  it('names every kernel that training lacks, with the layer and the op that need it, in one go', async () => {
    const model = convnet();
    const before = await weightsOf(model);
    const report = await expectNoLeak(() => probe(model));
    expect(report).toMatchObject({ backend: 'wasm', ok: false });
    expect(report.problem).toBeUndefined();
    const missing = Object.fromEntries(report.missing.map((entry) => [entry.kernel, entry]));
    expect(Object.keys(missing).sort()).toEqual([
      'Conv2DBackpropFilter',
      'DepthwiseConv2dNativeBackpropFilter',
      'DepthwiseConv2dNativeBackpropInput',
    ]);
    expect(missing['Conv2DBackpropFilter']).toMatchObject({
      pass: 'backward',
      neededBy: ['stem (Conv2D), gradient of FusedConv2D'],
      advice: expect.stringContaining("startBackend('wasm')") as string,
    });
    expect(await weightsOf(model)).toEqual(before);
    // The stand-ins are gone.
    expect(tf.getKernel('Conv2DBackpropFilter', 'wasm')).toBeUndefined();
    expect(() =>
      tf.grad((x: tf.Tensor) => tf.sum(tf.depthwiseConv2d(x as tf.Tensor4D, tf.ones([3, 3, 1, 1]), 1, 'valid')))(
        tf.ones([1, 4, 4, 1]),
      ),
    ).toThrow(/not registered/);
    model.dispose();
  });

  it('reports what a layer throws, and leaves nothing behind', async () => {
    class Broken extends tf.layers.Layer {
      static readonly className = 'Broken';
      override call(): tf.Tensor {
        throw new Error('no such thing');
      }
      override getClassName(): string {
        return 'Broken';
      }
    }
    const input = tf.input({ shape: [4] });
    const hidden = tf.layers.dense({ units: 3 }).apply(input) as tf.SymbolicTensor;
    const model = tf.model({ inputs: input, outputs: new Broken({}).apply(hidden) as tf.SymbolicTensor });
    const report = await expectNoLeak(() => probe(model));
    expect(report).toMatchObject({ ok: false, problem: expect.stringContaining('no such thing') as string });
    model.dispose();
  });
});

describe.each(['wasm', 'cpu'])('probe on %s as startBackend starts it', (backend) => {
  beforeAll(async () => {
    await startBackend(backend, { threads: 1 });
  });

  it('finds nothing missing', async () => {
    const model = convnet();
    expect(await expectNoLeak(() => probe(model))).toMatchObject({ backend, ok: true, missing: [] });
    model.dispose();
  });

  it('takes our networks, nested in layers of their own, moving statistics and random masks untouched', async () => {
    const model = vit({ width: 8, depth: 2, heads: 2, classes: 4, inputShape: [8, 8, 3], dropout: 0.1 });
    const before = await weightsOf(model);
    const report = await expectNoLeak(() => probe(model));
    expect(report).toMatchObject({ ok: true, missing: [] });
    expect(report.kernels).toContain('BatchMatMul');
    expect(await weightsOf(model)).toEqual(before);
    model.dispose();
  });
});
