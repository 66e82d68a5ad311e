import type * as tf from '@tensorflow/tfjs-core';
import type { ConvGeometry } from '@polder/ops/geometry';
import type { GpuBackend } from '../backend.js';
import { geometryNumbers, GEOMETRY_UNIFORMS } from './geometry.js';
import { dispatch, type Shader } from './program.js';

// Convolution as a matrix product that is never laid out: rows are output pixels of the whole batch, columns output
// channels, and the sum runs over (tap, input channel). Tiles are as wide as the filters are many, to 64; tfjs's are 32 × 32
// within one picture.

const ROWS = 64;
/** Products per output in workgroup memory at a time. */
const DEPTH = 16;
// Vectors per row in workgroup memory: one more than needed, so that neighbouring rows lie in different banks.
const PITCH = DEPTH / 4 + 1;

/** y from x and the filter; the geometry must not be empty. */
export function convForward(
  backend: GpuBackend,
  x: tf.TensorInfo,
  filter: tf.TensorInfo,
  y: tf.TensorInfo,
  g: ConvGeometry,
): void {
  const columns = g.outC <= 16 ? 16 : g.outC <= 32 ? 32 : 64;
  dispatch(backend, forwardShader(columns, g.inC % 4 === 0, g.outC % 4 === 0), {
    inputs: [x, filter],
    outputs: [y],
    uniforms: geometryNumbers(g),
    groups: Math.ceil((g.n * g.outH * g.outW) / ROWS) * Math.ceil(g.outC / columns),
  });
}

function forwardShader(columns: 16 | 32 | 64, fourIn: boolean, fourOut: boolean): Shader {
  const threads = (ROWS / 4) * (columns / 4);
  const loads = (ROWS * (DEPTH / 4)) / threads;
  return {
    key: `convolution ${columns} ${fourIn} ${fourOut}`,
    inputs: { x: fourIn ? 'vec4<f32>' : 'f32', filters: fourOut ? 'vec4<f32>' : 'f32' },
    outputs: { y: fourOut ? 'vec4<f32>' : 'f32' },
    uniforms: GEOMETRY_UNIFORMS,
    threads,
    code: `
var<workgroup> image : array<vec4<f32>, ${ROWS * PITCH}>;
var<workgroup> weight : array<vec4<f32>, ${DEPTH * (columns / 4)}>;

// Index of the image's value that product k of a pixel takes, or −1 outside. The corner of the pixel's window: first row of
// its picture in the batch, row, column.
fn placeOf(corner : vec3<i32>, k : i32) -> i32 {
  let tap = k / u.inC;
  let down = corner.y + (tap / u.kW) * u.dilationH;
  let aside = corner.z + (tap % u.kW) * u.dilationW;
  if (down < 0 || down >= u.inH || aside < 0 || aside >= u.inW) { return -1; }
  return ((corner.x + down) * u.inW + aside) * u.inC + k - tap * u.inC;
}

fn main(group : i32, lane : i32) {
  let rows = u.n * u.outH * u.outW;
  let depth = u.kH * u.kW * u.inC;
  let across = (u.outC + ${columns - 1}) / ${columns};
  let column0 = (group % across) * ${columns};
  let row0 = (group / across) * ${ROWS};
  let myRow = lane / ${columns / 4};
  let myColumn = lane % ${columns / 4};
  var corners : array<vec3<i32>, ${loads}>;
  for (var j = 0; j < ${loads}; j = j + 1) {
    let pixel = row0 + lane / ${DEPTH / 4} + j * ${threads / (DEPTH / 4)};
    let line = pixel / u.outW;
    let picture = line / u.outH;
    corners[j] = vec3<i32>(picture * u.inH, (line - picture * u.outH) * u.strideH - u.top,
                           (pixel - line * u.outW) * u.strideW - u.left);
    // Rows past the end read outside of the image.
    if (pixel >= rows) { corners[j].y = -1073741824; }
  }
  var sums = array<vec4<f32>, 4>();
  for (var start = 0; start < depth; start = start + ${DEPTH}) {
    let k = start + 4 * (lane % ${DEPTH / 4});
    for (var j = 0; j < ${loads}; j = j + 1) {
      var four = vec4<f32>(0.0);
      ${
        fourIn
          ? `if (k < depth) {
        let at = placeOf(corners[j], k);
        if (at >= 0) { four = x[at / 4]; }
      }`
          : `for (var c = 0; c < 4; c = c + 1) {
        if (k + c < depth) {
          let at = placeOf(corners[j], k + c);
          if (at >= 0) { four[c] = x[at]; }
        }
      }`
      }
      image[(lane / ${DEPTH / 4} + j * ${threads / (DEPTH / 4)}) * ${PITCH} + lane % ${DEPTH / 4}] = four;
    }
    for (var i = lane; i < ${DEPTH * (columns / 4)}; i = i + ${threads}) {
      let row = start + i / ${columns / 4};
      let column = column0 + 4 * (i % ${columns / 4});
      var four = vec4<f32>(0.0);
      if (row < depth) {
        ${
          fourOut
            ? 'if (column < u.outC) { four = filters[(row * u.outC + column) / 4]; }'
            : `for (var c = 0; c < 4; c = c + 1) {
          if (column + c < u.outC) { four[c] = filters[row * u.outC + column + c]; }
        }`
        }
      }
      weight[i] = four;
    }
    workgroupBarrier();
    for (var q = 0; q < ${DEPTH / 4}; q = q + 1) {
      let b0 = weight[(4 * q) * ${columns / 4} + myColumn];
      let b1 = weight[(4 * q + 1) * ${columns / 4} + myColumn];
      let b2 = weight[(4 * q + 2) * ${columns / 4} + myColumn];
      let b3 = weight[(4 * q + 3) * ${columns / 4} + myColumn];
      for (var i = 0; i < 4; i = i + 1) {
        let a = image[(4 * myRow + i) * ${PITCH} + q];
        sums[i] = sums[i] + a.x * b0 + a.y * b1 + a.z * b2 + a.w * b3;
      }
    }
    workgroupBarrier();
  }
  let column = column0 + 4 * myColumn;
  for (var i = 0; i < 4; i = i + 1) {
    let row = row0 + 4 * myRow + i;
    if (row >= rows) { break; }
    ${
      fourOut
        ? 'if (column < u.outC) { y[(row * u.outC + column) / 4] = sums[i]; }'
        : `for (var c = 0; c < 4; c = c + 1) {
      if (column + c < u.outC) { y[row * u.outC + column + c] = sums[i][c]; }
    }`
    }
  }
}`,
  };
}
