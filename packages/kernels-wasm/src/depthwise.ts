import type * as tf from '@tensorflow/tfjs-core';
import {
  isEmpty,
  opsGeometry,
  outShape,
  type ConvGeometry,
  type ConvAttrs,
  type StockConvAttrs,
} from '@polder/ops/geometry';
import { stockGeometry } from './geometry.js';
import { imageParts, inParts, partRange } from './lanes.js';
import { runtimeKernel, type KernelTable } from './registry.js';
import { addressOf, type Runtime } from './runtime.js';

type Inputs = Readonly<Record<'x' | 'dy' | 'filter', tf.TensorInfo>>;
type WithInputShape = { readonly inputShape: readonly number[] };
type WithFilterShape = { readonly filterShape: readonly number[] };

/** The numbers that all depthwise kernels end their arguments with. */
function numbers(g: ConvGeometry): readonly number[] {
  return [
    g.inC,
    g.outC / g.inC,
    g.inH,
    g.inW,
    g.outH,
    g.outW,
    g.kH,
    g.kW,
    g.strideH,
    g.strideW,
    g.dilationH,
    g.dilationW,
    g.top,
    g.left,
  ];
}

function forward(runtime: Runtime, { x, filter }: Inputs, g: ConvGeometry): tf.TensorInfo {
  const y = zeros(runtime, outShape(g));
  if (isEmpty(g)) return y;
  const at = (info: tf.TensorInfo): number => addressOf(runtime, info);
  inParts(runtime, imageParts(g.n), ({ kernels }, part) => {
    kernels.depthwiseForward(at(x), at(filter), at(y), ...partRange(g.n, imageParts(g.n), part), ...numbers(g));
  });
  return y;
}

function toInput(runtime: Runtime, { dy, filter }: Inputs, shape: readonly number[], g: ConvGeometry): tf.TensorInfo {
  const dx = zeros(runtime, shape);
  if (isEmpty(g)) return dx;
  const at = (info: tf.TensorInfo): number => addressOf(runtime, info);
  inParts(runtime, imageParts(g.n), ({ kernels }, part) => {
    kernels.depthwiseToInput(at(dy), at(filter), at(dx), ...partRange(g.n, imageParts(g.n), part), ...numbers(g));
  });
  return dx;
}

function toFilter(runtime: Runtime, { x, dy }: Inputs, shape: readonly number[], g: ConvGeometry): tf.TensorInfo {
  const dw = zeros(runtime, shape);
  if (isEmpty(g)) return dw;
  const at = (info: tf.TensorInfo): number => addressOf(runtime, info);
  const blocks = Math.ceil(g.outC / 4);
  const parts = Math.min(8, blocks);
  inParts(runtime, parts, ({ kernels }, part) => {
    const [from, to] = partRange(blocks, parts, part);
    kernels.depthwiseToFilter(at(x), at(dy), at(dw), g.n, from * 4, Math.min(to * 4, g.outC), ...numbers(g));
  });
  return dw;
}

function zeros({ backend }: Runtime, shape: readonly number[]): tf.TensorInfo {
  const info = backend.makeOutput([...shape], 'float32');
  backend.typedArrayFromHeap(info).fill(0);
  return info;
}

/** Depthwise convolution and its gradients; the stock forward kernel is fast and stays, but it has no dilated gradient. */
export const depthwiseKernels: KernelTable = {
  PolderDepthwiseConv2D: runtimeKernel((runtime, inputs: Inputs, attrs: ConvAttrs) =>
    forward(runtime, inputs, opsGeometry(inputs.x.shape, inputs.filter.shape, attrs, true)),
  ),
  PolderDepthwiseConv2DBackpropInput: runtimeKernel((runtime, inputs: Inputs, attrs: ConvAttrs & WithInputShape) =>
    toInput(runtime, inputs, attrs.inputShape, opsGeometry(attrs.inputShape, inputs.filter.shape, attrs, true)),
  ),
  PolderDepthwiseConv2DBackpropFilter: runtimeKernel((runtime, inputs: Inputs, attrs: ConvAttrs & WithFilterShape) =>
    toFilter(runtime, inputs, attrs.filterShape, opsGeometry(inputs.x.shape, attrs.filterShape, attrs, true)),
  ),
  DepthwiseConv2dNativeBackpropInput: runtimeKernel((runtime, inputs: Inputs, attrs: StockConvAttrs & WithInputShape) =>
    toInput(runtime, inputs, attrs.inputShape, stockGeometry(attrs.inputShape, inputs.filter.shape, attrs, true)),
  ),
  DepthwiseConv2dNativeBackpropFilter: runtimeKernel(
    (runtime, inputs: Inputs, attrs: StockConvAttrs & WithFilterShape) =>
      toFilter(runtime, inputs, attrs.filterShape, stockGeometry(inputs.x.shape, attrs.filterShape, attrs, true)),
  ),
};
