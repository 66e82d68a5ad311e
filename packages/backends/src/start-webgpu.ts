import { BackendUnavailableError } from './errors.js';
import type { Started } from './activate.js';

/**
 * Starts WebGPU with our kernels: the browser's, or in Node that of npm's `webgpu` package. An adapter that computes on
 * the CPU (SwiftShader) is taken only where `allowSoftware` says so: wasm is many times faster.
 */
export async function startWebgpuBackend(_options: { readonly allowSoftware: boolean }): Promise<Started> {
  throw new BackendUnavailableError('webgpu', 'this version does not start it', 'Take tensorflow, wasm or cpu.');
}
