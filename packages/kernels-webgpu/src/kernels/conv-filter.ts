import type * as tf from '@tensorflow/tfjs-core';
import type { ConvGeometry } from '@polder/ops/geometry';
import type { GpuBackend } from '../backend.js';
import { geometryNumbers, GEOMETRY_UNIFORMS } from './geometry.js';
import { dispatch, sizeOf, withScratch, type Shader } from './program.js';
import { sumParts } from './reduce.js';

// Gradient of a convolution in its filter, as a matrix product that is never laid out: rows are (tap, input channel),
// columns output channels, and the sum runs over all output pixels of the batch. A workgroup makes 64 rows × 16, 32 or 64
// columns, 4 × 4 per thread, over a part of the pixels; a second dispatch adds up the parts. (tfjs has one thread a weight,
// which walks all pixels.)

const ROWS = 64;
/** Pixels in workgroup memory at a time. */
const DEPTH = 16;

/** How pixels are divided: by the geometry alone, so that the sums are the same everywhere. */
interface Plan {
  readonly columns: 16 | 32 | 64;
  readonly tiles: number;
  readonly chunk: number;
  readonly parts: number;
}

function planOf({ n, outH, outW, kH, kW, inC, outC }: ConvGeometry): Plan {
  const columns = outC <= 16 ? 16 : outC <= 32 ? 32 : 64;
  const rows = kH * kW * inC;
  const tiles = Math.ceil(rows / ROWS) * Math.ceil(outC / columns);
  const pixels = n * outH * outW;
  // About 512 workgroups, of 256 pixels at least; the partial sums take 32 MiB at most.
  const most = Math.max(1, Math.floor((8 * 2 ** 20) / (rows * outC)));
  const wanted = Math.max(1, Math.min(Math.ceil(512 / tiles), Math.ceil(pixels / 256), most));
  const chunk = Math.ceil(pixels / wanted / DEPTH) * DEPTH;
  return { columns, tiles, chunk, parts: Math.ceil(pixels / chunk) };
}

/** dw (kH, kW, inC, outC) from x and dy, whose geometry is the forward convolution's and must not be empty. */
export function convFilter(
  backend: GpuBackend,
  x: tf.TensorInfo,
  dy: tf.TensorInfo,
  dw: tf.TensorInfo,
  g: ConvGeometry,
): void {
  const { columns, tiles, chunk, parts } = planOf(g);
  const shader = filterShader(columns, g.inC % 4 === 0, g.outC % 4 === 0);
  const products = (result: tf.TensorInfo): void => {
    dispatch(backend, shader, {
      inputs: [x, dy],
      outputs: [result],
      uniforms: [...geometryNumbers(g), chunk],
      groups: tiles * parts,
    });
  };
  if (parts === 1) return products(dw);
  withScratch(backend, parts * sizeOf(dw), (partial) => {
    products(partial);
    sumParts(backend, partial, parts, dw);
  });
}

