import * as tf from '@tensorflow/tfjs-core';
import { BACKEND, type GpuBackend } from './backend.js';
import { WebgpuLimitError, WebgpuReadError } from './errors.js';
import { answers, flush, pause, throwSpoilt, throwUntold, watchDevice, type Watch } from './watch.js';

const watches = new WeakMap<GpuBackend, Watch>();

/** Makes the backend's reads throw what went wrong on its device, and refuses what the device cannot take. */
export function guardBackend(backend: GpuBackend): void {
  const watch = watchDevice(backend);
  watches.set(backend, watch);
  guardReads(backend, watch);
  guardSizes(backend);
}

/** Is this one of ours? */
export function isGuarded(backend: GpuBackend): boolean {
  return watches.has(backend);
}

export function isLost(backend: GpuBackend): boolean {
  return watches.get(backend)?.lost !== undefined;
}

/**
 * Throws {@link WebgpuDeviceLostError} or {@link WebgpuWorkError} for what the device has reported so far and no
 * exception has told of; {@link settleWebgpu} waits for the rest.
 */
export function checkBackend(backend: GpuBackend): void {
  const watch = watches.get(backend);
  if (watch !== undefined) throwUntold(watch);
}

/**
 * Waits until the GPU has done all work sent to it, and throws {@link WebgpuDeviceLostError} or {@link WebgpuWorkError}
 * if it refused some: for the end of an epoch, or before saving. Every awaited read (`await tensor.data()`) checks the
 * same. Does nothing on other backends.
 */
export async function settleWebgpu(): Promise<void> {
  const backend = tf.findBackend(BACKEND) as GpuBackend | null;
  const watch = backend === null ? undefined : watches.get(backend);
  if (backend === null || watch === undefined) return;
  if (watch.lost === undefined) {
    flush(backend);
    await Promise.race([backend.queue.onSubmittedWorkDone(), watch.loss]);
    await answers(watch);
  }
  throwUntold(watch);
}

function guardReads(backend: GpuBackend, watch: Watch): void {
  const read = backend.read.bind(backend);
  backend.read = async (dataId) => {
    const data = backend.tensorMap.has(dataId) ? backend.tensorMap.get(dataId) : undefined;
    const { id } = dataId as { readonly id: number };
    if (data === undefined || data.values != null) return read(dataId);
    if (watch.lost !== undefined || watch.count > watch.told) await tellKnown(watch);
    throwSpoilt(watch, id);
    const { youngest } = watch;
    try {
      const values = await Promise.race([read(dataId), watch.loss.then(() => undefined)]);
      await answers(watch);
      throwUntold(watch);
      throwSpoilt(watch, id); // another read may have told of it
      watch.sound = Math.max(watch.sound, youngest);
      return values!;
    } catch (error) {
      // What the backend kept of a read that went wrong is wrong for the next one too.
      if (backend.tensorMap.has(dataId)) data.values = null;
      await Promise.race([watch.loss, pause()]);
      throwUntold(watch);
      throw error;
    }
  };
  backend.readSync = (dataId) => {
    const data = backend.tensorMap.get(dataId);
    if (data.values == null && data.dtype !== 'string') throw new WebgpuReadError(data.shape);
    return data.values as tf.backend_util.BackendValues;
  };
}

/** For errors that are known before a read is sent off: they are told with all that explains them. */
async function tellKnown(watch: Watch): Promise<void> {
  flush(watch.backend);
  await answers(watch);
  throwUntold(watch);
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
    const allowed = limits.maxStorageBuffersPerShaderStage;
    if (inputs.length + 1 > allowed)
      throw new WebgpuLimitError(
        `The program "${program.shaderKey}" with ${inputs.length} inputs`,
        'maxStorageBuffersPerShaderStage',
        allowed,
        inputs.length + 1,
      );
    // tfjs folds a dispatch into more dimensions where the program numbers its threads in one.
    const most = limits.maxComputeWorkgroupsPerDimension;
    const { dispatch, dispatchLayout: layout } = program;
    const flat = layout.y === undefined && layout.z === undefined;
    const largest = Math.max(...(flat ? dispatch.slice(1) : dispatch));
    if (largest > most)
      throw new WebgpuLimitError(
        `The program "${program.shaderKey}" for a result of shape [${program.outputShape.join(', ')}]`,
        'maxComputeWorkgroupsPerDimension',
        most,
        largest,
      );
    return run(program, inputs, ...rest);
  };
}
