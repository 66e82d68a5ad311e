import * as tf from '@tensorflow/tfjs-core';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { ConvGeometry } from '@polder/ops/geometry';
import { BACKEND } from './backend.js';
import { convFilter } from './conv-filter.js';
import { convForward } from './conv-forward.js';
import { convInput } from './conv-input.js';
import { addressOf, runtimeOf, scratch, type Runtime } from './runtime.js';

// A matrix product is a 1 × 1 convolution over its rows: A · B the forward one, A · Bᵀ its gradient in the image and
// Aᵀ · B its gradient in the filter. Stock multiplies transposed matrices, which every gradient of a dense layer does, in
// a plain loop.

interface Attrs {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Kernel 'BatchMatMul'. Batches stretch to each other along any axes, which stock gets wrong. */
export function batchMatMul(): tf.KernelFunc {
  const stock = tf.getKernel('BatchMatMul', BACKEND).kernelFunc;
  return (args) => {
    const { a, b } = args.inputs as Readonly<Record<'a' | 'b', tf.TensorInfo>>;
    const { transposeA, transposeB } = args.attrs as unknown as Attrs;
    const [m, k] = matrix(a, transposeA);
    const [inner, n] = matrix(b, transposeB);
    // What the stock kernel refuses: it says why.
    if (a.dtype !== 'float32' || b.dtype !== 'float32' || inner !== k) return stock(args);
    const runtime = runtimeOf(args.backend as BackendWasm);
    const batch = tf.backend_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
    const c = runtime.backend.makeOutput([...batch, m, n], 'float32');
    const times = tf.util.sizeFromShape(batch);
    if (times * m * n * k === 0) {
      runtime.backend.typedArrayFromHeap(c).fill(0);
      return c;
    }
    const multiply = transposeA
      ? transposeB
        ? bothTransposed
        : transposedTimes
      : transposeB
        ? timesTransposed
        : plain;
    for (let i = 0; i < times; i++) {
      const [ofA, ofB] = [stretched(batch, a, i), stretched(batch, b, i)];
      const [left, right] = [addressOf(runtime, a) + ofA * m * k * 4, addressOf(runtime, b) + ofB * k * n * 4];
      multiply(runtime, left, right, addressOf(runtime, c) + i * m * n * 4, m, k, n);
    }
    return c;
  };
}

/** Which of a tensor's matrices is the `index`-th of the batch that it is stretched to. */
function stretched(batch: readonly number[], { shape }: tf.TensorInfo, index: number): number {
  let [found, stride, rest] = [0, 1, index];
  for (let axis = 1; axis <= batch.length; axis++) {
    const size = batch.at(-axis)!;
    const own = shape.at(-2 - axis) ?? 1;
    if (own !== 1) found += (rest % size) * stride;
    stride *= own;
    rest = Math.floor(rest / size);
  }
  return found;
}

type Product = (runtime: Runtime, a: number, b: number, c: number, m: number, k: number, n: number) => void;

const plain: Product = (runtime, a, b, c, m, k, n) => convForward(runtime, a, b, c, overRows(m, k, n));
const timesTransposed: Product = (runtime, a, b, c, m, k, n) => convInput(runtime, a, b, c, overRows(m, n, k));
const transposedTimes: Product = (runtime, a, b, c, m, k, n) => convFilter(runtime, a, b, c, overRows(k, m, n));

/** Aᵀ · Bᵀ = (B · A)ᵀ. No gradient of a dense layer asks for it. */
const bothTransposed: Product = (runtime, a, b, c, m, k, n) => {
  const product = scratch(runtime, 'product', n * m * 4);
  plain(runtime, b, a, product, n, k, m);
  const numbers = new Float32Array(runtime.heap.HEAPU8.buffer);
  for (let row = 0; row < m; row++)
    for (let column = 0; column < n; column++)
      numbers[c / 4 + row * n + column] = numbers[product / 4 + column * m + row]!;
};

/** Rows and columns of the matrix, or of its transpose. */
function matrix({ shape }: tf.TensorInfo, transposed: boolean): readonly [number, number] {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  return transposed ? [columns, rows] : [rows, columns];
}

/** A 1 × 1 convolution of `rows` pixels, as images of a size that the caches and the threads like. */
function overRows(rows: number, inC: number, outC: number): ConvGeometry {
  const n = imagesOf(rows);
  const width = rows / n;
  return {
    n,
    inH: 1,
    inW: width,
    inC,
    outH: 1,
    outW: width,
    outC,
    kH: 1,
    kW: 1,
    strideH: 1,
    strideW: 1,
    dilationH: 1,
    dilationW: 1,
    top: 0,
    left: 0,
  };
}

/** At least 8 equal images of at most 256 pixels, or else single pixels; small ones stay whole. */
function imagesOf(rows: number): number {
  if (rows <= 16) return 1;
  for (let n = 8; n <= rows / 4; n++) if (rows % n === 0 && rows / n <= 256) return n;
  return rows;
}
