import type { TensorflowBackend } from '../backend.js';
import { only } from './native.js';

/**
 * How wide the vectors of our own TensorFlow ops (the package's `native` folder) are here: 16 or 8 floats; 0 where they
 * are not in the library that runs, as in an installed tfjs-node, or the processor is one they are not written for.
 */
export function ownOpLanes({ binding, isUsingGpuDevice }: TensorflowBackend): number {
  if (isUsingGpuDevice) return 0;
  try {
    const { id } = only(binding.executeOp('PolderLanes', [], [], 1));
    const [lanes] = binding.tensorDataSync(id) as Int32Array;
    binding.deleteTensor(id);
    return lanes ?? 0;
  } catch {
    return 0;
  }
}
