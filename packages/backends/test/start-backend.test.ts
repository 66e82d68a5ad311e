import { availableParallelism } from 'node:os';
import * as tf from '@tensorflow/tfjs';
import { BackendUnavailableError, startBackend } from '@polder/backends';
import { beforeAll, describe, expect, it, vi } from 'vitest';

// What this machine has provisioned is out of reach here.
beforeAll(() => vi.stubEnv('POLDER_CACHE', '/nonexistent/polder'));

describe('startBackend', () => {
  it('starts wasm by itself where there is neither a GPU nor native TensorFlow, and says why', async () => {
    const { backend, reason, threads, passedOver } = await startBackend();
    expect(backend).toBe('wasm');
    const counted = threads === 1 ? '1 thread' : `${threads} threads`;
    expect(threads).toBe(Math.min(4, availableParallelism()));
    expect(reason).toMatch(
      new RegExp(
        `^wasm: WebAssembly with SIMD, ${counted} \\(the fastest backend here; no webgpu: .+; no tensorflow: .*none is provisioned\\)$`,
      ),
    );
    expect(reason).not.toContain('\n');
    expect(passedOver.map((entry) => entry.backend)).toEqual(['webgpu', 'tensorflow']);
    expect(passedOver[1]!.whatToDo).toContain('polder backend install tensorflow');
    expect(tf.getBackend()).toBe('wasm');
  });

  it('makes wasm train: the filter gradient of a convolution, which the stock backend lacks, is right', async () => {
    const x = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    const filterGradient = (): readonly number[] =>
      tf.tidy(() => {
        const image = tf.tensor4d(x, [1, 3, 3, 1]);
        const filter = tf.tensor4d([1, 0, 0, 1], [2, 2, 1, 1]);
        return [
          ...tf
            .grad((f) => tf.sum(tf.conv2d(image, f as tf.Tensor4D, 1, 'valid')))(filter)
            .dataSync(),
        ];
      });
    await startBackend('wasm');
    // The sum over the four windows of each of their corners.
    expect(filterGradient()).toEqual([12, 16, 24, 28]);
    await startBackend('cpu');
    expect(filterGradient()).toEqual([12, 16, 24, 28]);
  });

  it.each([0, 9, 1.5, NaN])('refuses %s threads', async (threads) => {
    await expect(startBackend('wasm', { threads })).rejects.toThrow(RangeError);
  });

  it('changes the number of threads of a running backend', async () => {
    expect(await startBackend('wasm', { threads: 1 })).toMatchObject({ threads: 1 });
    expect(await startBackend('wasm', { threads: 2 })).toMatchObject({ threads: 2 });
  });

  it('starts cpu when asked', async () => {
    expect(await startBackend('cpu')).toEqual({
      backend: 'cpu',
      threads: 1,
      passedOver: [],
      reason: expect.stringContaining('asked for') as string,
    });
    expect(tf.getBackend()).toBe('cpu');
  });

  it('starts a backend that the program has registered', async () => {
    const { KernelBackend } = tf;
    tf.registerBackend('mine', () => new KernelBackend());
    expect(await startBackend('mine')).toMatchObject({ backend: 'mine' });
    await startBackend('cpu');
  });

  it.each([
    ['webgl', /has not been imported.*import @tensorflow\/tfjs-backend-webgl/],
    ['tensorflow', /none is provisioned.*polder backend install tensorflow/],
    ['wams', /there is none of this name.*auto, webgpu, tensorflow, wasm, cpu/],
  ])('refuses %s with what to do, and keeps the current backend', async (name, message) => {
    await startBackend('cpu');
    const starting = startBackend(name);
    await expect(starting).rejects.toThrow(BackendUnavailableError);
    await expect(starting).rejects.toThrow(message);
    expect(tf.getBackend()).toBe('cpu');
  });

  it('keeps the current backend when the one asked for fails to start', async () => {
    await startBackend('cpu');
    tf.registerBackend('broken', () => {
      throw new Error('no such device');
    });
    await expect(startBackend('broken')).rejects.toThrow(BackendUnavailableError);
    expect(tf.getBackend()).toBe('cpu');
    tf.removeBackend('broken');
  });
});
