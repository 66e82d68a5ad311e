import type * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend.js';
import { gpuKernel, type KernelTable } from '../registry.js';
import { dispatch, makeTensor, sizeOf, withScratch, type Element, type Shader } from './program.js';

// Reductions over all leaves of a tree. As many leaves as the device has storage buffers for go into one dispatch, taken
// as one long vector; workgroups reduce 4096 numbers each, and one last dispatch what they found. What a workgroup adds up
// depends on the sizes alone, so that the result does not depend on the device's limits.

type Leaves = readonly tf.TensorInfo[];

/** Tree reductions of @polder/ops. Leaves are the values of `inputs`, in their order, all of them float32. */
export const treeKernels: KernelTable = {
  /** √ Σ x², also where the squares are too large or too small for float32. */
  PolderGlobalNorm: gpuKernel((backend: GpuBackend, inputs: Leaves) =>
    reduce(
      backend,
      NORM,
      Object.values(inputs).map((leaf) => [leaf]),
    ),
  ),
  /** Σ a · b: the first half of the leaves with the second. */
  PolderDot: gpuKernel((backend: GpuBackend, inputs: Leaves) => {
    const leaves = Object.values(inputs);
    const half = leaves.length / 2;
    return reduce(
      backend,
      DOT,
      leaves.slice(0, half).map((leaf, i) => [leaf, leaves[half + i]!]),
    );
  }),
  /** Are all numbers of all leaves finite? A bool. */
  PolderAllFinite: gpuKernel((backend: GpuBackend, inputs: Leaves) =>
    reduce(
      backend,
      FINITE,
      Object.values(inputs).map((leaf) => [leaf]),
    ),
  ),
};

/** Numbers that a workgroup reduces, and its threads. */
const CHUNK = 4096;
const THREADS = 64;

/** What is reduced: three sums in a vector. */
interface Reduction {
  readonly key: string;
  /** Buffers per leaf, and their elements. */
  readonly arity: 1 | 2;
  readonly element: Element;
  /** Adds number `i` of a leaf, in buffers `a` (and `b`), to `own`. */
  readonly add: (a: string, b: string) => string;
  /** What is made of the sums `own`. */
  readonly finish: string;
  readonly dtype: 'float32' | 'bool';
}

// Sums of squares with three accumulators, for numbers whose squares overflow, are fine, and underflow (Blue 1978, with the
// thresholds of LAPACK 3.10 for float32). Scaling by powers of two is exact.
const addSquare = (a: string): string => `
    let v = abs(${a}[i]);
    if (v > 4503599627370496.0) { let s = v * 1.3234889800848443e-23; own.x = own.x + s * s; }
    else if (v < 1.0842021724855044e-19) { let s = v * 3.777893186295716e22; own.z = own.z + s * s; }
    else { own.y = own.y + v * v; }`;

const NORM: Reduction = {
  key: 'norm',
  arity: 1,
  element: 'f32',
  add: addSquare,
  finish: 'norm(own)',
  dtype: 'float32',
};

const DOT: Reduction = {
  key: 'dot',
  arity: 2,
  element: 'f32',
  add: (a, b) => `own.y = own.y + ${a}[i] * ${b}[i];`,
  finish: 'own.y',
  dtype: 'float32',
};

// By their bits: WGSL may assume that no number is NaN.
const FINITE: Reduction = {
  key: 'finite',
  arity: 1,
  element: 'u32',
  add: (a) => `if ((${a}[i] & 0x7f800000u) == 0x7f800000u) { own.x = 1.0; }`,
  finish: 'select(1, 0, own.x > 0.0)',
  dtype: 'bool',
};

