import * as tf from '@tensorflow/tfjs-core';
import type { StockConvAttrs } from '@polder/ops/geometry';
import type { GpuBackend } from '../backend.js';
import { gpuKernel, stockKernel, type KernelTable } from '../registry.js';
import { dispatch, makeTensor, makeZeros, sizeOf, type Shader } from './program.js';

type Attrs = Pick<StockConvAttrs, 'strides' | 'pad' | 'dimRoundingMode'> & {
  readonly filterSize: [number, number] | number;
};

/**
 * The gradient of max pooling goes to the first of equal maxima, as everywhere else, and so do the places that
 * maxPoolWithArgmax gives, of which second derivatives are made; the stock kernels take the last, and behind a ReLU zeros
 * tie all the time.
 */
export function poolKernels(): KernelTable {
  const stock = stockKernel('MaxPoolWithArgmax');
  return {
    MaxPoolGrad: gpuKernel(
      (backend: GpuBackend, { dy, input }: Readonly<Record<'dy' | 'input', tf.TensorInfo>>, attrs: Attrs) => {
        if (sizeOf(input) === 0 || sizeOf(dy) === 0) return makeZeros(backend, input.shape);
        const dx = makeTensor(backend, input.shape);
        dispatch(backend, MAX_POOL_GRAD, {
          inputs: [dy, input],
          outputs: [dx],
          uniforms: [sizeOf(dx), ...windowNumbers(poolOf(input, attrs))],
          groups: Math.ceil(sizeOf(dx) / 128),
        });
        return dx;
      },
    ),
    MaxPoolWithArgmax: (args) => {
      const { x } = args.inputs as { readonly x: tf.TensorInfo };
      const attrs = args.attrs as unknown as Attrs & { readonly includeBatchInIndex: boolean };
      const g = poolOf(x, attrs);
      if (x.dtype !== 'float32' || sizeOf(x) * sizeOf({ shape: g.outShape }) === 0) return stock(args);
      const backend = args.backend as GpuBackend;
      const outputs = [makeTensor(backend, g.outShape), makeTensor(backend, g.outShape, 'int32')];
      dispatch(backend, MAX_POOL_WITH_ARGMAX, {
        inputs: [x],
        outputs,
        uniforms: [sizeOf(outputs[0]!), ...windowNumbers(g), attrs.includeBatchInIndex ? 1 : 0],
        groups: Math.ceil(sizeOf(outputs[0]!) / 128),
      });
      return outputs;
    },
  };
}

function poolOf(
  { shape }: tf.TensorInfo,
  { filterSize, strides, pad, dimRoundingMode }: Attrs,
): tf.backend_util.Conv2DInfo {
  const image = [...shape] as [number, number, number, number];
  return tf.backend_util.computePool2DInfo(image, filterSize, strides, 1, pad, dimRoundingMode);
}

const WINDOW_UNIFORMS: Shader['uniforms'] = {
  inH: 'i32',
  inW: 'i32',
  channels: 'i32',
  outH: 'i32',
  outW: 'i32',
  kH: 'i32',
  kW: 'i32',
  strideH: 'i32',
  strideW: 'i32',
  top: 'i32',
  left: 'i32',
};

/** In the order of WINDOW_UNIFORMS. */
function windowNumbers(g: tf.backend_util.Conv2DInfo): readonly number[] {
  return [
    g.inHeight,
    g.inWidth,
    g.inChannels,
    g.outHeight,
    g.outWidth,
    g.filterHeight,
    g.filterWidth,
    g.strideHeight,
    g.strideWidth,
    g.padInfo.top,
    g.padInfo.left,
  ];
}

const MAX_POOL_GRAD: Shader = {
  key: 'max pool gradient',
  inputs: { dy: 'f32', x: 'f32' },
  outputs: { dx: 'f32' },
  uniforms: { count: 'i32', ...WINDOW_UNIFORMS },
  threads: 128,
  code: `
fn main(group : i32, lane : i32) {
  let i = group * 128 + lane;
  if (i >= u.count) { return; }
  let channel = i % u.channels;
  let pixel = i / u.channels;
  let column = pixel % u.inW;
  let row = (pixel / u.inW) % u.inH;
  let picture = pixel / (u.inW * u.inH);
  let own = x[i];
  var sum = 0.0;
  // Windows whose rows oy · stride − top … + kH − 1 hold this one.
  let lastY = min((row + u.top) / u.strideH, u.outH - 1);
  let lastX = min((column + u.left) / u.strideW, u.outW - 1);
  for (var oy = max(0, (row + u.top - u.kH + u.strideH) / u.strideH); oy <= lastY; oy = oy + 1) {
    for (var ox = max(0, (column + u.left - u.kW + u.strideW) / u.strideW); ox <= lastX; ox = ox + 1) {
      let y0 = oy * u.strideH - u.top;
      let x0 = ox * u.strideW - u.left;
      // Is it the window's first maximum? None before it may be as large, none behind it larger.
      var first = true;
      for (var y = max(y0, 0); y < min(y0 + u.kH, u.inH) && first; y = y + 1) {
        for (var z = max(x0, 0); z < min(x0 + u.kW, u.inW); z = z + 1) {
          let v = x[((picture * u.inH + y) * u.inW + z) * u.channels + channel];
          let before = y < row || (y == row && z < column);
          if (v > own || (before && v == own)) { first = false; }
        }
      }
      if (first) { sum = sum + dy[((picture * u.outH + oy) * u.outW + ox) * u.channels + channel]; }
    }
  }
  dx[i] = sum;
}`,
};

const MAX_POOL_WITH_ARGMAX: Shader = {
  key: 'max pool with argmax',
  inputs: { x: 'f32' },
  outputs: { y: 'f32', places: 'i32' },
  uniforms: { count: 'i32', ...WINDOW_UNIFORMS, batches: 'i32' },
  threads: 128,
  code: `
fn main(group : i32, lane : i32) {
  let i = group * 128 + lane;
  if (i >= u.count) { return; }
  let channel = i % u.channels;
  let pixel = i / u.channels;
  let x0 = (pixel % u.outW) * u.strideW - u.left;
  let y0 = ((pixel / u.outW) % u.outH) * u.strideH - u.top;
  let first = (pixel / (u.outW * u.outH)) * u.inH * u.inW * u.channels;
  var place = -1;
  var top = 0.0;
  for (var row = max(y0, 0); row < min(y0 + u.kH, u.inH); row = row + 1) {
    for (var column = max(x0, 0); column < min(x0 + u.kW, u.inW); column = column + 1) {
      let at = first + (row * u.inW + column) * u.channels + channel;
      if (place < 0 || x[at] > top) { top = x[at]; place = at; }
    }
  }
  y[i] = top;
  places[i] = select(place - first, place, u.batches != 0);
}`,
};
