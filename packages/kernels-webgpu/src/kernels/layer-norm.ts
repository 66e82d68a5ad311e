import type * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend.js';
import { gpuKernel, type KernelTable } from '../registry.js';
import { dispatch, makeTensor, makeZeros, matrixOf, sizeOf, withScratch, type Shader } from './program.js';
import { columnParts, COLUMN_THREADS, COLUMNS, sumPairs, SUM_ROWS_OF_GROUP } from './reduce.js';
import { lanesFor, overRows, rowGroups, ROW_THREADS } from './rows.js';

type Of<Names extends string> = Readonly<Record<Names, tf.TensorInfo>>;

/** Layer norm of @polder/ops in one dispatch, [y, mean, rstd], and its gradient in three, [dx, dgamma, dbeta]. */
export const layerNormKernels: KernelTable = {
  PolderLayerNorm: gpuKernel(
    (
      backend: GpuBackend,
      { x, gamma, beta }: Of<'x' | 'gamma' | 'beta'>,
      { epsilon }: { readonly epsilon: number },
    ) => {
      const [width, rows] = matrixOf(x);
      const outputs = [makeTensor(backend, x.shape), makeTensor(backend, [rows]), makeTensor(backend, [rows])];
      if (sizeOf(x) > 0) {
        const lanes = lanesFor(width);
        const groups = rowGroups(rows, lanes);
        dispatch(backend, forward(lanes), {
          inputs: [x, gamma, beta],
          outputs,
          uniforms: [rows, width, epsilon],
          groups,
        });
      }
      return outputs;
    },
  ),
  PolderLayerNormGrad: gpuKernel((backend: GpuBackend, inputs: Of<'x' | 'dy' | 'gamma' | 'mean' | 'rstd'>) => {
    const { x, dy, gamma, mean, rstd } = inputs;
    const [width, rows] = matrixOf(x);
    const dx = makeTensor(backend, x.shape);
    if (sizeOf(x) === 0) return [dx, makeZeros(backend, [width]), makeZeros(backend, [width])];
    const lanes = lanesFor(width);
    dispatch(backend, toInput(lanes), {
      inputs: [x, dy, gamma, mean, rstd],
      outputs: [dx],
      uniforms: [rows, width],
      groups: rowGroups(rows, lanes),
    });
    const { tiles, chunk, parts } = columnParts(width, rows);
    const [dbeta, dgamma] = withScratch(backend, parts * 2 * width, (partial) => {
      dispatch(backend, TO_AFFINE, {
        inputs: [x, dy, mean, rstd],
        outputs: [partial],
        uniforms: [width, rows, chunk],
        groups: tiles * parts,
      });
      return sumPairs(backend, partial, width, parts);
    });
    return [dx, dgamma, dbeta];
  }),
};

const forward = (lanes: 1 | 8 | 64): Shader => ({
  key: `layer norm ${lanes}`,
  inputs: { x: 'f32', gamma: 'f32', beta: 'f32' },
  outputs: { y: 'f32', mean: 'f32', rstd: 'f32' },
  uniforms: { rows: 'i32', width: 'i32', epsilon: 'f32' },
  threads: ROW_THREADS,
  code: overRows(
    lanes,
    `var sum = 0.0;
  for (var c = lane; c < end; c = c + ${lanes}) { sum = sum + x[base + c]; }
  let centre = total(thread, vec4<f32>(sum)).x / f32(u.width);
  sum = 0.0;
  for (var c = lane; c < end; c = c + ${lanes}) {
    let v = x[base + c] - centre;
    sum = sum + v * v;
  }
  let scale = inverseSqrt(total(thread, vec4<f32>(sum)).x / f32(u.width) + u.epsilon);
  if (live && lane == 0) { mean[row] = centre; rstd[row] = scale; }
  for (var c = lane; c < end; c = c + ${lanes}) { y[base + c] = (x[base + c] - centre) * scale * gamma[c] + beta[c]; }`,
  ),
});

const toInput = (lanes: 1 | 8 | 64): Shader => ({
  key: `layer norm input gradient ${lanes}`,
  inputs: { x: 'f32', dy: 'f32', gamma: 'f32', mean: 'f32', rstd: 'f32' },
  outputs: { dx: 'f32' },
  uniforms: { rows: 'i32', width: 'i32' },
  threads: ROW_THREADS,
  code: overRows(
    lanes,
    `let here = min(row, u.rows - 1);
  let centre = mean[here];
  let scale = rstd[here];
  var plain = 0.0; var along = 0.0;
  for (var c = lane; c < end; c = c + ${lanes}) {
    let g = dy[base + c] * gamma[c];
    plain = plain + g;
    along = along + g * (x[base + c] - centre) * scale;
  }
  let means = total(thread, vec4<f32>(plain, along, 0.0, 0.0)) / f32(u.width);
  for (var c = lane; c < end; c = c + ${lanes}) {
    dx[base + c] = scale * (dy[base + c] * gamma[c] - means.x - (x[base + c] - centre) * scale * means.y);
  }`,
  ),
});

/** Per column and part: the sums of dy and of dy · x̂. */
const TO_AFFINE: Shader = {
  key: 'layer norm affine gradient',
  inputs: { x: 'f32', dy: 'f32', mean: 'f32', rstd: 'f32' },
  outputs: { partial: 'f32' },
  uniforms: { width: 'i32', rows: 'i32', chunk: 'i32' },
  threads: COLUMN_THREADS,
  code: `
var<workgroup> first : array<f32, ${COLUMN_THREADS}>;
var<workgroup> second : array<f32, ${COLUMN_THREADS}>;
${SUM_ROWS_OF_GROUP}
fn main(group : i32, lane : i32) {
  let tiles = (u.width + ${COLUMNS - 1}) / ${COLUMNS};
  let part = group / tiles;
  let column = (group % tiles) * ${COLUMNS} + lane % ${COLUMNS};
  let end = min((part + 1) * u.chunk, u.rows);
  var a = 0.0; var b = 0.0;
  if (column < u.width) {
    for (var row = part * u.chunk + lane / ${COLUMNS}; row < end; row = row + ${COLUMN_THREADS / COLUMNS}) {
      let g = dy[row * u.width + column];
      a = a + g;
      b = b + g * (x[row * u.width + column] - mean[row]) * rstd[row];
    }
  }
  first[lane] = a;
  second[lane] = b;
  sumRows(lane);
  if (lane < ${COLUMNS} && column < u.width) {
    partial[2 * part * u.width + column] = first[lane];
    partial[(2 * part + 1) * u.width + column] = second[lane];
  }
}`,
};
