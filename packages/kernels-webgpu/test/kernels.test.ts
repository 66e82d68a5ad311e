import { noWebgpu } from './start.js';
import { adam, adamW, type Slots } from '@polder/core';
import {
  allFinite,
  axpyTrees,
  batchNormTraining,
  conv2d,
  dotTrees,
  embedding,
  globalNorm,
  layerNorm,
  selectTensor,
  sgdUpdate,
  softmaxCrossEntropy,
  type Tree,
} from '@polder/ops';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { currentBackend } from '../src/backend.js';
import { settleWebgpu } from '../src/index.js';
import { dispatch, type Shader } from '../src/kernels/program.js';

// What the conformance table does not ask: many rows, sizes of numbers, ties, the same bits again, numbers that are none.

const wave = (size: number, seed: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => scale * Math.sin(seed + i * 1.7 + (i % 13)));

/** The numbers of the tensor that `make` returns, which is disposed of; nothing else may be left. */
async function numbersOf(make: () => tf.Tensor): Promise<number[]> {
  const before = tf.memory();
  const tensor = tf.tidy(make);
  const numbers = Array.from(await tensor.data());
  tensor.dispose();
  const after = tf.memory();
  expect([after.numTensors, after.numDataBuffers]).toEqual([before.numTensors, before.numDataBuffers]);
  return numbers;
}

function expectNear(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  const scale = Math.max(1e-30, ...expected.map(Math.abs));
  actual.forEach((v, i) => {
    if (!(Math.abs(v - expected[i]!) <= tolerance * scale))
      throw new Error(`Number ${i}: ${v} instead of ${expected[i]}`);
  });
}

describe.skipIf(noWebgpu)('convolution gradients', () => {
  // Sums over 3·20·20 pixels in several parts.
  const [n, size, channels, filters] = [3, 20, 5, 6];
  const image = wave(n * size * size * channels, 1);
  const weight = wave(9 * channels * filters, 2);

  it.each([
    [1, 'same'],
    [2, 'same'],
    [2, 1],
  ] as const)('of tf.conv2d itself, stride %s, padding %s', async (stride, pad) => {
    const out = Math.ceil(size / stride);
    // With an even image, TensorFlow's 'same' pads only after the image.
    const before = pad === 'same' && stride === 2 ? 0 : 1;
    const slope = wave(n * out * out * filters, 3);
    const dx = new Float64Array(image.length);
    const dw = new Float64Array(weight.length);
    for (let i = 0; i < n; i++)
      for (let oy = 0; oy < out; oy++)
        for (let ox = 0; ox < out; ox++)
          for (let tap = 0; tap < 9; tap++) {
            const y = oy * stride - before + Math.floor(tap / 3);
            const x = ox * stride - before + (tap % 3);
            if (y < 0 || y >= size || x < 0 || x >= size) continue;
            for (let c = 0; c < channels; c++)
              for (let f = 0; f < filters; f++) {
                const [at, w] = [((i * size + y) * size + x) * channels + c, (tap * channels + c) * filters + f];
                const g = slope[((i * out + oy) * out + ox) * filters + f]!;
                dx[at] = dx[at]! + g * weight[w]!;
                dw[w] = dw[w]! + g * image[at]!;
              }
          }
    const gradient = (which: 0 | 1) => (): tf.Tensor =>
      tf.grads((x, w) =>
        tf.sum(
          tf.mul(tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, stride, pad), tf.tensor(slope, [n, out, out, filters])),
        ),
      )([tf.tensor(image, [n, size, size, channels]), tf.tensor(weight, [3, 3, channels, filters])])[which]!;
    expectNear(await numbersOf(gradient(0)), [...dx], 2e-6);
    expectNear(await numbersOf(gradient(1)), [...dw], 2e-6);
  });

  it('are the same bits again', async () => {
    const gradient = (): tf.Tensor =>
      tf.grad((w) =>
        tf.sum(
          tf.square(conv2d(tf.tensor(image, [n, size, size, channels]), w as tf.Tensor4D, { padding: 1, strides: 2 })),
        ),
      )(tf.tensor(weight, [3, 3, channels, filters]));
    const first = await numbersOf(gradient);
    expect(await numbersOf(gradient)).toEqual(first);
  });
});

