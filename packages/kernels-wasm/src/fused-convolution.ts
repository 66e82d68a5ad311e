import * as tf from '@tensorflow/tfjs-core';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { isEmpty, outShape, type StockConvAttrs } from '@polder/ops/geometry';
import { BACKEND } from './backend.js';
import { convForward } from './conv-forward.js';
import { stockGeometry } from './geometry.js';
import { inParts, partRange } from './lanes.js';
import { addressOf, runtimeOf, scratch, type Runtime } from './runtime.js';

type Inputs = Readonly<Record<'x' | 'filter', tf.TensorInfo>> & { readonly bias?: tf.TensorInfo };
type Attrs = StockConvAttrs & { readonly activation: string };

/**
 * Convolution with bias and activation, which is what tf.layers' conv2d runs: ours for no activation and ReLU, the
 * stock kernel for the others.
 */
export function fusedConvolution(): tf.KernelFunc {
  const stock = tf.getKernel('FusedConv2D', BACKEND).kernelFunc;
  return (args) => {
    const { x, filter, bias } = args.inputs as Inputs;
    const attrs: Attrs = args.attrs as unknown as Attrs;
    const g = stockGeometry(x.shape, filter.shape, attrs);
    const ours = attrs.activation === 'linear' || attrs.activation === 'relu';
    // Also what the stock kernel refuses: it says why.
    const fits = bias == null || (bias.shape.length === 1 && bias.shape[0] === g.outC);
    if (!ours || !fits || isEmpty(g)) return stock(args);
    const runtime = runtimeOf(args.backend as BackendWasm);
    const y = runtime.backend.makeOutput(outShape(g), 'float32');
    convForward(runtime, addressOf(runtime, x), addressOf(runtime, filter), addressOf(runtime, y), g);
    if (bias != null || attrs.activation === 'relu') {
      finish(runtime, addressOf(runtime, y), g.n * g.outH * g.outW, g.outC, bias, attrs.activation === 'relu');
    }
    return y;
  };
}

/** y = relu?(y + bias), in place: batch norm's affine pass with a scale of 1. */
function finish(
  runtime: Runtime,
  y: number,
  pixels: number,
  channels: number,
  bias: tf.TensorInfo | undefined,
  relu: boolean,
): void {
  const constants = scratch(runtime, 'fused', channels * 8);
  const cells = new Float32Array(runtime.heap.HEAPU8.buffer, constants, channels * 2);
  cells.fill(1, 0, channels).fill(0, channels);
  const offset = bias == null ? constants + channels * 4 : addressOf(runtime, bias);
  const parts = Math.max(1, Math.min(8, Math.floor(pixels / 512)));
  inParts(runtime, parts, ({ kernels }, part) => {
    kernels.bnApply(y, channels, constants, offset, 0, relu ? 1 : 0, y, ...partRange(pixels, parts, part));
  });
}
