import * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend, Uniform } from '../backend.js';
import { WebgpuLimitError } from '../errors.js';

// Shaders of ours. tfjs's runWebGPUProgram knows one output, and puts ranks, broadcasts and a page of helpers into every
// shader; ours write as many tensors as the storage buffers allow, see flat arrays, and are compiled once for all shapes.
// Bindings and uniforms are laid out as the backend's recordAndSubmit wants them: what it does around a dispatch (deferred
// submission, timing, buffers that are in use) holds for ours too.

/** A WGSL type of which a buffer is an array. */
export type Element = 'f32' | 'i32' | 'u32' | 'vec4<f32>' | 'vec4<u32>';

/** A compute shader over flat arrays. */
export interface Shader {
  /** Names everything that changes the code. */
  readonly key: string;
  /** Buffers by their name in the code: read only, then written. */
  readonly inputs: Readonly<Record<string, Element>>;
  readonly outputs: Readonly<Record<string, Element>>;
  /** Numbers by name, in the code `u.name`. */
  readonly uniforms: Readonly<Record<string, 'i32' | 'f32'>>;
  /** Threads of a workgroup. */
  readonly threads: number;
  /** Defines `fn main(group : i32, lane : i32)`. May use `isNan`, `rectified` and `u.nan`. */
  readonly code: string;
}

/** What a shader is run on: tensors in the order of its declarations. */
interface Work {
  readonly inputs: readonly tf.TensorInfo[];
  readonly outputs: readonly tf.TensorInfo[];
  readonly uniforms: readonly number[];
  /** How many workgroups: any number, they are folded into two dimensions. */
  readonly groups: number;
}

/** tfjs calls these private. */
interface Recorder extends GpuBackend {
  readonly pipelineCache: Record<string, GPUComputePipeline>;
  recordAndSubmit(program: object, output: tf.TensorInfo, inputs: readonly tf.TensorInfo[], uniforms: Uniform[]): void;
}

const MOST_GROUPS = 65_535;

/** Puts one dispatch into the backend's queue. Outputs must exist, see {@link makeTensor}; no buffer may be empty. */
export function dispatch(backend: GpuBackend, shader: Shader, { inputs, outputs, uniforms, groups }: Work): void {
  const recorder = backend as Recorder;
  requireRoom(recorder.device.limits, shader, inputs.length + outputs.length);
  for (const { dataId } of [...inputs, ...outputs]) recorder.uploadToGPU(dataId);
  const shaderKey = `polder ${shader.key}`;
  const pipeline = (recorder.pipelineCache[shaderKey] ??= compile(recorder.device, shader));
  const folds = Math.ceil(groups / MOST_GROUPS);
  const flat = [outputs[0]!, ...inputs, ...outputs.slice(1)].map(flattened) as [tf.TensorInfo, ...tf.TensorInfo[]];
  const types = Object.values(shader.uniforms);
  // The constructor's name is what tf.time calls a program.
  recorder.recordAndSubmit(
    {
      pipeline,
      shaderKey,
      dispatch: [Math.ceil(groups / folds), folds, 1],
      written: outputs.length,
      constructor: { name: shaderKey },
    },
    flat[0],
    flat.slice(1),
    [groups, ...uniforms].map((value, i) => ({
      type: i === 0 || types[i - 1] === 'i32' ? 'int32' : 'float32',
      data: [value],
    })),
  );
}

function requireRoom(
  { maxStorageBuffersPerShaderStage: room }: GPUSupportedLimits,
  { key }: Shader,
  asked: number,
): void {
  if (asked > room) throw new WebgpuLimitError(`The shader "${key}"`, 'maxStorageBuffersPerShaderStage', room, asked);
}

/** A new tensor for a kernel to fill. */
export function makeTensor(
  backend: GpuBackend,
  shape: readonly number[],
  dtype: 'float32' | 'int32' | 'bool' = 'float32',
): tf.TensorInfo {
  // Without numbers there is nothing to dispatch, and no buffer.
  const values = sizeOf({ shape }) === 0 ? tf.util.getTypedArrayFromDType(dtype, 0) : undefined;
  return backend.makeTensorInfo([...shape], dtype, values);
}

/** Zeros: the sum of nothing. */
export function makeZeros(backend: GpuBackend, shape: readonly number[]): tf.TensorInfo {
  return backend.makeTensorInfo([...shape], 'float32', new Float32Array(sizeOf({ shape })));
}

/** Runs `work` with a tensor that is freed once it is done. */
export function withScratch<T>(backend: GpuBackend, size: number, work: (scratch: tf.TensorInfo) => T): T {
  const scratch = makeTensor(backend, [size]);
  try {
    return work(scratch);
  } finally {
    backend.disposeData(scratch.dataId);
  }
}

export function sizeOf({ shape }: { readonly shape: readonly number[] }): number {
  return tf.util.sizeFromShape([...shape]);
}

/** [columns, rows] of a tensor as a matrix whose last axis is that of the columns. */
export function matrixOf({ shape }: tf.TensorInfo): readonly [columns: number, rows: number] {
  return [shape.at(-1)!, sizeOf({ shape: shape.slice(0, -1) })];
}

/** As a vector: the uniforms that tfjs makes of shapes are then two numbers per tensor. */
function flattened({ dataId, shape, dtype }: tf.TensorInfo): tf.TensorInfo {
  return { dataId, shape: [sizeOf({ shape })], dtype };
}

function compile(device: GPUDevice, shader: Shader): GPUComputePipeline {
  const label = `polder ${shader.key}`;
  const module = device.createShaderModule({ code: sourceOf(shader), label });
  return device.createComputePipeline({ compute: { module, entryPoint: 'start' }, label, layout: 'auto' });
}

function sourceOf({ inputs, outputs, uniforms, threads, code }: Shader): string {
  const [first, ...others] = Object.entries(outputs).map(([name, type]) => ({ name, type, access: 'read_write' }));
  const read = Object.entries(inputs).map(([name, type]) => ({ name, type, access: 'read' }));
  const buffers = [first!, ...read, ...others];
  // In the order of recordAndSubmit: NaN, infinity, then shape and stride of every input and of the output, then ours.
  const shapes = [...buffers.slice(1), first!].map(({ name }) => `${name}_size : i32, ${name}_stride : i32,`);
  return `
struct Uniforms {
  nan : f32, infinity : f32,
  ${shapes.join('\n  ')}
  groups : i32,
  ${Object.entries(uniforms)
    .map(([name, type]) => `${name} : ${type},`)
    .join(' ')}
}
${buffers.map(({ name, type, access }, i) => `@group(0) @binding(${i}) var<storage, ${access}> ${name} : array<${type}>;`).join('\n')}
@group(0) @binding(${buffers.length}) var<uniform> u : Uniforms;

// By its bits: WGSL may assume that no number is NaN, so that no comparison finds one.
fn isNan(v : f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }
// max(v, 0) that keeps NaN, so that a step that went wrong is seen.
fn rectified(v : f32) -> f32 { return select(max(v, 0.0), v, isNan(v)); }

${code}

@compute @workgroup_size(${threads})
fn start(@builtin(local_invocation_index) lane : u32, @builtin(workgroup_id) id : vec3<u32>,
         @builtin(num_workgroups) count : vec3<u32>) {
  let group = i32(id.y * count.x + id.x);
  if (group < u.groups) { main(group, i32(lane)); }
}
`;
}
