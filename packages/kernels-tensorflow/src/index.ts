export { ProvisionError, type ProvisionObstacle } from './provision/errors.js';
export { listProvisioned, removeProvisioned, type Provisioned } from './provision/folders.js';
export type { Variant } from './provision/pinned.js';
export {
  provisionTensorflow,
  type ProvisionOptions,
  type ProvisionProgress,
  type ProvisionStage,
} from './provision/provision.js';
export { TensorflowUnavailableError } from './backend.js';
export { PrecisionError, type Precision } from './kernels/precision.js';
export { registerTensorflowKernels } from './kernels/register.js';
export { startTensorflow, type StartedTensorflow, type StartTensorflowOptions } from './start.js';
