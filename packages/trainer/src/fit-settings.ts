import type { Optimizer, PolicyState } from '@polder/core';
import { SnapshotError } from './errors.js';
import type { FitOptions } from './fit-options.js';
import { skippedInARow } from './nonfinite-guard.js';
import type { TrainingPlan } from './plan.js';
import type { Json } from './training-part.js';

type Settings = Readonly<Record<string, Json>>;

/** The options of a training that determine its numbers and can be written down; functions among them cannot. */
export function settingsOf<S extends PolicyState>(
  options: FitOptions<S>,
  plan: TrainingPlan,
  optimizer: Optimizer,
): Settings {
  const { learningRate, policy } = options;
  const settings = {
    seed: options.seed,
    batchSize: options.batchSize,
    unit: plan.unit,
    total: plan.total,
    stepsPerEpoch: plan.stepsPerEpoch,
    learningRate: typeof learningRate === 'number' ? learningRate : 'schedule',
    policy: policy?.name ?? 'none',
    policyOptions: policy?.options ?? {},
    optimizer: optimizer.name,
    optimizerOptions: optimizer.options,
    labelSmoothing: options.labelSmoothing ?? 0,
    weightDecayInLoss: options.weightDecayInLoss ?? 0,
    clipNorm: options.clipNorm ?? null,
    microBatches: options.microBatches ?? 1,
    perturbation: options.perturbation ?? 'global',
    nonFinite: skippedInARow(options.nonFinite),
    logEvery: options.logEvery ?? 10,
    evalEvery: options.evalEvery ?? 1,
    evalBatchSize: options.evalBatchSize ?? 256,
    trainEvalExamples: options.trainEvalExamples ?? null,
  };
  // As a file would give it back: what JSON cannot say is left out on both sides of a comparison.
  return JSON.parse(JSON.stringify(settings)) as Settings;
}

/**
 * Throws {@link SnapshotError} that names the first setting which is not as it was. One that only one of them has is of
 * another release.
 */
export function checkSettings(saved: Settings, now: Settings): void {
  for (const name of Object.keys(saved).filter((key) => key in now)) {
    const [before, after] = [saved, now].map((settings) => JSON.stringify(settings[name]));
    if (before !== after)
      throw new SnapshotError(
        name,
        String(before),
        String(after),
        'Resume with the setting as it was, or accept changes.',
      );
  }
}
