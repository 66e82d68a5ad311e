import { noWebgpu } from './start.js';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { currentBackend } from '../src/backend.js';
import { WebgpuLimitError } from '../src/index.js';

const filled = (size: number, value: number): tf.Tensor1D => tf.tensor1d(new Float32Array(size).fill(value));

describe.skipIf(noWebgpu)('addN', () => {
  it.each([1, 2, 7, 8, 11, 12, 23, 40])('adds %i tensors', async (count) => {
    const before = tf.memory().numTensors;
    const ids = currentBackend().numDataIds();
    const parts = Array.from({ length: count }, (_, i) => filled(5, i + 1));
    const sum = tf.addN(parts);
    expect([...(await sum.data())]).toEqual(Array.from({ length: 5 }, () => (count * (count + 1)) / 2));
    tf.dispose([parts, sum]);
    expect(tf.memory().numTensors).toBe(before);
    expect(currentBackend().numDataIds()).toBe(ids);
  });
});

describe.skipIf(noWebgpu)('softmax', () => {
  const numbers = (size: number): Float32Array =>
    Float32Array.from({ length: size }, (_, i) => 3 * Math.sin(i * 12.9898));

  /** Largest deviation of the rows given from softmax in float64. */
  function deviation(actual: Float32Array, logits: Float32Array, columns: number, rows: readonly number[]): number {
    let worst = 0;
    for (const row of rows) {
      const z = [...logits.subarray(row * columns, (row + 1) * columns)];
      const top = Math.max(...z);
      const total = z.reduce((sum, v) => sum + Math.exp(v - top), 0);
      z.forEach((v, c) => {
        worst = Math.max(worst, Math.abs(Math.exp(v - top) / total - actual[row * columns + c]!));
      });
    }
    return worst;
  }

  it.each([
    [1, 1],
    [2, 3],
    [5, 64],
    [3, 65],
    [4, 1000],
    [3, 33],
    [65_535, 3],
    [66_560, 5],
    [65_537, 40],
    [4_194_433, 2], // more workgroups than one dimension holds
  ])('of %i rows of %i', async (rows, columns) => {
    const logits = numbers(rows * columns);
    const x = tf.tensor2d(logits, [rows, columns]);
    const y = tf.softmax(x);
    const actual = (await y.data()) as Float32Array;
    tf.dispose([x, y]);
    const some = [...new Set([0, 1, rows >> 1, rows - 2, rows - 1])].filter((row) => row >= 0 && row < rows);
    expect(deviation(actual, logits, columns, some)).toBeLessThan(2e-7);
  });

  it('keeps the shape of attention scores', async () => {
    const logits = numbers(2 * 3 * 4 * 5);
    const x = tf.tensor4d(logits, [2, 3, 4, 5]);
    const y = tf.softmax(x);
    expect(y.shape).toEqual([2, 3, 4, 5]);
    expect(deviation((await y.data()) as Float32Array, logits, 5, [0, 7, 23])).toBeLessThan(2e-7);
    tf.dispose([x, y]);
  });
});

