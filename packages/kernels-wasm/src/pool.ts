import * as tf from '@tensorflow/tfjs-core';
import type { StockConvAttrs } from '@polder/ops/geometry';
import { imageParts, inParts, partRange } from './lanes.js';
import { runtimeKernel, type KernelTable } from './registry.js';
import { addressOf } from './runtime.js';

type PoolAttrs = Pick<StockConvAttrs, 'strides' | 'pad' | 'dimRoundingMode'> & {
  readonly filterSize: [number, number] | number;
};

/** The stock gradient of max pooling gives nothing to windows without a positive number; this one does. */
export const poolKernels: KernelTable = {
  MaxPoolGrad: runtimeKernel(
    (runtime, { dy, input }: Readonly<Record<'dy' | 'input', tf.TensorInfo>>, attrs: PoolAttrs) => {
      const shape = input.shape as [number, number, number, number];
      const { filterSize, strides, pad, dimRoundingMode } = attrs;
      const g = tf.backend_util.computePool2DInfo(shape, filterSize, strides, 1, pad, dimRoundingMode);
      const dx = runtime.backend.makeOutput(shape, 'float32');
      runtime.backend.typedArrayFromHeap(dx).fill(0);
      const at = (info: tf.TensorInfo): number => addressOf(runtime, info);
      const parts = imageParts(g.batchSize);
      inParts(runtime, parts, ({ kernels }, part) => {
        kernels.maxPoolGrad(
          at(input),
          at(dy),
          at(dx),
          ...partRange(g.batchSize, parts, part),
          g.inChannels,
          g.inHeight,
          g.inWidth,
          g.outHeight,
          g.outWidth,
          g.filterHeight,
          g.filterWidth,
          g.strideHeight,
          g.strideWidth,
          g.padInfo.top,
          g.padInfo.left,
        );
      });
      return dx;
    },
  ),
};
