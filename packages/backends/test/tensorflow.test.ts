import * as tf from '@tensorflow/tfjs';
import { BackendUnavailableError, startBackend } from '@polder/backends';
import { listProvisioned } from '@polder/kernels-tensorflow';
import { lacks } from '@polder/testkit';
import { describe, expect, it } from 'vitest';

const provisioned = (await listProvisioned()).some((entry) => entry.current);

describe.skipIf(lacks('tensorflow', provisioned))('where native TensorFlow is provisioned', () => {
  it('is what auto takes, unless there is a GPU for WebGPU, with our kernels', async () => {
    const { backend, reason, passedOver } = await startBackend('auto');
    if (backend === 'webgpu') return;
    expect(backend).toBe('tensorflow');
    expect(tf.getBackend()).toBe('tensorflow');
    expect(reason).toMatch(/^tensorflow: libtensorflow 2\..*the fastest backend here; no webgpu: /);
    expect(passedOver.map((entry) => entry.backend)).toEqual(['webgpu']);
    expect(tf.getKernel('PolderBatchNorm', 'tensorflow')).toBeDefined();
  });

  it('takes no other number of threads once it runs, and stays', async () => {
    await startBackend('tensorflow');
    await expect(startBackend('tensorflow', { threads: 1 })).rejects.toThrow(BackendUnavailableError);
    expect(tf.getBackend()).toBe('tensorflow');
  });
});
