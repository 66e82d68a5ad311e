import type * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend.js';
import { dispatch, makeTensor, sizeOf, type Shader } from './program.js';

// Reductions come in two levels: workgroups reduce parts of the numbers, then one dispatch adds the parts up, in a fixed
// order. No atomics: the same bits every run. Trees of pairs need no compensation, which a compiler might undo.

/** Columns of a matrix are reduced by workgroups of 16 columns × 16 rows. */
export const COLUMNS = 16;
export const COLUMN_THREADS = 256;

/** How the rows of a matrix are divided for reductions over columns: by its shape alone, never by the device. */
export function columnParts(
  columns: number,
  rows: number,
): { readonly tiles: number; readonly chunk: number; readonly parts: number } {
  const tiles = Math.ceil(columns / COLUMNS);
  // 16 rows per thread at least.
  const wanted = Math.min(Math.ceil(512 / tiles), Math.ceil(rows / 256));
  const chunk = Math.ceil(rows / Math.max(wanted, 1));
  return { tiles, chunk, parts: Math.max(1, Math.ceil(rows / chunk)) };
}

/** Sums every 16th value of `shared` into the first 16: the rows of a workgroup of 16 columns. */
export const SUM_ROWS_OF_GROUP = `
fn sumRows(lane : i32) {
  for (var k = 128; k >= 16; k = k >> 1) {
    workgroupBarrier();
    if (lane < k) { first[lane] = first[lane] + first[lane + k]; second[lane] = second[lane] + second[lane + k]; }
  }
}`;

/** Two sums per column, of parts [parts, 2, columns], into two vectors. */
export function sumPairs(
  backend: GpuBackend,
  partial: tf.TensorInfo,
  columns: number,
  parts: number,
): [first: tf.TensorInfo, second: tf.TensorInfo] {
  const outputs: [tf.TensorInfo, tf.TensorInfo] = [makeTensor(backend, [columns]), makeTensor(backend, [columns])];
  dispatch(backend, SUM_PAIRS, {
    inputs: [partial],
    outputs,
    uniforms: [columns, parts],
    groups: Math.ceil(columns / COLUMNS),
  });
  return outputs;
}

const SUM_PAIRS: Shader = {
  key: 'sum pairs',
  inputs: { partial: 'f32' },
  outputs: { one: 'f32', two: 'f32' },
  uniforms: { columns: 'i32', parts: 'i32' },
  threads: COLUMN_THREADS,
  code: sumPairsCode('one[column] = sum.x; two[column] = sum.y;'),
};

/** Sums pairs of `partial` [parts, 2, columns]; `finish` does something with every `column` and its `sum`, a vec2. */
export function sumPairsCode(finish: string): string {
  return `
var<workgroup> first : array<f32, ${COLUMN_THREADS}>;
var<workgroup> second : array<f32, ${COLUMN_THREADS}>;
${SUM_ROWS_OF_GROUP}
fn main(group : i32, lane : i32) {
  let column = group * ${COLUMNS} + lane % ${COLUMNS};
  var sum = vec2<f32>(0.0);
  if (column < u.columns) {
    for (var part = lane / ${COLUMNS}; part < u.parts; part = part + ${COLUMN_THREADS / COLUMNS}) {
      sum.x = sum.x + partial[2 * part * u.columns + column];
      sum.y = sum.y + partial[(2 * part + 1) * u.columns + column];
    }
  }
  first[lane] = sum.x;
  second[lane] = sum.y;
  sumRows(lane);
  if (lane < ${COLUMNS} && column < u.columns) {
    sum = vec2<f32>(first[lane], second[lane]);
    ${finish}
  }
}`;
}

/** Sum of `parts` equal parts of a tensor, one after the other, into `result`. */
export function sumParts(backend: GpuBackend, partial: tf.TensorInfo, parts: number, result: tf.TensorInfo): void {
  const size = sizeOf(result);
  dispatch(backend, SUM_PARTS, {
    inputs: [partial],
    outputs: [result],
    uniforms: [size, parts],
    groups: Math.ceil(size / 64),
  });
}

const SUM_PARTS: Shader = {
  key: 'sum parts',
  inputs: { partial: 'f32' },
  outputs: { result: 'f32' },
  uniforms: { count: 'i32', parts: 'i32' },
  threads: 64,
  code: `
fn main(group : i32, lane : i32) {
  let i = group * 64 + lane;
  if (i >= u.count) { return; }
  // Four sums of every fourth part: shorter sums, smaller errors, and loads that do not wait for each other.
  var sums = vec4<f32>(0.0);
  for (var part = 0; part < u.parts; part = part + 4) {
    for (var k = 0; k < 4; k = k + 1) {
      if (part + k < u.parts) { sums[k] = sums[k] + partial[(part + k) * u.count + i]; }
    }
  }
  result[i] = (sums.x + sums.y) + (sums.z + sums.w);
}`,
};
