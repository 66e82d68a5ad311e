import type * as tf from '@tensorflow/tfjs-core';
import type { ConvAttrs } from '@polder/ops';
import type { Binding, NativeTensor, OpAttribute } from '../backend.js';
import { boolAttr, intAttr, nativeKernel, only, stringAttr, typeAttr, type Native } from './native.js';
import { multiplier, type Precision } from './precision.js';

type Shape = readonly number[];
type Inputs = Readonly<Record<'x' | 'dy' | 'filter', tf.TensorInfo>>;

/** PolderConv2D of @polder/ops and its two gradients, with any padding: TensorFlow's own EXPLICIT. */
export function convolutionKernels(precision: Precision): Readonly<Record<string, tf.KernelFunc>> {
  return {
    PolderConv2D: nativeKernel((native, { x, filter }: Inputs, attrs: ConvAttrs) => {
      const shape = outputShape(x.shape, filter.shape, attrs);
      return isEmpty(x.shape, filter.shape, shape)
        ? zeros(native, shape)
        : multiplier(native, precision)('Conv2D', opAttrs(native.binding, attrs, x.shape, filter.shape, shape), [
            { operand: native.id(x) },
            { operand: native.id(filter) },
          ]);
    }),
    PolderConv2DBackpropInput: nativeKernel(
      (native, { dy, filter }: Inputs, attrs: ConvAttrs & { readonly inputShape: Shape }) => {
        const shape = attrs.inputShape;
        if (isEmpty(shape, filter.shape, dy.shape)) return zeros(native, shape);
        const spread = spreadShape(filter.shape, attrs.dilations);
        const options = opAttrs(native.binding, undilated(attrs), shape, spread, dy.shape);
        const sizes = native.constant(Int32Array.from(shape), [4]);
        const taps = isDilated(attrs) ? spreadTaps(native, filter, attrs.dilations) : native.id(filter);
        return multiplier(native, precision)('Conv2DBackpropInput', options, [
          { other: sizes },
          { operand: taps },
          { operand: native.id(dy) },
        ]);
      },
    ),
    PolderConv2DBackpropFilter: nativeKernel(
      (native, { x, dy }: Inputs, attrs: ConvAttrs & { readonly filterShape: Shape }) => {
        const shape = attrs.filterShape;
        if (isEmpty(x.shape, shape, dy.shape)) return zeros(native, shape);
        const spread = spreadShape(shape, attrs.dilations);
        const options = opAttrs(native.binding, undilated(attrs), x.shape, spread, dy.shape);
        const sizes = native.constant(Int32Array.from(spread), [4]);
        const dw = multiplier(native, precision)('Conv2DBackpropFilter', options, [
          { operand: native.id(x) },
          { other: sizes },
          { operand: native.id(dy) },
        ]);
        return isDilated(attrs) ? pickTaps(native, dw, attrs.dilations) : dw;
      },
    ),
  };
}

// TensorFlow's CPU kernels have no gradients of dilated convolutions. A dilated filter is a larger one with zeros between
// its taps: the gradients are taken in that one.

function isDilated({ dilations }: ConvAttrs): boolean {
  return dilations.some((d) => d > 1);
}

function undilated(attrs: ConvAttrs): ConvAttrs {
  return { ...attrs, dilations: [1, 1] };
}

function spreadShape([rows, columns, ...channels]: Shape, [down, across]: ConvAttrs['dilations']): Shape {
  return [((rows as number) - 1) * down + 1, ((columns as number) - 1) * across + 1, ...channels];
}

function spreadTaps(native: Native, filter: tf.TensorInfo, dilations: ConvAttrs['dilations']): number {
  const shape = spreadShape(filter.shape, dilations);
  const inputs = [native.constant(Int32Array.from(shape), [4]), ...sliceInputs(native, shape, dilations)];
  return only(native.run('StridedSliceGrad', sliceAttrs(native.binding), [...inputs, native.id(filter)])).id;
}

function pickTaps(native: Native, dw: NativeTensor, dilations: ConvAttrs['dilations']): NativeTensor {
  const inputs = [dw.id, ...sliceInputs(native, dw.shape, dilations)];
  return only(native.run('StridedSlice', sliceAttrs(native.binding), inputs));
}

/** begin, end and strides of a slice that takes every dilations-th row and column. */
function sliceInputs({ constant }: Native, shape: Shape, [down, across]: ConvAttrs['dilations']): readonly number[] {
  return [[0, 0, 0, 0], shape, [down, across, 1, 1]].map((values) => constant(Int32Array.from(values), [4]));
}

function sliceAttrs(binding: Binding): readonly OpAttribute[] {
  const masks = ['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'];
  return [
    typeAttr(binding, 'T', 'float32'),
    typeAttr(binding, 'Index', 'int32'),
    ...masks.map((name) => intAttr(binding, name, 0)),
  ];
}

function opAttrs(
  binding: Binding,
  { strides, dilations, pads }: ConvAttrs,
  x: Shape,
  filter: Shape,
  y: Shape,
): readonly OpAttribute[] {
  const [[top, bottom], [left, right]] = pads;
  const padding = paddingName({ strides, dilations, pads }, x, filter, y);
  return [
    intAttr(binding, 'strides', [1, strides[0], strides[1], 1]),
    boolAttr(binding, 'use_cudnn_on_gpu', true),
    stringAttr(binding, 'padding', padding),
    ...(padding === 'EXPLICIT' ? [intAttr(binding, 'explicit_paddings', [0, 0, top, bottom, left, right, 0, 0])] : []),
    stringAttr(binding, 'data_format', 'NHWC'),
    intAttr(binding, 'dilations', [1, dilations[0], dilations[1], 1]),
  ];
}

/** TensorFlow's name for the padding where it has one: those are the paths that everybody uses. */
function paddingName({ strides, dilations, pads }: ConvAttrs, x: Shape, filter: Shape, y: Shape): string {
  if (pads.flat().every((p) => p === 0)) return 'VALID';
  const same = ([0, 1] as const).every((axis) => {
    const [size, out] = [x[axis + 1] as number, y[axis + 1] as number];
    const extent = ((filter[axis] as number) - 1) * dilations[axis] + 1;
    const total = Math.max((out - 1) * strides[axis] + extent - size, 0);
    const [before, after] = pads[axis];
    return (
      out === Math.ceil(size / strides[axis]) && before === Math.floor(total / 2) && after === Math.ceil(total / 2)
    );
  });
  return same ? 'SAME' : 'EXPLICIT';
}

function outputShape(x: Shape, filter: Shape, { strides, dilations, pads }: ConvAttrs): Shape {
  const along = (axis: 0 | 1): number => {
    const extent = ((filter[axis] as number) - 1) * dilations[axis] + 1;
    const room = (x[axis + 1] as number) + pads[axis][0] + pads[axis][1] - extent;
    return room < 0 ? 0 : Math.floor(room / strides[axis]) + 1;
  };
  return [x[0] as number, along(0), along(1), filter[3] as number];
}

function isEmpty(...shapes: readonly Shape[]): boolean {
  return shapes.some((shape) => shape.includes(0));
}

/** The sum of no products. */
function zeros({ binding, constant }: Native, shape: Shape): NativeTensor {
  const id = constant(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  return { id, shape: [...shape], dtype: binding.TF_FLOAT };
}
