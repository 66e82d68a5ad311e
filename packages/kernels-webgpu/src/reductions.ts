import * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from './backend.js';
import { stockKernel, type KernelTable } from './registry.js';

/** Lanes of a workgroup, and numbers that one of them adds up. */
const LANES = 256;
const EACH = 64;
const CHUNK = LANES * EACH;

/** Sum and Mean, right also where they are long or there is nothing to add; the stock kernels do the rest. */
export function reductionKernels(): KernelTable {
  return { Sum: reduction('Sum'), Mean: reduction('Mean') };
}

interface ReductionAttrs {
  readonly axis: number | number[];
  readonly keepDims: boolean;
}

/**
 * The stock kernel adds a whole row with one workgroup, one number after the other in each of its lanes: four million
 * equal numbers come out wrong in the fourth digit. Here a lane adds 64 at most, and what the workgroups found is added
 * likewise. (The stock kernel also divides by zero where a side is zero.)
 */
function reduction(kernelName: 'Sum' | 'Mean'): tf.KernelFunc {
  const [stock, transpose] = [stockKernel(kernelName), stockKernel('Transpose')];
  const mean = kernelName === 'Mean';
  return (args) => {
    const x = args.inputs['x'] as tf.TensorInfo;
    const { axis, keepDims } = args.attrs as unknown as ReductionAttrs;
    const backend = args.backend as GpuBackend;
    const axes = tf.util.parseAxisParam(axis, x.shape);
    const [outShape, reduceShape] = tf.backend_util.computeOutAndReduceShapes(x.shape, axes);
    const length = tf.util.sizeFromShape(reduceShape);
    const empty = tf.util.sizeFromShape(x.shape) === 0;
    if (!empty && (length <= CHUNK || x.dtype !== 'float32')) return stock(args);
    const shape = keepDims ? tf.backend_util.expandShapeToKeepDim(outShape, axes) : outShape;
    if (empty) {
      const dtype = mean ? 'float32' : tf.sumOutType(x.dtype);
      const values = tf.util.getArrayFromDType(dtype, tf.util.sizeFromShape(shape)) as tf.backend_util.TypedArray;
      return backend.makeTensorInfo(shape, dtype, mean && length === 0 ? values.fill(NaN) : values);
    }
    const scale = mean ? 1 / length : 1;
    if (axes.every((a, i) => a === i) && outShape.length > 0) return addColumns(backend, x, shape, length, scale);
    const perm = tf.backend_util.getAxesPermutation(axes, x.shape.length);
    const sorted =
      perm === undefined || perm === null
        ? x
        : (transpose({ inputs: { x }, attrs: { perm }, backend }) as tf.TensorInfo);
    const result = addRows(backend, sorted, shape, length, scale);
    if (sorted !== x) backend.disposeData(sorted.dataId);
    return result;
  };
}

/** The sum of each row of `length` numbers, times `scale`, in the shape given. */
function addRows(backend: GpuBackend, x: tf.TensorInfo, shape: number[], length: number, scale: number): tf.TensorInfo {
  const rows = tf.util.sizeFromShape(shape);
  let [from, left] = [x, length];
  for (;;) {
    const parts = Math.ceil(left / CHUNK);
    const last = parts === 1;
    const sums = backend.runWebGPUProgram(sumProgram(last ? shape : [rows, parts], rows * parts), [from], 'float32', [
      { type: 'int32', data: [rows * parts] },
      { type: 'int32', data: [left] },
      { type: 'int32', data: [parts] },
      { type: 'float32', data: [last ? scale : 1] },
    ]);
    if (from !== x) backend.disposeData(from.dataId);
    if (last) return sums;
    [from, left] = [sums, parts];
  }
}

/** The sum of each column of a matrix of `length` rows, times `scale`, in the shape given: without turning it first. */
function addColumns(
  backend: GpuBackend,
  x: tf.TensorInfo,
  shape: number[],
  length: number,
  scale: number,
): tf.TensorInfo {
  const columns = tf.util.sizeFromShape(shape);
  let [from, left] = [x, length];
  for (;;) {
    const parts = Math.ceil(left / EACH);
    const last = parts === 1;
    const sums = backend.runWebGPUProgram(columnProgram(last ? shape : [parts, columns]), [from], 'float32', [
      { type: 'int32', data: [left] },
      { type: 'int32', data: [columns] },
      { type: 'float32', data: [last ? scale : 1] },
    ]);
    if (from !== x) backend.disposeData(from.dataId);
    if (last) return sums;
    [from, left] = [sums, parts];
  }
}

/** One thread per column of a chunk of rows. */
function columnProgram(outputShape: number[]): GpuProgram {
  const size = tf.util.sizeFromShape(outputShape);
  return {
    variableNames: ['x'],
    outputShape,
    workgroupSize: [EACH, 1, 1],
    dispatch: [Math.ceil(size / EACH), 1, 1],
    dispatchLayout: { x: outputShape.map((_, i) => i) },
    size: true,
    uniforms: 'rows : i32, columns : i32, scale : f32,',
    shaderKey: 'polderColumnSum',
    getUserCode: () => `
      fn main(index : i32) {
        if (index >= uniforms.size) { return; }
        let column = index % uniforms.columns;
        let first = (index / uniforms.columns) * ${EACH};
        var sum = 0.0;
        for (var row = first; row < min(uniforms.rows, first + ${EACH}); row = row + 1) {
          sum = sum + x[row * uniforms.columns + column];
        }
        result[index] = sum * uniforms.scale;
      }`,
  };
}

/** One workgroup per chunk of a row. */
function sumProgram(outputShape: number[], workgroups: number): GpuProgram {
  return {
    variableNames: ['x'],
    outputShape,
    workgroupSize: [LANES, 1, 1],
    dispatch: [workgroups, 1, 1],
    dispatchLayout: { x: outputShape.map((_, i) => i) },
    uniforms: 'count : i32, rowLength : i32, parts : i32, scale : f32,',
    shaderKey: 'polderSum',
    getUserCode: () => `
      var<workgroup> part : array<f32, ${LANES}>;
      fn main(index : i32) {
        let lane = i32(localId.x);
        let at = index / ${LANES};
        let first = (at % uniforms.parts) * ${CHUNK};
        // Workgroups past the last one, which there are in a folded dispatch, have nothing to add.
        let end = select(0, min(uniforms.rowLength, first + ${CHUNK}), at < uniforms.count);
        let row = (at / uniforms.parts) * uniforms.rowLength;
        var sum = 0.0;
        for (var i = first + lane; i < end; i = i + ${LANES}) { sum = sum + x[row + i]; }
        part[lane] = sum;
        workgroupBarrier();
        for (var k = ${LANES / 2}; k > 0; k = k >> 1) {
          if (lane < k) { part[lane] = part[lane] + part[lane + k]; }
          workgroupBarrier();
        }
        if (lane == 0 && at < uniforms.count) { result[at] = part[0] * uniforms.scale; }
      }`,
  };
}
