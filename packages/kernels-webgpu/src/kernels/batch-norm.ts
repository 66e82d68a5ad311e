import type * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend.js';
import { gpuKernel, type KernelTable } from '../registry.js';
import { dispatch, makeTensor, matrixOf, sizeOf, withScratch, type Element, type Shader } from './program.js';
import { columnParts, COLUMN_THREADS, COLUMNS, sumPairsCode, SUM_ROWS_OF_GROUP } from './reduce.js';

interface Attrs {
  readonly epsilon: number;
  readonly relu: boolean;
  readonly residual: boolean;
}

type ForwardInputs = Readonly<Record<'x' | 'gamma' | 'beta', tf.TensorInfo>> & { readonly residual?: tf.TensorInfo };
type BackwardInputs = Readonly<Record<'x' | 'gamma' | 'y' | 'mean' | 'variance' | 'dy', tf.TensorInfo>>;

/** Training batch norm of @polder/ops and its gradient: three dispatches each, residual and ReLU included. */
export const batchNormKernels: KernelTable = {
  PolderBatchNorm: gpuKernel((backend: GpuBackend, { x, gamma, beta, residual }: ForwardInputs, attrs: Attrs) => {
    const [channels] = matrixOf(x);
    const [mean, variance] = statistics(backend, x);
    const y = makeTensor(backend, x.shape);
    const size = sizeOf(x);
    if (size > 0) {
      const shader = applyShader(widthOf(channels), residual !== undefined, attrs.relu);
      const width = widthOf(channels);
      dispatch(backend, shader, {
        inputs: [x, mean, variance, gamma, beta, ...(residual === undefined ? [] : [residual])],
        outputs: [y],
        uniforms: [size / width, channels / width, attrs.epsilon],
        groups: Math.ceil(size / width / 256),
      });
    }
    return [y, mean, variance];
  }),

  PolderBatchNormGrad: gpuKernel((backend: GpuBackend, inputs: BackwardInputs, { epsilon, relu, residual }: Attrs) => {
    const { x, gamma, y, mean, variance, dy } = inputs;
    const [channels, rows] = matrixOf(x);
    // What passes the ReLU is the residual's gradient, and is not worked out twice.
    const masked = relu && residual ? makeTensor(backend, x.shape) : undefined;
    const { tiles, chunk, parts } = columnParts(channels, rows);
    const [dx, dgamma, dbeta] = [
      makeTensor(backend, x.shape),
      makeTensor(backend, [channels]),
      makeTensor(backend, [channels]),
    ];
    withScratch(backend, 3 * channels, (factors) => {
      withScratch(backend, parts * 2 * channels, (partial) => {
        dispatch(backend, gradSumsShader(relu, masked !== undefined), {
          inputs: [x, dy, mean, variance, ...(relu ? [y] : [])],
          outputs: [partial, ...(masked === undefined ? [] : [masked])],
          uniforms: [channels, rows, chunk, epsilon],
          groups: tiles * parts,
        });
        dispatch(backend, GRAD_FACTORS, {
          inputs: [partial, variance, gamma],
          outputs: [dgamma, dbeta, factors],
          uniforms: [channels, rows, parts, epsilon],
          groups: tiles,
        });
      });
      const width = widthOf(channels);
      const readsMask = relu && masked === undefined;
      dispatch(backend, gradApplyShader(width, readsMask), {
        inputs: [x, masked ?? dy, mean, factors, ...(readsMask ? [y] : [])],
        outputs: [dx],
        uniforms: [sizeOf(x) / width, channels / width],
        groups: Math.ceil(sizeOf(x) / width / 256),
      });
    });
    return [dx, dgamma, dbeta, ...(masked === undefined ? [] : [masked])];
  }),
};

function widthOf(channels: number): 1 | 4 {
  return channels % 4 === 0 ? 4 : 1;
}

/** Mean and biased variance of every channel. */
function statistics(backend: GpuBackend, x: tf.TensorInfo): [mean: tf.TensorInfo, variance: tf.TensorInfo] {
  const [channels, rows] = matrixOf(x);
  const { tiles, chunk, parts } = columnParts(channels, rows);
  const outputs: [tf.TensorInfo, tf.TensorInfo] = [makeTensor(backend, [channels]), makeTensor(backend, [channels])];
  return withScratch(backend, parts * 2 * channels, (partial) => {
    dispatch(backend, PARTIAL_MOMENTS, {
      inputs: [x],
      outputs: [partial],
      uniforms: [channels, rows, chunk],
      groups: tiles * parts,
    });
    dispatch(backend, MERGED_MOMENTS, {
      inputs: [partial],
      outputs,
      uniforms: [channels, rows, chunk, parts],
      groups: tiles,
    });
    return outputs;
  });
}

