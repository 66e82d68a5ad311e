import { noWebgpu } from './start.js';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { currentBackend, type GpuProgram } from '../src/backend.js';
import {
  settleWebgpu,
  startWebgpu,
  WebgpuDeviceLostError,
  WebgpuLimitError,
  WebgpuReadError,
  WebgpuUnavailableError,
  WebgpuWorkError,
} from '../src/index.js';

/** Copies its input, but for what `code` does. */
function program(key: string, code: string, more: Partial<GpuProgram> = {}): GpuProgram {
  return {
    variableNames: ['x'],
    outputShape: [4],
    workgroupSize: [64, 1, 1],
    dispatch: [1, 1, 1],
    dispatchLayout: { x: [0] },
    size: true,
    shaderKey: key,
    getUserCode: () => `fn main(index : i32) { ${code} }`,
    ...more,
  };
}

/** What the program makes of [1, 2, 3, 4]. */
function run(gpu: GpuProgram): tf.Tensor {
  const x = tf.tensor1d([1, 2, 3, 4]);
  const info = currentBackend().runWebGPUProgram(gpu, [x], 'float32');
  x.dispose();
  return tf.engine().makeTensorFromTensorInfo(info);
}

const copy = program('copyForTest', 'if (index < uniforms.size) { result[index] = x[index]; }');
const broken = (): GpuProgram => program(`brokenForTest${Math.random()}`, 'result[index] = nothing[index];');

describe.skipIf(noWebgpu)('work that the GPU refuses', () => {
  it('is an error of every read of what was computed together with it, and of nothing else', async () => {
    const before = tf.memory().numTensors;
    const early = run(copy);
    expect([...(await early.data())]).toEqual([1, 2, 3, 4]);
    const [good, bad] = [run(copy), run(broken())];
    await expect(bad.data()).rejects.toThrow(WebgpuWorkError);
    // Its own program was fine, but the GPU drops command buffers whole.
    await expect(good.data()).rejects.toThrow(/computed together with work that was refused/);
    await expect(bad.data()).rejects.toThrow(WebgpuWorkError);
    const late = run(copy);
    expect([...(await late.data())]).toEqual([1, 2, 3, 4]);
    expect([...(await early.data())]).toEqual([1, 2, 3, 4]);
    tf.dispose([early, good, bad, late]);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('says what the device said, and what to do', async () => {
    const bad = run(broken());
    const error = await bad.data().then(
      () => undefined,
      (e: unknown) => e as WebgpuWorkError,
    );
    bad.dispose();
    expect(error).toBeInstanceOf(WebgpuWorkError);
    expect(error).toMatchObject({ name: 'WebgpuWorkError', kind: 'validation' });
    expect(error!.count).toBeGreaterThan(0);
    expect(error!.message).toMatch(/nothing|invalid/i);
    expect(error!.message).toMatch(/Go back to weights saved before/);
  });

  it('spoils every read that was under way', async () => {
    const tensors = [run(copy), run(broken()), run(copy)];
    const outcomes = await Promise.allSettled(tensors.map((t) => t.data()));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    // Nothing that was read then is kept for later.
    await expect(tensors[0]!.data()).rejects.toThrow(WebgpuWorkError);
    expect(() => tensors[0]!.dataSync()).toThrow(WebgpuReadError);
    tf.dispose(tensors);
  });

  it('is found without a read at the end of an epoch', async () => {
    await settleWebgpu();
    const bad = run(broken());
    await expect(settleWebgpu()).rejects.toThrow(WebgpuWorkError);
    await settleWebgpu();
    bad.dispose();
  });

  it('is found too when it breaks a limit at run time: a workgroup that is too large', async () => {
    const { maxComputeWorkgroupSizeX } = currentBackend().device.limits;
    const bad = run(
      program('wideForTest', 'result[index] = x[index];', { workgroupSize: [2 * maxComputeWorkgroupSizeX, 1, 1] }),
    );
    await expect(bad.data()).rejects.toThrow(/workgroup/i);
    bad.dispose();
  });
});

describe.skipIf(noWebgpu)('what a device does not take', () => {
  it('is refused before anything is allocated: a tensor over the limit', () => {
    const { maxBufferSize, maxStorageBufferBindingSize } = currentBackend().device.limits;
    const allowed = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    const before = tf.memory().numTensors;
    const error = caught(() => tf.zeros([allowed / 4 + 1]));
    expect(error).toBeInstanceOf(WebgpuLimitError);
    expect(error).toMatchObject({ allowed, asked: allowed + 4 });
    expect((error as Error).message).toMatch(/smaller batch/);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('is refused: a program with too many inputs', () => {
    const { maxStorageBuffersPerShaderStage: allowed } = currentBackend().device.limits;
    const inputs = Array.from({ length: allowed }, (_, i) => tf.scalar(i));
    const many = program('manyForTest', '', { variableNames: inputs.map((_, i) => `x${i}`) });
    const error = caught(() => currentBackend().runWebGPUProgram(many, inputs, 'float32'));
    expect(error).toBeInstanceOf(WebgpuLimitError);
    expect(error).toMatchObject({ allowed, asked: allowed + 1 });
    tf.dispose(inputs);
  });

  it('is refused: reading from the GPU without waiting', async () => {
    const y = run(copy);
    expect(() => y.dataSync()).toThrow(WebgpuReadError);
    expect(() => y.dataSync()).toThrow(/await tensor\.data\(\)/);
    await y.data();
    expect([...y.dataSync()]).toEqual([1, 2, 3, 4]); // a copy is on the host now
    y.dispose();
    const host = tf.tensor1d([5, 6]);
    expect([...host.dataSync()]).toEqual([5, 6]);
    host.dispose();
  });

  it('is refused: a software adapter that nobody asked for', async () => {
    const { device } = currentBackend();
    device.destroy();
    await device.lost;
    await expect(startWebgpu()).rejects.toThrow(WebgpuUnavailableError);
    await expect(startWebgpu()).rejects.toThrow(/allowSoftware/);
    await startWebgpu({ allowSoftware: true });
  });
});

describe.skipIf(noWebgpu)('a lost device', () => {
  it('is an error of every read, with a message, until a new one is started', async () => {
    await startWebgpu({ allowSoftware: true });
    const { device } = currentBackend();
    const [early, late] = [run(copy), run(copy)];
    const pending = early.data();
    device.destroy();
    const error = await pending.catch((e: unknown) => e);
    expect(error).toBeInstanceOf(WebgpuDeviceLostError);
    expect(error).toMatchObject({ reason: 'destroyed' });
    expect((error as Error).message).toMatch(/startWebgpu\(\)/);
    await expect(late.data()).rejects.toThrow(WebgpuDeviceLostError);
    await expect(settleWebgpu()).rejects.toThrow(WebgpuDeviceLostError);
    tf.dispose([early, late]);

    await startWebgpu({ allowSoftware: true });
    expect(currentBackend().device).not.toBe(device);
    const y = run(copy);
    expect([...(await y.data())]).toEqual([1, 2, 3, 4]);
    y.dispose();
  });
});

function caught(f: () => unknown): unknown {
  try {
    f();
  } catch (error) {
    return error;
  }
  return undefined;
}
