import { registerExecutor } from '@polder/ops';
import { BACKEND, currentBackend } from './backend.js';
import { createReplayExecutor } from './capture/executor.js';
import { trainingKernels } from './kernels/table.js';
import { reductionKernels } from './reductions.js';
import { registerTable } from './registry.js';
import { repairedKernels } from './repairs.js';

let registered = false;

/**
 * Gives the webgpu backend our kernels: once, since tfjs keeps kernels by the name of a backend, also when the backend
 * itself is replaced after the loss of a device. Throws {@link WebgpuUnavailableError} when another backend is the
 * current one.
 */
export function registerWebgpuKernels(): void {
  currentBackend();
  if (registered) return;
  registered = true;
  registerExecutor(BACKEND, createReplayExecutor);
  registerTable({
    ...trainingKernels(),
    ...reductionKernels(),
    ...repairedKernels(),
  });
}