describe.skipIf(noWebgpu)('sums and means', () => {
  it('are right for millions of equal numbers', async () => {
    const x = filled(4_000_000, 1.1);
    const [mean, sum] = [tf.mean(x), tf.sum(x)];
    const expected = Math.fround(1.1);
    expect(Math.abs((await mean.data())[0]! / expected - 1)).toBeLessThan(1e-6);
    expect(Math.abs((await sum.data())[0]! / (4e6 * expected) - 1)).toBeLessThan(1e-6);
    tf.dispose([x, mean, sum]);
  });

  it.each([
    { shape: [3, 40_000], axis: [1] },
    { shape: [40_000, 3], axis: [0] },
    { shape: [1_100_000, 3], axis: [0] },
    { shape: [2, 200, 100, 3], axis: [0, 1, 2] },
    { shape: [16_385], axis: [0] },
    { shape: [2, 16_384 * 2 + 1, 2], axis: [1] },
  ])('over $axis of $shape', async ({ shape, axis }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length: size }, (_, i) => 1 + Math.sin(i));
    const ids = currentBackend().numDataIds();
    const x = tf.tensor(values, shape);
    const results = tf.tidy(() => [tf.sum(x, axis), tf.mean(x, axis), tf.sum(x, axis, true)]);
    await tf.setBackend('cpu');
    const expected = tf.tidy(() => {
      const same = tf.cast(tf.tensor(values, shape), 'float32');
      return [tf.sum(same, axis), tf.mean(same, axis), tf.sum(same, axis, true)];
    });
    await tf.setBackend('webgpu');
    for (const [i, result] of results.entries()) {
      expect(result.shape).toEqual(expected[i]!.shape);
      const [actual, wanted] = [await result.data(), await expected[i]!.data()];
      actual.forEach((v, j) => expect(Math.abs(v / wanted[j]! - 1)).toBeLessThan(1e-5));
    }
    tf.dispose([x, results, expected]);
    expect(currentBackend().numDataIds()).toBe(ids);
  });

  it('of nothing are 0 and NaN', async () => {
    const x = tf.zeros([0, 3]);
    const results = tf.tidy(() => [tf.sum(x, 0), tf.mean(x, 0), tf.sum(x), tf.sum(x, 1)]);
    expect(await Promise.all(results.map(async (t) => [...(await t.data())]))).toEqual([
      [0, 0, 0],
      [NaN, NaN, NaN],
      [0],
      [],
    ]);
    tf.dispose([x, results]);
  });
});

describe.skipIf(noWebgpu)('matrix products', () => {
  const waves = (size: number, step: number): Float32Array =>
    Float32Array.from({ length: size }, (_, i) => Math.sin(i * step));

  it.each([
    { fused: false, transposeA: false, transposeB: false },
    { fused: false, transposeA: true, transposeB: true },
    { fused: true, transposeA: false, transposeB: false },
  ])('with long sums are exact and the same every time: %o', async ({ fused, transposeA, transposeB }) => {
    const [rows, inner, columns] = [40, 3072, 10];
    const [left, right] = [waves(rows * inner, 1.7), waves(inner * columns, 2.3)];
    const a = tf.tensor2d(left, transposeA ? [inner, rows] : [rows, inner]);
    const b = tf.tensor2d(right, transposeB ? [columns, inner] : [inner, columns]);
    const multiply = (): tf.Tensor =>
      fused ? tf.fused.matMul({ a, b, transposeA, transposeB }) : tf.matMul(a, b, transposeA, transposeB);
    const results = [multiply(), multiply(), multiply()];
    const [first, ...others] = await Promise.all(results.map((t) => t.data()));
    for (const other of others) expect(other).toEqual(first);
    const at = (
      values: Float32Array,
      turned: boolean,
      i: number,
      j: number,
      [n, m]: readonly [number, number],
    ): number => values[turned ? j * n + i : i * m + j]!;
    for (const [i, j] of [
      [0, 0],
      [17, 4],
      [39, 9],
    ] as const) {
      let sum = 0;
      for (let k = 0; k < inner; k++)
        sum += at(left, transposeA, i, k, [rows, inner]) * at(right, transposeB, k, j, [inner, columns]);
      expect(Math.abs(first![i * columns + j]! - sum)).toBeLessThan(1e-3);
    }
    tf.dispose([a, b, results]);
  });

  it('that a device cannot dispatch are refused with a reason', () => {
    const { maxComputeWorkgroupsPerDimension: most } = currentBackend().device.limits;
    const a = tf.ones([most + 1, 1, 1]);
    const b = tf.ones([most + 1, 1, 1]);
    expect(() => tf.matMul(a, b)).toThrow(WebgpuLimitError);
    expect(() => tf.matMul(a, b)).toThrow(/maxComputeWorkgroupsPerDimension/);
    tf.dispose([a, b]);
  });
});
