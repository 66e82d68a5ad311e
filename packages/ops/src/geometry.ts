import * as tf from '@tensorflow/tfjs-core';
import type { ConvAttrs } from './conv.js';

// What every package of kernels works out before it convolves.

/** A 2-D convolution in numbers; NHWC, HWIO. Sizes in pixels, `top` and `left` the padding before the image. */
export interface ConvGeometry {
  readonly n: number;
  readonly inH: number;
  readonly inW: number;
  readonly inC: number;
  readonly outH: number;
  readonly outW: number;
  readonly outC: number;
  readonly kH: number;
  readonly kW: number;
  readonly strideH: number;
  readonly strideW: number;
  readonly dilationH: number;
  readonly dilationW: number;
  readonly top: number;
  readonly left: number;
}

type Shape4 = [number, number, number, number];

/** Attributes of tfjs's own convolution kernels. */
export interface StockConvAttrs {
  readonly strides: [number, number] | number;
  readonly pad: 'same' | 'valid' | number | tf.backend_util.ExplicitPadding;
  readonly dataFormat?: 'NHWC' | 'NCHW';
  readonly dilations?: [number, number] | number;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** The geometry of a stock kernel call, channels last. `depthwise`: the filter is [rows, columns, channels, multiplier]. */
export function stockGeometry(
  inShape: readonly number[],
  filterShape: readonly number[],
  { strides, pad, dilations = 1, dimRoundingMode }: StockConvAttrs,
  depthwise = false,
): ConvGeometry {
  const [images, filter] = [[...inShape] as Shape4, [...filterShape] as Shape4];
  const info = tf.backend_util.computeConv2DInfo(images, filter, strides, dilations, pad, dimRoundingMode, depthwise);
  return {
    n: info.batchSize,
    inH: info.inHeight,
    inW: info.inWidth,
    inC: info.inChannels,
    outH: info.outHeight,
    outW: info.outWidth,
    outC: info.outChannels,
    kH: info.filterHeight,
    kW: info.filterWidth,
    strideH: info.strideHeight,
    strideW: info.strideWidth,
    dilationH: info.dilationHeight,
    dilationW: info.dilationWidth,
    top: info.padInfo.top,
    left: info.padInfo.left,
  };
}

/** The geometry of a call of this package's convolution kernels. */
export function opsGeometry(
  inShape: readonly number[],
  filterShape: readonly number[],
  { strides, dilations, pads }: ConvAttrs,
  depthwise = false,
): ConvGeometry {
  const [n, inH, inW, inC] = inShape as Shape4;
  const [kH, kW, filterIn, filterOut] = filterShape as Shape4;
  const out = (size: number, k: number, axis: 0 | 1): number => {
    const room = size + pads[axis][0] + pads[axis][1] - ((k - 1) * dilations[axis] + 1);
    return room < 0 ? 0 : Math.floor(room / strides[axis]) + 1;
  };
  return {
    n,
    inH,
    inW,
    inC,
    outH: out(inH, kH, 0),
    outW: out(inW, kW, 1),
    outC: depthwise ? filterIn * filterOut : filterOut,
    kH,
    kW,
    strideH: strides[0],
    strideW: strides[1],
    dilationH: dilations[0],
    dilationW: dilations[1],
    top: pads[0][0],
    left: pads[1][0],
  };
}

/** Are there no products to sum? */
export function isEmpty({ n, inH, inW, inC, outH, outW, outC, kH, kW }: ConvGeometry): boolean {
  return n * inH * inW * inC * outH * outW * outC * kH * kW === 0;
}

/** [images, rows, columns, channels] of what the forward convolution gives. */
export function outShape({ n, outH, outW, outC }: ConvGeometry): Shape4 {
  return [n, outH, outW, outC];
}

export type { ConvAttrs };
