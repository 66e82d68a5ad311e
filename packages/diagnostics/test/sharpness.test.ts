import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  averageSharpness,
  gradientNoise,
  interpolate,
  localLipschitz,
  lossSurface,
  mSharpness,
  normalizeDirection,
  sweepGrid,
  worstCaseSharpness,
  type Batch,
  type FunctionTarget,
} from '../src/index.js';
import { backends, leavingNoTensors, read, values } from './support.js';

/** L = ½ Σ a_i w_i², whose sharpness is known in closed form. */
const a = [3, 1, 0.5, 2];
const w = [0.4, -1, 0.2, 0.6];
const quadratic = (data?: Batch[]): FunctionTarget => ({
  params: [tf.tensor1d(w)],
  loss: ([x]) => tf.mul(0.5, tf.sum(tf.mul(tf.tensor1d(a), tf.square(x!)))),
  ...(data === undefined ? {} : { data }),
});
const lossAt = (x: readonly number[]): number => 0.5 * x.reduce((sum, xi, i) => sum + a[i]! * xi * xi, 0);
const gradient = w.map((x, i) => a[i]! * x);

for (const backend of backends) {
  describe(`on ${backend}`, () => {
    beforeAll(async () => {
      await tf.setBackend(backend);
    });

    test('one-step sharpness is the rise at the point of the ball that the gradient shows', async () => {
      const rho = 0.1;
      const norm = Math.hypot(...gradient);
      const rises = {
        l2: lossAt(w.map((x, i) => x + (rho * gradient[i]!) / norm)) - lossAt(w),
        linf: lossAt(w.map((x, i) => x + rho * Math.sign(gradient[i]!))) - lossAt(w),
      };
      for (const kind of ['l2', 'linf'] as const) {
        const { value, baseLoss } = await mSharpness(quadratic(), { rho, m: 1, norm: kind });
        expect(value).toBeCloseTo(rises[kind], 5);
        expect(baseLoss).toBeCloseTo(lossAt(w), 5);
      }
      const eta = 0.01;
      const t = w.map((x) => Math.abs(x) + eta);
      const length = Math.hypot(...gradient.map((g, i) => g * t[i]!));
      const adaptive = lossAt(w.map((x, i) => x + (rho * t[i]! ** 2 * gradient[i]!) / length)) - lossAt(w);
      expect((await mSharpness(quadratic(), { rho, m: 1, adaptive: true, eta })).value).toBeCloseTo(adaptive, 5);
    });

    test('projected ascent climbs to the worst point of the ball, and never beyond it', async () => {
      // With a large ball around 0 the worst case of a quadratic tends to ½ρ²λ_max.
      const centred: FunctionTarget = { ...quadratic(), params: [tf.tensor1d([1e-3, 1e-3, 1e-3, 1e-3])] };
      const { value, losses } = await worstCaseSharpness(centred, { rho: 1, steps: 40 });
      expect(value).toBeGreaterThan(0.99 * 1.5);
      expect(value).toBeLessThan(1.02 * 1.5);
      expect(losses.length).toBe(41);
      const flat = await worstCaseSharpness(centred, { rho: 0.5, norm: 'linf', steps: 10 });
      expect(flat.value).toBeCloseTo(0.5 * 0.25 * 6.5, 1);
    });

    test('average sharpness of a quadratic is ½ρ² times its trace', async () => {
      const { value, standardError, ci95 } = await averageSharpness(quadratic(), {
        rho: 0.3,
        pairs: 200,
        maxGradEvals: 1000,
      });
      const expected = 0.5 * 0.09 * 6.5;
      expect(Math.abs(value - expected)).toBeLessThan(4 * standardError);
      expect(standardError).toBeLessThan(0.1 * expected);
      expect(ci95[1] - ci95[0]).toBeGreaterThan(0);
    });

    test('groups of m take consecutive examples, and weigh by their number', async () => {
      const xs = values([5, 3]);
      const target: FunctionTarget = {
        params: [values([3], 2)],
        loss: ([p], batch) => tf.mean(tf.square(tf.dot(batch.xs as tf.Tensor2D, p as tf.Tensor1D))),
        data: { xs, ys: tf.zeros([5]) },
      };
      await leavingNoTensors(async () => {
        const whole = await mSharpness(target, { rho: 0.1, m: 2 });
        expect(whole.perBatch.length).toBe(3);
        const weighted = (2 * whole.perBatch[0]! + 2 * whole.perBatch[1]! + whole.perBatch[2]!) / 5;
        expect(whole.value).toBeCloseTo(weighted, 6);
      });
    });

    test('the surface is the loss itself at every point, and the centre is the loss of the weights', async () => {
      const directions = [[tf.tensor1d([1, 0, 0, 0])], [tf.tensor1d([0, 2, 0, 0])]];
      const { x, y, loss } = await lossSurface(quadratic(), {
        directions,
        normalize: 'none',
        ignoreBiasAndNorm: false,
        points: 5,
      });
      for (const [j, t] of y!.entries()) {
        for (const [i, s] of x.entries()) {
          expect(loss[j * 5 + i]!).toBeCloseTo(lossAt([w[0]! + s, w[1]! + 2 * t, w[2]!, w[3]!]), 5);
        }
      }
      expect(loss[12]!).toBeCloseTo(lossAt(w), 6);
    });

    test('eigen-directions follow the largest and the smallest eigenvalue', async () => {
      const { eigenvalues, loss, x } = await lossSurface(quadratic(), {
        directions: 'eigen',
        points: 3,
        dimensions: 1,
      });
      expect(eigenvalues![0]!).toBeCloseTo(3, 4);
      // Along a unit eigenvector the second difference is the eigenvalue.
      expect((loss[2]! - 2 * loss[1]! + loss[0]!) / (x[2]! - x[1]!) ** 2).toBeCloseTo(3, 3);
    });

    test('a trajectory in a plane is found whole in its two principal directions', async () => {
      const end = w;
      const point = (s: number, t: number): tf.Tensor[] => [
        tf.tensor1d([end[0]! + s, end[1]! + t, end[2]! + s, end[3]!]),
      ];
      const trajectory = [point(3, 0), point(2, 0.5), point(1, -0.5), point(0.2, 0.1)];
      const { explained, path } = await lossSurface(quadratic(), { directions: { trajectory }, points: 3 });
      expect(explained!.reduce((p, q) => p + q, 0)).toBeCloseTo(1, 5);
      expect(explained![0]!).toBeGreaterThan(0.9);
      expect(Math.max(...path!.map((p) => Math.abs(p[0]!)))).toBeCloseTo(1, 5);
    });

    test('filter normalisation gives every filter the norm of the weights’ filter, and leaves biases out', async () => {
      const target: FunctionTarget = {
        params: [values([3, 3, 2, 4], 1), values([4], 2)],
        names: ['kernel', 'bias'],
        loss: ([k]) => tf.sum(tf.square(k!)),
      };
      const direction = [values([3, 3, 2, 4], 7), values([4], 8)];
      const before = tf.memory().numTensors;
      const [kernel, bias] = (await normalizeDirection(target, direction)) as [tf.Tensor, tf.Tensor];
      expect(tf.memory().numTensors).toBe(before + 2);
      const norms = async (t: tf.Tensor): Promise<number[]> => read([tf.sqrt(tf.sum(tf.square(t), [0, 1, 2]))]);
      const [ours, theirs] = [await norms(kernel), await norms(target.params[0]!)];
      for (const [i, n] of ours.entries()) expect(n).toBeCloseTo(theirs[i]!, 5);
      expect(await read([bias])).toEqual([0, 0, 0, 0]);
    });

    test('interpolation has the ends’ losses and their barrier', async () => {
      const double: FunctionTarget = {
        params: [tf.tensor1d([1])],
        loss: ([x]) => tf.sum(tf.square(tf.sub(tf.square(x!), 1))),
      };
      const { t, loss, barrier } = await interpolate(double, [tf.tensor1d([-1])], [tf.tensor1d([1])], { points: 21 });
      expect(loss[0]).toBe(0);
      expect(loss.at(-1)).toBe(0);
      expect(t[10]).toBe(0.5);
      expect(barrier).toBeCloseTo(1, 6);
    });

    test('gradient noise is the sample variance of minibatch gradients', async () => {
      const shifts = [1, 4, -2, 0.5];
      const target: FunctionTarget = {
        params: [tf.tensor1d([0.3, 0.7])],
        loss: ([x], { xs }) => tf.mul(tf.sum(x!), xs as tf.Tensor),
        data: shifts.map((s) => ({ xs: tf.scalar(s), ys: tf.scalar(0) })),
      };
      const { variance, gradientNorm, batches, gradEvals } = await gradientNoise(target);
      expect(gradEvals).toBe(1);
      const mean = shifts.reduce((p, q) => p + q, 0) / 4;
      const expected = (2 * shifts.reduce((sum, s) => sum + (s - mean) ** 2, 0)) / 3;
      expect(variance).toBeCloseTo(expected, 4);
      expect(gradientNorm).toBeCloseTo(Math.SQRT2 * mean, 5);
      expect(batches).toBe(4);
    });

    test('two batches have a variance, but no error of it', async () => {
      const target: FunctionTarget = {
        params: [tf.tensor1d([1])],
        loss: ([x], { xs }) => tf.mul(tf.sum(x!), xs as tf.Tensor),
        data: [1, 3].map((s) => ({ xs: tf.scalar(s), ys: tf.scalar(0) })),
      };
      const { variance, standardError, ci95, converged } = await gradientNoise(target);
      expect(variance).toBeCloseTo(2, 5);
      expect([standardError, ...ci95]).toEqual([NaN, NaN, NaN]);
      expect(converged).toBe(false);
    });

    test('the local Lipschitz constant of a quadratic along a coordinate is its curvature', async () => {
      const before = [tf.tensor1d([w[0]! - 0.1, w[1]!, w[2]!, w[3]!])];
      expect(await localLipschitz(quadratic(), before)).toBeCloseTo(3, 3);
      expect(await localLipschitz(quadratic(), [tf.tensor1d(w)])).toBe(0);
    });
  });
}

