import type * as tf from '@tensorflow/tfjs-core';
import { runtimeKernel, type KernelTable } from './registry.js';
import { addressOf, scratch } from './runtime.js';

// Reductions over all leaves of a tree in one kernel call. Leaves are the values of `inputs`, in their order; what is
// not float32 cannot be added up here, and callers do not ask for it.

type Of<Names extends string> = Readonly<Record<Names, tf.TensorInfo>>;
type Leaves = Readonly<Record<string, tf.TensorInfo>>;

/** Tree reductions of @polder/ops, and its choice between two trees. */
export const treeKernels: KernelTable = {
  /** Σ x² over all numbers of all leaves. */
  PolderSumOfSquares: runtimeKernel((runtime, leaves: Leaves) => {
    const total = scratch(runtime, 'tree', 8);
    const cells = new Float64Array(runtime.heap.HEAPU8.buffer, total, 1);
    cells[0] = 0;
    for (const leaf of Object.values(leaves)) {
      runtime.kernels.addSumOfSquares(addressOf(runtime, leaf), sizeOf(leaf), total);
    }
    return runtime.backend.makeOutput([], 'float32', undefined, Float32Array.of(cells[0]));
  }),
  /** Σ a · b: the first half of the leaves with the second. */
  PolderDot: runtimeKernel((runtime, leaves: Leaves) => {
    const all = Object.values(leaves);
    const half = all.length / 2;
    const total = scratch(runtime, 'tree', 8);
    const cells = new Float64Array(runtime.heap.HEAPU8.buffer, total, 1);
    cells[0] = 0;
    all.slice(0, half).forEach((leaf, i) => {
      runtime.kernels.addDot(addressOf(runtime, leaf), addressOf(runtime, all[half + i]!), sizeOf(leaf), total);
    });
    return runtime.backend.makeOutput([], 'float32', undefined, Float32Array.of(cells[0]));
  }),
  /** Are all numbers of all leaves finite? A bool. */
  PolderAllFinite: runtimeKernel((runtime, leaves: Leaves) => {
    const result = scratch(runtime, 'tree', 8);
    const cells = runtime.heap.HEAPU8;
    cells[result] = 1;
    for (const leaf of Object.values(leaves)) {
      runtime.kernels.andFinite(addressOf(runtime, leaf), sizeOf(leaf), result);
    }
    return runtime.backend.makeOutput([], 'bool', undefined, Uint8Array.of(cells[result]));
  }),
  /** `condition ? t : e`, as another name for the one taken; identity.ts says why that is sound. */
  PolderSelect: runtimeKernel(({ backend }, { condition, t, e }: Of<'condition' | 't' | 'e'>) => {
    const { dataId, shape, dtype } = backend.typedArrayFromHeap(condition)[0] === 0 ? e : t;
    backend.incRef(dataId);
    return { dataId, shape, dtype };
  }),
};

function sizeOf({ shape }: tf.TensorInfo): number {
  return shape.reduce((product, size) => product * size, 1);
}
