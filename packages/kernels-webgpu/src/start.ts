import * as tf from '@tensorflow/tfjs-core';
import { gpuOfThisEnvironment, nameOf, requestAdapter, type AdapterDescription } from './adapter.js';
import { BACKEND, type GpuBackend } from './backend.js';
import { WebgpuUnavailableError } from './errors.js';
import { guardBackend, isGuarded, isLost } from './guard.js';
import { registerWebgpuKernels } from './register.js';

export interface StartWebgpuOptions {
  /** Take an adapter that is a program on the processor; false unless given, since the wasm backend is faster than one. */
  readonly allowSoftware?: boolean;
}

/** A running WebGPU backend. */
export interface StartedWebgpu {
  readonly adapter: AdapterDescription;
  /** One line: which GPU it is. */
  readonly reason: string;
}

/** What tfjs leaves at the default although adapters offer more, and what it raises itself. */
const RAISED = [
  'maxStorageBuffersPerShaderStage',
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeInvocationsPerWorkgroup',
] as const;

const running = new WeakMap<GpuBackend, StartedWebgpu>();

/**
 * Starts tfjs's WebGPU backend on a device of ours, makes it the current backend ('webgpu', in place of the stock one of
 * that name) and registers our kernels. In a page as it is; in Node through npm's `webgpu` (Dawn). After a loss of the
 * device, call it again for a new one; while it runs, it answers what runs.
 *
 * Unlike the stock backend it asks for all storage buffers that the adapter has, turns what the GPU refuses into
 * exceptions, and takes no software adapter unless told. Throws {@link WebgpuUnavailableError}, which says what to do.
 */
export async function startWebgpu({ allowSoftware = false }: StartWebgpuOptions = {}): Promise<StartedWebgpu> {
  const current = tf.engine().registry[BACKEND] as unknown as GpuBackend | undefined;
  if (current !== undefined && !isGuarded(current))
    throw new WebgpuUnavailableError(
      'the stock backend of tfjs runs already',
      "Call await startWebgpu() instead of, or before, tf.setBackend('webgpu').",
    );
  if (current !== undefined && !isLost(current)) {
    await tf.setBackend(BACKEND);
    return running.get(current)!;
  }
  const gpu = await gpuOfThisEnvironment();
  const { adapter, description } = await requestAdapter(gpu, allowSoftware);
  // Not before the line above: in Node, tfjs looks for the globals when it is loaded.
  const { WebGPUBackend } = await loadTfjsBackend();
  const device = await requestDevice(adapter);
  // The stock factory, or a backend whose device is lost.
  if (tf.findBackendFactory(BACKEND) !== null) tf.removeBackend(BACKEND);
  const backend = new WebGPUBackend(device, adapter.info) as unknown as GpuBackend;
  guardBackend(backend);
  tf.registerBackend(BACKEND, () => backend, 3);
  if (!(await tf.setBackend(BACKEND)))
    throw new WebgpuUnavailableError('the backend does not initialise', 'Take the wasm backend.');
  registerWebgpuKernels();
  const started = { adapter: description, reason: `webgpu: ${nameOf(description)}` };
  running.set(backend, started);
  return started;
}

async function loadTfjsBackend(): Promise<typeof import('@tensorflow/tfjs-backend-webgpu')> {
  try {
    return await import('@tensorflow/tfjs-backend-webgpu');
  } catch (error) {
    throw new WebgpuUnavailableError(
      'its package cannot be loaded',
      'Run npm install @tensorflow/tfjs-backend-webgpu@4.22.0.',
      { cause: error },
    );
  }
}

async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const requiredLimits: Record<string, number> = {};
  for (const name of RAISED) requiredLimits[name] = adapter.limits[name];
  const requiredFeatures = (['timestamp-query', 'bgra8unorm-storage'] as const).filter((f) => adapter.features.has(f));
  try {
    return await adapter.requestDevice({ requiredLimits, requiredFeatures });
  } catch (error) {
    throw new WebgpuUnavailableError(
      `the adapter gives no device (${error instanceof Error ? error.message : String(error)})`,
      'Take the wasm backend.',
      { cause: error },
    );
  }
}
