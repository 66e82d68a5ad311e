import type * as tf from '@tensorflow/tfjs-core';
import type { ConvAttrs } from '@polder/ops';
import type { Binding, OpAttribute } from '../backend.js';
import { intAttr, nativeKernel, only, type Native } from './native.js';

type Shape = readonly number[];
type Inputs = Readonly<Record<'x' | 'dy' | 'filter', tf.TensorInfo>>;

/** Floats of a filter's row beyond which its taps leave the nearest caches, and oneDNN's blocking is faster. */
const LARGEST_FILTER = 9 * 128 * 128;

/**
 * PolderConv2D of @polder/ops and its two gradients as our own ops, where those are the faster ones: no dilation, channels
 * that fill vectors of 16 floats, filters that fit the caches. Everything else goes to `others`.
 */
export function ownConvolutionKernels(
  others: Readonly<Record<string, tf.KernelFunc>>,
): Readonly<Record<string, tf.KernelFunc>> {
  const choose =
    (name: string, suits: (inputs: Inputs, attrs: ConvAttrs) => boolean, own: tf.KernelFunc): tf.KernelFunc =>
    (args) =>
      (suits(args.inputs as unknown as Inputs, args.attrs as unknown as ConvAttrs)
        ? own
        : (others[name] as tf.KernelFunc))(args);

  return {
    PolderConv2D: choose(
      'PolderConv2D',
      ({ x, filter }, attrs) => suits(attrs, [x.shape, filter.shape], filter.shape, 3),
      nativeKernel((native: Native, { x, filter }: Inputs, attrs: ConvAttrs) =>
        only(native.run('PolderConv2D', opAttrs(native.binding, attrs), [native.id(x), native.id(filter)])),
      ),
    ),
    PolderConv2DBackpropInput: choose(
      'PolderConv2DBackpropInput',
      ({ dy, filter }, attrs) => suits(attrs, [dy.shape, filter.shape, inputShapeOf(attrs)], filter.shape, 2),
      nativeKernel((native: Native, { dy, filter }: Inputs, attrs: ConvAttrs) =>
        only(
          native.run(
            'PolderConv2DInputGrad',
            [...opAttrs(native.binding, attrs), shapeAttr(native.binding, inputShapeOf(attrs))],
            [native.id(dy), native.id(filter)],
          ),
        ),
      ),
    ),
    PolderConv2DBackpropFilter: choose(
      'PolderConv2DBackpropFilter',
      ({ x, dy }, attrs) => suits(attrs, [x.shape, dy.shape, filterShapeOf(attrs)], filterShapeOf(attrs), 3),
      nativeKernel((native: Native, { x, dy }: Inputs, attrs: ConvAttrs) =>
        only(
          native.run(
            'PolderConv2DFilterGrad',
            [...opAttrs(native.binding, attrs), shapeAttr(native.binding, filterShapeOf(attrs))],
            [native.id(x), native.id(dy)],
          ),
        ),
      ),
    ),
  };
}

function suits({ dilations }: ConvAttrs, shapes: readonly Shape[], filter: Shape, vectorAxis: number): boolean {
  return (
    dilations.every((d) => d === 1) &&
    (filter[vectorAxis] as number) % 16 === 0 &&
    filter.reduce((a, b) => a * b, 1) <= LARGEST_FILTER &&
    shapes.every((shape) => !shape.includes(0))
  );
}

function inputShapeOf(attrs: ConvAttrs): Shape {
  return (attrs as ConvAttrs & { readonly inputShape: Shape }).inputShape;
}

function filterShapeOf(attrs: ConvAttrs): Shape {
  return (attrs as ConvAttrs & { readonly filterShape: Shape }).filterShape;
}

function opAttrs(binding: Binding, { strides, pads }: ConvAttrs): readonly OpAttribute[] {
  return [intAttr(binding, 'strides', strides), intAttr(binding, 'pads', pads.flat())];
}

function shapeAttr(binding: Binding, shape: Shape): OpAttribute {
  return { name: 'shape', type: binding.TF_ATTR_SHAPE, value: shape };
}
