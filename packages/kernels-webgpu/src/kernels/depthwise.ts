import type * as tf from '@tensorflow/tfjs-core';
import {
  isEmpty,
  opsGeometry,
  outShape,
  stockGeometry,
  type ConvGeometry,
  type ConvAttrs,
  type StockConvAttrs,
} from '@polder/ops/geometry';
import type { GpuBackend } from '../backend.js';
import { gpuKernel, type KernelTable } from '../registry.js';
import { geometryNumbers, GEOMETRY_UNIFORMS } from './geometry.js';
import { dispatch, makeTensor, makeZeros, sizeOf, withScratch, type Shader } from './program.js';
import { COLUMNS, COLUMN_THREADS, sumParts } from './reduce.js';

type Inputs = Readonly<Record<'x' | 'dy' | 'filter', tf.TensorInfo>>;
type WithInputShape = { readonly inputShape: readonly number[] };
type WithFilterShape = { readonly filterShape: readonly number[] };

/** Depthwise convolution and its gradients, dilated ones too: the names @polder/ops asks for, and the stock gradient. */
export const depthwiseKernels: KernelTable = {
  PolderDepthwiseConv2D: gpuKernel((backend: GpuBackend, { x, filter }: Inputs, attrs: ConvAttrs) => {
    const g = opsGeometry(x.shape, filter.shape, attrs, true);
    return overPixels(backend, FORWARD, [x, filter], outShape(g), g);
  }),
  PolderDepthwiseConv2DBackpropInput: gpuKernel(
    (backend: GpuBackend, { dy, filter }: Inputs, attrs: ConvAttrs & WithInputShape) => {
      const g = opsGeometry(attrs.inputShape, filter.shape, attrs, true);
      return overPixels(backend, TO_INPUT, [dy, filter], attrs.inputShape, g);
    },
  ),
  PolderDepthwiseConv2DBackpropFilter: gpuKernel(
    (backend: GpuBackend, { x, dy }: Inputs, attrs: ConvAttrs & WithFilterShape) =>
      toFilter(backend, x, dy, attrs.filterShape, opsGeometry(x.shape, attrs.filterShape, attrs, true)),
  ),
  DepthwiseConv2dNativeBackpropFilter: gpuKernel(
    (backend: GpuBackend, { x, dy }: Inputs, attrs: StockConvAttrs & WithFilterShape) =>
      toFilter(backend, x, dy, attrs.filterShape, stockGeometry(x.shape, attrs.filterShape, attrs, true)),
  ),
};

function overPixels(
  backend: GpuBackend,
  shader: Shader,
  inputs: readonly tf.TensorInfo[],
  shape: readonly number[],
  g: ConvGeometry,
): tf.TensorInfo {
  if (isEmpty(g)) return makeZeros(backend, shape);
  const result = makeTensor(backend, shape);
  const groups = Math.ceil(sizeOf(result) / 128);
  dispatch(backend, shader, { inputs, outputs: [result], uniforms: geometryNumbers(g), groups });
  return result;
}

const FORWARD: Shader = {
  key: 'depthwise',
  inputs: { x: 'f32', filters: 'f32' },
  outputs: { y: 'f32' },
  uniforms: GEOMETRY_UNIFORMS,
  threads: 128,
  code: `
fn main(group : i32, lane : i32) {
  let i = group * 128 + lane;
  if (i >= u.n * u.outH * u.outW * u.outC) { return; }
  let channel = i % u.outC;
  let pixel = i / u.outC;
  let column = (pixel % u.outW) * u.strideW - u.left;
  let row = ((pixel / u.outW) % u.outH) * u.strideH - u.top;
  let picture = pixel / (u.outW * u.outH);
  let source = channel / (u.outC / u.inC);
  var sum = 0.0;
  for (var ky = 0; ky < u.kH; ky = ky + 1) {
    let down = row + ky * u.dilationH;
    if (down < 0 || down >= u.inH) { continue; }
    for (var kx = 0; kx < u.kW; kx = kx + 1) {
      let aside = column + kx * u.dilationW;
      if (aside < 0 || aside >= u.inW) { continue; }
      sum = sum + x[((picture * u.inH + down) * u.inW + aside) * u.inC + source] * filters[(ky * u.kW + kx) * u.outC + channel];
    }
  }
  y[i] = sum;
}`,
};

