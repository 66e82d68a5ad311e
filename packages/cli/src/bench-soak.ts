import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as tf from '@tensorflow/tfjs';
import { sgd, trainStep } from '@polder/core';
import { resnet } from '@polder/models';
import { crossEntropyLoss, trainableVariables, type TensorBatch } from '@polder/trainer';
import { choosePolicy } from './policies.js';

export interface SoakOptions {
  readonly steps: number;
  readonly backend: string;
  readonly onProgress: (message: string) => void;
}

/** The lowest and the highest after the first 500 steps. */
interface Range {
  readonly min: number;
  readonly max: number;
}

export interface SoakResult {
  readonly backend: string;
  readonly policy: string;
  readonly steps: number;
  /** Every hundredth step, from the first. */
  readonly series: readonly { readonly step: number; readonly tensors: number; readonly residentBytes: number }[];
  readonly tensors: Range;
  readonly residentBytes: Range;
  /** The largest rise of the resident set above any earlier sample after the first 500 steps, as a fraction of that. */
  readonly growth: number;
  /** What `growth` may be. */
  readonly bar: number;
  readonly skipped: number;
  readonly ok: boolean;
}

const settled = 500;
const bar = 0.05;
const [batchSize, size, classes] = [8, 12, 10];

/**
 * Trains a tiny residual network with batch norm on the current backend, a fresh batch each step, and records tensors and
 * resident set after a garbage collection. `ok` when the tensors stayed the same in number and the resident set within the bar once it had settled.
 */
export async function soak({ steps, backend, onProgress }: SoakOptions): Promise<SoakResult> {
  const model = resnet({ depth: 8, width: 4, seed: 0, classes, inputShape: [size, size, 3] });
  const { policy } = choosePolicy({ policy: 'ssam' });
  const step = trainStep({
    loss: crossEntropyLoss(model, 0),
    variables: trainableVariables(model),
    policy,
    optimizer: sgd({ learningRate: 0.01, momentum: 0.9, weightDecay: 5e-4 }),
  });
  const collectGarbage = garbageCollector();
  const series: SoakResult['series'][number][] = [];
  for (let taken = 1; taken <= steps; taken += 1) {
    const batch = batchOf(taken);
    const { loss, metrics, finite } = step(batch);
    await loss.data();
    tf.dispose([loss, metrics, finite, ...Object.values(batch)]);
    if (taken % 100 === 0) {
      collectGarbage();
      series.push({ step: taken, tensors: tf.memory().numTensors, residentBytes: process.memoryUsage.rss() });
    }
    if (taken % 1000 === 0) onProgress(`step ${taken} of ${steps}`);
  }
  const [skipped] = await step.skipped.data();
  step.dispose();
  model.dispose();
  const late = series.filter((sample) => sample.step >= settled);
  const tensors = rangeOf(late.map((sample) => sample.tensors));
  const residentBytes = rangeOf(late.map((sample) => sample.residentBytes));
  const growth = largestRise(late.map((sample) => sample.residentBytes));
  const ok = tensors.min === tensors.max && growth <= bar && skipped === 0;
  return { backend, policy: policy.name, steps, series, tensors, residentBytes, growth, bar, skipped: skipped!, ok };
}

/** Node's full garbage collection: what stays resident after it is held, and not merely not collected yet. */
function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** Made-up images that differ from step to step; their labels do not. */
function batchOf(step: number): TensorBatch {
  const pixels = batchSize * size * size * 3;
  const images = Float32Array.from({ length: pixels }, (_, i) => Math.sin(i * 12.9898 + step));
  const labels = Int32Array.from({ length: batchSize }, (_, i) => i % classes);
  return { images: tf.tensor4d(images, [batchSize, size, size, 3]), labels: tf.tensor1d(labels, 'int32') };
}

/** Above the lowest value before it: memory that V8 gives back late, after its start, is not one. */
function largestRise(values: readonly number[]): number {
  let [lowest, rise] = [Infinity, 0];
  for (const value of values) {
    lowest = Math.min(lowest, value);
    rise = Math.max(rise, value / lowest - 1);
  }
  return rise;
}

function rangeOf(values: readonly number[]): Range {
  return { min: Math.min(...values), max: Math.max(...values) };
}
