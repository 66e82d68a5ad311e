import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  denseMatrix,
  hessianSpectrum,
  hessianTrace,
  hvp,
  inverseProduct,
  losses,
  withLinearOperator,
  type Batch,
  type FunctionTarget,
  type PredictionTarget,
} from '../src/index.js';
import { backends, leavingNoTensors, read, relativeError, values } from './support.js';

const shapes = [[3, 3, 2, 4], [4], [4, 3]] as const;
const size = 72 + 4 + 12;

/** Convolution, ReLU, max pooling, sigmoid: rules of every kind; counts how often the loss is evaluated. */
const counted = (): { target: FunctionTarget; evaluations: () => number } => {
  let evaluations = 0;
  const batch = (n: number, seed: number): Batch => ({
    xs: values([n, 6, 6, 2], seed),
    ys: tf.tensor1d(
      Array.from({ length: n }, (_, i) => (i + seed) % 3),
      'int32',
    ),
  });
  const target: FunctionTarget = {
    params: shapes.map((shape, i) => values(shape, i + 1)),
    loss: ([kernel, bias, head], { xs, ys }) => {
      evaluations++;
      const z = tf.add(tf.conv2d(xs as tf.Tensor4D, kernel as tf.Tensor4D, 1, 'same'), bias!);
      const pooled = tf.maxPool(tf.relu(z) as tf.Tensor4D, 2, 2, 'valid');
      const features = tf.mean(tf.sigmoid(pooled), [1, 2]);
      return losses.sparseSoftmaxCrossEntropy(ys as tf.Tensor, tf.matMul(features as tf.Tensor2D, head as tf.Tensor2D));
    },
    data: [batch(4, 1), batch(3, 2)],
  };
  return { target, evaluations: () => evaluations };
};

const unchecked = { selfCheck: false, hvp: 'exact' } as const;

for (const backend of backends) {
  describe(`on ${backend}`, () => {
    beforeAll(async () => {
      await tf.setBackend(backend);
    });

    test('many products at the same weights evaluate the loss once, and are those of hvp', async () => {
      const { target, evaluations } = counted();
      await leavingNoTensors(() =>
        withLinearOperator(target, unchecked, async ({ multiply, size: n, parameters, gradEvals }) => {
          expect(n).toBe(size);
          expect(parameters.map(({ offset }) => offset)).toEqual([0, 72, 76]);
          const costs = [];
          for (let k = 0; k < 4; k++) {
            const v = shapes.map((shape, i) => values(shape, 10 * k + i));
            const before = gradEvals();
            const product = await multiply(await read(v));
            costs.push(gradEvals() - before);
            if (k > 0) {
              const single = await hvp({ ...target }, v, unchecked);
              expect(relativeError([...product], await read(single))).toBeLessThan(1e-5);
              tf.dispose([...single]);
            }
            tf.dispose(v);
          }
          expect(costs).toEqual([2.5, 1.75, 1.75, 1.75]);
        }),
      );
      // Two batches each: once for the operator, and once for each of three single products.
      expect(evaluations()).toBe(2 * (1 + 3));
    });

    test('where two batches do not fit the memory limit, nothing is kept, and the numbers are the same', async () => {
      const { target, evaluations } = counted();
      const run = { ...unchecked, method: 'hutchinson', minProbes: 3, maxProbes: 3 } as const;
      const kept = await leavingNoTensors(() => hessianTrace(target, run));
      expect(evaluations()).toBe(2);
      const tight = await leavingNoTensors(() => hessianTrace(target, { ...run, memoryLimitMB: 0.01 }));
      expect(evaluations()).toBe(2 + 6);
      expect(relativeError([...tight.samples], [...kept.samples])).toBeLessThan(1e-6);
      expect(tight.gradEvals).toBe(7.5);
    });

    test('no tape is left after an abort or a failure between products', async () => {
      const { target } = counted();
      for (const fails of [
        (signal: AbortController) => signal.abort(),
        () => {
          throw new RangeError('of the test');
        },
      ]) {
        const controller = new AbortController();
        const run = leavingNoTensors(() =>
          withLinearOperator(target, { ...unchecked, signal: controller.signal }, async ({ multiply }) => {
            await multiply(new Float64Array(size).fill(1));
            fails(controller);
            await multiply(new Float64Array(size).fill(1));
          }),
        );
        await expect(run).rejects.toMatchObject({ name: /AbortError|RangeError/ });
      }
    });

    test('the inverse of damped Gauss-Newton gives back what it was applied to; negative curvature is said', async () => {
      const small: PredictionTarget = {
        params: [values([5, 4], 3), values([4, 3], 4)],
        predict: (params, { xs }) =>
          tf.matMul(tf.sigmoid(tf.matMul(xs as tf.Tensor2D, params[0] as tf.Tensor2D)), params[1] as tf.Tensor2D),
        loss: (z, { ys }) => losses.sparseSoftmaxCrossEntropy(ys as tf.Tensor, z),
        data: { xs: values([9, 5]), ys: tf.tensor1d([0, 1, 2, 2, 1, 0, 0, 1, 2], 'int32') },
      };
      const v = [values([5, 4], 7), values([4, 3], 8)];
      const flat = await read(v);
      const run = { ...unchecked, operator: 'gauss-newton' } as const;
      await leavingNoTensors(async () => {
        const { x, converged, residual } = await inverseProduct(small, v, { ...run, damping: 0.05, tol: 1e-5 });
        expect(converged).toBe(true);
        expect(residual).toBeLessThanOrEqual(1e-5);
        const solution = await read(x);
        const g = await denseMatrix(small, run);
        const back = g.map((row, i) => row.reduce((sum, value, j) => sum + value * solution[j]!, 0.05 * solution[i]!));
        expect(relativeError(back, flat)).toBeLessThan(1e-3);
        tf.dispose([...x]);
      });
      const concave: FunctionTarget = { params: [values([6])], loss: ([p]) => tf.neg(tf.sum(tf.square(p!))) };
      const stuck = await inverseProduct(concave, [values([6], 2)], unchecked);
      expect(stuck).toMatchObject({ converged: false, negativeCurvature: true, steps: 0 });
      tf.dispose([...stuck.x, ...v]);
    });

    test('the whole matrix is symmetric, its products are those of hvp, and estimators take the operator', async () => {
      const { target } = counted();
      const h = await leavingNoTensors(() => denseMatrix(target, unchecked));
      expect(h.every((row, i) => row.every((value, j) => value === h[j]![i]!))).toBe(true);
      const v = shapes.map((shape, i) => values(shape, 30 + i));
      const flat = await read(v);
      const expected = h.map((row) => row.reduce((sum, value, j) => sum + value * flat[j]!, 0));
      const product = await hvp(target, v, unchecked);
      expect(relativeError(await read(product), expected)).toBeLessThan(1e-5);
      tf.dispose([...product, ...v]);
      // An algorithm on the operator: the spectrum of H + 3, shifted back.
      const { lambdaMax } = await hessianSpectrum(target, { ...unchecked, tol: 1e-5 });
      const shifted = await withLinearOperator(target, unchecked, (open) =>
        hessianSpectrum(
          { size, multiply: async (x) => (await open.multiply(x)).map((y, i) => y + 3 * x[i]!) },
          { tol: 1e-5 },
        ),
      );
      expect(shifted.lambdaMax - 3).toBeCloseTo(lambdaMax, 4);
    });
  });
}
