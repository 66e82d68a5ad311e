import * as tf from '@tensorflow/tfjs-core';
import { scatterTaps, tapsOf } from './taps.js';

type Shape4 = [number, number, number, number];
type Inputs = Record<string, tf.TensorInfo | undefined>;
type Attrs = Record<string, unknown>;
interface WindowAttrs {
  strides: number | [number, number];
  pad: unknown;
  dilations?: number | [number, number];
  dimRoundingMode?: unknown;
}
type Body = (inputs: Inputs, attrs: Attrs) => tf.Tensor | tf.Tensor[];

/** Kernel bodies get plain infos where a backend made them; ops want tensors. */
const tensor = (info: tf.TensorInfo | undefined): tf.Tensor => {
  if (info === undefined) throw new TypeError('a kernel input is missing');
  return info instanceof tf.Tensor ? info : tf.engine().makeTensorFromTensorInfo(info);
};

/** dF[r, c, i, o] = Σ x[b, y·s + r, x·s + c, i] · dy[b, y, x, o]: one matrix product per kernel position. */
const conv2dFilter: Body = (inputs, attrs) => {
  const x = tensor(inputs['x']) as tf.Tensor4D;
  const dy = tensor(inputs['dy']) as tf.Tensor4D;
  const filterShape = attrs['filterShape'] as Shape4;
  const { views } = tapsOf(x, filterShape, attrs as unknown as WindowAttrs, 0, false);
  const flatDy = tf.reshape(dy, [-1, filterShape[3]]);
  const products = views.map(({ view }) => tf.matMul(tf.reshape(view, [-1, filterShape[2]]), flatDy, true, false));
  return tf.reshape(tf.stack(products), filterShape);
};

const depthwiseFilter: Body = (inputs, attrs) => {
  const x = tensor(inputs['x']) as tf.Tensor4D;
  const dy = tensor(inputs['dy']) as tf.Tensor4D;
  const filterShape = attrs['filterShape'] as Shape4;
  const [, , channels, multiplier] = filterShape;
  const { views } = tapsOf(x, filterShape, attrs as unknown as WindowAttrs, 0, true);
  const flatDy = tf.reshape(dy, [-1, channels, multiplier]);
  const sums = views.map(({ view }) => tf.sum(tf.mul(tf.reshape(view, [-1, channels, 1]), flatDy), 0));
  return tf.reshape(tf.stack(sums), filterShape);
};

const depthwiseInput: Body = (inputs, attrs) => {
  const dy = tensor(inputs['dy']) as tf.Tensor4D;
  const filter = tensor(inputs['filter']) as tf.Tensor4D;
  const inputShape = attrs['inputShape'] as Shape4;
  const [height, width, channels, multiplier] = filter.shape;
  const window = attrs as unknown as WindowAttrs;
  const info = tf.backend_util.computeConv2DInfo(
    inputShape,
    filter.shape,
    window.strides,
    window.dilations ?? 1,
    window.pad as number,
    window.dimRoundingMode as 'floor',
    true,
  );
  const [b, h, w] = dy.shape;
  const split = tf.reshape(dy, [b * h * w, channels, multiplier]);
  const parts = [];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const weights = tf.reshape(tf.slice4d(filter, [row, column, 0, 0], [1, 1, channels, multiplier]), [
        1,
        channels,
        multiplier,
      ]);
      parts.push({
        row,
        column,
        view: tf.reshape<tf.Rank.R4>(tf.sum(tf.mul(split, weights), 2), [b, h, w, channels]),
      });
    }
  }
  return scatterTaps(parts, info);
};

/** Segment sums as a product with the one-hot matrix of the ids: [segments, ids] × [ids, rest]. */
const unsortedSegmentSum: Body = (inputs, attrs) => {
  const x = tensor(inputs['x']);
  const ids = tf.cast(tensor(inputs['segmentIds']), 'int32');
  const segments = attrs['numSegments'] as number;
  const rest = x.shape.slice(ids.rank);
  const oneHot = tf.cast(tf.oneHot(tf.reshape<tf.Rank.R1>(ids, [-1]), segments), 'float32');
  const flat = tf.reshape<tf.Rank.R2>(tf.cast(x, 'float32'), [ids.size, -1]);
  return tf.cast(tf.reshape(tf.matMul(oneHot as tf.Tensor2D, flat, true, false), [segments, ...rest]), x.dtype);
};

