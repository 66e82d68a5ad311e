import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import type { StartedBackend } from '@polder/backends';
import {
  adam,
  adamW,
  cosine,
  sgd,
  stepDecay,
  type LearningRate,
  type Optimizer,
  type Policy,
  type Schedule,
} from '@polder/core';
import { flip, paddedCrop, type Augmentation } from '@polder/data';
import {
  encodeCheckpoint,
  fit,
  planTraining,
  type EvaluationRow,
  type FitOptions,
  type RunSummary,
  type TrainingPlan,
} from '@polder/trainer';
import { createRunFolder, FINAL_CHECKPOINT, writeJson, type RunFolder } from '@polder/trainer/node';
import { exitCodeOf, exitCodes, InterruptedError } from './failure.js';
import { TOPOLOGY_FILE, type Network } from './network.js';
import type { ProgressView } from './progress.js';
import type { RunSettings } from './resolve.js';
import { trainingFeatures } from './training-features.js';
import { version } from './version.js';
import type { OpenedData } from './workbench.js';

/** What a run needs that several runs may share. */
export interface TrainRunOptions {
  readonly settings: RunSettings;
  readonly network: Network;
  readonly policy: Policy;
  readonly backend: StartedBackend;
  readonly data: OpenedData;
  /** Gives the run's folder: called once, when the first step has been taken. */
  readonly claimFolder: () => string;
  readonly view: ProgressView;
  readonly signal: AbortSignal;
}

/** What came out of a run: `summary.json`, plus where it is. */
export type RunOutcome = RunSummary & {
  readonly model: string;
  readonly policy: string;
  readonly data: string;
  readonly dataSource: string;
  readonly backend: string;
  readonly backendReason: string;
  /** Training examples a second, evaluations aside. */
  readonly imagesPerSecond: number;
  readonly seconds: number;
  readonly trainSeconds: number;
  readonly tfjsVersion: string;
  readonly polderVersion: string;
  readonly nodeVersion: string;
  readonly runDir: string;
};

/**
 * Trains one network as its settings say and writes its run folder. The folder comes to be with the first step, so that
 * settings which cannot work leave nothing behind; a run that breaks off says so in its `summary.json`.
 */
export async function trainRun(options: TrainRunOptions): Promise<RunOutcome> {
  const { settings, network, policy, backend, data, claimFolder, view, signal } = options;
  let folder: RunFolder | undefined;
  const open = (): RunFolder => (folder ??= openFolder(claimFolder(), settings, network));
  const shape = { classes: data.train.classes.length, inputShape: [...data.train.shape], seed: settings.seed };
  const model = await network.create(shape);
  try {
    const { summary, timing } = await fit({
      model,
      policy,
      train: data.train,
      test: data.test,
      ...fitSettings(settings, planTraining(settings, data.train.length, settings.batch)),
      signal,
      onMetrics(row) {
        open().metrics(row);
        if ('testTop1' in row) view.evaluated(row as EvaluationRow);
      },
      onTiming: (row) => open().timing(row),
      onProgress(progress) {
        open();
        view.update(progress);
      },
    });
    const { seconds, trainSeconds, imagesPerSecond } = timing;
    const outcome = {
      ...summary,
      model: settings.model,
      policy: settings.policy,
      data: data.name,
      dataSource: data.source,
      backend: backend.backend,
      backendReason: backend.reason,
      imagesPerSecond,
      seconds,
      trainSeconds,
      tfjsVersion: tf.version.tfjs,
      polderVersion: version,
      nodeVersion: process.version,
    };
    const metadata = { model: settings.model, ...shape, step: summary.steps };
    open().checkpoint(FINAL_CHECKPOINT, await encodeCheckpoint(model, metadata));
    // Last: a summary says that the rest is there.
    open().summary(outcome);
    return { ...outcome, runDir: open().path };
  } catch (error) {
    if (folder !== undefined) recordFailure(folder, error);
    throw error;
  } finally {
    view.end();
    folder?.close();
    model.dispose();
  }
}

function openFolder(path: string, settings: RunSettings, { topology }: Network): RunFolder {
  const folder = createRunFolder(path, settings);
  if (topology !== undefined) writeJson(join(folder.path, TOPOLOGY_FILE), topology);
  return folder;
}

type SettingsOfFit = Omit<FitOptions, 'model' | 'policy' | 'train' | 'test'>;

function fitSettings(settings: RunSettings, plan: TrainingPlan): SettingsOfFit {
  const { epochs, passBudget, fairPasses, trainEval, clipGrad, microBatches, perturbation, smoothing } = settings;
  return {
    ...(epochs !== undefined && { epochs }),
    ...(passBudget !== undefined && { passBudget }),
    ...(fairPasses !== undefined && { fairPasses }),
    batchSize: settings.batch,
    seed: settings.seed,
    augment: augmentation(settings),
    learningRate: learningRate(settings, plan),
    optimizer: (rate) => baseOptimizer(settings, rate),
    ...(smoothing !== undefined && { labelSmoothing: smoothing }),
    ...(clipGrad !== undefined && { clipNorm: clipGrad }),
    ...(microBatches !== undefined && { microBatches }),
    ...(perturbation !== undefined && { perturbation }),
    ...(trainEval !== undefined && { trainEvalExamples: trainEval }),
    logEvery: settings.logEvery,
    evalEvery: settings.evalEvery,
    samGap: { rho: settings.gapRho, examples: settings.gapExamples },
    ...trainingFeatures(settings),
  };
}

function augmentation({ augment }: RunSettings): readonly Augmentation[] {
  return augment ? [flip(), paddedCrop(4)] : [];
}

/** A schedule runs over the clock of the plan: steps, or passes under a pass budget. */
function learningRate(settings: RunSettings, { total, stepsPerEpoch }: TrainingPlan): number | Schedule {
  // A policy that sets the learning rate itself leaves no other; core ignores the number then.
  const { sched, lr = 0, warmupEpochs = 0, minLr = 0, decayEpochs = [], decayRate = 0.1 } = settings;
  if (sched === 'constant') return lr;
  if (sched === 'step') {
    const milestones = decayEpochs.map((epoch) => epoch * stepsPerEpoch);
    return stepDecay({ initial: lr, milestones, factor: decayRate });
  }
  const warmupSteps = Math.min(total, Math.round(warmupEpochs * stepsPerEpoch));
  return cosine({ initial: lr, steps: total, warmupSteps, minimum: minLr });
}

function baseOptimizer(settings: RunSettings, learningRate: LearningRate): Optimizer {
  const { optimizer, momentum = 0, nesterov = false, weightDecay } = settings;
  if (optimizer === 'sgd') return sgd({ learningRate, momentum, nesterov, weightDecay });
  return optimizer === 'adam' ? adam({ learningRate, weightDecay }) : adamW({ learningRate, weightDecay });
}

function recordFailure(folder: RunFolder, error: unknown): void {
  const status =
    error instanceof InterruptedError
      ? 'interrupted'
      : exitCodeOf(error) === exitCodes.diverged
        ? 'diverged'
        : 'failed';
  try {
    folder.summary({ status, message: error instanceof Error ? error.message : String(error) });
  } catch {
    // The disk that failed the run fails this too; the error on its way to the user is the one that matters.
  }
}
