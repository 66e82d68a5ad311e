import * as tf from '@tensorflow/tfjs-core';
import {
  isEmpty,
  opsGeometry,
  outShape,
  type ConvGeometry,
  type ConvAttrs,
  type StockConvAttrs,
} from '@polder/ops/geometry';
import { convFilter } from './conv-filter.js';
import { convForward } from './conv-forward.js';
import { convInput } from './conv-input.js';
import { stockGeometry } from './geometry.js';
import { addressOf, type Runtime } from './runtime.js';
import { runtimeKernel, type KernelTable } from './registry.js';

type Inputs = Readonly<Record<'x' | 'dy' | 'filter', tf.TensorInfo>>;
type WithInputShape = { readonly inputShape: readonly number[] };
type WithFilterShape = { readonly filterShape: readonly number[] };

function forward(runtime: Runtime, { x, filter }: Inputs, geometry: ConvGeometry): tf.TensorInfo {
  const y = runtime.backend.makeOutput(outShape(geometry), 'float32');
  return compute(runtime, y, geometry, (at) => convForward(runtime, at(x), at(filter), at(y), geometry));
}

function toInput(runtime: Runtime, { dy, filter }: Inputs, shape: readonly number[], g: ConvGeometry): tf.TensorInfo {
  const dx = runtime.backend.makeOutput([...shape], 'float32');
  return compute(runtime, dx, g, (at) => convInput(runtime, at(dy), at(filter), at(dx), g));
}

function toFilter(runtime: Runtime, { x, dy }: Inputs, shape: readonly number[], g: ConvGeometry): tf.TensorInfo {
  const dw = runtime.backend.makeOutput([...shape], 'float32');
  return compute(runtime, dw, g, (at) => convFilter(runtime, at(x), at(dy), at(dw), g));
}

/** Runs `work`, or leaves zeros, the sum of no products, where there is nothing to multiply. */
function compute(
  runtime: Runtime,
  result: tf.TensorInfo,
  geometry: ConvGeometry,
  work: (at: (info: tf.TensorInfo) => number) => void,
): tf.TensorInfo {
  if (isEmpty(geometry)) runtime.backend.typedArrayFromHeap(result).fill(0);
  else work((info) => addressOf(runtime, info));
  return result;
}

/** Convolution and its gradients: the stock names, for any model, and the names @polder/ops asks for. */
export const convolutionKernels: KernelTable = {
  PolderConv2D: runtimeKernel((runtime, inputs: Inputs, attrs: ConvAttrs) =>
    forward(runtime, inputs, opsGeometry(inputs.x.shape, inputs.filter.shape, attrs)),
  ),
  PolderConv2DBackpropInput: runtimeKernel((runtime, inputs: Inputs, attrs: ConvAttrs & WithInputShape) =>
    toInput(runtime, inputs, attrs.inputShape, opsGeometry(attrs.inputShape, inputs.filter.shape, attrs)),
  ),
  PolderConv2DBackpropFilter: runtimeKernel((runtime, inputs: Inputs, attrs: ConvAttrs & WithFilterShape) =>
    toFilter(runtime, inputs, attrs.filterShape, opsGeometry(inputs.x.shape, attrs.filterShape, attrs)),
  ),
  Conv2D: runtimeKernel((runtime, inputs: Inputs, attrs: StockConvAttrs) =>
    forward(runtime, inputs, stockGeometry(inputs.x.shape, inputs.filter.shape, attrs)),
  ),
  Conv2DBackpropInput: runtimeKernel((runtime, inputs: Inputs, attrs: StockConvAttrs & WithInputShape) =>
    toInput(runtime, inputs, attrs.inputShape, stockGeometry(attrs.inputShape, inputs.filter.shape, attrs)),
  ),
  Conv2DBackpropFilter: runtimeKernel((runtime, inputs: Inputs, attrs: StockConvAttrs & WithFilterShape) =>
    toFilter(runtime, inputs, attrs.filterShape, stockGeometry(inputs.x.shape, attrs.filterShape, attrs)),
  ),
};
