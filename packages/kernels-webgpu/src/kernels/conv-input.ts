import type * as tf from '@tensorflow/tfjs-core';
import type { ConvGeometry } from '@polder/ops/geometry';
import type { GpuBackend } from '../backend.js';
import { geometryNumbers, GEOMETRY_UNIFORMS } from './geometry.js';
import { dispatch, type Shader } from './program.js';

// Gradient of a convolution in its image, as a matrix product that is never laid out: rows are the image's pixels, columns
// its channels, and the sum runs over taps and output channels. With a stride, pixels of one remainder meet the same taps
// only: a workgroup's pixels share theirs, and the other taps are left out (tfjs multiplies their zeros: with stride 2,
// three products of four).

const ROWS = 64;
/** Output channels in workgroup memory at a time. */
const DEPTH = 16;
// Vectors per row in workgroup memory: one more than needed, so that neighbouring rows lie in different banks.
const PITCH = DEPTH / 4 + 1;

/** dx from dy and the filter; the geometry is the forward convolution's and must not be empty. */
export function convInput(
  backend: GpuBackend,
  dy: tf.TensorInfo,
  filter: tf.TensorInfo,
  dx: tf.TensorInfo,
  g: ConvGeometry,
): void {
  const columns = g.inC <= 16 ? 16 : g.inC <= 32 ? 32 : 64;
  // Of every remainder as many workgroups as the fullest one needs.
  const pixels = g.n * Math.ceil(g.inH / g.strideH) * Math.ceil(g.inW / g.strideW);
  const tiles = Math.ceil(pixels / ROWS) * Math.ceil(g.inC / columns);
  dispatch(backend, inputShader(columns, g.outC % 4 === 0), {
    inputs: [dy, filter],
    outputs: [dx],
    uniforms: [...geometryNumbers(g), tiles],
    groups: tiles * g.strideH * g.strideW,
  });
}

function inputShader(columns: 16 | 32 | 64, fourOut: boolean): Shader {
  const threads = (ROWS / 4) * (columns / 4);
  const loads = (ROWS * (DEPTH / 4)) / threads;
  const type = fourOut ? 'vec4<f32>' : 'f32';
  const load = (target: string, buffer: string): string =>
    fourOut
      ? `${target} = ${buffer}[at / 4];`
      : ['x', 'y', 'z', 'w']
          .map((k, j) => `if (channel + ${j} < u.outC) { ${target}.${k} = ${buffer}[at + ${j}]; }`)
          .join('\n          ');
  return {
    key: `input gradient ${columns} ${fourOut}`,
    inputs: { dy: type, filters: type },
    outputs: { dx: 'f32' },
    uniforms: { ...GEOMETRY_UNIFORMS, tiles: 'i32' },
    threads,
    code: `
var<workgroup> slope : array<vec4<f32>, ${ROWS * PITCH}>;
var<workgroup> weight : array<vec4<f32>, ${columns * PITCH}>;

// The pixel (picture, row, column) of a remainder's row of the product, in strides.
fn pixelOf(row : i32, height : i32, width : i32) -> vec3<i32> {
  return vec3<i32>(row / (height * width), (row / width) % height, row % width);
}

fn main(group : i32, lane : i32) {
  let remainder = group / u.tiles;
  let restY = remainder / u.strideW;
  let restX = remainder % u.strideW;
  let height = (u.inH - restY + u.strideH - 1) / u.strideH;
  let width = (u.inW - restX + u.strideW - 1) / u.strideW;
  let rows = u.n * height * width;
  let across = (u.inC + ${columns - 1}) / ${columns};
  let column0 = ((group % u.tiles) % across) * ${columns};
  let row0 = ((group % u.tiles) / across) * ${ROWS};
  if (row0 >= rows) { return; }
  let myRow = lane / ${columns / 4};
  let myColumn = lane % ${columns / 4};
  var pixels : array<vec3<i32>, ${loads}>;
  for (var j = 0; j < ${loads}; j = j + 1) { pixels[j] = pixelOf(row0 + lane / ${DEPTH / 4} + j * ${threads / 4}, height, width); }
  var sums = array<vec4<f32>, 4>();
  for (var tap = 0; tap < u.kH * u.kW; tap = tap + 1) {
    let y = restY + u.top - (tap / u.kW) * u.dilationH;
    let x = restX + u.left - (tap % u.kW) * u.dilationW;
    if (y % u.strideH != 0 || x % u.strideW != 0) { continue; }
    for (var channel0 = 0; channel0 < u.outC; channel0 = channel0 + ${DEPTH}) {
      for (var j = 0; j < ${loads}; j = j + 1) {
        let row = lane / ${DEPTH / 4} + j * ${threads / 4};
        let channel = channel0 + 4 * (lane % ${DEPTH / 4});
        var four = vec4<f32>(0.0);
        if (row0 + row < rows && channel < u.outC) {
          let pixel = pixels[j];
          let oy = pixel.y + y / u.strideH;
          let ox = pixel.z + x / u.strideW;
          if (oy >= 0 && oy < u.outH && ox >= 0 && ox < u.outW) {
            let at = ((pixel.x * u.outH + oy) * u.outW + ox) * u.outC + channel;
            ${load('four', 'dy')}
          }
        }
        slope[row * ${PITCH} + lane % ${DEPTH / 4}] = four;
      }
      for (var i = lane; i < ${columns * (DEPTH / 4)}; i = i + ${threads}) {
        let column = column0 + i / ${DEPTH / 4};
        let channel = channel0 + 4 * (i % ${DEPTH / 4});
        var four = vec4<f32>(0.0);
        if (column < u.inC && channel < u.outC) {
          let at = (tap * u.inC + column) * u.outC + channel;
          ${load('four', 'filters')}
        }
        weight[(i / ${DEPTH / 4}) * ${PITCH} + i % ${DEPTH / 4}] = four;
      }
      workgroupBarrier();
      for (var k = 0; k < ${DEPTH / 4}; k = k + 1) {
        let b0 = weight[(4 * myColumn) * ${PITCH} + k];
        let b1 = weight[(4 * myColumn + 1) * ${PITCH} + k];
        let b2 = weight[(4 * myColumn + 2) * ${PITCH} + k];
        let b3 = weight[(4 * myColumn + 3) * ${PITCH} + k];
        for (var i = 0; i < 4; i = i + 1) {
          let a = slope[(4 * myRow + i) * ${PITCH} + k];
          sums[i] = sums[i] + vec4<f32>(dot(a, b0), dot(a, b1), dot(a, b2), dot(a, b3));
        }
      }
      workgroupBarrier();
    }
  }
  for (var i = 0; i < 4; i = i + 1) {
    let row = row0 + 4 * myRow + i;
    if (row >= rows) { break; }
    let pixel = pixelOf(row, height, width);
    let first = ((pixel.x * u.inH + pixel.y * u.strideH + restY) * u.inW + pixel.z * u.strideW + restX) * u.inC;
    for (var j = 0; j < 4; j = j + 1) {
      let column = column0 + 4 * myColumn + j;
      if (column < u.inC) { dx[first + column] = sums[i][j]; }
    }
  }
}`,
  };
}
