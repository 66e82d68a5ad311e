import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { opsTable } from '@polder/ops/conformance';
import { beforeAll, describe, expect, it } from 'vitest';
import { registerWasmKernels } from '../src/index.js';

// Identity gives out aliases. That is sound as long as no kernel writes into its inputs: here every kernel that runs is
// watched. docs/decisions/0005-wasm-identity-aliasing.md has the rest of the audit.

const seen = new Set<string>();

beforeAll(async () => {
  await tf.setBackend('wasm');
  registerWasmKernels();
  for (const kernel of tf.getKernelsForBackend('wasm')) watch(kernel);
});

function watch(kernel: tf.KernelConfig): void {
  const { kernelName, kernelFunc } = kernel;
  kernel.kernelFunc = (args) => {
    const backend = args.backend as BackendWasm;
    const inputs = Object.values(args.inputs as tf.NamedTensorInfoMap).filter((t) => t !== undefined && t !== null);
    const bytes = (): readonly Uint8Array[] =>
      inputs
        .filter(({ dtype }) => dtype !== 'string')
        .map((info) => {
          const { buffer, byteOffset, byteLength } = backend.typedArrayFromHeap(info);
          return new Uint8Array(buffer, byteOffset, byteLength).slice();
        });
    const before = bytes();
    const result = kernelFunc(args);
    bytes().forEach((after, i) => {
      if (Buffer.compare(after, before[i]!) !== 0) throw new Error(`${kernelName} wrote into input ${i}`);
    });
    seen.add(kernelName);
    return result;
  };
}

