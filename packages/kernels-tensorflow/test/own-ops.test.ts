import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { currentBackend } from '../src/backend.js';
import { batchNormKernels } from '../src/kernels/batch-norm.js';
import { convolutionKernels as stockConvolutions } from '../src/kernels/convolution.js';
import { ownBatchNormKernels } from '../src/kernels/own-batch-norm.js';
import { ownConvolutionKernels } from '../src/kernels/own-convolution.js';
import { ownOpLanes } from '../src/kernels/own-ops.js';
import { noTensorflow, start } from './start.js';

beforeAll(start);

const convolutionKernels = stockConvolutions('float32');

type Kernels = Readonly<Record<string, tf.KernelFunc>>;
type Inputs = Readonly<Record<string, tf.Tensor>>;

/** Numbers that look random and are the same every time. */
function numbers(shape: readonly number[], seed: number): tf.Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, (_, i) => Math.sin((i + 1) * (seed + 1.7) * 12.9)),
    [...shape],
  );
}

function run(kernels: Kernels, name: string, inputs: Inputs, attrs: object): readonly Float32Array[] {
  const kernel = kernels[name] as tf.KernelFunc;
  const made = kernel({ inputs, attrs: attrs as tf.NamedAttrMap, backend: currentBackend() });
  const tensors = (Array.isArray(made) ? made : [made]) as tf.Tensor[];
  const values = tensors.map((t) => t.dataSync() as Float32Array);
  tf.dispose(tensors);
  return values;
}

const largest = (values: Float32Array): number => values.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
/** NaN where one of them is. */
const apart = (a: Float32Array, b: Float32Array): number => b.reduce((d, v, k) => Math.max(d, Math.abs(v - a[k]!)), 0);

/** Both ways to compute the same, relative to the largest number. */
function expectSameNumbers(own: Kernels, others: Kernels, name: string, inputs: Inputs, attrs: object): void {
  const [mine, theirs] = [own, others].map((kernels) => run(kernels, name, inputs, attrs));
  expect(mine!.length).toBe(theirs!.length);
  // Winograd's sums of sums lose about a digit.
  for (const [i, values] of theirs!.entries())
    expect(apart(mine![i]!, values)).toBeLessThan(1e-5 * largest(values) + 1e-30);
}

/** Skipped where the processor has no vectors of 16 floats: there the kernels compared are one and the same. */
const never: tf.KernelFunc = () => {
  throw new Error('not one of the own kernels');
};

