export {
  WebgpuDeviceLostError,
  WebgpuLimitError,
  WebgpuReadError,
  WebgpuUnavailableError,
  WebgpuWorkError,
  type GpuErrorKind,
} from './errors.js';
export { settleWebgpu } from './guard.js';
export { useSoftwareVulkan } from './software-vulkan.js';
export { startWebgpu, type StartedWebgpu, type StartWebgpuOptions } from './start.js';
