import { noWebgpu } from './start.js';
import {
  adamW,
  cosine,
  disposeState,
  flattenState,
  fromTfOptimizer,
  sam,
  sgd,
  trainStep,
  type Optimizer,
  type Policy,
} from '@polder/core';
import { batchNormTraining, conv2d, gelu, globalAveragePool, layerNorm, softmaxCrossEntropy } from '@polder/ops';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { currentBackend, type GpuProgram } from '../src/backend.js';
import { startWebgpu, WebgpuDeviceLostError, WebgpuWorkError } from '../src/index.js';

type Batch = Readonly<{ images: tf.Tensor4D; labels: tf.Tensor1D }>;

const STEPS = 7;

/** Numbers that look random and are the same every time. */
function batch(n: number, seed: number, size = 8): Batch {
  const values = Float32Array.from({ length: n * size * size * 3 }, (_, i) => Math.sin((i + 1) * (seed + 1.7) * 12.9));
  const labels = Int32Array.from({ length: n }, (_, i) => (i * 7 + seed) % 10);
  return { images: tf.tensor4d(values, [n, size, size, 3]), labels: tf.tensor1d(labels, 'int32') };
}

function waves(shape: number[], scale: number): tf.Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, (_, i) => scale * Math.sin(i + 1)),
    shape,
  );
}

/** A convolution, batch norm with moving statistics, and a dense layer: what a trained step has to carry. */
function network(): {
  readonly trained: tf.Variable[];
  readonly moving: tf.Variable[];
  readonly loss: (b: Batch) => tf.Tensor1D;
} {
  const of = (initial: tf.Tensor, trainable: boolean): tf.Variable => {
    const v = tf.variable(initial, trainable);
    initial.dispose();
    return v;
  };
  const kernel = of(waves([3, 3, 3, 6], 0.3), true);
  const gamma = of(tf.ones([6]), true);
  const beta = of(tf.zeros([6]), true);
  const dense = of(waves([6, 10], 0.5), true);
  const mean = of(tf.zeros([6]), false);
  const variance = of(tf.ones([6]), false);
  const loss = ({ images, labels }: Batch): tf.Tensor1D => {
    const y = conv2d(images, kernel as unknown as tf.Tensor4D, { strides: 2, padding: 1 });
    const normed = batchNormTraining(y, gamma, beta, { relu: true });
    mean.assign(tf.add(tf.mul(mean, 0.9), tf.mul(normed.mean, 0.1)));
    variance.assign(tf.add(tf.mul(variance, 0.9), tf.mul(normed.variance, 0.1)));
    const features = globalAveragePool(normed.y as tf.Tensor4D);
    return softmaxCrossEntropy(tf.matMul(features, dense as unknown as tf.Tensor2D), labels);
  };
  return { trained: [kernel, gamma, beta, dense], moving: [mean, variance], loss };
}

const numbersOf = async (t: tf.Tensor): Promise<number[]> => [...(await t.data())];

/** Everything a run of training leaves behind, as bits. */
interface Trace {
  readonly numbers: readonly number[];
  readonly modes: readonly string[];
  readonly reason: string;
}

interface Run {
  readonly policy?: Policy;
  readonly optimizer: () => Optimizer;
  readonly sizes?: readonly number[];
  readonly poison?: number;
}

async function train(
  { policy, optimizer, sizes = Array.from({ length: STEPS }, () => 5), poison }: Run,
  capture: boolean,
): Promise<Trace> {
  const { trained, moving, loss } = network();
  const step = trainStep({ loss, variables: trained, optimizer: optimizer(), capture, ...(policy && { policy }) });
  const numbers: number[] = [];
  const modes: string[] = [];
  for (const [i, n] of sizes.entries()) {
    const data = batch(n, i);
    const images = i === poison ? tf.mul<tf.Tensor4D>(data.images, NaN) : data.images;
    const result = step({ ...data, images });
    for (const t of [result.loss, ...Object.values(result.metrics), result.finite])
      numbers.push(...(await numbersOf(t)));
    numbers.push(result.passes);
    modes.push(step.execution.mode);
    tf.dispose([data, images, result.loss, result.finite, result.metrics]);
  }
  const state = step.save();
  for (const t of [...trained, ...moving, ...Object.values(flattenState(state))]) numbers.push(...(await numbersOf(t)));
  const { reason } = step.execution;
  disposeState(state);
  step.dispose();
  tf.dispose([trained, moving]);
  return { numbers, modes, reason };
}

