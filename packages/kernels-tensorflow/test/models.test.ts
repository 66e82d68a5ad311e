import { sam, sgd, trainStep } from '@polder/core';
import { lenet5, mlp, pyramidnet110, resnet, resnetImagenet, resnext29, vgg, vit, wideResnet } from '@polder/models';
import { softmaxCrossEntropy } from '@polder/ops';
import { expectNoLeak } from '@polder/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { noTensorflow, start } from './start.js';

beforeAll(start);

const common = { classes: 3, inputShape: [8, 8, 3], seed: 1 } as const;

/** Every family of networks, small enough for the cpu backend. */
const families = {
  resnet: () => resnet({ ...common, depth: 14, width: 4 }),
  'resnet, pad': () => resnet({ ...common, depth: 8, width: 3, shortcut: 'pad' }),
  'resnet imagenet, basic': () => resnetImagenet({ ...common, depth: 18, width: 4, blocks: [1, 2] }),
  'resnet imagenet, bottleneck': () => resnetImagenet({ ...common, depth: 50, width: 2, blocks: [2, 1] }),
  'wide resnet': () => wideResnet({ ...common, depth: 16, width: 2, baseWidth: 2 }),
  resnext: () => resnext29({ ...common, depth: 11, width: 2, cardinality: 2, baseWidth: 3 }),
  pyramidnet: () => pyramidnet110({ ...common, depth: 14, width: 4, alpha: 8 }),
  vgg: () => vgg({ ...common, depth: 11, width: 2, inputShape: [32, 32, 3] }),
  'resnet, 16 channels': () => resnet({ ...common, depth: 8, width: 16 }),
  'vit, dropout': () => vit({ ...common, width: 6, heads: 2, depth: 2, patch: 4, dropout: 0.3, dropPath: 0.3 }),
  'vit, token': () => vit({ ...common, width: 6, heads: 3, depth: 2, patch: 4 }),
  'vit, mean': () => vit({ ...common, width: 6, heads: 2, depth: 2, patch: 2, pool: 'mean' }),
  lenet5: () => lenet5({ ...common, inputShape: [12, 12, 3] }),
  mlp: () => mlp({ ...common, hidden: [7, 5] }),
} as const;

type Model = ReturnType<typeof mlp>;
type Batch = Readonly<{ images: tf.Tensor; labels: tf.Tensor1D }>;
type Values = Readonly<Record<string, Float32Array>>;

/** What some steps were given and what they left behind. */
interface Trace {
  readonly losses: readonly number[];
  readonly gradientNorms: readonly number[];
  readonly finite: readonly boolean[];
  readonly mode: string;
  readonly before: Values;
  readonly after: Values;
}

interface Run {
  readonly backend: string;
  readonly make: () => Model;
  readonly steps: number;
  readonly capture?: boolean;
}

/** Steps of SAM over SGD with momentum. */
async function train({ backend, make, steps, capture = true }: Run): Promise<Trace> {
  await tf.setBackend(backend);
  return expectNoLeak(() => {
    const model = make();
    disturb(model);
    const data = batchFor(model);
    const step = trainStep({
      loss: ({ images, labels }: Batch) =>
        softmaxCrossEntropy(model.apply(images, { training: true }) as tf.Tensor2D, labels),
      variables: model.trainableWeights.map((w) => w.read() as tf.Variable),
      policy: sam({ rho: 0.05 }),
      optimizer: sgd({ learningRate: 0.1, momentum: 0.9 }),
      capture,
    });
    const before = valuesOf(model);
    const results = Array.from({ length: steps }, () => {
      const { loss, finite, metrics } = step(data);
      const numbers = [loss, metrics['gradNorm']!, finite].map((t) => t.dataSync()[0]!);
      tf.dispose([loss, finite, metrics]);
      return numbers as [number, number, number];
    });
    const { mode } = step.execution;
    const after = valuesOf(model);
    tf.dispose([data]);
    step.dispose();
    model.dispose();
    return {
      losses: results.map(([loss]) => loss),
      gradientNorms: results.map(([, gradientNorm]) => gradientNorm),
      finite: results.map(([, , finite]) => finite === 1),
      mode,
      before,
      after,
    };
  });
}

/** Images and labels, the same on every backend. */
function batchFor(model: Model): Batch {
  const shape = [6, ...model.inputs[0]!.shape.slice(1)] as number[];
  const pixels = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 12.9898));
  return { images: tf.tensor(pixels, shape), labels: tf.tensor1d([0, 1, 2, 1, 0, 2], 'int32') };
}

/** Batch norms start as ones and zeros, biases as zeros: values that would hide a mistake. */
function disturb(model: Model): void {
  let i = 0;
  for (const weight of model.weights) {
    // A dropout's counter is an integer.
    if (/(kernel|counter)$/.test(weight.originalName)) continue;
    tf.tidy(() => {
      const noise = Float32Array.from({ length: weight.read().size }, () => 0.2 * Math.sin((i += 1) * 78.233));
      (weight.read() as tf.Variable).assign(tf.add(weight.read(), tf.tensor(noise, weight.read().shape)));
    });
  }
}

const valuesOf = (model: Model): Values =>
  Object.fromEntries(model.weights.map((w) => [w.originalName, w.read().dataSync().slice() as Float32Array]));

/** What the steps added to every weight and moving statistic. */
const changes = ({ before, after }: Trace): Values =>
  Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value.map((v, i) => v - before[name]![i]!)]));

const norm = (values: Iterable<number>): number => Math.hypot(...values);

/** The largest relative deviation; NaN where there is one. */
const deviation = (actual: readonly number[], expected: readonly number[]): number =>
  Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value) / Math.abs(value)));

describe.skipIf(noTensorflow)('training with SAM and momentum', () => {
  // Two steps: the first loss is that of the forward pass alone, the second also that of the update.
  it.each(Object.entries(families))('takes the steps of the cpu backend: %s', async (_, make) => {
    const expected = await train({ backend: 'cpu', make, steps: 2 });
    const actual = await train({ backend: 'tensorflow', make, steps: 2 });
    expect(actual.before).toEqual(expected.before);
    expect(actual.finite).toEqual([true, true]);
    expect(actual.losses.every(Number.isFinite)).toBe(true);
    expect(deviation(actual.losses, expected.losses)).toBeLessThan(1e-4);
    expect(deviation(actual.gradientNorms, expected.gradientNorms)).toBeLessThan(1e-4);

    const [moved, wanted] = [changes(actual), changes(expected)];
    const whole = norm(Object.values(wanted).flatMap((v) => [...v]));
    expect(whole).toBeGreaterThan(0.01);
    // Relative to the whole change: what only shifts the input of a batch norm is moved by rounding alone.
    const still = (all: Values): string[] => Object.keys(all).filter((name) => norm(all[name]!) < 1e-5 * whole);
    expect(still(moved)).toEqual(still(wanted));
    const wrong = Object.entries(wanted).filter(
      ([name, change]) => !(norm(change.map((v, i) => v - moved[name]![i]!)) < 1e-4 * whole),
    );
    expect(wrong.map(([name]) => name)).toEqual([]);
  });

  it.each(Object.entries(families))('gives the same bits when it is captured: %s', async (_, make) => {
    const captured = await train({ backend: 'tensorflow', make, steps: 5 });
    const eager = await train({ backend: 'tensorflow', make, steps: 5, capture: false });
    expect([captured.mode, eager.mode]).toEqual(['replay', 'eager']);
    expect({ ...captured, mode: eager.mode }).toEqual(eager);
  });
});
