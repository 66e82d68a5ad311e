import * as tf from '@tensorflow/tfjs';
import type { StartedBackend } from '@polder/backends';
import {
  adam,
  adamW,
  constant,
  cosine,
  sgd,
  stepDecay,
  withWarmup,
  type LearningRate,
  type Optimizer,
  type Policy,
  type Schedule,
} from '@polder/core';
import { flip, paddedCrop, type Augmentation, type Dataset } from '@polder/data';
import {
  planTraining,
  type EvaluationRow,
  type FitOptions,
  type RunSummary,
  type TrainingPart,
  type TrainingPlan,
} from '@polder/trainer';
import { trainInFolder } from '@polder/trainer/node';
import { TOPOLOGY_FILE, type Network } from './network.js';
import type { ProgressView } from './progress.js';
import type { RunSettings } from './resolve.js';
import type { GivenSettings } from './settings.js';
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
  /** Gives the run's folder: called once, when the first step has been taken, or at once for a run that resumes. */
  readonly claimFolder: () => string;
  /** Goes on with the run in the folder; the settings named may differ from what they were. */
  readonly resume?: {
    readonly overrides: readonly string[];
    /** `config.json` with the overrides: without the defaults that a later release may have added. */
    readonly config: object;
  };
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
  /** Where the weights of the best evaluation are, below `runDir`, and what was best. */
  readonly bestCheckpoint?: string;
  readonly bestMetric?: string;
  readonly bestStep?: number;
};

/** Settings that no number of a run depends on: a run may resume elsewhere, and on another machine. */
const freeSettings: readonly (keyof GivenSettings)[] = [
  'backend',
  'checkpointEvery',
  'checkpointMinutes',
  'dataDir',
  'name',
  'runDir',
  'tensorboard',
  'csv',
];

/**
 * Trains one network as its settings say and keeps it in its run folder, from the beginning or from where it was broken
 * off. The folder comes to be with the first step, so that settings which cannot work leave nothing behind.
 */
export async function trainRun(options: TrainRunOptions): Promise<RunOutcome> {
  const { settings, network, policy, backend, data, claimFolder, resume, view, signal } = options;
  const shape = { classes: data.train.classes.length, inputShape: [...data.train.shape], seed: settings.seed };
  const fitted = fitSettings(settings, planTraining(settings, data.train.length, settings.batch));
  const model = await network.create(shape);
  try {
    const { written, folder } = await trainInFolder({
      model,
      modelId: settings.model,
      policy,
      train: data.train,
      test: data.test,
      ...fitted,
      parts: [...fitted.parts, ...(await curvatureParts(settings, model, data.train, signal))],
      folder: claimFolder,
      config: resume?.config ?? settings,
      // A file's network: neither its layers nor its first weights follow from the settings.
      ...(network.topology && { files: { [TOPOLOGY_FILE]: network.topology }, keepInitial: true }),
      ...(settings.checkpointEvery !== undefined && { checkpointEvery: settings.checkpointEvery }),
      ...(settings.checkpointMinutes !== undefined && { checkpointMinutes: settings.checkpointMinutes }),
      ...(settings.keepBest !== undefined &&
        settings.keepBest > 0 && { keepBest: { count: settings.keepBest, metric: settings.evalMetric ?? 'testTop1' } }),
      logs: { tensorboard: settings.tensorboard === true, csv: settings.csv === true },
      ...(resume && { resume: { overrides: resume.overrides, free: freeSettings } }),
      about: {
        model: settings.model,
        policy: settings.policy,
        data: data.name,
        dataSource: data.source,
        backend: backend.backend,
        backendReason: backend.reason,
        tfjsVersion: tf.version.tfjs,
        polderVersion: version,
        nodeVersion: process.version,
      },
      signal,
      onMetrics(row) {
        if ('testTop1' in row) view.evaluated(row as EvaluationRow);
      },
      onProgress: (progress) => view.update(progress),
    });
    return { ...written, runDir: folder } as unknown as RunOutcome;
  } finally {
    view.end();
    model.dispose();
  }
}

type SettingsOfFit = Omit<FitOptions, 'model' | 'policy' | 'train' | 'test'> & ReturnType<typeof trainingFeatures>;

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

/** What measures curvature along the training, where that is wanted; loaded only then. */
async function curvatureParts(
  { curvatureEvery: every, curvatureExamples: examples = 128, curvatureAlso: also = [], batch, seed }: RunSettings,
  model: tf.LayersModel,
  train: Dataset,
  signal: AbortSignal,
): Promise<readonly TrainingPart[]> {
  if (every === undefined) return [];
  const { curvaturePart } = await import('./curvature-part.js');
  return [curvaturePart({ model, train, every, examples, batchSize: batch, seed, also, signal })];
}

function augmentation({ augment }: RunSettings): readonly Augmentation[] {
  return augment ? [flip(), paddedCrop(4)] : [];
}

/** A schedule runs over the clock of the plan: steps, or passes under a pass budget. */
function learningRate(settings: RunSettings, { total, stepsPerEpoch }: TrainingPlan): number | Schedule {
  // A policy that sets the learning rate itself leaves no other; core ignores the number then.
  const { sched, lr = 0, warmupEpochs = 0, minLr = 0, decayEpochs = [], decayRate = 0.1 } = settings;
  const warmupSteps = Math.min(total, Math.round(warmupEpochs * stepsPerEpoch));
  if (sched === 'constant') return warmupSteps === 0 ? lr : withWarmup(constant(lr), warmupSteps);
  if (sched === 'step') {
    const milestones = decayEpochs.map((epoch) => epoch * stepsPerEpoch);
    return withWarmup(stepDecay({ initial: lr, milestones, factor: decayRate }), warmupSteps);
  }
  return cosine({ initial: lr, steps: total, warmupSteps, minimum: minLr });
}

function baseOptimizer(settings: RunSettings, learningRate: LearningRate): Optimizer {
  const { optimizer, momentum = 0, nesterov = false, weightDecay } = settings;
  if (optimizer === 'sgd') return sgd({ learningRate, momentum, nesterov, weightDecay });
  return optimizer === 'adam' ? adam({ learningRate, weightDecay }) : adamW({ learningRate, weightDecay });
}
