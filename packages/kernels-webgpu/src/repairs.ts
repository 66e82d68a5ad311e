import * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from './backend.js';
import { gpuKernel, stockKernel, type KernelTable } from './registry.js';

// Stock kernels that go wrong on sizes which training meets.

/** The kernels of this file; made when the stock ones are registered, because some of them go on calling those. */
export function repairedKernels(): KernelTable {
  return { AddN: addN(stockKernel('AddN')), Softmax: softmax };
}

/** AddN of any number of tensors: the stock kernel binds all of them at once, and a device has room for a few. */
function addN(stock: tf.KernelFunc): tf.KernelFunc {
  return (args) => {
    const backend = args.backend as GpuBackend;
    const tensors = args.inputs as unknown as readonly tf.TensorInfo[];
    const room = backend.device.limits.maxStorageBuffersPerShaderStage - 1;
    const add = (some: readonly tf.TensorInfo[]): tf.TensorInfo =>
      stock({ ...args, inputs: some as unknown as tf.NamedTensorInfoMap }) as tf.TensorInfo;
    if (tensors.length <= room) return add(tensors);
    let sum = add(tensors.slice(0, room));
    for (let at = room; at < tensors.length; at += room - 1) {
      const next = add([sum, ...tensors.slice(at, at + room - 1)]);
      backend.disposeData(sum.dataId);
      sum = next;
    }
    return sum;
  };
}

/**
 * Softmax over the last axis, one workgroup per row. The stock kernel's surplus workgroups, which there are beyond 65,535
 * rows, write over the last element.
 */
const softmax = gpuKernel(
  (backend: GpuBackend, { logits }: { readonly logits: tf.TensorInfo }, { dim }: { readonly dim: number }) => {
    const columns = logits.shape[dim]!;
    const rows = columns === 0 ? 0 : tf.util.sizeFromShape(logits.shape) / columns;
    return backend.runWebGPUProgram(softmaxProgram(logits.shape, rows), [logits], 'float32', [
      { type: 'int32', data: [rows] },
      { type: 'int32', data: [columns] },
    ]);
  },
);

function softmaxProgram(shape: number[], rows: number): GpuProgram {
  const lanes = 64;
  return {
    variableNames: ['x'],
    outputShape: shape,
    workgroupSize: [lanes, 1, 1],
    dispatch: [rows, 1, 1],
    dispatchLayout: { x: shape.map((_, axis) => axis) },
    uniforms: 'rows : i32, columns : i32,',
    shaderKey: 'polderSoftmax',
    getUserCode: () => `
      var<workgroup> part : array<f32, ${lanes}>;
      fn main(index : i32) {
        let lane = i32(localId.x);
        let row = index / ${lanes};
        // The same for a whole workgroup, so that its barriers stay uniform in effect; the compiler cannot see that.
        let live = row < uniforms.rows;
        let base = row * uniforms.columns;
        var top = -3.4028234663852886e38;
        if (live) { for (var c = lane; c < uniforms.columns; c = c + ${lanes}) { top = max(top, x[base + c]); } }
        part[lane] = top;
        workgroupBarrier();
        for (var k = ${lanes / 2}; k > 0; k = k >> 1) {
          if (lane < k) { part[lane] = max(part[lane], part[lane + k]); }
          workgroupBarrier();
        }
        top = part[0];
        workgroupBarrier();
        var sum = 0.0;
        if (live) { for (var c = lane; c < uniforms.columns; c = c + ${lanes}) { sum = sum + exp(x[base + c] - top); } }
        part[lane] = sum;
        workgroupBarrier();
        for (var k = ${lanes / 2}; k > 0; k = k >> 1) {
          if (lane < k) { part[lane] = part[lane] + part[lane + k]; }
          workgroupBarrier();
        }
        sum = part[0];
        if (live) {
          for (var c = lane; c < uniforms.columns; c = c + ${lanes}) { result[base + c] = exp(x[base + c] - top) / sum; }
        }
      }`,
  };
}