/**
 * Where each window's maximum is, as flat positions [B, H, W, C]: the first of equal values in row-major order, as
 * tfjs's MaxPoolGrad takes it. On the host: the memory of wasm and of tensorflow, which lack it, is at hand there, and
 * thirty small kernels take longer.
 */
const maxima = (x: tf.Tensor4D, attrs: Attrs): { places: Int32Array; info: tf.backend_util.Conv2DInfo } => {
  const { filterSize, strides, pad, dimRoundingMode } = attrs as unknown as WindowAttrs & { filterSize: number };
  const info = tf.backend_util.computePool2DInfo(
    x.shape,
    filterSize,
    strides,
    1,
    pad as number,
    dimRoundingMode as 'floor',
  );
  const values = x.dataSync();
  const { inHeight, inWidth, outHeight, outWidth, inChannels, strideHeight, strideWidth, padInfo } = info;
  const places = new Int32Array(info.batchSize * outHeight * outWidth * inChannels);
  let next = 0;
  for (let b = 0; b < info.batchSize; b++) {
    for (let i = 0; i < outHeight; i++) {
      const top = Math.max(0, i * strideHeight - padInfo.top);
      const bottom = Math.min(inHeight, i * strideHeight - padInfo.top + info.filterHeight);
      for (let j = 0; j < outWidth; j++) {
        const left = Math.max(0, j * strideWidth - padInfo.left);
        const right = Math.min(inWidth, j * strideWidth - padInfo.left + info.filterWidth);
        for (let c = 0; c < inChannels; c++) {
          let best = ((b * inHeight + top) * inWidth + left) * inChannels + c;
          for (let row = top; row < bottom; row++) {
            for (let column = left; column < right; column++) {
              const place = ((b * inHeight + row) * inWidth + column) * inChannels + c;
              if (values[place]! > values[best]!) best = place;
            }
          }
          places[next++] = best;
        }
      }
    }
  }
  return { places, info };
};

const maxPoolWithArgmax: Body = (inputs, attrs) => {
  const x = tensor(inputs['x']) as tf.Tensor4D;
  const { places, info } = maxima(x, attrs);
  const values = x.dataSync();
  const best = Float32Array.from(places, (place) => values[place]!);
  return [tf.tensor(best, info.outShape), tf.tensor(places, info.outShape, 'int32')];
};

const maxPoolGrad: Body = (inputs, attrs) => {
  const x = tensor(inputs['input']) as tf.Tensor4D;
  const dy = tensor(inputs['dy']).dataSync();
  const dx = new Float32Array(x.size);
  for (const [i, place] of maxima(x, attrs).places.entries()) dx[place] = dx[place]! + dy[i]!;
  return tf.tensor(dx, x.shape);
};

const bodies: Readonly<Record<string, Body>> = {
  Conv2DBackpropFilter: conv2dFilter,
  DepthwiseConv2dNativeBackpropFilter: depthwiseFilter,
  DepthwiseConv2dNativeBackpropInput: depthwiseInput,
  UnsortedSegmentSum: unsortedSegmentSum,
  MaxPoolWithArgmax: maxPoolWithArgmax,
};

/**
 * In place of stock kernels that are there and wrong: tfjs 4.22's wasm ones start their running maximum at the smallest
 * positive float, and take position 0 for a window without a positive value.
 */
const corrected: Readonly<Record<string, Readonly<Record<string, Body>>>> = {
  wasm: { MaxPoolWithArgmax: maxPoolWithArgmax, MaxPoolGrad: maxPoolGrad },
};

/**
 * Registers, for the backend, every kernel above that it lacks (stock wasm has no filter gradient of convolutions,
 * tensorflow no positions of maxima) and those that correct its own. Returns what puts the registry back.
 */
export const installKernels = (backendName: string): (() => void) => {
  const stockOf = (name: string): tf.KernelConfig | undefined => tf.getKernel(name, backendName);
  const lacking = Object.entries(bodies).filter(([name]) => stockOf(name) === undefined);
  const changed = Object.entries({ ...Object.fromEntries(lacking), ...corrected[backendName] }).map(
    ([kernelName, body]) => ({ kernelName, body, stock: stockOf(kernelName) }),
  );
  for (const { kernelName, body, stock } of changed) {
    if (stock !== undefined) tf.unregisterKernel(kernelName, backendName);
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs }) => tf.tidy(() => body(inputs, (attrs ?? {}) as Attrs)),
    });
  }
  return () => {
    for (const { kernelName, stock } of changed) {
      tf.unregisterKernel(kernelName, backendName);
      if (stock !== undefined) tf.registerKernel(stock);
    }
  };
};
