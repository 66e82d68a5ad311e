import * as tf from '@tensorflow/tfjs';
import * as ops from '@polder/ops';
import { opsTable } from '@polder/ops/conformance';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { canShareMemory, registerWasmKernels, startThreadedWasm, WasmBackendError } from '../src/index.js';
import { inParts, threadsOf } from '../src/lanes.js';
import { runtimeOf, scratch } from '../src/runtime.js';

beforeAll(async () => {
  await startThreadedWasm();
  await useThreads(3);
});

/** Workers take part once they have started, and nobody waits for that but this test. */
async function useThreads(threads: number): Promise<void> {
  registerWasmKernels({ threads });
  await vi.waitFor(() => expect(threadsOf(runtimeOf(tf.backend() as BackendWasm))).toBe(threads), { timeout: 20_000 });
}

afterAll(() => {
  tf.removeBackend('wasm');
});

describe('ops on three threads', () => {
  for (const row of opsTable()) it(row.name, row.run);
});

/** Loss and gradients of a small network, as bits. */
function gradients(batch: number): readonly Float32Array[] {
  return tf.tidy(() => {
    const shapes = [[3, 3, 3, 16], [3, 3, 16, 24], [1, 1, 24, 200], [200, 10], [16], [16]];
    const w = shapes.map((shape, i) => tf.randomNormal(shape, 0, 0.2, 'float32', i + 1));
    const x = tf.randomNormal([batch, 16, 16, 3], 0, 1, 'float32', 9) as tf.Tensor4D;
    const labels = tf.tensor1d(Int32Array.from({ length: batch }, (_, i) => i % 10));
    const { value, grads } = tf.valueAndGrads((...w: tf.Tensor[]) => {
      const stem = ops.conv2d(x, w[0] as tf.Tensor4D, { padding: 1 });
      const h = ops.batchNormTraining(stem, w[4]!, w[5]!, { relu: true }).y as tf.Tensor4D;
      const wide = ops.conv2d(ops.conv2d(h, w[1] as tf.Tensor4D, { padding: 1, strides: 2 }), w[2] as tf.Tensor4D);
      const logits = tf.matMul<tf.Tensor2D>(ops.globalAveragePool(wide), w[3] as tf.Tensor2D);
      return tf.mean(ops.softmaxCrossEntropy(logits, tf.cast(labels, 'int32')));
    })(w);
    return [value, ...grads].map((t) => t.dataSync() as Float32Array);
  });
}

describe('the number of threads', () => {
  it.each([1, 2, 3, 8, 33])('does not change a bit of the result at batch %i', async (batch) => {
    const results: (readonly Float32Array[])[] = [];
    for (const threads of [1, 2, 3, 4]) {
      await useThreads(threads);
      results.push(gradients(batch));
    }
    for (const other of results.slice(1)) expect(other).toEqual(results[0]);
  });

  it('does not matter to a part with more commands than a worker can be told', async () => {
    await useThreads(2);
    const runtime = runtimeOf(tf.backend() as BackendWasm);
    const bytes = 40_000;
    const address = scratch(runtime, 'test', 2 * bytes);
    const cells = (): Uint8Array => runtime.heap.HEAPU8.subarray(address, address + 2 * bytes);
    cells().fill(7);
    inParts(runtime, 2, ({ kernels }, part) => {
      for (let at = 0; at < bytes; at++) kernels.zero(address + part * bytes + at, 1);
    });
    expect(cells().every((cell) => cell === 0)).toBe(true);
  });

  it('is checked', () => {
    for (const threads of [0, 1.5, 9, NaN]) expect(() => registerWasmKernels({ threads })).toThrow(WasmBackendError);
  });

  it('is refused to a second start', async () => {
    expect(canShareMemory()).toBe(true);
    await expect(startThreadedWasm()).rejects.toThrow(/runs already/);
  });
});
