import * as tf from '@tensorflow/tfjs';
import { startBackend } from '@polder/backends';
import { sam, sgd, type Policy } from '@polder/core';
import { shapes } from '@polder/data';
import { gradientNoise, lambdaMax } from '@polder/diagnostics';
import { mlp } from '@polder/models';
import { fit, type FitOptions, type MetricsRow, type TrainingSnapshot } from '@polder/trainer';
import { beforeAll, expect, it } from 'vitest';
import { curvaturePart } from '../src/curvature-part.js';

beforeAll(() => startBackend('wasm', { threads: 1 }));

const { train, test } = shapes({ train: 48, test: 16, seed: 1 });

/** A training with curvature measured at every second of four epochs of three steps. */
async function run(overrides: Partial<FitOptions> = {}) {
  const signal = overrides.signal ?? new AbortController().signal;
  const model = mlp({ hidden: [6], inputShape: [32, 32, 3], seed: 1 });
  const rows: MetricsRow[] = [];
  const snapshots: { readonly snapshot: TrainingSnapshot; readonly rows: number }[] = [];
  const part = curvaturePart({
    model,
    train,
    every: 2,
    examples: 32,
    batchSize: 16,
    seed: 7,
    signal,
    also: ['gradientVariance', 'lipschitz'],
  });
  try {
    await fit({
      model,
      train,
      test,
      epochs: 4,
      batchSize: 16,
      seed: 1,
      learningRate: 0.02,
      optimizer: (learningRate) => sgd({ learningRate, momentum: 0.9 }),
      policy: sam({ rho: 0.05 }) as Policy,
      parts: [part],
      onMetrics: (row) => rows.push(row),
      checkpoint: { everySteps: 1, save: (snapshot) => void snapshots.push({ snapshot, rows: rows.length }) },
      ...overrides,
    });
    if (overrides.resumeFrom !== undefined) return { rows, snapshots };
    // The same measures, by themselves, at the weights that came out.
    const xs = tf.tidy(() =>
      tf.div(tf.sub(tf.div(tf.tensor4d(Float32Array.from(train.images), [48, 32, 32, 3]), 255), mean()), std()),
    );
    const ys = tf.tensor1d(Int32Array.from(train.labels), 'int32');
    const data = [0, 16].map((at) => ({ xs: tf.slice(xs, at, 16), ys: tf.slice(ys, at, 16) }));
    const target = { model, loss: 'sparseSoftmaxCrossEntropy' as const, data };
    const top = await lambdaMax(target, { tol: 1e-5 });
    const noise = await gradientNoise(target);
    tf.dispose([xs, ys, ...data.flatMap((batch) => [batch.xs, batch.ys]), ...(top.vector ?? [])]);
    return { rows, snapshots, top: top.value, variance: noise.variance };
  } catch (error) {
    return { rows, snapshots, error };
  } finally {
    model.dispose();
  }
}

const mean = (): tf.Tensor => tf.tensor1d([...train.normalization.mean]);
const std = (): tf.Tensor => tf.tensor1d([...train.normalization.std]);
const measuredIn = (rows: readonly MetricsRow[]): MetricsRow[] => rows.filter((row) => 'lambdaMax' in row);

it('measures what the estimators do, and after a break what it would have', { timeout: 120_000 }, async () => {
  const { numTensors } = tf.memory();
  const whole = await run();
  const measured = measuredIn(whole.rows);
  expect(measured.map(({ step, epoch }) => [step, epoch])).toEqual([
    [6, 2],
    [12, 4],
  ]);
  const [first, last] = measured as readonly Record<string, number>[];
  expect(last!['lambdaMax']! / whole.top! - 1).toBeCloseTo(0, 2);
  expect(last!['gradientVariance']! / whole.variance! - 1).toBeCloseTo(0, 4);
  expect(first).not.toHaveProperty('lipschitz');
  expect(last!['lipschitz']).toBeGreaterThan(0);
  for (const row of [first!, last!]) {
    expect(row['traceError']).toBeGreaterThan(0);
    expect(row['lambdaMaxResidual']).toBeLessThan(0.01 * row['lambdaMax']!);
  }
  // From before the first measurement, and between the two.
  for (const { snapshot, rows } of whole.snapshots.filter((_, i) => [3, 8].includes(i))) {
    const { tensors, ...plain } = snapshot;
    const resumeFrom = { ...(JSON.parse(JSON.stringify(plain)) as TrainingSnapshot), tensors };
    const resumed = await run({ resumeFrom });
    expect(JSON.stringify([...whole.rows.slice(0, rows), ...resumed.rows])).toBe(JSON.stringify(whole.rows));
  }
  // Stopped in the middle of the second measurement: the epoch's end has come, its row has not.
  const controller = new AbortController();
  const stopping = run({
    signal: controller.signal,
    callbacks: [
      { onEpochEnd: (epoch) => void (epoch === 3 && setTimeout(() => controller.abort(new Error('enough')), 30)) },
    ],
  });
  const stopped = await stopping;
  expect((stopped as { readonly error?: Error }).error?.message).toBe('enough');
  expect(measuredIn(stopped.rows)).toHaveLength(1);
  const resumed = await run({ resumeFrom: stopped.snapshots.at(-1)!.snapshot });
  expect(JSON.stringify([...stopped.rows, ...resumed.rows])).toBe(JSON.stringify(whole.rows));
  expect(tf.memory().numTensors).toBe(numTensors);
});
