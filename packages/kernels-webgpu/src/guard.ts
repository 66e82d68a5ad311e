import * as tf from '@tensorflow/tfjs-core';
import { BACKEND, type GpuBackend } from './backend.js';
import {
  WebgpuDeviceLostError,
  WebgpuLimitError,
  WebgpuReadError,
  WebgpuWorkError,
  type GpuErrorKind,
} from './errors.js';

// WebGPU reports errors by events, and tfjs listens to none: this turns them into exceptions.

/** Reports kept word by word; the rest is counted. */
const MAX_REPORTS = 4;

/** What the device of one backend has complained about. */
interface Watch {
  /** Errors so far. */
  count: number;
  /** Errors that an exception has told of. */
  told: number;
  kind: GpuErrorKind;
  reports: string[];
  lost: GPUDeviceLostInfo | undefined;
  readonly loss: Promise<GPUDeviceLostInfo>;
}

const watches = new WeakMap<GpuBackend, Watch>();

/** Watches the backend's device; makes its reads throw what went wrong, and refuses what the device cannot take. */
export function guardBackend(backend: GpuBackend): void {
  const { device } = backend;
  const watch: Watch = {
    count: 0,
    told: 0,
    kind: 'validation',
    reports: [],
    lost: undefined,
    loss: device.lost.then((info) => (watch.lost = info)),
  };
  watches.set(backend, watch);
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault(); // no second report on the console
    watch.count++;
    watch.kind = kindOf(event.error);
    if (watch.reports.length < MAX_REPORTS) watch.reports.push(firstLines(event.error.message));
  });
  guardReads(backend, watch);
  guardSizes(backend);
}

/** Is this one of ours, and is its device alive? */
export function isGuarded(backend: GpuBackend): boolean {
  return watches.has(backend);
}

export function isLost(backend: GpuBackend): boolean {
  return watches.get(backend)?.lost !== undefined;
}

/**
 * Throws what has gone wrong on the GPU since the last exception told of it: {@link WebgpuDeviceLostError} or
 * {@link WebgpuWorkError}. Sees what the device has reported so far; {@link settleWebgpu} waits for the rest.
 */
export function checkBackend(backend: GpuBackend): void {
  const watch = watches.get(backend);
  if (watch !== undefined) throwSince(watch, watch.told);
}

/**
 * Waits until the GPU has done all work sent to it, and throws {@link WebgpuDeviceLostError} or {@link WebgpuWorkError}
 * if it refused some: for the end of an epoch, or before saving. Every awaited read (`await tensor.data()`) checks the
 * same. Does nothing on other backends.
 */
export async function settleWebgpu(): Promise<void> {
  const backend = tf.findBackend(BACKEND) as unknown as GpuBackend | null;
  const watch = backend === null ? undefined : watches.get(backend);
  if (backend === null || watch === undefined) return;
  const before = watch.told;
  if (watch.lost === undefined) {
    backend.endComputePassEncoder();
    backend.ensureCommandEncoderReady();
    backend.submitQueue();
    await Promise.race([Promise.all([backend.queue.onSubmittedWorkDone(), reported(backend.device)]), watch.loss]);
  }
  throwSince(watch, before);
}

/** Throws if there were errors past the first `told`. */
function throwSince(watch: Watch, told: number): void {
  if (watch.lost !== undefined) throw new WebgpuDeviceLostError(watch.lost.reason, watch.lost.message);
  if (watch.count <= told) return;
  const error = new WebgpuWorkError(watch.kind, watch.reports, watch.count - watch.told || 1);
  watch.told = watch.count;
  watch.reports = [];
  throw error;
}

/** Resolves once every error of commands sent so far has been reported: the answer of a scope comes after them. */
async function reported(device: GPUDevice): Promise<void> {
  device.pushErrorScope('validation');
  await device.popErrorScope();
}

function guardReads(backend: GpuBackend, watch: Watch): void {
  const read = backend.read.bind(backend);
  backend.read = async (dataId) => {
    const data = backend.tensorMap.has(dataId) ? backend.tensorMap.get(dataId) : undefined;
    if (data === undefined || data.values != null) return read(dataId);
    // Reads that were under way when the error came are as wrong as the one that tells of it first.
    const before = watch.told;
    throwSince(watch, before);
    try {
      const values = await Promise.race([
        Promise.all([read(dataId), reported(backend.device)]).then(([found]) => found),
        watch.loss.then(() => undefined),
      ]);
      throwSince(watch, before);
      return values!;
    } catch (error) {
      // What the backend kept of a read that went wrong is wrong for the next one too.
      if (backend.tensorMap.has(dataId) && data.resource != null) data.values = null;
      if (!(error instanceof WebgpuWorkError)) await Promise.race([watch.loss, turn()]);
      throwSince(watch, before);
      throw error;
    }
  };
  backend.readSync = (dataId) => {
    const data = backend.tensorMap.get(dataId);
    if (data.values == null && data.dtype !== 'string') throw new WebgpuReadError(data.shape);
    return data.values as tf.backend_util.BackendValues;
  };
}

/** A turn of the event loop: a rejected read may come before the news that the device is lost. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 50));
}

function guardSizes(backend: GpuBackend): void {
  const { limits } = backend.device;
  const check = (what: string, bytes: number): void => {
    const [limit, allowed] =
      limits.maxBufferSize < limits.maxStorageBufferBindingSize
        ? (['maxBufferSize', limits.maxBufferSize] as const)
        : (['maxStorageBufferBindingSize', limits.maxStorageBufferBindingSize] as const);
    if (bytes > allowed) throw new WebgpuLimitError(what, `${limit} (bytes)`, allowed, bytes);
  };
  const write = backend.write.bind(backend);
  backend.write = (values, shape, dtype) => {
    if (dtype !== 'string') check(`A tensor of shape [${shape.join(', ')}]`, 4 * tf.util.sizeFromShape(shape));
    return write(values, shape, dtype);
  };
  // Tensors that come from another backend are not written, but moved: they meet the limit when they are uploaded.
  const acquire = backend.bufferManager.acquireBuffer.bind(backend.bufferManager);
  backend.bufferManager.acquireBuffer = (size, ...rest) => {
    check('A buffer', size);
    return acquire(size, ...rest);
  };
  const run = backend.runWebGPUProgram.bind(backend);
  backend.runWebGPUProgram = (program, inputs, ...rest) => {
    const buffers = inputs.length + 1;
    if (buffers > limits.maxStorageBuffersPerShaderStage)
      throw new WebgpuLimitError(
        `The program "${program.shaderKey}" with ${inputs.length} inputs`,
        'maxStorageBuffersPerShaderStage',
        limits.maxStorageBuffersPerShaderStage,
        buffers,
      );
    return run(program, inputs, ...rest);
  };
}

function kindOf(error: GPUError): GpuErrorKind {
  const { name } = error.constructor;
  return name === 'GPUOutOfMemoryError' ? 'out-of-memory' : name === 'GPUInternalError' ? 'internal' : 'validation';
}

function firstLines(message: string): string {
  return message.split('\n').slice(0, 3).join(' ').trim().slice(0, 400);
}
