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
import { gpuKernel, stockKernel, type KernelTable } from '../registry.js';
import { convFilter } from './conv-filter.js';
import { convForward } from './conv-forward.js';
import { convInput } from './conv-input.js';
import { makeTensor, makeZeros } from './program.js';

type Inputs = Readonly<Record<'x' | 'dy' | 'filter', tf.TensorInfo>>;
type WithInputShape = { readonly inputShape: readonly number[] };
type WithFilterShape = { readonly filterShape: readonly number[] };

/** Convolution and its gradients: the stock names, for any model, and the names @polder/ops asks for. */
export function convolutionKernels(): KernelTable {
  const stock = {
    forward: stockKernel('Conv2D'),
    toInput: stockKernel('Conv2DBackpropInput'),
    toFilter: stockKernel('Conv2DBackpropFilter'),
  };
  return {
    PolderConv2D: gpuKernel((backend: GpuBackend, inputs: Inputs, attrs: ConvAttrs) =>
      forward(backend, inputs, opsGeometry(inputs.x.shape, inputs.filter.shape, attrs)),
    ),
    PolderConv2DBackpropInput: gpuKernel((backend: GpuBackend, inputs: Inputs, attrs: ConvAttrs & WithInputShape) =>
      toInput(backend, inputs, attrs.inputShape, opsGeometry(attrs.inputShape, inputs.filter.shape, attrs)),
    ),
    PolderConv2DBackpropFilter: gpuKernel((backend: GpuBackend, inputs: Inputs, attrs: ConvAttrs & WithFilterShape) =>
      toFilter(backend, inputs, attrs.filterShape, opsGeometry(inputs.x.shape, attrs.filterShape, attrs)),
    ),
    Conv2D: channelsLast(
      stock.forward,
      gpuKernel((backend: GpuBackend, inputs: Inputs, attrs: StockConvAttrs) =>
        forward(backend, inputs, stockGeometry(inputs.x.shape, inputs.filter.shape, attrs)),
      ),
    ),
    Conv2DBackpropInput: channelsLast(
      stock.toInput,
      gpuKernel((backend: GpuBackend, inputs: Inputs, attrs: StockConvAttrs & WithInputShape) =>
        toInput(backend, inputs, attrs.inputShape, stockGeometry(attrs.inputShape, inputs.filter.shape, attrs)),
      ),
    ),
    Conv2DBackpropFilter: channelsLast(
      stock.toFilter,
      gpuKernel((backend: GpuBackend, inputs: Inputs, attrs: StockConvAttrs & WithFilterShape) =>
        toFilter(backend, inputs, attrs.filterShape, stockGeometry(inputs.x.shape, attrs.filterShape, attrs)),
      ),
    ),
  };
}

/** Ours, but for channels first, which is left to the stock kernel. */
function channelsLast(stock: tf.KernelFunc, ours: tf.KernelFunc): tf.KernelFunc {
  return (args) => ((args.attrs as unknown as StockConvAttrs).dataFormat === 'NCHW' ? stock(args) : ours(args));
}

function forward(backend: GpuBackend, { x, filter }: Inputs, g: ConvGeometry): tf.TensorInfo {
  if (isEmpty(g)) return makeZeros(backend, outShape(g));
  const y = makeTensor(backend, outShape(g));
  convForward(backend, x, filter, y, g);
  return y;
}

function toInput(
  backend: GpuBackend,
  { dy, filter }: Inputs,
  shape: readonly number[],
  g: ConvGeometry,
): tf.TensorInfo {
  if (isEmpty(g)) return makeZeros(backend, shape);
  const dx = makeTensor(backend, shape);
  convInput(backend, dy, filter, dx, g);
  return dx;
}

function toFilter(backend: GpuBackend, { x, dy }: Inputs, shape: readonly number[], g: ConvGeometry): tf.TensorInfo {
  if (isEmpty(g)) return makeZeros(backend, shape);
  const dw = makeTensor(backend, shape);
  convFilter(backend, x, dy, dw, g);
  return dw;
}