describe.skipIf(noTensorflow)('our own TensorFlow ops give the numbers of TensorFlow’s', () => {
  interface Case {
    readonly x: readonly [number, number, number, number];
    readonly filter: readonly [number, number, number, number];
    readonly strides: readonly [number, number];
    readonly pads: readonly [readonly [number, number], readonly [number, number]];
  }
  const around = [
    [1, 1],
    [1, 1],
  ] as const;
  const none = [
    [0, 0],
    [0, 0],
  ] as const;

  it.each([
    ['3 × 3 by Winograd', { x: [5, 8, 8, 16], filter: [3, 3, 16, 32], strides: [1, 1], pads: around }],
    ['3 × 3, many tiles', { x: [3, 20, 20, 16], filter: [3, 3, 16, 16], strides: [1, 1], pads: around }],
    ['3 × 3, few pixels', { x: [70, 2, 2, 16], filter: [3, 3, 16, 16], strides: [1, 1], pads: around }],
    ['3 × 3, 64 channels', { x: [7, 8, 8, 64], filter: [3, 3, 64, 64], strides: [1, 1], pads: around }],
    ['3 × 3, odd size', { x: [2, 7, 9, 16], filter: [3, 3, 16, 48], strides: [1, 1], pads: around }],
    ['3 × 3, stride 2', { x: [3, 8, 8, 16], filter: [3, 3, 16, 32], strides: [2, 2], pads: around }],
    ['3 × 3, stride 2, odd size', { x: [2, 9, 7, 32], filter: [3, 3, 32, 16], strides: [2, 2], pads: around }],
    ['1 × 1, stride 2', { x: [2, 8, 8, 16], filter: [1, 1, 16, 32], strides: [2, 2], pads: none }],
    ['4 × 4, stride 4', { x: [2, 16, 16, 16], filter: [4, 4, 16, 48], strides: [4, 4], pads: none }],
    [
      '5 × 4, uneven padding, strides 2 and 3',
      {
        x: [2, 11, 13, 16],
        filter: [5, 4, 16, 16],
        strides: [2, 3],
        pads: [
          [2, 1],
          [0, 3],
        ],
      },
    ],
    [
      'more padding than filter',
      {
        x: [1, 4, 4, 16],
        filter: [2, 2, 16, 16],
        strides: [1, 1],
        pads: [
          [3, 2],
          [0, 4],
        ],
      },
    ],
  ] satisfies readonly (readonly [string, Case])[])('convolution and its gradients: %s', (_, shape: Case) => {
    if (ownOpLanes(currentBackend()) < 16) return;
    const { x: xShape, filter: filterShape, strides, pads } = shape;
    const own = ownConvolutionKernels(Object.fromEntries(Object.keys(convolutionKernels).map((name) => [name, never])));
    const attrs = { strides, pads, dilations: [1, 1] };
    const out = ([0, 1] as const).map(
      (axis) =>
        Math.floor((xShape[axis + 1]! + pads[axis][0] + pads[axis][1] - filterShape[axis]!) / strides[axis]) + 1,
    );
    const x = numbers(xShape, 1);
    const filter = numbers(filterShape, 2);
    const dy = numbers([xShape[0], ...out, filterShape[3]], 3);
    expectSameNumbers(own, convolutionKernels, 'PolderConv2D', { x, filter }, attrs);
    const toFilter = { ...attrs, filterShape };
    expectSameNumbers(own, convolutionKernels, 'PolderConv2DBackpropFilter', { x, dy }, toFilter);
    const toInput = { ...attrs, inputShape: xShape };
    // TensorFlow's refuses to leave pixels of the padded image unread.
    const [whole] = [run(own, 'PolderConv2DBackpropInput', { dy, filter }, toInput)];
    expect(whole[0]!.length).toBe(x.size);
    expectSameNumbers(own, convolutionKernels, 'PolderConv2DBackpropInput', { dy, filter }, toInput);
    tf.dispose([x, filter, dy]);
  });

  it.each([
    ['plain', false, false],
    ['ReLU', true, false],
    ['residual', false, true],
    ['residual and ReLU', true, true],
  ])('batch norm and its gradient: %s', (_, relu, residual) => {
    if (ownOpLanes(currentBackend()) === 0) return;
    const own = ownBatchNormKernels({ PolderBatchNorm: never, PolderBatchNormGrad: never });
    for (const channels of [3, 16, 40]) {
      const attrs = { epsilon: 1e-5, relu, residual };
      // Far from zero, so that a sum of squares alone would lose the variance.
      const x = tf.tidy(() => tf.add(numbers([7, 33, 9, channels], 1), 30));
      const [gamma, beta] = [numbers([channels], 4), numbers([channels], 5)];
      const other = numbers(x.shape, 6);
      const inputs = { x, gamma, beta, ...(residual && { residual: other }) };
      const [y, mean, variance] = run(batchNormKernels, 'PolderBatchNorm', inputs, attrs);
      const mine = run(own, 'PolderBatchNorm', inputs, attrs);
      for (const [i, expected] of [y!, mean!, variance!].entries())
        expect(apart(mine[i]!, expected)).toBeLessThan(1e-4 * Math.max(1, largest(expected)));
      const saved = {
        y: tf.tensor(y!, x.shape),
        mean: tf.tensor1d(mean!),
        variance: tf.tensor1d(variance!),
        dy: numbers(x.shape, 7),
      };
      const [theirs, ours] = [batchNormKernels, own].map((kernels) =>
        run(kernels, 'PolderBatchNormGrad', { x, gamma, ...saved }, attrs),
      );
      expect(ours!.length).toBe(relu && residual ? 4 : 3);
      for (const [i, expected] of theirs!.entries())
        expect(apart(ours![i]!, expected)).toBeLessThan(2e-4 * largest(expected));
      tf.dispose([x, gamma, beta, other, Object.values(saved)]);
    }
  });
});