describe.skipIf(noWebgpu)('batch norm', () => {
  it('finds a small variance around a large mean, in many rows', async () => {
    const [rows, channels] = [5003, 3];
    const values = Float32Array.from({ length: rows * channels }, (_, i) => 3000 * (i % channels) + Math.sin(i * 0.7));
    values[0] = 50; // an outlier in front, from which no shift may be taken
    const statistic = (name: 'mean' | 'variance') => (): tf.Tensor =>
      batchNormTraining(tf.tensor(values, [rows, channels]), tf.ones([channels]), tf.zeros([channels]))[name];
    const mean = Array.from({ length: channels }, (_, c) => {
      let sum = 0;
      for (let r = 0; r < rows; r++) sum += values[r * channels + c]!;
      return sum / rows;
    });
    const variance = mean.map((m, c) => {
      let sum = 0;
      for (let r = 0; r < rows; r++) sum += (values[r * channels + c]! - m) ** 2;
      return sum / rows;
    });
    expectNear(await numbersOf(statistic('mean')), mean, 1e-6);
    const found = await numbersOf(statistic('variance'));
    // Deviations of about 1 are rounded to 2⁻¹² of themselves by float32 at 6000, and so is the mean.
    found.forEach((v, c) => expect(Math.abs(v / variance[c]! - 1)).toBeLessThan(1e-5));
  });

  it('shows a number that is none, also behind its ReLU', async () => {
    const x = wave(64, 4);
    x[5] = NaN;
    const y = await numbersOf(
      () => batchNormTraining(tf.tensor(x, [32, 2]), tf.ones([2]), tf.zeros([2]), { relu: true }).y,
    );
    expect(y.filter((_, i) => i % 2 === 1).every(Number.isNaN)).toBe(true);
    expect(y.filter((_, i) => i % 2 === 0).every(Number.isFinite)).toBe(true);
  });
});

describe.skipIf(noWebgpu)('dispatches', () => {
  it('of more workgroups than a dimension holds run each of them once', async () => {
    const [groups, limit] = [150_001, 65_535];
    const shader: Shader = {
      key: 'numbers for a test',
      inputs: { x: 'f32' },
      outputs: { result: 'f32' },
      uniforms: {},
      threads: 1,
      code: 'fn main(group : i32, lane : i32) { result[group] = result[group] + x[0] + f32(group); }',
    };
    expect(groups).toBeGreaterThan(2 * limit);
    const backend = currentBackend();
    const numbers = await numbersOf(() => {
      const result = backend.makeTensorInfo([groups], 'float32', new Float32Array(groups));
      dispatch(backend, shader, { inputs: [tf.scalar(1)], outputs: [result], uniforms: [], groups });
      return tf.engine().makeTensorFromTensorInfo(result);
    });
    expect(numbers.every((v, i) => v === i + 1)).toBe(true);
  });

  it('bind no more than the eight buffers that every device has, but for reductions over trees', async () => {
    const backend = currentBackend() as unknown as {
      recordAndSubmit(program: { shaderKey: string }, ...rest: unknown[]): void;
    };
    const stock = backend.recordAndSubmit.bind(backend);
    const bound = new Map<string, number>();
    backend.recordAndSubmit = (program, output, inputs, ...rest) => {
      if (program.shaderKey.startsWith('polder ')) bound.set(program.shaderKey, (inputs as unknown[]).length + 1);
      stock(program, output, inputs, ...rest);
    };
    const [x, v] = [tf.tensor(wave(64, 1), [2, 4, 4, 2]), tf.ones([2])];
    try {
      for (const relu of [false, true])
        for (const residual of [{}, { residual: x }])
          await numbersOf(() => tf.grad((image) => batchNormTraining(image, v, v, { relu, ...residual }).y)(x));
      await numbersOf(() => tf.grad((image) => layerNorm(image, v, v))(x));
      await numbersOf(() => tf.grad((w) => conv2d(x as tf.Tensor4D, w as tf.Tensor4D))(tf.ones([3, 3, 2, 2])));
      await numbersOf(() => softmaxCrossEntropy(tf.ones([2, 3]), tf.tensor1d([0, 1], 'int32')));
      await numbersOf(() => sgdUpdate(v, v, v, tf.scalar(1), { momentum: 0.9 }).weight);
    } finally {
      Reflect.deleteProperty(backend, 'recordAndSubmit');
      tf.dispose([x, v]);
    }
    expect(bound.size).toBeGreaterThan(15);
    expect([...bound].filter(([, buffers]) => buffers > 8)).toEqual([]);
  });

  it.each([3, 40, 300])('over rows of %i, the last workgroup not full', async (width) => {
    const rows = 67;
    const x = wave(rows * width, 6);
    const y = await numbersOf(() => layerNorm(tf.tensor2d(x, [rows, width]), tf.ones([width]), tf.zeros([width])));
    const expected = Array.from({ length: rows }, (_, r) => x.slice(r * width, (r + 1) * width)).flatMap((row) => {
      const mean = row.reduce((a, b) => a + b) / width;
      const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / width;
      return Array.from(row, (v) => (v - mean) / Math.sqrt(variance + 1e-5));
    });
    expectNear(y, expected, 1e-6);
    const labels = Int32Array.from({ length: rows }, (_, i) => (i * 7) % width);
    const losses = await numbersOf(() =>
      softmaxCrossEntropy(tf.tensor2d(x, [rows, width]), tf.tensor1d(labels, 'int32')),
    );
    const logSums = Array.from({ length: rows }, (_, r) =>
      Math.log(x.slice(r * width, (r + 1) * width).reduce((sum, v) => sum + Math.exp(v), 0)),
    );
    expectNear(
      losses,
      logSums.map((s, r) => s - x[r * width + labels[r]!]!),
      1e-6,
    );
  });
});