function expectSameBits(captured: Trace, eager: Trace): void {
  expect(captured.numbers.length).toBe(eager.numbers.length);
  expect(captured.numbers.filter((value, i) => !Object.is(value, eager.numbers[i]))).toEqual([]);
}

const momentum = (): Optimizer =>
  sgd({ learningRate: cosine({ initial: 0.2, steps: 20 }), momentum: 0.9, weightDecay: 5e-4 });

const warm = ['warm-up', 'warm-up', 'warm-up'];

describe.skipIf(noWebgpu)('a replayed step', () => {
  it.each([
    ['SGD with momentum, weight decay and a schedule', { optimizer: momentum }],
    ['SAM', { optimizer: momentum, policy: sam({ rho: 0.1 }) }],
    [
      'ASAM under Nesterov',
      { optimizer: () => sgd({ learningRate: 0.1, momentum: 0.9, nesterov: true }), policy: sam({ adaptive: true }) },
    ],
    ['AdamW', { optimizer: () => adamW({ learningRate: 0.01 }) }],
    ['a last batch of another size', { optimizer: momentum, sizes: [5, 5, 5, 5, 3, 5, 3, 3, 5, 3] }],
    ['a step that is skipped because a gradient is not finite', { optimizer: momentum, poison: 5 }],
    ['a step that is skipped while it is recorded', { optimizer: momentum, poison: 2 }],
  ] satisfies readonly (readonly [string, Run])[])('gives the bits of the eager one: %s', async (_, run: Run) => {
    const before = tf.memory().numTensors;
    const captured = await train(run, true);
    expect(captured.reason).toMatch(/recorded as \d+ dispatches/);
    expect(captured.modes.slice(0, 4)).toEqual([...warm, 'replay']);
    expect(captured.modes.at(-1)).toBe('replay');
    expectSameBits(captured, await train(run, false));
    expect(tf.memory().numTensors).toBe(before);
  });

  it('gives the same bits all the same: attention with softmax, layer norm and GELU', async () => {
    const run = async (capture: boolean): Promise<Trace> => {
      const variables = [waves([12, 36], 0.4), waves([12, 12], 0.4), waves([12], 1), waves([12], 1)].map((initial) => {
        const v = tf.variable(initial);
        initial.dispose();
        return v;
      });
      const [qkv, out, gamma, beta] = variables as [tf.Variable, tf.Variable, tf.Variable, tf.Variable];
      const step = trainStep({
        variables,
        policy: sam(),
        optimizer: adamW({ learningRate: 0.01 }),
        capture,
        loss: (x: tf.Tensor2D) => {
          const y = layerNorm(x, gamma, beta);
          const [q, k, v] = tf.split(tf.matMul(y, qkv as unknown as tf.Tensor2D), 3, 1) as [
            tf.Tensor2D,
            tf.Tensor2D,
            tf.Tensor2D,
          ];
          const attention = tf.softmax(tf.matMul(q, k, false, true));
          return tf.mean(gelu(tf.matMul(tf.matMul(attention, v), out as unknown as tf.Tensor2D))) as tf.Scalar;
        },
      });
      for (let i = 0; i < 6; i++) {
        const x = tf.tensor2d(
          Float32Array.from({ length: 17 * 12 }, (_, j) => Math.cos(i + j)),
          [17, 12],
        );
        const { loss, finite, metrics } = step(x);
        tf.dispose([x, loss, finite, metrics]);
      }
      const numbers: number[] = [];
      for (const v of variables) numbers.push(...(await numbersOf(v)));
      const { mode, reason } = step.execution;
      step.dispose();
      tf.dispose(variables);
      return { numbers, modes: [mode], reason };
    };
    const [captured, eager] = [await run(true), await run(false)];
    expect([captured.modes, eager.modes]).toEqual([['replay'], ['eager']]);
    expectSameBits(captured, eager);
  });
});