const TO_INPUT: Shader = {
  key: 'depthwise input gradient',
  inputs: { dy: 'f32', filters: 'f32' },
  outputs: { dx: 'f32' },
  uniforms: GEOMETRY_UNIFORMS,
  threads: 128,
  code: `
fn main(group : i32, lane : i32) {
  let i = group * 128 + lane;
  if (i >= u.n * u.inH * u.inW * u.inC) { return; }
  let channel = i % u.inC;
  let pixel = i / u.inC;
  let column = pixel % u.inW + u.left;
  let row = (pixel / u.inW) % u.inH + u.top;
  let picture = pixel / (u.inW * u.inH);
  let multiplier = u.outC / u.inC;
  var sum = 0.0;
  for (var ky = 0; ky < u.kH; ky = ky + 1) {
    let down = row - ky * u.dilationH;
    if (down < 0 || down % u.strideH != 0 || down / u.strideH >= u.outH) { continue; }
    for (var kx = 0; kx < u.kW; kx = kx + 1) {
      let aside = column - kx * u.dilationW;
      if (aside < 0 || aside % u.strideW != 0 || aside / u.strideW >= u.outW) { continue; }
      let at = ((picture * u.outH + down / u.strideH) * u.outW + aside / u.strideW) * u.outC + channel * multiplier;
      let tap = (ky * u.kW + kx) * u.outC + channel * multiplier;
      for (var k = 0; k < multiplier; k = k + 1) { sum = sum + dy[at + k] * filters[tap + k]; }
    }
  }
  dx[i] = sum;
}`,
};

/** dw by workgroups of 16 output channels × 16 pixels, one tap and a part of the pixels each. */
function toFilter(
  backend: GpuBackend,
  x: tf.TensorInfo,
  dy: tf.TensorInfo,
  shape: readonly number[],
  g: ConvGeometry,
): tf.TensorInfo {
  if (isEmpty(g)) return makeZeros(backend, shape);
  const dw = makeTensor(backend, shape);
  const groups = g.kH * g.kW * Math.ceil(g.outC / COLUMNS);
  const pixels = g.n * g.outH * g.outW;
  const wanted = Math.max(1, Math.min(Math.ceil(512 / groups), Math.ceil(pixels / 256)));
  const chunk = Math.ceil(pixels / wanted);
  const parts = Math.ceil(pixels / chunk);
  const products = (result: tf.TensorInfo): void => {
    const uniforms = [...geometryNumbers(g), chunk];
    dispatch(backend, TO_FILTER, { inputs: [x, dy], outputs: [result], uniforms, groups: groups * parts });
  };
  if (parts === 1) products(dw);
  else {
    withScratch(backend, parts * sizeOf(dw), (partial) => {
      products(partial);
      sumParts(backend, partial, parts, dw);
    });
  }
  return dw;
}

const TO_FILTER: Shader = {
  key: 'depthwise filter gradient',
  inputs: { x: 'f32', dy: 'f32' },
  outputs: { dw: 'f32' },
  uniforms: { ...GEOMETRY_UNIFORMS, chunk: 'i32' },
  threads: COLUMN_THREADS,
  code: `
var<workgroup> sums : array<f32, ${COLUMN_THREADS}>;
fn main(group : i32, lane : i32) {
  let tiles = (u.outC + ${COLUMNS - 1}) / ${COLUMNS};
  let taps = u.kH * u.kW;
  let channel = (group % tiles) * ${COLUMNS} + lane % ${COLUMNS};
  let tap = (group / tiles) % taps;
  let part = group / (tiles * taps);
  let end = min((part + 1) * u.chunk, u.n * u.outH * u.outW);
  let source = channel / (u.outC / u.inC);
  var sum = 0.0;
  if (channel < u.outC) {
    for (var pixel = part * u.chunk + lane / ${COLUMNS}; pixel < end; pixel = pixel + ${COLUMN_THREADS / COLUMNS}) {
      let line = pixel / u.outW;
      let picture = line / u.outH;
      let down = (line - picture * u.outH) * u.strideH - u.top + (tap / u.kW) * u.dilationH;
      let aside = (pixel - line * u.outW) * u.strideW - u.left + (tap % u.kW) * u.dilationW;
      if (down >= 0 && down < u.inH && aside >= 0 && aside < u.inW) {
        sum = sum + x[((picture * u.inH + down) * u.inW + aside) * u.inC + source] * dy[pixel * u.outC + channel];
      }
    }
  }
  sums[lane] = sum;
  for (var k = 128; k >= ${COLUMNS}; k = k >> 1) {
    workgroupBarrier();
    if (lane < k) { sums[lane] = sums[lane] + sums[lane + k]; }
  }
  if (lane < ${COLUMNS} && channel < u.outC) { dw[(part * taps + tap) * u.outC + channel] = sums[lane]; }
}`,
};
