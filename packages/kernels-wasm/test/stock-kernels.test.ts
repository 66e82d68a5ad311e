import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { registerWasmKernels, WasmBackendError } from '../src/index.js';

// What a stranger's model calls by tfjs's own names.

beforeAll(async () => {
  await tf.setBackend('wasm');
  registerWasmKernels();
});

describe('tf.fused.conv2d', () => {
  const x = () => tf.randomNormal([2, 7, 6, 3], 0, 1, 'float32', 1) as tf.Tensor4D;
  const filter = () => tf.randomNormal([3, 3, 3, 5], 0, 1, 'float32', 2) as tf.Tensor4D;
  const bias = () => tf.tensor1d([0.5, -1, 0, 2, -3]);
  const close = (actual: tf.Tensor, expected: tf.Tensor): void => {
    expect(actual.shape).toEqual(expected.shape);
    const want = expected.dataSync();
    actual.dataSync().forEach((v, i) => expect(v).toBeCloseTo(want[i]!, 4));
  };
  it.each(['linear', 'relu', 'relu6', 'sigmoid'] as const)('adds the bias, then takes %s', (activation) => {
    const plain = tf.add(tf.conv2d(x(), filter(), 2, 'same'), bias());
    const expected = { linear: tf.clone, relu: tf.relu, relu6: tf.relu6, sigmoid: tf.sigmoid }[activation](plain);
    close(tf.fused.conv2d({ x: x(), filter: filter(), strides: 2, pad: 'same', bias: bias(), activation }), expected);
  });
  it('works without a bias, and leaves its inputs as they were', () => {
    const [image, f] = [x(), filter()];
    const before = [image, f].map((t) => Array.from(t.dataSync()));
    const y = tf.fused.conv2d({ x: image, filter: f, strides: 1, pad: 'valid', activation: 'relu' });
    close(y, tf.relu(tf.conv2d(image, f, 1, 'valid')));
    expect([image, f].map((t) => Array.from(t.dataSync()))).toEqual(before);
  });
});

describe('tf.oneHot', () => {
  it.each(['float32', 'int32', 'bool'] as const)('makes %s', (dtype) => {
    const y = tf.oneHot(
      tf.tensor2d(
        [
          [0, 2],
          [-1, 3],
        ],
        [2, 2],
        'int32',
      ),
      3,
      1,
      0,
      dtype,
    );
    expect(y.dtype).toBe(dtype);
    expect(y.shape).toEqual([2, 2, 3]);
    expect(Array.from(y.dataSync())).toEqual([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  });
  it('takes other values for on and off', () => {
    expect(Array.from(tf.oneHot(tf.tensor1d([1], 'int32'), 2, 5, -1).dataSync())).toEqual([-1, 5]);
  });
});

describe('what the kernels cannot do', () => {
  it('is refused in words: channels first', () => {
    const call = (): tf.Tensor =>
      tf.conv2d(tf.zeros<tf.Rank.R4>([1, 3, 5, 5]), tf.zeros([3, 3, 3, 2]), 1, 'same', 'NCHW');
    expect(call).toThrow(WasmBackendError);
    expect(call).toThrow(/channels last/);
  });
});

describe('the gradient of max pooling', () => {
  it('reaches windows of negative numbers, which stock leaves out', () => {
    const x = tf.tensor4d([-4, -3, -2, -1], [1, 2, 2, 1]);
    const slope = tf.grad((x) => tf.sum(tf.maxPool(x as tf.Tensor4D, 2, 2, 'valid')))(x);
    expect(Array.from(slope.dataSync())).toEqual([0, 0, 0, 1]);
  });
});

describe('tf.matMul', () => {
  const numbers = (shape: number[], seed: number): tf.Tensor => tf.randomNormal(shape, 0, 1, 'float32', seed);
  const element = (values: Float32Array, columns: number, start: number, row: number, column: number): number =>
    values[start + row * columns + column]!;

  it.each([
    [[1], [1], 1, 1, 1],
    [[], [], 5, 3, 7],
    [[], [], 17, 65, 9],
    [[], [], 257, 12, 16],
    [[], [], 520, 192, 10],
    [[], [], 64, 40, 768],
    [[3], [3], 65, 8, 65],
    [[2, 3], [2, 3], 9, 5, 4],
    [[4], [1], 6, 7, 8],
    [[], [4], 6, 7, 8],
    [[2, 1], [1, 3], 4, 5, 6],
    [[2], [2], 0, 3, 4],
    [[2], [2], 3, 0, 4],
  ])('multiplies %j × %j matrices, %d × %d × %d, transposed or not', (batchA, batchB, m, k, n) => {
    for (const transposeA of [false, true])
      for (const transposeB of [false, true]) {
        const a = numbers([...batchA, ...(transposeA ? [k, m] : [m, k])], 1);
        const b = numbers([...batchB, ...(transposeB ? [n, k] : [k, n])], 2);
        const c = tf.matMul(a, b, transposeA, transposeB);
        const batch = tf.backend_util.assertAndGetBroadcastShape(batchA, batchB);
        expect(c.shape).toEqual([...batch, m, n]);
        const [x, y, z] = [a, b, c].map((t) => t.dataSync() as Float32Array) as [
          Float32Array,
          Float32Array,
          Float32Array,
        ];
        // The batch that [2, 1] and [1, 3] make together is the only one here that is stretched along both.
        const both = batchA.length === 2 && batchA[1] === 1;
        let worst = 0;
        for (let i = 0; i < tf.util.sizeFromShape(batch); i++) {
          const ofA = both ? Math.floor(i / 3) : tf.util.sizeFromShape(batchA) === 1 ? 0 : i;
          const ofB = both ? i % 3 : tf.util.sizeFromShape(batchB) === 1 ? 0 : i;
          for (let r = 0; r < m; r++)
            for (let s = 0; s < n; s++) {
              let sum = 0;
              for (let t = 0; t < k; t++) {
                const left = transposeA ? element(x, m, ofA * m * k, t, r) : element(x, k, ofA * m * k, r, t);
                const right = transposeB ? element(y, k, ofB * k * n, s, t) : element(y, n, ofB * k * n, t, s);
                sum += left * right;
              }
              worst = Math.max(worst, Math.abs(sum - z[(i * m + r) * n + s]!));
            }
        }
        // 4 standard deviations of a sum of k products of normal numbers are 4 √k.
        expect(worst).toBeLessThan(1e-6 * 4 * Math.sqrt(Math.max(k, 1)) + 1e-12);
        tf.dispose([a, b, c]);
      }
  });
});