function reduce(backend: GpuBackend, reduction: Reduction, all: readonly (readonly tf.TensorInfo[])[]): tf.TensorInfo {
  const leaves = all.filter(([leaf]) => sizeOf(leaf!) > 0);
  const chunksOf = (leaf: readonly tf.TensorInfo[]): number => Math.ceil(sizeOf(leaf[0]!) / CHUNK);
  const chunks = leaves.reduce((sum, leaf) => sum + chunksOf(leaf), 0);
  const result = makeTensor(backend, [], reduction.dtype);
  return withScratch(backend, Math.max(chunks, 1) * 3, (partial) => {
    const room = Math.floor((backend.device.limits.maxStorageBuffersPerShaderStage - 1) / reduction.arity);
    let first = 0;
    for (let at = 0; at < leaves.length; at += room) {
      const some = leaves.slice(at, at + room);
      const groups = some.reduce((sum, leaf) => sum + chunksOf(leaf), 0);
      dispatch(backend, partialShader(reduction, some.length), {
        inputs: some.flat(),
        outputs: [partial],
        uniforms: [first, ...some.map(([leaf]) => sizeOf(leaf!))],
        groups,
      });
      first += groups;
    }
    dispatch(backend, lastShader(reduction), { inputs: [partial], outputs: [result], uniforms: [chunks], groups: 1 });
    return result;
  });
}

const SUM_OF_GROUP = `
var<workgroup> sums : array<vec3<f32>, ${THREADS}>;
fn total(lane : i32, own : vec3<f32>) -> vec3<f32> {
  sums[lane] = own;
  for (var k = ${THREADS / 2}; k > 0; k = k >> 1) {
    workgroupBarrier();
    if (lane < k) { sums[lane] = sums[lane] + sums[lane + k]; }
  }
  return sums[0];
}`;

function partialShader(reduction: Reduction, leaves: number): Shader {
  const numbers = Array.from({ length: leaves }, (_, leaf) => leaf);
  const buffers = numbers.flatMap((leaf) => (reduction.arity === 1 ? [`a${leaf}`] : [`a${leaf}`, `b${leaf}`]));
  const loop = (leaf: number): string => `
  if (chunk >= 0 && chunk * ${CHUNK} < u.size${leaf}) {
    for (var i = chunk * ${CHUNK} + lane; i < min((chunk + 1) * ${CHUNK}, u.size${leaf}); i = i + ${THREADS}) {
      ${reduction.add(`a${leaf}`, `b${leaf}`)}
    }
  }
  chunk = chunk - (u.size${leaf} + ${CHUNK - 1}) / ${CHUNK};`;
  return {
    key: `${reduction.key} of ${leaves}`,
    inputs: Object.fromEntries(buffers.map((name) => [name, reduction.element])),
    outputs: { partial: 'f32' },
    uniforms: { first: 'i32', ...Object.fromEntries(numbers.map((leaf) => [`size${leaf}`, 'i32' as const])) },
    threads: THREADS,
    code: `${SUM_OF_GROUP}
fn main(group : i32, lane : i32) {
  var chunk = group;
  var own = vec3<f32>(0.0);
  ${numbers.map(loop).join('')}
  let sum = total(lane, own);
  if (lane == 0) {
    let at = 3 * (u.first + group);
    partial[at] = sum.x; partial[at + 1] = sum.y; partial[at + 2] = sum.z;
  }
}`,
  };
}

function lastShader(reduction: Reduction): Shader {
  return {
    key: `${reduction.key}, last`,
    inputs: { partial: 'f32' },
    outputs: { result: reduction.dtype === 'bool' ? 'i32' : 'f32' },
    uniforms: { chunks: 'i32' },
    threads: THREADS,
    code: `${SUM_OF_GROUP}
fn norm(own : vec3<f32>) -> f32 {
  let norms = sqrt(own) * vec3<f32>(7.555786372591432e22, 1.0, 2.6469779601696886e-23);
  let top = max(norms.x, max(norms.y, norms.z));
  if (top == 0.0 || top > 3.4e38) { return top; }
  return top * length(norms / top);
}
fn main(group : i32, lane : i32) {
  var own = vec3<f32>(0.0);
  for (var chunk = lane; chunk < u.chunks; chunk = chunk + ${THREADS}) {
    own = own + vec3<f32>(partial[3 * chunk], partial[3 * chunk + 1], partial[3 * chunk + 2]);
  }
  own = total(lane, own);
  if (lane == 0) { result[0] = ${reduction.finish}; }
}`,
  };
}