function filterShader(columns: 16 | 32 | 64, fourIn: boolean, fourOut: boolean): Shader {
  const threads = (ROWS / 4) * (columns / 4);
  const loads = (ROWS / 4) * DEPTH;
  return {
    key: `filter gradient ${columns} ${fourIn} ${fourOut}`,
    inputs: { x: fourIn ? 'vec4<f32>' : 'f32', dy: fourOut ? 'vec4<f32>' : 'f32' },
    outputs: { dw: 'f32' },
    uniforms: { ...GEOMETRY_UNIFORMS, chunk: 'i32' },
    threads,
    code: `
// Four neighbouring rows (or columns) of one pixel each.
var<workgroup> image : array<vec4<f32>, ${loads}>;
var<workgroup> slope : array<vec4<f32>, ${DEPTH * (columns / 4)}>;
// The corner of each pixel's window: first row of its picture in the batch, row, column.
var<workgroup> corners : array<vec3<i32>, ${DEPTH}>;

fn cornerOf(pixel : i32) -> vec3<i32> {
  let line = pixel / u.outW;
  let picture = line / u.outH;
  return vec3<i32>(picture * u.inH, (line - picture * u.outH) * u.strideH, (pixel - line * u.outW) * u.strideW);
}

// Where a row of the product reads the image: rows and columns from the window's corner, and the channel.
fn tapOf(row : i32) -> vec3<i32> {
  let tap = row / u.inC;
  // Rows past the end read outside of the image.
  if (tap >= u.kH * u.kW) { return vec3<i32>(-1073741824, 0, 0); }
  return vec3<i32>((tap / u.kW) * u.dilationH - u.top, (tap % u.kW) * u.dilationW - u.left, row % u.inC);
}
// Index of the image's value there, or −1 outside.
fn placeOf(tap : vec3<i32>, corner : vec3<i32>) -> i32 {
  let down = corner.y + tap.x;
  let aside = corner.z + tap.y;
  if (down < 0 || down >= u.inH || aside < 0 || aside >= u.inW) { return -1; }
  return ((corner.x + down) * u.inW + aside) * u.inC + tap.z;
}

fn main(group : i32, lane : i32) {
  let across = (u.outC + ${columns - 1}) / ${columns};
  let rows = u.kH * u.kW * u.inC;
  let down = (rows + ${ROWS - 1}) / ${ROWS};
  let column0 = (group % across) * ${columns};
  let row0 = ((group / across) % down) * ${ROWS};
  let part = group / (across * down);
  let begin = part * u.chunk;
  let end = min(begin + u.chunk, u.n * u.outH * u.outW);
  let row = row0 + 4 * (lane % ${ROWS / 4});
  ${
    fourIn
      ? 'let tap = tapOf(row);'
      : 'let tap0 = tapOf(row); let tap1 = tapOf(row + 1); let tap2 = tapOf(row + 2); let tap3 = tapOf(row + 3);'
  }
  let myRow = lane / ${columns / 4};
  let myColumn = lane % ${columns / 4};
  var sum0 = vec4<f32>(0.0); var sum1 = vec4<f32>(0.0); var sum2 = vec4<f32>(0.0); var sum3 = vec4<f32>(0.0);
  if (lane < ${DEPTH}) { corners[lane] = cornerOf(begin + lane); }
  workgroupBarrier();
  for (var start = begin; start < end; start = start + ${DEPTH}) {
    for (var i = lane; i < ${loads}; i = i + ${threads}) {
      let pixel = start + i / ${ROWS / 4};
      var four = vec4<f32>(0.0);
      if (pixel < end) {
        let corner = corners[i / ${ROWS / 4}];
        ${
          fourIn
            ? 'let at = placeOf(tap, corner); if (at >= 0) { four = x[at / 4]; }'
            : ['x', 'y', 'z', 'w']
                .map((k, j) => `let at${j} = placeOf(tap${j}, corner); if (at${j} >= 0) { four.${k} = x[at${j}]; }`)
                .join('\n        ')
        }
      }
      image[i] = four;
    }
    for (var i = lane; i < ${DEPTH * (columns / 4)}; i = i + ${threads}) {
      let pixel = start + i / ${columns / 4};
      let column = column0 + 4 * (i % ${columns / 4});
      var four = vec4<f32>(0.0);
      if (pixel < end) {
        let at = pixel * u.outC + column;
        ${
          fourOut
            ? 'if (column < u.outC) { four = dy[at / 4]; }'
            : ['x', 'y', 'z', 'w']
                .map((k, j) => `if (column + ${j} < u.outC) { four.${k} = dy[at + ${j}]; }`)
                .join('\n        ')
        }
      }
      slope[i] = four;
    }
    workgroupBarrier();
    if (lane < ${DEPTH}) { corners[lane] = cornerOf(start + ${DEPTH} + lane); }
    for (var k = 0; k < ${DEPTH}; k = k + 1) {
      let a = image[k * ${ROWS / 4} + myRow];
      let b = slope[k * ${columns / 4} + myColumn];
      sum0 = sum0 + a.x * b;
      sum1 = sum1 + a.y * b;
      sum2 = sum2 + a.z * b;
      sum3 = sum3 + a.w * b;
    }
    workgroupBarrier();
  }
  let sums = array<vec4<f32>, 4>(sum0, sum1, sum2, sum3);
  for (var i = 0; i < 4; i = i + 1) {
    let r = row0 + 4 * myRow + i;
    for (var j = 0; j < 4; j = j + 1) {
      let c = column0 + 4 * myColumn + j;
      if (r < rows && c < u.outC) { dw[(part * rows + r) * u.outC + c] = sums[i][j]; }
    }
  }
}`,
  };
}
