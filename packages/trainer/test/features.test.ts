import * as tf from '@tensorflow/tfjs';
import { none, sam, sgd, type Policy } from '@polder/core';
import { batches, mixing, type Batch, type MixingOptions } from '@polder/data';
import { expectNoLeak, startBackend } from '@polder/testkit';
import {
  crossEntropyLoss,
  DivergedError,
  earlyStopping,
  evaluate,
  fit,
  planTraining,
  toTensors,
  weightAverage,
  type EvaluationRow,
  type FitOptions,
  type FitResult,
  type MetricsRow,
  type StepRow,
} from '@polder/trainer';
import { beforeAll, describe, expect, it } from 'vitest';
import { smallNet, spots } from './toy.js';

const train = spots(96);
const test = spots(48);

interface Run extends Partial<FitResult> {
  readonly error?: Error;
  readonly rows: readonly MetricsRow[];
  /** Weights after every step. */
  readonly path: readonly (readonly Float32Array[])[];
  /** Weights at the end. */
  readonly weights: readonly Float32Array[];
}

async function run(overrides: Partial<FitOptions> = {}): Promise<Run> {
  const model = smallNet();
  const rows: MetricsRow[] = [];
  const path: (readonly Float32Array[])[] = [];
  const read = (): Float32Array[] => model.getWeights().map((w) => Float32Array.from(w.dataSync()));
  try {
    const result = await fit({
      model,
      train,
      test,
      epochs: 3,
      batchSize: 16,
      seed: 3,
      learningRate: 0.1,
      optimizer: (learningRate) => sgd({ learningRate }),
      logEvery: 1,
      onMetrics: (row) => rows.push(row),
      callbacks: [{ onBatchEnd: () => void path.push(read()) }],
      ...overrides,
    });
    return { ...result, rows, path, weights: read() };
  } catch (error) {
    return { error: error as Error, rows, path, weights: read() };
  } finally {
    model.dispose();
  }
}

const isEvaluation = (row: MetricsRow): row is EvaluationRow => 'testTop1' in row;

describe.each(['cpu', 'wasm'] as const)('averaged weights on %s', (backend) => {
  beforeAll(() => startBackend(backend));

  it('are evaluated besides the weights, and change nothing of the training', async () => {
    const decay = 0.7;
    const followed = await run({ parts: [weightAverage({ decay })] });
    const alone = await run();
    expect(followed.path).toEqual(alone.path);
    const own = ({ emaTestTop1: _1, emaTestTop5: _5, emaTestLoss: _l, ...row }: EvaluationRow): object => row;
    expect(followed.rows.filter(isEvaluation).map(own)).toEqual(alone.rows.filter(isEvaluation));

    // The average by its definition, in float64, put into a model of its own.
    let average = followed.path[0]!.map((w) => Array.from(w));
    for (const weights of followed.path.slice(1))
      average = average.map((w, k) => w.map((value, i) => decay * value + (1 - decay) * weights[k]![i]!));
    const model = smallNet();
    tf.tidy(() => model.setWeights(model.getWeights().map((w, k) => tf.tensor(average[k]!, w.shape))));
    const { loss, top1 } = await evaluate(model, test);
    model.dispose();
    const last = followed.rows.findLast(isEvaluation)!;
    expect(last['emaTestLoss']).toBeCloseTo(loss, 5);
    expect(last['emaTestTop1']).toBe(top1);
    expect(followed.summary).toMatchObject({ emaTestTop1: top1 });
    expect(last['emaTestLoss']).not.toBeCloseTo(last.testLoss, 3);
  });

  it('leave no tensor behind', async () => {
    await expectNoLeak(() => run({ parts: [weightAverage({ decay: 0.9, warmup: true })] }));
  });
});

