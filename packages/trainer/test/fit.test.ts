import * as tf from '@tensorflow/tfjs';
import { cosine, none, OptionError, sam, sgd, type Policy } from '@polder/core';
import { expectNoLeak, startBackend } from '@polder/testkit';
import {
  DivergedError,
  fit,
  type EvaluationRow,
  type FitOptions,
  type MetricsRow,
  type StepRow,
} from '@polder/trainer';
import { beforeAll, describe, expect, it } from 'vitest';
import { smallNet, spots } from './toy.js';

const train = spots(96);
const test = spots(48);

type Overrides = Partial<FitOptions> & { readonly modelSeed?: number };

async function run({ modelSeed = 1, ...overrides }: Overrides = {}) {
  const model = smallNet(modelSeed);
  const rows: MetricsRow[] = [];
  try {
    const { epochs, passBudget } = overrides;
    const result = await fit({
      model,
      train,
      test,
      batchSize: 16,
      seed: 3,
      learningRate: 0.1,
      optimizer: (learningRate) => sgd({ learningRate, momentum: 0.9 }),
      logEvery: 1,
      onMetrics: (row) => rows.push(row),
      ...(epochs === undefined && passBudget === undefined && { epochs: 3 }),
      ...overrides,
    });
    const weights = tf.tidy(() => model.getWeights().map((w) => [...w.dataSync()]));
    return { ...result, rows, weights };
  } finally {
    model.dispose();
  }
}

const isEvaluation = (row: MetricsRow): row is EvaluationRow => 'testTop1' in row;
const isStep = (row: MetricsRow): row is StepRow => !isEvaluation(row);