describe.skipIf(noWebgpu)('a step that cannot be replayed', () => {
  interface Odd {
    readonly loss: (w: tf.Variable, x: tf.Tensor, call: number) => tf.Tensor;
    readonly optimizer?: () => Optimizer;
  }

  it.each([
    [
      'draws numbers on the host',
      { loss: (w, x) => tf.mul(w, tf.add(x, tf.randomUniform([2]))) },
      /makes a tensor on the host/,
    ],
    [
      'computes with a step count',
      { loss: (w, x, call) => tf.mul(w, tf.mul(x, call)) },
      /values change from step to step/,
    ],
    [
      'branches on a step count',
      { loss: (w, x, call) => (call % 2 === 0 ? tf.mul(w, x) : tf.square(tf.mul(w, x))) },
      /other operations/,
    ],
    [
      'lets a host number be an attribute',
      { loss: (w, x, call) => tf.leakyRelu(tf.mul(w, x), call / 10) },
      /changes? from step to step/,
    ],
    [
      'wraps a tf.Optimizer',
      { loss: (w, x) => tf.mul(w, x), optimizer: () => fromTfOptimizer(tf.train.adam(0.1)) },
      /tf:Adam keeps numbers/,
    ],
  ] satisfies readonly (readonly [string, Odd, RegExp])[])(
    'stays with tfjs and says why: it %s',
    (_, { loss, optimizer = () => sgd({ learningRate: 0.1 }) }: Odd, reason) => {
      const before = tf.memory().numTensors;
      const initial = tf.tensor1d([2, 3]);
      const w = tf.variable(initial);
      let call = 0;
      const step = trainStep({
        variables: [w],
        optimizer: optimizer(),
        loss: (x: tf.Tensor) => tf.sum(loss(w, x, call++)),
      });
      for (let i = 0; i < 6; i++) {
        const x = tf.tensor1d([1, i]);
        const result = step(x);
        tf.dispose([x, result.loss, result.finite, result.metrics]);
      }
      expect(step.execution.mode).toBe('eager');
      expect(step.execution.reason).toMatch(reason);
      step.dispose();
      tf.dispose([w, initial]);
      expect(tf.memory().numTensors).toBe(before);
    },
  );

  it('takes tensors from elsewhere as they are, and notices when one is gone', async () => {
    const initial = tf.tensor1d([2, 3]);
    const w = tf.variable(initial);
    let elsewhere = tf.tensor1d([1, 2]);
    const step = trainStep({
      variables: [w],
      optimizer: sgd({ learningRate: 0.5 }),
      loss: (x: tf.Tensor1D) => tf.sum(tf.mul(w, tf.mul(x, elsewhere))) as tf.Scalar,
    });
    const x = tf.tensor1d([1, 1]);
    const take = (): string => {
      const { loss, finite, metrics } = step(x);
      tf.dispose([loss, finite, metrics]);
      return step.execution.mode;
    };
    expect([take(), take(), take(), take()].at(-1)).toBe('replay');
    expect(await numbersOf(w)).toEqual([2 - 4 * 0.5, 3 - 4 * 0.5 * 2]);
    elsewhere.dispose();
    elsewhere = tf.tensor1d([10, 10]);
    expect(take()).toBe('warm-up');
    expect(await numbersOf(w)).toEqual([0 - 5, -1 - 5]);
    expect([take(), take(), take()].at(-1)).toBe('replay');
    expect(await numbersOf(w)).toEqual([-5 - 15, -6 - 15]);
    step.dispose();
    tf.dispose([w, x, elsewhere, initial]);
  });
});

