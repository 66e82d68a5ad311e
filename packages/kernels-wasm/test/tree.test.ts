import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { allFinite, axpyTrees, dotTrees, globalNorm, selectTensor, selectTree, sgdUpdate } from '@polder/ops';
import { beforeAll, describe, expect, it } from 'vitest';
import { registerWasmKernels } from '../src/index.js';

/** Sizes around the kernels' blocks of 4. */
const SIZES = [1, 2, 3, 4, 5, 7, 8, 64, 1001];

const numbersOf = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(seed + i * 1.7) * 3);

const treeOf = (seed: number): Record<string, tf.Tensor> =>
  Object.fromEntries(SIZES.map((size) => [`w${size}`, tf.tensor1d(numbersOf(size, seed + size))]));

describe.each(['cpu', 'wasm'])('tree arithmetic on %s', (backend) => {
  beforeAll(async () => {
    await tf.setBackend(backend);
    if (backend === 'wasm') registerWasmKernels();
  });

  it('sums over all leaves: norm and inner product', () => {
    const [a, b] = [treeOf(1), treeOf(2)];
    const [x, y] = [1, 2].map((seed) => SIZES.flatMap((size) => [...numbersOf(size, seed + size)]));
    const before = tf.memory().numTensors;
    const norm = globalNorm(a);
    const dot = dotTrees(a, b);
    expect(norm.dataSync()[0]).toBeCloseTo(Math.hypot(...x!), 3);
    expect(dot.dataSync()[0]).toBeCloseTo(
      x!.reduce((sum, v, i) => sum + v * y![i]!, 0),
      2,
    );
    tf.dispose([norm, dot]);
    expect(tf.memory().numTensors).toBe(before);
    expect(globalNorm({}).dataSync()[0]).toBe(0);
  });

  it('differentiates norm, inner product and axpy', () => {
    const [x, y] = [tf.tensor1d([3, 0, 4]), tf.tensor1d([1, 2, -1])];
    const norm = tf.grad((v: tf.Tensor) => globalNorm({ v, rest: tf.tensor1d([12]) }))(x);
    norm.dataSync().forEach((v, i) => expect(v).toBeCloseTo([3 / 13, 0, 4 / 13][i]!, 6));
    const [dx, dy] = tf.grads((u, v) => dotTrees({ p: u, q: v }, { p: v, q: v }))([x, y]);
    expect(Array.from(dx!.dataSync())).toEqual([1, 2, -1]);
    expect(Array.from(dy!.dataSync())).toEqual([3 + 2, 0 + 4, 4 - 2]);
    const [ds, du] = tf.grads((s, u) => tf.sum(axpyTrees(s as tf.Scalar, { u }, { u: y })['u']!))([tf.scalar(2), x]);
    expect(ds!.dataSync()[0]).toBe(7);
    expect(Array.from(du!.dataSync())).toEqual([2, 2, 2]);
  });

  it('takes one tree or the other, which live on apart from the result', () => {
    for (const first of [true, false]) {
      const [a, b] = [treeOf(1), treeOf(2)];
      const before = tf.memory().numTensors;
      const condition = tf.scalar(first, 'bool');
      const taken = selectTree(condition, a, b);
      const want = Object.values(first ? a : b).map((leaf) => Array.from(leaf.dataSync()));
      tf.dispose([a, b]);
      expect(Object.values(taken).map((leaf) => Array.from(leaf.dataSync()))).toEqual(want);
      tf.dispose([taken, condition]);
      expect(tf.memory().numTensors).toBe(before - 2 * SIZES.length);
    }
    const [x, y] = [tf.tensor1d([3, 0]), tf.tensor1d([NaN, 2])];
    const [dx, dy] = tf.grads((u, v) => tf.sum(selectTensor(tf.scalar(true, 'bool'), u, v)))([x, y]);
    expect([dx, dy].map((d) => Array.from(d!.dataSync()))).toEqual([
      [1, 1],
      [0, 0],
    ]);
    const counts = selectTensor(tf.scalar(false, 'bool'), tf.scalar(1, 'int32'), tf.scalar(2, 'int32'));
    expect([counts.dtype, counts.dataSync()[0]]).toEqual(['int32', 2]);
  });

  it('finds a number that is not finite wherever it is', () => {
    const finite = (values: Float32Array): boolean =>
      tf.tidy(() => Boolean(allFinite({ a: tf.zeros([3]), b: tf.tensor1d(values) }).dataSync()[0]));
    for (const size of SIZES) {
      expect(finite(numbersOf(size, 5))).toBe(true);
      for (const bad of [NaN, Infinity, -Infinity])
        for (const at of new Set([0, size >> 1, size - 1])) {
          const values = numbersOf(size, 5);
          values[at] = bad;
          expect(finite(values), `${bad} at ${at} of ${size}`).toBe(false);
        }
    }
    expect(finite(Float32Array.of(3.4e38, -3.4e38, 1e-45))).toBe(true);
  });

  it('takes a plain number, and does not lose what fits no kernel', () => {
    const sum = axpyTrees(
      2,
      { a: tf.tensor1d([1, 2]), b: tf.scalar(3) },
      { a: tf.tensor1d([10, 20]), b: tf.scalar(1) },
    );
    expect(Array.from(sum['a']!.dataSync())).toEqual([12, 24]);
    expect(Array.from(sum['b']!.dataSync())).toEqual([7]);
    expect(allFinite({ count: tf.scalar(3, 'int32') }).dataSync()[0]).toBe(1);
  });

  it('updates weights as its formula says, bit for bit', () => {
    const round = Math.fround;
    for (const nesterov of [false, true])
      for (const size of SIZES) {
        const [w, g, v] = [numbersOf(size, 7), numbersOf(size, 8), numbersOf(size, 9)];
        const rate = tf.scalar(0.1);
        const result = sgdUpdate(tf.tensor1d(w), tf.tensor1d(g), tf.tensor1d(v), rate, {
          momentum: 0.9,
          weightDecay: 5e-4,
          nesterov,
        });
        const [m, decay, eta] = [round(0.9), round(5e-4), round(0.1)];
        const [weight, velocity] = [result.weight.dataSync(), result.velocity.dataSync()];
        for (let i = 0; i < size; i++) {
          const slope = round(g[i]! + round(decay * w[i]!));
          const next = round(round(m * v[i]!) + slope);
          const step = nesterov ? round(slope + round(m * next)) : next;
          expect(velocity[i]).toBe(next);
          expect(weight[i]).toBe(round(w[i]! - round(eta * step)));
        }
      }
  });
});