describe.skipIf(noWebgpu)('cross-entropy', () => {
  const of = (logits: number[][], labels: number[]) => (): tf.Tensor =>
    softmaxCrossEntropy(tf.tensor2d(logits), tf.tensor1d(labels, 'int32'));

  it('of huge logits', async () => {
    const logits = [
      [3e38, -3e38],
      [3e38, 0],
      [-2e30, -2e30],
    ];
    const losses = await numbersOf(of(logits, [0, 0, 1]));
    expectNear(losses, [0, 0, Math.LN2], 1e-6);
  });

  it('of class numbers that there are not is nothing, as it is of the row of zeros that tf.oneHot makes', async () => {
    expect(await numbersOf(of([[1, 2]], [5]))).toEqual([0]);
    expect(await numbersOf(of([[1, 2]], [-1]))).toEqual([0]);
    const gradient = await numbersOf(() =>
      tf.grad((x) => tf.sum(softmaxCrossEntropy(x as tf.Tensor2D, tf.tensor1d([7], 'int32'))))(tf.tensor2d([[1, 2]])),
    );
    expect(gradient).toEqual([0, 0]);
  });

  it('is NaN in a row that has one, and in no other', async () => {
    const logits = [
      [NaN, 1, 2],
      [1, 2, 3],
      [1, Infinity, 3],
    ];
    const losses = await numbersOf(of(logits, [1, 2, 0]));
    expect(losses.map(Number.isNaN)).toEqual([true, false, true]);
    const gradient = await numbersOf(() =>
      tf.grad((x) => tf.sum(softmaxCrossEntropy(x as tf.Tensor2D, tf.tensor1d([1, 2, 0], 'int32'))))(
        tf.tensor2d(logits),
      ),
    );
    expect(gradient.map(Number.isNaN)).toEqual([true, true, true, false, false, false, true, true, true]);
  });
});

describe.skipIf(noWebgpu)('pooling', () => {
  it('gives the gradient of max pooling to the first of equal maxima', async () => {
    const x = [0, 0, 0, 2, 2, 0, 0, 2, 0];
    const gradient = await numbersOf(() =>
      tf.grad((image) => tf.sum(tf.maxPool(image as tf.Tensor4D, 2, 1, 'valid')))(tf.tensor4d(x, [1, 3, 3, 1])),
    );
    // Windows from the upper left: maxima at 3, 4, 3 and 4, though 7 is as large.
    expect(gradient).toEqual([0, 0, 0, 2, 2, 0, 0, 0, 0]);
    const twice = [...x, ...x.toReversed()];
    const found = (name: 'result' | 'indexes', withBatch: boolean) => (): tf.Tensor =>
      tf.maxPoolWithArgmax(tf.tensor4d(twice, [2, 3, 3, 1]), 2, 1, 'valid', withBatch)[name]!;
    expect(await numbersOf(found('result', false))).toEqual([2, 2, 2, 2, 2, 2, 2, 2]);
    expect(await numbersOf(found('indexes', false))).toEqual([3, 4, 3, 4, 1, 1, 4, 4]);
    expect(await numbersOf(found('indexes', true))).toEqual([3, 4, 3, 4, 10, 10, 13, 13]);
  });
});