// A thread sums deviations from its first number, which no outlier spoils that is not most of the variance itself; sums are
// merged as means and squared deviations (Chan, Golub & LeVeque 1979, eq. 2.1), never as differences of large sums.
const MERGE_MOMENTS = `
var<workgroup> counts : array<f32, ${COLUMN_THREADS}>;
var<workgroup> means : array<f32, ${COLUMN_THREADS}>;
var<workgroup> squares : array<f32, ${COLUMN_THREADS}>;
// (count, mean, sum of squares) of both.
fn merged(a : vec3<f32>, b : vec3<f32>) -> vec3<f32> {
  if (b.x == 0.0) { return a; }
  if (a.x == 0.0) { return b; }
  let n = a.x + b.x;
  let distance = b.y - a.y;
  return vec3<f32>(n, a.y + distance * (b.x / n), a.z + b.z + distance * distance * (a.x * (b.x / n)));
}
fn mergeRows(lane : i32, own : vec3<f32>) {
  counts[lane] = own.x; means[lane] = own.y; squares[lane] = own.z;
  for (var k = 128; k >= ${COLUMNS}; k = k >> 1) {
    workgroupBarrier();
    if (lane < k) {
      let both = merged(vec3<f32>(counts[lane], means[lane], squares[lane]),
                        vec3<f32>(counts[lane + k], means[lane + k], squares[lane + k]));
      counts[lane] = both.x; means[lane] = both.y; squares[lane] = both.z;
    }
  }
}`;

const PARTIAL_MOMENTS: Shader = {
  key: 'partial moments',
  inputs: { x: 'f32' },
  outputs: { partial: 'f32' },
  uniforms: { channels: 'i32', rows: 'i32', chunk: 'i32' },
  threads: COLUMN_THREADS,
  code: `${MERGE_MOMENTS}
fn main(group : i32, lane : i32) {
  let tiles = (u.channels + ${COLUMNS - 1}) / ${COLUMNS};
  let part = group / tiles;
  let channel = (group % tiles) * ${COLUMNS} + lane % ${COLUMNS};
  let end = min((part + 1) * u.chunk, u.rows);
  var own = vec3<f32>(0.0);
  let begin = part * u.chunk + lane / ${COLUMNS};
  if (channel < u.channels && begin < end) {
    let origin = x[begin * u.channels + channel];
    var sum = 0.0; var square = 0.0; var count = 0.0;
    for (var row = begin; row < end; row = row + ${COLUMN_THREADS / COLUMNS}) {
      let v = x[row * u.channels + channel] - origin;
      count = count + 1.0;
      sum = sum + v;
      square = square + v * v;
    }
    own = vec3<f32>(count, origin + sum / count, max(square - sum * (sum / count), 0.0));
  }
  mergeRows(lane, own);
  if (lane < ${COLUMNS} && channel < u.channels) {
    partial[2 * part * u.channels + channel] = means[lane];
    partial[(2 * part + 1) * u.channels + channel] = squares[lane];
  }
}`,
};

const MERGED_MOMENTS: Shader = {
  key: 'merged moments',
  inputs: { partial: 'f32' },
  outputs: { mean: 'f32', variance: 'f32' },
  uniforms: { channels: 'i32', rows: 'i32', chunk: 'i32', parts: 'i32' },
  threads: COLUMN_THREADS,
  code: `${MERGE_MOMENTS}
fn main(group : i32, lane : i32) {
  let channel = group * ${COLUMNS} + lane % ${COLUMNS};
  var own = vec3<f32>(0.0);
  if (channel < u.channels) {
    for (var part = lane / ${COLUMNS}; part < u.parts; part = part + ${COLUMN_THREADS / COLUMNS}) {
      let count = f32(min((part + 1) * u.chunk, u.rows) - part * u.chunk);
      own = merged(own, vec3<f32>(count, partial[2 * part * u.channels + channel],
                                  partial[(2 * part + 1) * u.channels + channel]));
    }
  }
  mergeRows(lane, own);
  if (lane < ${COLUMNS} && channel < u.channels) {
    mean[channel] = means[lane];
    variance[channel] = squares[lane] / f32(u.rows);
  }
}`,
};

/** `T` is a channel or four neighbouring ones; channels are counted in them. */
function arraysOf(width: 1 | 4, names: readonly string[]): Record<string, Element> {
  return Object.fromEntries(names.map((name) => [name, width === 1 ? 'f32' : 'vec4<f32>']));
}