describe('mixing', () => {
  beforeAll(() => startBackend('cpu'));
  const labelSmoothing = 0.1;

  /** Shares of an example's own picture and of the partner that explain what is in the batch, found by least squares. */
  const explain = (plain: Batch, mixed: Batch, i: number): { readonly share: number; readonly partner: number } => {
    const picture = (batch: Batch, k: number): Float32Array => batch.images.subarray(k * 16, (k + 1) * 16);
    const target = picture(mixed, i);
    const own = picture(plain, i);
    const found = Array.from({ length: plain.size }, (_, partner) => {
      const other = picture(plain, partner);
      const difference = own.map((value, p) => value - other[p]!);
      const square = difference.reduce((sum, d) => sum + d * d, 0);
      const share = square === 0 ? 1 : difference.reduce((sum, d, p) => sum + d * (target[p]! - other[p]!), 0) / square;
      const error = target.reduce((sum, v, p) => sum + Math.abs(v - share * own[p]! - (1 - share) * other[p]!), 0);
      return { share, partner, error };
    });
    return found.reduce((best, next) => (next.error < best.error ? next : best));
  };

  it("trains on mixup's loss: λ of one label's cross-entropy and 1 − λ of the other's, each smoothed", () => {
    const options = { batchSize: 12, seed: 5, epoch: 1 };
    const [plain] = batches(train, options);
    const [mixed] = batches(train, { ...options, mix: mixing({ mixup: 1 }) });
    const model = smallNet();
    const tensors = toTensors(mixed!, train);
    const losses = tf.tidy(() => crossEntropyLoss(model, labelSmoothing)(tensors).dataSync());
    const logits = tf.tidy(() => (model.predict(tensors.images) as tf.Tensor2D).arraySync());
    let blended = 0;
    logits.forEach((z, i) => {
      const logSum = Math.log(z.reduce((sum, v) => sum + Math.exp(v), 0));
      const smoothed = (label: number): number =>
        z.reduce((sum, v, k) => sum + (labelSmoothing / 8 + (k === label ? 1 - labelSmoothing : 0)) * (logSum - v), 0);
      const { share, partner } = explain(plain!, mixed!, i);
      const expected = share * smoothed(plain!.labels[i]!) + (1 - share) * smoothed(plain!.labels[partner]!);
      expect(losses[i]).toBeCloseTo(expected, 4);
      if (share > 0.01 && share < 0.99) blended += 1;
    });
    expect(blended).toBeGreaterThan(6);
    tf.dispose(Object.values(tensors));
    model.dispose();
  });

  it('gives a policy the loss of each blended example, and gradients of some of them (ESAM)', async () => {
    // Descends by the gradient of the first four examples; says what it was told of each.
    const policy: Policy = {
      ...none(),
      step(oracle) {
        const { loss } = oracle.gradient();
        const each = oracle.perExample!();
        const some = oracle.gradientAt(oracle.params, { examples: tf.range(0, 4, 1, 'int32') });
        const expected = tf.mean<tf.Scalar>(tf.slice(each, 0, 4));
        const metrics = { mean: tf.mean<tf.Scalar>(each), whole: loss, some: some.loss, expected };
        return { direction: some.gradient, state: {}, metrics };
      },
    };
    const { rows } = await run({ policy, epochs: 1, mix: () => mixing({ mixup: 0.5, cutmix: 1 }), labelSmoothing });
    const steps = rows.filter((row): row is StepRow => !isEvaluation(row));
    expect(steps).toHaveLength(6);
    for (const { mean, whole, some, expected } of steps) {
      expect(mean! / whole! - 1).toBeCloseTo(0, 5);
      expect(some! / expected! - 1).toBeCloseTo(0, 5);
      expect(Math.abs(some! - whole!)).toBeGreaterThan(1e-4);
    }
  });

  it('measures training accuracy on the pictures as they are', async () => {
    const mix = (options: MixingOptions) => () => mixing(options);
    for (const options of [{ mixup: 0.4 }, { cutmix: 1 }, { mixup: 0.2, cutmix: 1, probability: 0.8 }]) {
      const { rows, path } = await run({ epochs: 2, mix: mix(options), labelSmoothing });
      const model = smallNet();
      tf.tidy(() => model.setWeights(model.getWeights().map((w, k) => tf.tensor(path.at(-1)![k]!, w.shape))));
      const onTrain = await evaluate(model, spots(48));
      model.dispose();
      expect(rows.findLast(isEvaluation)!).toMatchObject({ trainTop1: onTrain.top1, trainLoss: onTrain.loss });
    }
  });

  it('is another training than without, the same with the same seed, and off where the epoch has none', async () => {
    const half = { mix: (epoch: number) => (epoch < 1 ? mixing({ mixup: 1 }) : undefined) };
    const [plain, whole, again, first] = [
      await run(),
      await run({ mix: () => mixing({ mixup: 1 }) }),
      await run({ mix: () => mixing({ mixup: 1 }) }),
      await run(half),
    ];
    expect(again.path).toEqual(whole.path);
    expect(whole.path[0]).not.toEqual(plain.path[0]);
    expect(first.path.slice(0, 6)).toEqual(whole.path.slice(0, 6));
    expect(first.path[6]).not.toEqual(whole.path[6]);
  });
});