describe('no kernel writes into its inputs', () => {
  it('in any op of the conformance table, forward and backward', async () => {
    for (const row of opsTable()) await row.run();
    expect(seen.size).toBeGreaterThan(30);
  });

  it('in the other kernels of the backend', () => {
    const x = tf.tensor2d([0.5, -1.5, 2, 3, -0.25, 1], [2, 3]);
    const p = tf.tensor2d([0.5, 0.25, 0.125, 0.5, 0.75, 0.9], [2, 3]);
    const i = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3], 'int32');
    const b = tf.tensor2d([1, 0, 1, 0, 0, 1], [2, 3], 'bool');
    const image = tf.randomNormal([2, 6, 6, 3]) as tf.Tensor4D;
    const volume = tf.randomNormal([1, 4, 4, 4, 2]) as tf.Tensor5D;
    const unary =
      'abs acos acosh asin asinh atan atanh ceil cos cosh elu erf exp expm1 floor isFinite isInf isNaN leakyRelu log log1p neg reciprocal relu relu6 round rsqrt selu sigmoid sign sin sinh softplus sqrt square step tan tanh zerosLike onesLike softmax logSoftmax';
    const binary =
      'add sub mul div floorDiv maximum minimum mod pow squaredDifference equal notEqual greater greaterEqual less lessEqual atan2 prelu';
    const named = tf as unknown as Record<string, (...args: tf.Tensor[]) => tf.Tensor>;
    tf.tidy(() => {
      for (const name of unary.split(' ')) named[name]!(p);
      for (const name of binary.split(' ')) named[name]!(x, p);
      for (const name of ['add', 'sub', 'mul', 'maximum', 'minimum', 'equal', 'less']) named[name]!(i, i);
      for (const name of ['logicalAnd', 'logicalOr', 'logicalXor']) named[name]!(b, b);
      tf.logicalNot(b);
      tf.all(b, 1);
      tf.any(b, 0);
      for (const axis of [0, 1]) {
        for (const reduce of [tf.sum, tf.mean, tf.max, tf.min, tf.prod, tf.argMax, tf.argMin]) reduce(x, axis);
        tf.cumsum(x, axis);
        tf.cumprod(x, axis);
        tf.reverse(x, axis);
        tf.concat([x, p], axis);
        tf.split(x, [1, axis === 0 ? 1 : 2], axis);
        tf.unstack(x, axis);
      }
      tf.addN([x, p, x]);
      tf.cast(x, 'int32');
      tf.clipByValue(x, 0, 1);
      tf.clone(x);
      tf.expandDims(x, 0);
      tf.gather(x, tf.tensor1d([1, 0], 'int32'), 1);
      tf.gatherND(x, tf.tensor2d([[1, 0]], [1, 2], 'int32'));
      tf.matMul(x, p, false, true);
      tf.fused.matMul({ a: x, b: tf.transpose(p), bias: tf.ones([2]), activation: 'relu' });
      tf.mirrorPad(
        x,
        [
          [1, 1],
          [1, 1],
        ],
        'reflect',
      );
      tf.pad(x, [
        [1, 0],
        [0, 2],
      ]);
      tf.oneHot(tf.tensor1d([0, 2], 'int32'), 3);
      tf.scatterND(tf.tensor2d([[1], [0]], [2, 1], 'int32'), x, [4, 3]);
      tf.tensorScatterUpdate(x, tf.tensor2d([[1]], [1, 1], 'int32'), tf.ones([1, 3]));
      tf.sparseToDense(tf.tensor1d([0, 3], 'int32'), tf.tensor1d([1, 2]), [5], 0);
      tf.slice(x, [0, 1], [2, 1]);
      tf.stridedSlice(x, [0, 0], [2, 3], [1, 2]);
      tf.tile(x, [2, 2]);
      tf.topk(x, 2);
      tf.transpose(x);
      tf.transpose(image, [0, 3, 1, 2]);
      tf.unique(tf.tensor1d([1, 1, 2]));
      tf.where(b, x, p);
      tf.bincount(tf.tensor1d([1, 2, 2], 'int32'), tf.tensor1d([]), 4);
      tf.denseBincount(i, tf.tensor2d([], [0, 0]), 8);
      tf.searchSorted(tf.tensor2d([[1, 2, 3]]), tf.tensor2d([[2.5]]));
      tf.multinomial(p, 4, 7);
      tf.diag(tf.tensor1d([1, 2]));
      tf.linalg.bandPart(tf.ones([3, 3]), 1, 1);
      tf.broadcastArgs(tf.tensor1d([2, 1], 'int32'), tf.tensor1d([1, 3], 'int32'));
      tf.stack([x, p]);
      tf.depthToSpace(tf.ones([1, 2, 2, 4]), 2, 'NHWC');
      tf.batchToSpaceND(
        tf.ones([4, 1, 1, 1]),
        [2, 2],
        [
          [0, 0],
          [0, 0],
        ],
      );
      tf.spaceToBatchND(
        tf.ones([1, 2, 2, 1]),
        [2, 2],
        [
          [0, 0],
          [0, 0],
        ],
      );
      tf.batchNorm(image, tf.zeros([3]), tf.ones([3]), tf.zeros([3]), tf.ones([3]));
      tf.localResponseNormalization(image);
      tf.grad((y) => tf.localResponseNormalization(y as tf.Tensor4D))(image);
      tf.fused.conv2d({
        x: image,
        filter: tf.ones([3, 3, 3, 2]),
        strides: 1,
        pad: 'same',
        bias: tf.ones([2]),
        activation: 'relu',
      });
      tf.fused.depthwiseConv2d({
        x: image,
        filter: tf.ones([3, 3, 3, 1]),
        strides: 1,
        pad: 'same',
        activation: 'relu6',
      });
      tf.dilation2d(image, tf.ones([2, 2, 3]), 1, 'same');
      tf.grads((y, f) => tf.dilation2d(y as tf.Tensor4D, f as tf.Tensor3D, 1, 'same'))([image, tf.ones([2, 2, 3])]);
      tf.grads((y, f) => tf.conv3d(y as tf.Tensor5D, f as tf.Tensor5D, 1, 'same'))([volume, tf.ones([2, 2, 2, 2, 3])]);
      tf.grad((y) => tf.maxPool3d(y as tf.Tensor5D, 2, 2, 'valid'))(volume);
      tf.grad((y) => tf.avgPool3d(y as tf.Tensor5D, 2, 2, 'valid'))(volume);
      tf.grads((y, f) => tf.conv2d(y as tf.Tensor4D, f as tf.Tensor4D, 1, 'same'))([image, tf.ones([3, 3, 3, 2])]);
      tf.grads((y, f) => tf.depthwiseConv2d(y as tf.Tensor4D, f as tf.Tensor4D, 1, 'same'))([
        image,
        tf.ones([3, 3, 3, 1]),
      ]);
      tf.maxPoolWithArgmax(image, 2, 2, 'valid');
      tf.grad((y) => tf.image.resizeBilinear(y as tf.Tensor4D, [3, 3]))(image);
      tf.grad((y) => tf.image.resizeNearestNeighbor(y as tf.Tensor4D, [3, 3]))(image);
      tf.image.flipLeftRight(image);
      tf.image.rotateWithOffset(image, 0.3);
      tf.image.cropAndResize(image, tf.tensor2d([[0, 0, 1, 1]]), tf.tensor1d([0], 'int32'), [4, 4]);
      tf.image.transform(
        image,
        tf.tensor2d([
          [1, 0, 1, 0, 1, 0, 0, 0],
          [1, 0, 0, 0, 1, 1, 0, 0],
        ]),
      );
      tf.image.nonMaxSuppression(
        tf.tensor2d([
          [0, 0, 1, 1],
          [0, 0, 0.9, 1],
        ]),
        tf.tensor1d([0.5, 0.4]),
        2,
      );
      tf.grad((y) => tf.sum(tf.elu(y)))(x);
      tf.grad((y) => tf.sum(tf.gather(y, tf.tensor1d([1, 1], 'int32'))))(x);
    });
    const unwatched = tf
      .getKernelsForBackend('wasm')
      .map(({ kernelName }) => kernelName)
      .filter((name) => !seen.has(name));
    // What is left: strings and sparse bookkeeping, which no gradient saves, and what shares its code with a watched one.
    for (const name of ['Add', 'Relu', 'Select', 'Transpose', 'Conv2D', 'FusedBatchNorm', 'ScatterNd', 'TopK'])
      expect(unwatched).not.toContain(name);
    expect(unwatched.length).toBeLessThan(35);
    tf.dispose([x, p, i, b, image, volume]);
  });
});

describe('an alias', () => {
  it('lives until the last of its tensors is disposed, and shares one buffer', () => {
    const buffers = tf.memory().numDataBuffers;
    const x = tf.tensor1d([1, 2, 3]);
    const alias = tf.clone(x);
    expect(tf.memory().numDataBuffers).toBe(buffers + 1);
    x.dispose();
    tf.dispose(tf.tensor1d([7, 7, 7])); // would take the memory if it were free
    expect(Array.from(alias.dataSync())).toEqual([1, 2, 3]);
    alias.dispose();
    expect(tf.memory().numDataBuffers).toBe(buffers);
  });

  it('is not changed when a variable it was taken from is assigned', () => {
    const v = tf.variable(tf.tensor1d([1, 2]));
    const before = tf.clone(v);
    v.assign(tf.tensor1d([3, 4]));
    expect(Array.from(before.dataSync())).toEqual([1, 2]);
    v.dispose();
    before.dispose();
  });
});
