import * as tf from '@tensorflow/tfjs-core';
import { boolAttr, floatAttr, intAttr, nativeKernel, only, type Native } from './native.js';
import { typeOf } from './tree.js';

/** Inputs of the kernels that take all leaves of a tree at once: an array, as concat's are. */
type Leaves = readonly tf.TensorInfo[];
type Update = Readonly<Record<'weight' | 'gradient' | 'velocity' | 'rate', tf.TensorInfo>>;

/** Tree arithmetic of @polder/ops as our own ops: one for all leaves where it makes one number of them. */
export const ownTreeKernels: Readonly<Record<string, tf.KernelFunc>> = {
  PolderSumOfSquares: nativeKernel((native, leaves: Leaves) => reduced(native, 'PolderSumOfSquares', leaves)),
  PolderAllFinite: nativeKernel((native, leaves: Leaves) => reduced(native, 'PolderAllFinite', leaves)),
  PolderSelect: nativeKernel(
    (native, { condition, t, e }: Readonly<Record<'condition' | 't' | 'e', tf.TensorInfo>>) => {
      // Ours takes a whole tensor, TensorFlow's chooses number by number.
      const whole = condition.shape.length === 0 && tf.util.arraysEqual(t.shape, e.shape);
      return only(
        native.run(
          whole ? 'PolderSelect' : 'SelectV2',
          [{ name: 'T', type: native.binding.TF_ATTR_TYPE, value: typeOf(native, t.dtype) }],
          [condition, t, e].map(native.id),
        ),
      );
    },
  ),
  PolderAxpy: nativeKernel(({ id, run }, { scale, x, y }: Readonly<Record<'scale' | 'x' | 'y', tf.TensorInfo>>) =>
    only(run('PolderAxpy', [], [scale, x, y].map(id))),
  ),
  PolderSgd: nativeKernel(
    (
      { binding, id, run },
      { weight, gradient, velocity, rate }: Update,
      {
        momentum,
        weightDecay,
        nesterov,
      }: { readonly momentum: number; readonly weightDecay: number; readonly nesterov: boolean },
    ) =>
      run(
        'PolderSgd',
        [
          floatAttr(binding, 'momentum', momentum),
          floatAttr(binding, 'weight_decay', weightDecay),
          boolAttr(binding, 'nesterov', nesterov),
        ],
        [weight, gradient, velocity, rate].map(id),
        2,
      ),
  ),
};

function reduced(native: Native, op: string, leaves: Leaves): ReturnType<typeof only> {
  return only(native.run(op, [intAttr(native.binding, 'N', leaves.length)], leaves.map(native.id)));
}
