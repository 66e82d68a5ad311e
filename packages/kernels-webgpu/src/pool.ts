import type { GpuBackend } from './backend.js';

/** tfjs's pool of buffers, which keeps every buffer that was ever used: by size and usage, exactly. */
interface Pool {
  freeBuffers: Map<string, GPUBuffer[]>;
  numBytesAllocated: number;
  numFreeBuffers: number;
}

/** Destroys the buffers that are in no use now. */
export function trimPool(backend: GpuBackend): void {
  const pool = backend.bufferManager as unknown as Pool;
  for (const buffers of pool.freeBuffers.values())
    for (const buffer of buffers.splice(0)) {
      pool.numBytesAllocated -= buffer.size;
      pool.numFreeBuffers--;
      buffer.destroy();
    }
}