function applyShader(width: 1 | 4, residual: boolean, relu: boolean): Shader {
  const inputs = ['x', 'mean', 'variance', 'gamma', 'beta', ...(residual ? ['residual'] : [])];
  const component = (k: string): string => (relu ? `rectified(v${k})` : `v${k}`);
  const finished = width === 1 ? component('') : `T(${['.x', '.y', '.z', '.w'].map(component).join(', ')})`;
  return {
    key: `batch norm ${width} ${residual} ${relu}`,
    inputs: arraysOf(width, inputs),
    outputs: arraysOf(width, ['y']),
    uniforms: { count: 'i32', channels: 'i32', epsilon: 'f32' },
    threads: 256,
    code: `alias T = ${width === 1 ? 'f32' : 'vec4<f32>'};
fn main(group : i32, lane : i32) {
  let i = group * 256 + lane;
  if (i >= u.count) { return; }
  let c = i % u.channels;
  let v = (x[i] - mean[c]) * (gamma[c] * inverseSqrt(variance[c] + u.epsilon)) + beta[c]${residual ? ' + residual[i]' : ''};
  y[i] = ${finished};
}`,
  };
}

/** Per channel and part: the sums of g and of g · (x − mean) / √(variance + epsilon), g the gradient behind the ReLU. */
function gradSumsShader(relu: boolean, keepsMasked: boolean): Shader {
  return {
    key: `batch norm gradient sums ${relu} ${keepsMasked}`,
    inputs: { x: 'f32', dy: 'f32', mean: 'f32', variance: 'f32', ...(relu ? { y: 'f32' as const } : {}) },
    outputs: { partial: 'f32', ...(keepsMasked ? { masked: 'f32' as const } : {}) },
    uniforms: { channels: 'i32', rows: 'i32', chunk: 'i32', epsilon: 'f32' },
    threads: COLUMN_THREADS,
    code: `
var<workgroup> first : array<f32, ${COLUMN_THREADS}>;
var<workgroup> second : array<f32, ${COLUMN_THREADS}>;
${SUM_ROWS_OF_GROUP}
fn main(group : i32, lane : i32) {
  let tiles = (u.channels + ${COLUMNS - 1}) / ${COLUMNS};
  let part = group / tiles;
  let channel = (group % tiles) * ${COLUMNS} + lane % ${COLUMNS};
  let end = min((part + 1) * u.chunk, u.rows);
  var a = 0.0; var b = 0.0;
  if (channel < u.channels) {
    let centre = mean[channel];
    let scale = inverseSqrt(variance[channel] + u.epsilon);
    for (var row = part * u.chunk + lane / ${COLUMNS}; row < end; row = row + ${COLUMN_THREADS / COLUMNS}) {
      let i = row * u.channels + channel;
      let g = ${relu ? 'select(0.0, dy[i], y[i] > 0.0)' : 'dy[i]'};
      ${keepsMasked ? 'masked[i] = g;' : ''}
      a = a + g;
      b = b + g * (x[i] - centre);
    }
    b = b * scale;
  }
  first[lane] = a;
  second[lane] = b;
  sumRows(lane);
  if (lane < ${COLUMNS} && channel < u.channels) {
    partial[2 * part * u.channels + channel] = first[lane];
    partial[(2 * part + 1) * u.channels + channel] = second[lane];
  }
}`,
  };
}

/** Per channel: the gradients of gamma and beta, and three factors for that of x, see {@link gradApplyShader}. */
const GRAD_FACTORS: Shader = {
  key: 'batch norm gradient factors',
  inputs: { partial: 'f32', variance: 'f32', gamma: 'f32' },
  outputs: { dgamma: 'f32', dbeta: 'f32', factors: 'f32' },
  uniforms: { columns: 'i32', rows: 'i32', parts: 'i32', epsilon: 'f32' },
  threads: COLUMN_THREADS,
  code: sumPairsCode(`
    let scale = inverseSqrt(variance[column] + u.epsilon);
    let slope = gamma[column] * scale;
    dbeta[column] = sum.x;
    dgamma[column] = sum.y;
    factors[column] = slope;
    factors[u.columns + column] = sum.x / f32(u.rows);
    factors[2 * u.columns + column] = slope * scale * (sum.y / f32(u.rows));`),
};

/** dx = gamma / σ · (g − mean of g − x̂ · mean of g x̂): Ioffe & Szegedy 2015, section 3, in closed form. */
function gradApplyShader(width: 1 | 4, readsMask: boolean): Shader {
  return {
    key: `batch norm gradient ${width} ${readsMask}`,
    inputs: arraysOf(width, ['x', 'dy', 'mean', 'factors', ...(readsMask ? ['y'] : [])]),
    outputs: arraysOf(width, ['dx']),
    uniforms: { count: 'i32', channels: 'i32' },
    threads: 256,
    code: `alias T = ${width === 1 ? 'f32' : 'vec4<f32>'};
fn main(group : i32, lane : i32) {
  let i = group * 256 + lane;
  if (i >= u.count) { return; }
  let c = i % u.channels;
  let g = ${readsMask ? 'select(T(0.0), dy[i], y[i] > T(0.0))' : 'dy[i]'};
  dx[i] = factors[c] * (g - factors[u.channels + c]) - factors[2 * u.channels + c] * (x[i] - mean[c]);
}`,
  };
}
