import type * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend.js';
import { gpuKernel, stockKernel, type KernelTable } from '../registry.js';
import { convFilter } from './conv-filter.js';
import { convInput } from './conv-input.js';
import {
  isEmpty,
  opsGeometry,
  outShape,
  stockGeometry,
  type ConvGeometry,
  type OpsConvAttrs,
  type StockConvAttrs,
} from './geometry.js';
import { makeTensor, makeZeros } from './program.js';

type Inputs = Readonly<Record<'x' | 'dy' | 'filter', tf.TensorInfo>>;
type WithInputShape = { readonly inputShape: readonly number[] };
type WithFilterShape = { readonly filterShape: readonly number[] };

/**
 * Convolution and its gradients: the stock names of the gradients, for any model, and the names @polder/ops asks for. The
 * forward pass is tfjs's own, which is a tiled matrix product already and takes any padding and dilation.
 */
export function convolutionKernels(): KernelTable {
  const stock = {
    forward: stockKernel('Conv2D'),
    toInput: stockKernel('Conv2DBackpropInput'),
    toFilter: stockKernel('Conv2DBackpropFilter'),
  };
  return {
    PolderConv2D: ({ inputs, attrs, backend }) => {
      const { x, filter } = inputs as unknown as Inputs;
      const { strides, dilations, pads } = attrs as unknown as OpsConvAttrs;
      const g = opsGeometry(x.shape, filter.shape, { strides, dilations, pads });
      if (isEmpty(g)) return makeZeros(backend as GpuBackend, outShape(g));
      const pad = [[0, 0], ...pads.map((pair) => [...pair]), [0, 0]];
      const stockAttrs = { strides: [...strides], pad, dataFormat: 'NHWC', dilations: [...dilations] };
      return stock.forward({ inputs, attrs: stockAttrs, backend });
    },
    PolderConv2DBackpropInput: gpuKernel((backend: GpuBackend, inputs: Inputs, attrs: OpsConvAttrs & WithInputShape) =>
      toInput(backend, inputs, attrs.inputShape, opsGeometry(attrs.inputShape, inputs.filter.shape, attrs)),
    ),
    PolderConv2DBackpropFilter: gpuKernel(
      (backend: GpuBackend, inputs: Inputs, attrs: OpsConvAttrs & WithFilterShape) =>
        toFilter(backend, inputs, attrs.filterShape, opsGeometry(inputs.x.shape, attrs.filterShape, attrs)),
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
