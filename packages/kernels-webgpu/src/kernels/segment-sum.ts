import type * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend.js';
import { stockKernel, type KernelTable } from '../registry.js';
import { dispatch, makeTensor, makeZeros, sizeOf, type Shader } from './program.js';

type Inputs = Readonly<Record<'x' | 'segmentIds', tf.TensorInfo>>;

/**
 * UnsortedSegmentSum, the gradient of gather and of embeddings, always in the order of the rows: the stock kernel adds
 * atomically, in any order, and its last bits change from run to run. Numbers out of range are left out.
 */
export function segmentSumKernels(): KernelTable {
  const stock = stockKernel('UnsortedSegmentSum');
  return {
    UnsortedSegmentSum: (args) => {
      const { x, segmentIds } = args.inputs as unknown as Inputs;
      const { numSegments } = args.attrs as unknown as { readonly numSegments: number };
      // Integer sums are the same in any order.
      if (x.dtype !== 'float32' || segmentIds.dtype !== 'int32') return stock(args);
      const backend = args.backend as GpuBackend;
      const shape = [numSegments, ...x.shape.slice(1)];
      if (sizeOf(x) === 0 || sizeOf({ shape }) === 0) return makeZeros(backend, shape);
      const result = makeTensor(backend, shape);
      dispatch(backend, SEGMENT_SUM, {
        inputs: [x, segmentIds],
        outputs: [result],
        uniforms: [sizeOf(x) / x.shape[0]!, x.shape[0]!],
        groups: numSegments,
      });
      return result;
    },
  };
}

// A workgroup per segment looks through the numbers, 64 at a time; which of them are its own is a set of bits (an OR is
// the same in any order), which all threads then go through, a column each.
const SEGMENT_SUM: Shader = {
  key: 'segment sum',
  inputs: { x: 'f32', numbers: 'i32' },
  outputs: { result: 'f32' },
  uniforms: { width: 'i32', rows: 'i32' },
  threads: 64,
  code: `
var<workgroup> own : array<atomic<u32>, 2>;
fn main(segment : i32, lane : i32) {
  for (var column = lane; column < u.width; column = column + 64) { result[segment * u.width + column] = 0.0; }
  for (var start = 0; start < u.rows; start = start + 64) {
    if (lane < 2) { atomicStore(&own[lane], 0u); }
    workgroupBarrier();
    if (start + lane < u.rows && numbers[start + lane] == segment) { atomicOr(&own[lane / 32], 1u << u32(lane % 32)); }
    workgroupBarrier();
    for (var word = 0; word < 2; word = word + 1) {
      var left = atomicLoad(&own[word]);
      while (left != 0u) {
        let row = start + 32 * word + i32(countTrailingZeros(left));
        left = left & (left - 1u);
        for (var column = lane; column < u.width; column = column + 64) {
          let at = segment * u.width + column;
          result[at] = result[at] + x[row * u.width + column];
        }
      }
    }
    workgroupBarrier();
  }
}`,
};