test('the 95 % interval of the gradient variance covers it as often as it says', async () => {
  await tf.setBackend('cpu');
  const random = gaussian(7);
  const variances = [4, 1, 0.25, 1, 1, 2];
  const repeats = 150;
  let covered = 0;
  let width = 0;
  for (let r = 0; r < repeats; r++) {
    const data = Array.from({ length: 25 }, () => ({
      xs: tf.tensor1d(variances.map((v) => 3 + Math.sqrt(v) * random())),
      ys: tf.scalar(0),
    }));
    const target: FunctionTarget = {
      params: [tf.zeros([variances.length])],
      loss: ([x], { xs }) => tf.sum(tf.mul(x!, xs as tf.Tensor)),
      data,
    };
    const { ci95 } = await gradientNoise(target);
    if (ci95[0] <= 9.25 && 9.25 <= ci95[1]) covered++;
    width += (ci95[1] - ci95[0]) / 2 / repeats;
    tf.dispose([data.flatMap(({ xs, ys }) => [xs, ys]), target.params as tf.Tensor[]]);
  }
  expect(covered / repeats).toBeGreaterThan(0.88);
  expect(covered / repeats).toBeLessThan(0.995);
  // sqrt(2 Σ σ⁴ / 24) · t₀.₉₇₅(23) = 1.40 · 2.07: not covered by being wide.
  expect(width).toBeGreaterThan(2.3);
  expect(width).toBeLessThan(3.5);
});

/** Normal numbers, by Box and Muller, from a linear congruence. */
function gaussian(seed: number): () => number {
  let state = seed;
  const uniform = (): number => (state = (state * 16807) % 2147483647) / 2147483647;
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

test('a grid keeps the cells that failed, with their reason', async () => {
  const grid = await sweepGrid({ lr: [0.1, 1], wd: [0, 1e-4, 1e-3] }, async ({ lr, wd }) => {
    if (lr === 1) throw new Error('diverged');
    return lr * wd;
  });
  expect(grid.cells.length).toBe(6);
  expect(grid.cells[1]).toEqual({ at: { lr: 0.1, wd: 1e-4 }, result: 1e-5, error: null });
  expect(grid.cells[3]).toEqual({ at: { lr: 1, wd: 0 }, result: null, error: 'diverged' });
});