describe.skipIf(noWebgpu)('segment sums', () => {
  it('add up many rows of one number in their order, and leave out numbers out of range', async () => {
    const [rows, width, segments] = [1500, 3, 4];
    const values = wave(rows * width, 7);
    const numbers = Int32Array.from({ length: rows }, (_, i) => ((i * 5) % 6) - 1);
    const expected = new Float32Array(segments * width);
    numbers.forEach((segment, row) => {
      if (segment < 0 || segment >= segments) return;
      for (let c = 0; c < width; c++)
        expected[segment * width + c] = expected[segment * width + c]! + values[row * width + c]!;
    });
    const sums = await numbersOf(() =>
      tf.unsortedSegmentSum(tf.tensor2d(values, [rows, width]), tf.tensor1d(numbers, 'int32'), segments),
    );
    expect(sums).toEqual([...expected]);
  });

  it('are the gradient of an embedding', async () => {
    const gradient = await numbersOf(() =>
      tf.grad((table) =>
        tf.sum(tf.mul(embedding(table as tf.Tensor2D, tf.tensor1d([2, 0, 2], 'int32')), [[1], [2], [4]])),
      )(tf.ones([3, 2])),
    );
    expect(gradient).toEqual([2, 2, 0, 0, 5, 5]);
  });
});

