import * as tf from '@tensorflow/tfjs-core';
import { WebgpuUnavailableError } from './errors.js';

export const BACKEND = 'webgpu';

/** Numbers that a program gets as uniforms; 1 to 6 per entry, in the order of `GpuProgram.uniforms`. */
export type Uniform = {
  readonly type: 'int32' | 'uint32' | 'float32';
  data: number[];
};

/** A shader as tfjs's WebGPU backend runs it; see README, "Writing a kernel". */
export interface GpuProgram {
  /** Names of the inputs in WGSL, in their order: `array<f32>` or `array<i32>` each. */
  readonly variableNames: string[];
  readonly outputShape: number[];
  readonly workgroupSize: [number, number, number];
  dispatch: [number, number, number];
  readonly dispatchLayout: { x: number[]; y?: number[]; z?: number[] };
  /** Declarations of own uniforms, such as `'rows : i32, epsilon : f32,'`. */
  readonly uniforms?: string;
  /** True gives `uniforms.size`, the length of the output. */
  readonly size?: boolean;
  /** Everything that changes the code is in it; ranks and types of inputs are added, shapes are not. */
  shaderKey: string;
  readonly variableComponents?: number[];
  readonly outputComponent?: number;
  readonly atomic?: boolean;
  getUserCode(): string;
  /** Filled in by the backend. */
  pipeline?: GPUComputePipeline;
}

/** A tensor's data as the backend keeps it: on the host, on the GPU, or nowhere yet. */
export interface TensorData {
  values: tf.backend_util.TypedArray | string[] | null | undefined;
  readonly dtype: tf.DataType;
  readonly shape: number[];
  refCount: number;
  resource?: GPUBuffer | null;
}

interface BufferManager {
  acquireBuffer(size: number, usage: number, mappedAtCreation?: boolean, reuse?: boolean): GPUBuffer;
  releaseBuffer(buffer: GPUBuffer, reuse?: boolean): void;
}

/** tfjs's WebGPU backend, as far as we use it; some of it tfjs calls private. */
export interface GpuBackend extends tf.KernelBackend {
  readonly device: GPUDevice;
  readonly queue: GPUQueue;
  readonly bufferManager: BufferManager;
  /** The matrix product takes smaller tiles when there are no more than so many of 32 × 32. */
  readonly thresholdToIncreaseWorkgroups: number;
  readonly tensorMap: { get(dataId: tf.DataId): TensorData; has(dataId: tf.DataId): boolean };
  runWebGPUProgram(
    program: GpuProgram,
    inputs: readonly tf.TensorInfo[],
    dtype: tf.DataType,
    uniforms?: Uniform[],
    output?: tf.TensorInfo,
  ): tf.TensorInfo;
  makeTensorInfo(shape: number[], dtype: tf.DataType, values?: tf.backend_util.TypedArray): tf.TensorInfo;
  uploadToGPU(dataId: tf.DataId): void;
  readonly commandEncoder: GPUCommandEncoder | null;
  submitQueue(): void;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  disposeData(dataId: tf.DataId, force?: boolean): boolean;
}

/** The running webgpu backend; throws {@link WebgpuUnavailableError} when the current backend is another one. */
export function currentBackend(): GpuBackend {
  if (tf.getBackend() !== BACKEND)
    throw new WebgpuUnavailableError(`the current backend is "${tf.getBackend()}"`, 'Call await startWebgpu() first.');
  return tf.backend() as unknown as GpuBackend;
}
