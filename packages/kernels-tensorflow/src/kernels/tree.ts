import type * as tf from '@tensorflow/tfjs-core';
import type { NativeTensor } from '../backend.js';
import { boolAttr, intAttr, nativeKernel, only, typeAttr, type Native } from './native.js';

/** Inputs of the kernels that take all leaves of a tree at once: an array, as concat's are. */
type Leaves = readonly tf.TensorInfo[];

/** Tree arithmetic of @polder/ops: one op or two a leaf, and one for all of them together. */
export const treeKernels: Readonly<Record<string, tf.KernelFunc>> = {
  PolderSumOfSquares: nativeKernel((native, leaves: Leaves) => {
    const floats = typeAttr(native.binding, 'T', 'float32');
    // L2Loss is half the sum of squares.
    const halves = leaves.map((leaf) => only(native.run('L2Loss', [floats], [native.id(leaf)])).id);
    const half = reduced(native, 'Sum', packed(native, halves, native.binding.TF_FLOAT), 1, [floats]);
    return only(native.run('AddV2', [floats], [half.id, half.id]));
  }),
  PolderAllFinite: nativeKernel((native, leaves: Leaves) => {
    const floats = typeAttr(native.binding, 'T', 'float32');
    const flags = leaves.map((leaf) => {
      const finite = only(native.run('IsFinite', [floats], [native.id(leaf)])).id;
      return reduced(native, 'All', finite, leaf.shape.length, []).id;
    });
    return reduced(native, 'All', packed(native, flags, native.binding.TF_BOOL), 1, []);
  }),
  PolderSelect: nativeKernel(
    (native, { condition, t, e }: Readonly<Record<'condition' | 't' | 'e', tf.TensorInfo>>) => {
      const type = { name: 'T', type: native.binding.TF_ATTR_TYPE, value: typeOf(native, t.dtype) };
      // It broadcasts the condition itself; tf.where makes a tensor of it first.
      return only(native.run('SelectV2', [type], [native.id(condition), native.id(t), native.id(e)]));
    },
  ),
};

function packed({ binding, run }: Native, scalars: readonly number[], dtype: number): number {
  const type = { name: 'T', type: binding.TF_ATTR_TYPE, value: dtype };
  return only(run('Pack', [intAttr(binding, 'N', scalars.length), type, intAttr(binding, 'axis', 0)], scalars)).id;
}

/** A reduction over all axes of a tensor of the rank given. */
function reduced(
  { binding, run, constant }: Native,
  op: 'Sum' | 'All',
  input: number,
  rank: number,
  types: Parameters<Native['run']>[1],
): NativeTensor {
  const axes = constant(
    Int32Array.from({ length: rank }, (_, axis) => axis),
    [rank],
  );
  const attrs = [...types, typeAttr(binding, 'Tidx', 'int32'), boolAttr(binding, 'keep_dims', false)];
  return only(run(op, attrs, [input, axes]));
}

/** TensorFlow’s number of a type of tfjs. */
export function typeOf({ binding }: Native, dtype: tf.DataType): number {
  return dtype === 'float32' ? binding.TF_FLOAT : dtype === 'bool' ? binding.TF_BOOL : binding.TF_INT32;
}