describe.skipIf(noWebgpu)('replayed steps', () => {
  const tiny = (): {
    readonly w: tf.Variable;
    readonly take: (size: number) => string;
    readonly dispose: () => void;
  } => {
    const initial = tf.tensor1d([1]);
    const w = tf.variable(initial);
    initial.dispose();
    const step = trainStep({
      variables: [w],
      optimizer: sgd({ learningRate: 0.01 }),
      loss: (x: tf.Tensor1D) => tf.mean(tf.square(tf.mul(x, w))) as tf.Scalar,
    });
    const take = (size: number): string => {
      const x = tf.ones([size]) as tf.Tensor1D;
      const { loss, finite, metrics } = step(x);
      tf.dispose([x, loss, finite, metrics]);
      return step.execution.mode;
    };
    return {
      w,
      take,
      dispose: () => {
        step.dispose();
        w.dispose();
      },
    };
  };

  it('keep eight recordings and no more', () => {
    const { take, dispose } = tiny();
    const modes = (size: number): string[] => [take(size), take(size), take(size), take(size)];
    for (let size = 1; size <= 9; size++) expect(modes(size)).toEqual([...warm, 'replay']);
    expect(take(9)).toBe('replay');
    expect(take(2)).toBe('replay');
    expect(take(1)).toBe('warm-up'); // the first had to go
    dispose();
  });

  it('leave no memory behind on the GPU, step after step', async () => {
    const { trained, moving, loss } = network();
    const step = trainStep({ loss, variables: trained, optimizer: momentum(), policy: sam() });
    const take = (i: number): void => {
      const data = batch(3, i);
      const { loss: value, finite, metrics } = step(data);
      tf.dispose([data, value, finite, metrics]);
    };
    for (let i = 0; i < 6; i++) take(i);
    expect(step.execution.mode).toBe('replay');
    const held = (): readonly number[] => {
      const { numTensors, ...gpu } = tf.memory();
      return [
        numTensors,
        currentBackend().numDataIds(),
        (gpu as { numBytesAllocatedInGPU?: number }).numBytesAllocatedInGPU!,
      ];
    };
    const before = held();
    for (let i = 0; i < 30; i++) take(i);
    expect(held()).toEqual(before);
    step.dispose();
    tf.dispose([trained, moving]);
  });

  it('throw what the GPU refused before', async () => {
    const { take, dispose } = tiny();
    for (let i = 0; i < 4; i++) take(3);
    const broken: GpuProgram = {
      variableNames: [],
      outputShape: [4],
      workgroupSize: [64, 1, 1],
      dispatch: [1, 1, 1],
      dispatchLayout: { x: [0] },
      shaderKey: 'brokenForCaptureTest',
      getUserCode: () => 'fn main(index : i32) { result[index] = nothing[index]; }',
    };
    const bad = currentBackend().runWebGPUProgram(broken, [], 'float32');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(() => take(3)).toThrow(WebgpuWorkError);
    currentBackend().disposeData(bad.dataId);
    expect(take(3)).toBe('replay');
    dispose();
  });

  it('throw when the device is lost, and start again on a new one', async () => {
    const { take, dispose } = tiny();
    for (let i = 0; i < 4; i++) take(3);
    const { device } = currentBackend();
    device.destroy();
    await device.lost;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(() => take(3)).toThrow(WebgpuDeviceLostError);
    dispose();
    await startWebgpu({ allowSoftware: true });
    const fresh = tiny();
    expect([fresh.take(3), fresh.take(3), fresh.take(3), fresh.take(3)]).toEqual([...warm, 'replay']);
    fresh.dispose();
  });
});
