import { noWebgpu } from './start.js';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { currentBackend } from '../src/backend.js';
import { startWebgpu } from '../src/index.js';

describe.skipIf(noWebgpu)('startWebgpu', () => {
  it('makes webgpu the current backend, computes, and says on which adapter', async () => {
    const { adapter, reason } = await startWebgpu({ allowSoftware: true });
    expect(tf.getBackend()).toBe('webgpu');
    expect(adapter.software).toBe(true);
    expect(reason).toMatch(/swiftshader/i);
    const x = tf.tensor1d([1, 2, 3]);
    const y = tf.mul(x, x);
    expect([...(await y.data())]).toEqual([1, 4, 9]);
    tf.dispose([x, y]);
  });

  it('answers what runs when it is called again', async () => {
    const before = tf.backend();
    await tf.setBackend('cpu');
    await startWebgpu({ allowSoftware: true });
    expect(tf.backend()).toBe(before);
  });

  it('asks for every storage buffer that the adapter has', async () => {
    const adapter = await navigator.gpu.requestAdapter();
    const { limits } = currentBackend().device;
    expect(limits.maxStorageBuffersPerShaderStage).toBe(adapter!.limits.maxStorageBuffersPerShaderStage);
    expect(limits.maxStorageBufferBindingSize).toBe(adapter!.limits.maxStorageBufferBindingSize);
  });
});