describe('steps that are not finite', () => {
  beforeAll(() => startBackend('cpu'));
  /** Steps 6 to 8 (1-based) leap beyond what float32 holds: they are thrown away. */
  const leap = (clock: number): number => (clock >= 5 && clock < 8 ? 1e300 : 0.1);

  it('are skipped and counted, and the training goes on from the weights before them', async () => {
    const { summary, rows, path } = await run({ learningRate: leap });
    expect(summary).toMatchObject({ steps: 18, skippedSteps: 3 });
    expect(path[7]).toEqual(path[4]);
    expect(path[8]).not.toEqual(path[7]);
    const steps = rows.filter((row): row is StepRow => !isEvaluation(row));
    expect(steps.map((row) => row.skippedSteps).slice(3, 10)).toEqual([0, 0, 1, 2, 3, 3, 3]);
    expect(steps.map((row) => row.loss === null).slice(3, 10)).toEqual([false, false, true, true, true, false, false]);
  });

  it('end the training when more than maxSkipped come in a row', async () => {
    const { error, path } = await run({ learningRate: leap, nonFinite: { maxSkipped: 2 } });
    expect(error).toBeInstanceOf(DivergedError);
    expect(error).toMatchObject({ step: 8, skippedSteps: 3, skippedInARow: 3, policy: 'none' });
    expect(error!.message).toMatch(/3 steps were skipped in a row for a non-finite gradient, up to step 8\. Take a/);
    expect(path).toHaveLength(7);
  });

  it('end it at once when told to stop, with the weights of the last good step', async () => {
    const stopping = { learningRate: leap, nonFinite: { onNonFinite: 'stop' } } as const;
    const { error, path, weights } = await run({ ...stopping, epochs: 1, batchSize: 8, logEvery: 8 });
    expect(error).toMatchObject({ name: 'DivergedError', step: 8, skippedInARow: 3 });
    expect(weights).toEqual(path[4]);
  });

  it('end a training whose learning rate blew it up, and leave no tensor behind', async () => {
    await expectNoLeak(async () => {
      // Nothing is evaluated before: it is the guard that ends it.
      const blown = await run({ learningRate: 1e30, evalEvery: 3, policy: sam({ rho: 0.05 }) as Policy });
      expect(blown.error).toMatchObject({ name: 'DivergedError', policy: 'sam', skippedInARow: 11 });
    });
    const never = await run({ nonFinite: { maxSkipped: -1 } });
    expect(never.error!.message).toBe('maxSkipped: expected an integer of at least 0, got -1.');
  });
});

describe('early stopping', () => {
  beforeAll(() => startBackend('cpu'));

  it('ends a training that stands still, and the summary says why', async () => {
    const options = { learningRate: 1e-12, epochs: 20, parts: [earlyStopping({ patience: 3, monitor: 'testLoss' })] };
    const { summary, rows } = await run(options);
    expect(summary).toMatchObject({ status: 'completed', steps: 24, epochs: 4 });
    expect(summary!.stopped).toMatch(/^testLoss got no better in 3 evaluations: it was best at step 6, /);
    expect(rows.filter(isEvaluation)).toHaveLength(4);
  });

  it('does not speak of stopping where the length was over anyway', async () => {
    const { summary } = await run({ learningRate: 1e-12, epochs: 2, parts: [earlyStopping({ patience: 1 })] });
    expect(summary).toMatchObject({ steps: 12 });
    expect(summary).not.toHaveProperty('stopped');
  });
});

describe('fair passes', () => {
  beforeAll(() => startBackend('cpu'));

  it('are as many as descent takes for the epochs, whatever the policy', async () => {
    expect(planTraining({ epochs: 4, fairPasses: true }, 96, 16)).toEqual(planTraining({ passBudget: 24 }, 96, 16));
    const twice = await run({ fairPasses: true, policy: sam({ rho: 0.05 }) as Policy });
    expect(twice.summary).toMatchObject({ passes: 18, steps: 9 });
    expect((await run({ fairPasses: true })).summary).toMatchObject({ passes: 18, steps: 18 });
  });
});
