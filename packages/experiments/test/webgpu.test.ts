import '@tensorflow/tfjs';
import { readFileSync } from 'node:fs';
import { none, sam, sgd, trainStep, type Policy } from '@polder/core';
import { goldenSetup } from '@polder/experiments';
import { startWebgpu, useSoftwareVulkan } from '@polder/kernels-webgpu';
import { resnet } from '@polder/models';
import { softmaxCrossEntropy } from '@polder/ops';
import { saSam } from '@polder/policies-sasam';
import { lacks } from '@polder/testkit';
import { formatReplayLine, replayStepFile } from '@polder/verify';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it, vi } from 'vitest';

// Most of the time goes into compiling shaders for the processor.
vi.setConfig({ testTimeout: 400_000 });
useSoftwareVulkan();
const started = await startWebgpu({ allowSoftware: true }).catch(() => undefined);
const noWebgpu = lacks('webgpu', started !== undefined);

beforeEach(async () => {
  if (noWebgpu) return;
  await tf.setBackend('webgpu');
  tf.env().set('WEBGPU_CPU_FORWARD', false); // or small operations would run on the host
});

// All golden files pass (`npm run verify -- FOLDER --backend webgpu`); here those whose shaders differ most.
describe.skipIf(noWebgpu)('the golden steps on webgpu', () => {
  const golden = new URL('../../testkit/fixtures/golden/', import.meta.url);
  it.each([
    'steps/sgd__nesterov-wd__mlp.json',
    'more-steps/sam__default__convnet.json',
    'more-steps/sasam__default__convnet.json',
  ])('%s', async (file) => {
    const json: unknown = JSON.parse(readFileSync(new URL(file, golden), 'utf8'));
    const lines = await replayStepFile(json, { name: file.replace('.json', ''), table: goldenSetup });
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.filter(({ verdict }) => verdict !== 'ok').map(formatReplayLine)).toEqual([]);
  });
});

interface Trace {
  readonly losses: readonly number[];
  readonly before: readonly (readonly number[])[];
  readonly after: readonly (readonly number[])[];
  readonly modes: readonly string[];
}

/** Steps of a small residual network, on the current backend. */
async function train(policy: Policy, learningRate: number | undefined, steps: number): Promise<Trace> {
  const model = resnet({ classes: 3, inputShape: [8, 8, 3], seed: 1, depth: 8, width: 4 });
  const valuesOf = async (): Promise<number[][]> =>
    Promise.all(model.weights.map(async (w) => [...(await w.read().data())] as number[]));
  const pixels = Float32Array.from({ length: 6 * 8 * 8 * 3 }, (_, i) => Math.sin(i * 12.9898));
  const images = tf.tensor4d(pixels, [6, 8, 8, 3]);
  const labels = tf.tensor1d([0, 1, 2, 1, 0, 2], 'int32');
  const step = trainStep({
    loss: (batch: { readonly images: tf.Tensor4D; readonly labels: tf.Tensor1D }) =>
      softmaxCrossEntropy(model.apply(batch.images, { training: true }) as tf.Tensor2D, batch.labels),
    variables: model.trainableWeights.map((w) => w.read() as tf.Variable),
    policy,
    optimizer: sgd(learningRate === undefined ? {} : { learningRate, momentum: 0.9 }),
  });
  const before = await valuesOf();
  const losses: number[] = [];
  const modes: string[] = [];
  for (let i = 0; i < steps; i++) {
    const { loss, finite, metrics } = step({ images, labels });
    losses.push((await loss.data())[0]!);
    modes.push(step.execution.mode);
    tf.dispose([loss, finite, metrics]);
  }
  const after = await valuesOf();
  step.dispose();
  model.dispose();
  tf.dispose([images, labels]);
  return { losses, before, after, modes };
}

describe.skipIf(noWebgpu)('a residual network trained on webgpu', () => {
  it.each([
    ['SAM', () => sam({ rho: 0.05 }) as Policy, 0.1],
    ['SA-SAM', () => saSam() as unknown as Policy, undefined],
  ])('goes the way of the cpu backend, first through tfjs and then replayed: %s', async (_, policy, learningRate) => {
    const left = tf.memory().numTensors;
    const actual = await train(policy(), learningRate, 5);
    expect(tf.memory().numTensors).toBe(left);
    await tf.setBackend('cpu');
    const expected = await train(policy(), learningRate, 5);

    expect(actual.modes.slice(0, 3)).toEqual(['warm-up', 'warm-up', 'warm-up']);
    expect(actual.modes.at(-1)).toBe('replay');
    expect(actual.before).toEqual(expected.before);
    for (const [i, loss] of expected.losses.entries())
      expect(Math.abs(actual.losses[i]! / loss - 1)).toBeLessThan(1e-3);
    expect(expected.losses.at(-1)).not.toBeCloseTo(expected.losses[0]!, 2); // it moved
    const flat = (trace: Trace): number[] => trace.after.flat();
    const start = expected.before.flat();
    const moved = Math.hypot(...flat(expected).map((w, i) => w - start[i]!));
    const apart = Math.hypot(...flat(expected).map((w, i) => w - flat(actual)[i]!));
    expect(apart / moved).toBeLessThan(1e-3);
  });

  it('does not take a step with weights that are not numbers, although the loss may hide them', async () => {
    const initial = tf.tensor2d([0.5, NaN, -0.25], [3, 1]);
    const w = tf.variable(initial);
    const step = trainStep({
      variables: [w],
      policy: none(),
      optimizer: sgd({ learningRate: 0.1 }),
      loss: (x: tf.Tensor2D) => tf.mean(tf.sigmoid(tf.matMul(x, w as unknown as tf.Tensor2D))) as tf.Scalar,
    });
    for (let i = 0; i < 5; i++) {
      const x = tf.tensor2d([1, 2, 3, 4, 5, i], [2, 3]);
      const { loss, finite, metrics } = step(x);
      expect((await finite.data())[0]).toBe(0);
      tf.dispose([x, loss, finite, metrics]);
    }
    expect(step.execution.mode).toBe('replay');
    expect([...(await step.skipped.data())]).toEqual([5]);
    expect([...(await w.data())]).toEqual([0.5, NaN, -0.25]);
    step.dispose();
    tf.dispose([initial, w]);
  });
});
