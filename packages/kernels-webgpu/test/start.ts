import '@tensorflow/tfjs';
import { lacks } from '@polder/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { vi } from 'vitest';
import { startWebgpu, useSoftwareVulkan, WebgpuUnavailableError } from '../src/index.js';

// Most of the time goes into compiling shaders for the processor.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });
useSoftwareVulkan();

/** Why there is no WebGPU here, or undefined. */
const obstacle = await startWebgpu({ allowSoftware: true }).then(
  () => undefined,
  (error: unknown) => {
    if (error instanceof WebgpuUnavailableError) return error;
    throw error;
  },
);
// Small operations would run on the host otherwise, and test nothing of ours.
if (obstacle === undefined) tf.env().set('WEBGPU_CPU_FORWARD', false);

/** For `describe.skipIf`: true where WebGPU does not start and need not, see `lacks`. It runs, and is current, otherwise. */
export const noWebgpu: boolean = lacks('webgpu', obstacle === undefined);