describe.each(['cpu', 'wasm'] as const)('fit on %s', (backend) => {
  beforeAll(() => startBackend(backend));

  it('learns', async () => {
    const { summary } = await run({ epochs: 12 });
    expect(summary.testTop1).toBeGreaterThan(0.9);
    expect(summary.trainLoss).toBeLessThan(0.5);
    expect(summary.testTop5).toBeGreaterThanOrEqual(summary.testTop1);
  });

  it('calls back after steps and epochs and waits, and once at the end, also of a training that fails', async () => {
    const calls: string[] = [];
    const later = async (call: string): Promise<void> => {
      await new Promise((done) => setTimeout(done, 1));
      calls.push(call);
    };
    const callbacks = [
      {
        onBatchEnd: (batch: number) => later(`batch ${batch}`),
        onEpochEnd: (epoch: number) => later(`epoch ${epoch}`),
        onTrainEnd: () => later('end'),
      },
    ];
    await run({ epochs: 2, batchSize: 48, callbacks });
    const epoch = (index: number): string[] => ['batch 0', 'batch 1', `epoch ${index}`];
    expect(calls).toEqual([...epoch(0), ...epoch(1), 'end']);
    calls.length = 0;
    await expect(run({ callbacks, signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
    expect(calls).toEqual(['end']);
  });

  it('gives the same rows and weights for the same seed, and others for another', async () => {
    const [first, again, other] = [await run(), await run(), await run({ seed: 4 })];
    expect(JSON.stringify(again.rows)).toBe(JSON.stringify(first.rows));
    expect(again.weights).toEqual(first.weights);
    expect(JSON.stringify(other.rows)).not.toBe(JSON.stringify(first.rows));
  });

  it('leaves no tensor behind', async () => {
    await expectNoLeak(() =>
      run({ policy: sam({ rho: 0.05 }) as Policy, learningRate: cosine({ initial: 0.1, steps: 18 }) }),
    );
  });

  it('writes the same rows whether numbers are read at every step or seldom', async () => {
    const [often, seldom] = [await run(), await run({ logEvery: 1000 })];
    expect(seldom.rows.filter(isEvaluation)).toEqual(often.rows.filter(isEvaluation));
    const losses = often.rows.filter(isStep).map((row) => row.loss!);
    const means = [0, 6, 12].map((start) => losses.slice(start, start + 6).reduce((a, b) => a + b) / 6);
    seldom.rows.filter(isStep).forEach((row, i) => expect(row.loss).toBeCloseTo(means[i]!, 5));
  });
});

describe('fit', () => {
  beforeAll(() => startBackend('cpu'));

  it('spends the same number of gradient passes under every policy, never more than the budget', async () => {
    const plain = await run({ passBudget: 25 });
    const twice = await run({ passBudget: 25, policy: sam({ rho: 0.05 }) as Policy });
    expect(plain.summary).toMatchObject({ passes: 25, steps: 25, passesPerStep: 1 });
    expect(twice.summary).toMatchObject({ passes: 24, steps: 12, passesPerStep: 2 });
    // Evaluated at the same points of the budget: 6 batches make an epoch.
    expect(plain.rows.filter(isEvaluation).map((row) => row.passes)).toEqual([6, 12, 18, 24, 25]);
    expect(twice.rows.filter(isEvaluation).map((row) => row.passes)).toEqual([6, 12, 18, 24]);
  });

  it('counts a micro-batch as its part of a pass', async () => {
    const { summary } = await run({ passBudget: 8, microBatches: 2, policy: sam({ rho: 0.05 }) as Policy });
    expect(summary).toMatchObject({ passes: 8, steps: 4 });
  });

  it('shows every policy the same batches: losses of the first step agree', async () => {
    const [plain, twice] = [await run(), await run({ policy: sam({ rho: 0.05 }) as Policy })];
    expect(twice.rows.find(isStep)!.loss).toBe(plain.rows.find(isStep)!.loss);
    expect(twice.rows.find(isStep)!['samGap']).toBeGreaterThan(0);
  });

  it('runs the schedule over steps, or over passes under a budget', async () => {
    const learningRate = (clock: number): number => 0.1 / (1 + clock);
    const rates = (rows: readonly MetricsRow[]): number[] => rows.filter(isStep).map((row) => row.learningRate!);
    expect(rates((await run({ epochs: 1, learningRate })).rows)).toEqual([0, 1, 2, 3, 4, 5].map(learningRate));
    const policy = sam({ rho: 0.05 }) as Policy;
    expect(rates((await run({ passBudget: 6, learningRate, policy })).rows)).toEqual([0, 2, 4].map(learningRate));
  });

  it('trains on an epoch of whole batches, and on a set smaller than a batch', async () => {
    expect((await run({ train: spots(41), epochs: 2 })).summary.steps).toBe(4);
    expect((await run({ train: spots(5), epochs: 2 })).summary.steps).toBe(2);
  });

  it('reports gaps as differences of what it reports', async () => {
    const { summary, rows } = await run({ epochs: 12, evalEvery: 1 });
    expect(summary.generalisationGap).toBeCloseTo(summary.trainTop1 - summary.testTop1, 12);
    expect(summary.lossGap).toBeCloseTo(summary.testLoss - summary.trainLoss, 12);
    const last = rows.filter(isEvaluation).slice(-10);
    expect(last).toHaveLength(10);
    expect(summary.last10TestTop1).toBeCloseTo(last.reduce((sum, row) => sum + row.testTop1, 0) / 10, 12);
    expect(summary.last10Evaluations).toBe(10);
  });

  it('throws DivergedError when a learning rate blows training up', async () => {
    const failing = run({ learningRate: 1e30, epochs: 2 });
    await expect(failing).rejects.toThrow(DivergedError);
    await expect(failing).rejects.toThrow(/policy "none" diverged.*learning rate/);
    // Too short for ten skipped steps in a row.
    await expect(run({ learningRate: 1e30, epochs: 1 })).rejects.toThrow(DivergedError);
  });

  it('leaves no tensor behind when it diverges, is stopped, or is given bad options', async () => {
    await expectNoLeak(() => run({ learningRate: 1e30 }).catch(() => undefined));
    await expectNoLeak(() => run({ signal: AbortSignal.abort(new Error('stop')) }).catch(() => undefined));
    await expectNoLeak(() => run({ batchSize: 0 }).catch(() => undefined));
  });

  it('stops at a signal with its reason, before the next step', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let steps = 0;
    const stopping = run({
      signal: controller.signal,
      onProgress({ step }) {
        steps = step;
        if (step === 4) controller.abort(reason);
      },
    });
    await expect(stopping).rejects.toBe(reason);
    expect(steps).toBe(4);
  });

  it.each([
    [{ batchSize: 0 }, 'batchSize: expected an integer of at least 1, got 0.'],
    [{ epochs: 0 }, 'epochs: expected an integer of at least 1, got 0.'],
    [{ epochs: 2, passBudget: 3 }, 'epochs, passBudget: expected exactly one of them, got 2, 3.'],
    [{ logEvery: 0.5 }, 'logEvery: expected an integer of at least 1, got 0.5.'],
  ] satisfies [Overrides, string][])('refuses %o', async (overrides, message) => {
    await expect(run(overrides)).rejects.toThrow(message);
  });

  it("refuses what the policy or the optimizer refuses, in the policy's own words", async () => {
    await expect(run({ learningRate: -1 })).rejects.toThrow(OptionError);
    await expect(
      run({ policy: { ...none(), setsLearningRate: true } as Policy, learningRate: () => 0.1 }),
    ).rejects.toThrow(/sets the learning rate/);
  });
});