describe.skipIf(noWebgpu)('tree arithmetic', () => {
  // More leaves than a dispatch takes, some of them longer than a workgroup's share, one empty.
  const SIZES = [1, 2, 3, 4, 5, 7, 64, 255, 256, 257, 1001, 4096, 4097, 9000, 0, 12, 13, 14, 15];
  const values = (seed: number, scale = 1): Float32Array[] => SIZES.map((size) => wave(size, seed + size, scale));
  const treeOf = (leaves: readonly Float32Array[]): Record<string, tf.Tensor> =>
    Object.fromEntries(leaves.map((leaf, i) => [`leaf${i}`, tf.tensor1d(leaf)]));
  const flat = (leaves: readonly Float32Array[]): number[] => leaves.flatMap((leaf) => [...leaf]);
  const hypot = (all: readonly number[]): number => Math.sqrt(all.reduce((sum, v) => sum + v * v, 0));

  it('norms and inner products, the same bits again', async () => {
    const [a, b] = [values(1), values(2)];
    const norm = (): tf.Tensor => globalNorm(treeOf(a));
    const [found] = await numbersOf(norm);
    expect(Math.abs(found! / hypot(flat(a)) - 1)).toBeLessThan(3e-7);
    expect(await numbersOf(norm)).toEqual([found]);
    const y = flat(b);
    const dot = flat(a).reduce((sum, v, i) => sum + v * y[i]!, 0);
    expectNear(await numbersOf(() => dotTrees(treeOf(a), treeOf(b))), [dot], 1e-5);
    expect(await numbersOf(() => globalNorm({}))).toEqual([0]);
    expect(await numbersOf(() => globalNorm({ empty: tf.zeros([0]) }))).toEqual([0]);
  });

  it.each([1e30, 1e-15, 1e-25, 1e-36])(
    'norms of gradients of about %s, whose squares float32 cannot hold',
    async (scale) => {
      const leaves = values(3, scale);
      const [norm] = await numbersOf(() => globalNorm(treeOf(leaves)));
      expect(Math.abs(norm! / hypot(flat(leaves)) - 1)).toBeLessThan(1e-6);
    },
  );

  it('norms of large and tiny numbers together', async () => {
    const mixed = [Float32Array.of(3e30, 1e-30, 1), Float32Array.of(4e30)];
    expectNear(await numbersOf(() => globalNorm(treeOf(mixed))), [5e30], 1e-6);
    const small = [Float32Array.of(3e-19, 0), Float32Array.of(4e-20, 1e-20)];
    expectNear(await numbersOf(() => globalNorm(treeOf(small))), [hypot(flat(small))], 1e-6);
  });

  it('differentiates the norm: x / ‖x‖', async () => {
    const gradient = await numbersOf(() =>
      tf.grad((x) => globalNorm({ x, rest: tf.tensor1d([12]) }))(tf.tensor1d([3, 0, 4])),
    );
    expectNear(gradient, [3 / 13, 0, 4 / 13], 1e-6);
    expect(await numbersOf(() => tf.grad((x) => globalNorm({ x }))(tf.zeros([2])))).toEqual([0, 0]);
  });

  it('finds a number that is not finite wherever it is', async () => {
    const finite = async (leaves: readonly Float32Array[]): Promise<boolean> =>
      (await numbersOf(() => allFinite(treeOf(leaves))))[0] === 1;
    expect(await finite(values(4))).toBe(true);
    expect(await finite([Float32Array.of(3.4e38, -3.4e38, 1e-45, -0)])).toBe(true);
    for (const bad of [NaN, Infinity, -Infinity])
      for (const leaf of [0, 9, 13, SIZES.length - 1])
        for (const at of new Set([0, SIZES[leaf]! - 1])) {
          const leaves = values(4);
          leaves[leaf]![at] = bad;
          if (await finite(leaves)) throw new Error(`${bad} at ${at} of leaf ${leaf} goes unseen`);
        }
  });

  it('axpy, selection and the SGD update', async () => {
    for (const size of [5, 8]) {
      const [x, y] = [wave(size, 8), wave(size, 9)];
      const sum = await numbersOf(() => axpyTrees(0.5, { x: tf.tensor1d(x) }, { x: tf.tensor1d(y) })['x']!);
      expectNear(
        sum,
        [...x].map((v, i) => 0.5 * v + y[i]!),
        1e-6,
      );
      const spoilt = Float32Array.from(x, () => NaN);
      for (const taken of [true, false]) {
        const chosen = (): tf.Tensor => {
          const [good, bad] = [tf.tensor1d(x), tf.tensor1d(spoilt)];
          return taken
            ? selectTensor(tf.scalar(true, 'bool'), good, bad)
            : selectTensor(tf.scalar(false, 'bool'), bad, good);
        };
        expect(await numbersOf(chosen)).toEqual([...x]);
      }
      for (const nesterov of [false, true]) {
        const [w, g, v] = [wave(size, 10), wave(size, 11), wave(size, 12)];
        const options = { momentum: 0.9, weightDecay: 0.01, nesterov };
        const updated = (which: 'weight' | 'velocity') => (): tf.Tensor =>
          sgdUpdate(tf.tensor1d(w), tf.tensor1d(g), tf.tensor1d(v), tf.scalar(0.1), options)[which];
        const velocity = [...w].map((wi, i) => 0.9 * v[i]! + g[i]! + 0.01 * wi);
        const step = velocity.map((next, i) => (nesterov ? g[i]! + 0.01 * w[i]! + 0.9 * next : next));
        expectNear(await numbersOf(updated('velocity')), velocity, 1e-6);
        expectNear(
          await numbersOf(updated('weight')),
          step.map((s, i) => w[i]! - 0.1 * s),
          1e-6,
        );
      }
    }
  });

  it.each([adam, adamW])('the updates of Adam', async (make) => {
    const optimizer = make({ learningRate: 0.1, weightDecay: 0.02 });
    const size = 7;
    const [w, g] = [wave(size, 13), wave(size, 14)];
    const names = [...w].map((_, i) => i);
    const weights = [...w];
    const [m, v] = [names.map(() => 0), names.map(() => 0)];
    for (const t of [1, 2, 3])
      names.forEach((i) => {
        const decays = 0.02 * weights[i]!;
        const slope = g[i]! + (optimizer.name === 'adam' ? decays : 0);
        m[i] = 0.9 * m[i]! + 0.1 * slope;
        v[i] = 0.999 * v[i]! + 0.001 * slope * slope;
        const step = m[i]! / (1 - 0.9 ** t) / (Math.sqrt(v[i]! / (1 - 0.999 ** t)) + 1e-8);
        weights[i] = weights[i]! - 0.1 * (step + (optimizer.name === 'adamw' ? decays : 0));
      });
    const found = await numbersOf(() => {
      let params: Tree = { w: tf.tensor1d(w) };
      let slots: Slots = optimizer.init(params);
      for (let t = 0; t < 3; t++)
        ({ params, slots } = optimizer.update({ w: tf.tensor1d(g) }, slots, params, tf.scalar(0.1)));
      return params['w']!;
    });
    // 1 − β₂ᵗ is a small difference of float32 numbers, here as in the reference composition.
    expectNear(found, weights, 5e-5);
  });

  it('and the GPU refused nothing', async () => {
    await settleWebgpu();
  });
});
