import * as tf from '@tensorflow/tfjs';
import { sgd, trainStep } from '@polder/core';
import { batches, shapes } from '@polder/data';
import { resnet } from '@polder/models';
import { crossEntropyLoss, toTensors, trainableVariables } from '@polder/trainer';
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
  /** How far the resident set rose above its lowest, as a fraction of that. */
  readonly growth: number;
  /** What `growth` may be. */
  readonly bar: number;
  readonly skipped: number;
  readonly ok: boolean;
}

const settled = 500;
const bar = 0.05;
const batchSize = 8;

/**
 * Trains a tiny residual network with batch norm on the current backend, a fresh batch each step, and records tensors and
 * resident set. `ok` when the tensors stayed the same in number and the resident set within the bar once it had settled.
 */
export async function soak({ steps, backend, onProgress }: SoakOptions): Promise<SoakResult> {
  const { train } = shapes({ train: 64, test: 1, seed: 0 });
  const model = resnet({ depth: 8, width: 4, seed: 0, classes: train.classes.length, inputShape: [...train.shape] });
  const { policy } = choosePolicy({ policy: 'ssam' });
  const step = trainStep({
    loss: crossEntropyLoss(model, 0),
    variables: trainableVariables(model),
    policy,
    optimizer: sgd({ learningRate: 0.01, momentum: 0.9, weightDecay: 5e-4 }),
  });
  const series: SoakResult['series'][number][] = [];
  let taken = 0;
  for (let epoch = 0; taken < steps; epoch += 1) {
    for (const raw of batches(train, { batchSize, seed: 0, epoch })) {
      if (taken === steps) break;
      const batch = toTensors(raw, train);
      const { loss, metrics, finite } = step(batch);
      await loss.data();
      tf.dispose([loss, metrics, finite, ...Object.values(batch)]);
      taken += 1;
      if (taken % 100 !== 0) continue;
      series.push({ step: taken, tensors: tf.memory().numTensors, residentBytes: process.memoryUsage.rss() });
      if (taken % 1000 === 0) onProgress(`step ${taken} of ${steps}`);
    }
  }
  const [skipped] = await step.skipped.data();
  step.dispose();
  model.dispose();
  const late = series.filter((sample) => sample.step >= settled);
  const tensors = rangeOf(late.map((sample) => sample.tensors));
  const residentBytes = rangeOf(late.map((sample) => sample.residentBytes));
  const growth = residentBytes.max / residentBytes.min - 1;
  const ok = tensors.min === tensors.max && growth <= bar && skipped === 0;
  return { backend, policy: policy.name, steps, series, tensors, residentBytes, growth, bar, skipped: skipped!, ok };
}

function rangeOf(values: readonly number[]): Range {
  return { min: Math.min(...values), max: Math.max(...values) };
}
