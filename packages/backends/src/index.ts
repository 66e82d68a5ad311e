export { BackendUnavailableError } from './errors.js';
export type { MissingKernel } from './kernel-watch.js';
export { probe, type ProbedModel, type ProbeReport } from './probe.js';
export {
  ownBackends,
  startBackend,
  type BackendChoice,
  type PassedOver,
  type StartOptions,
  type StartedBackend,
} from './start-backend.js';
