import { sgd, trainStep } from '@polder/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Experiment, ExperimentOptions, ExperimentResult } from '../experiment.js';
import { resolveOptions } from '../options.js';
import { methodsOf, SSAM_PAPER, type Method } from './methods.js';
import { saddleVerdict, SADDLE_CLAIM } from './saddle-claim.js';
import { saddleFigures, saddleTable } from './saddle-figures.js';
import { autoencoderLoss, createAutoencoder, disposeAutoencoder, type Autoencoder } from './saddle-problem.js';

/** Settings of `ssam/saddle`. */
export interface SaddleSettings {
  /** d: width of the two square matrices. */
  readonly dimension: number;
  /** Examples in the data set, all of them in every step: one step is one epoch. */
  readonly examples: number;
  /** Standard deviation of the initial weights; N(0, 1e-4) is read as variance 1e-4. */
  readonly initStd: number;
  readonly learningRate: number;
  readonly epochs: number;
  readonly rhos: readonly number[];
  /** The saddle is left when the loss is below this part of the loss at the saddle. */
  readonly leftBelow: number;
}

const DEFAULTS = {
  dimension: 20,
  examples: 100,
  initStd: 0.01,
  learningRate: 1e-3,
  epochs: 500,
  rhos: [0.01, 0.05, 0.1, 0.2],
  leftBelow: 0.9,
} as const satisfies SaddleSettings;

const DEFAULT_SEEDS = 16;

/** One run of one method from one seed. */
export interface SaddleRun {
  /** Loss over the loss at the saddle, before each step and after the last: epochs + 1 values. NaN once diverged. */
  readonly relativeLoss: readonly number[];
  /** SSAM's γ at each step; empty for others. */
  readonly gamma: readonly number[];
  /** The first step before which the saddle has been left; Infinity: never. */
  readonly stepsToLeave: number;
  readonly passesPerStep: number;
}

/** F1: how many steps SGD, SAM and SSAM take to leave the saddle of a linear autoencoder. */
export const saddle: Experiment = {
  id: 'ssam/saddle',
  title: 'Escape from the saddle of a linear autoencoder',
  paper: { ...SSAM_PAPER, figure: 'F1, escape from a saddle' },
  claim: SADDLE_CLAIM,
  settings: { ...DEFAULTS },
  plan: (options = {}) => resolveOptions(options, { ...DEFAULTS }, DEFAULT_SEEDS),
  run: runSaddle,
};

async function runSaddle(options: ExperimentOptions = {}): Promise<ExperimentResult> {
  const { seeds, settings } = resolveOptions<SaddleSettings>(options, { ...DEFAULTS }, DEFAULT_SEEDS);
  const methods = methodsOf(settings.rhos);
  const runs = new Map<Method, SaddleRun[]>(methods.map((method) => [method, []]));
  let done = 0;
  for (const seed of seeds) {
    for (const method of methods) {
      options.signal?.throwIfAborted();
      runs.get(method)?.push(await runMethod(seed, method, settings));
      options.onProgress?.({
        done: ++done,
        total: seeds.length * methods.length,
        label: `seed ${seed}, ${method.label}`,
      });
      // Lets timers and signals in between two runs.
      await tf.nextFrame();
    }
  }
  const of = (id: Method['id']): readonly (readonly number[])[] =>
    methods
      .filter((method) => method.id === id)
      .map((method) => (runs.get(method) ?? []).map((run) => run.stepsToLeave));
  const claim = saddleVerdict({ rhos: settings.rhos, sgd: of('sgd')[0] ?? [], sam: of('sam'), ssam: of('ssam') });
  return {
    version: 1,
    id: saddle.id,
    title: saddle.title,
    paper: saddle.paper,
    seeds,
    settings: { ...settings },
    claim,
    tables: [saddleTable(runs, settings.epochs)],
    figures: saddleFigures(runs, settings),
    notes: notesOf(settings),
  };
}

/** Trains one autoencoder and measures it at every step. Leaves no tensor behind. */
export async function runMethod(
  seed: number,
  { policy }: Pick<Method, 'policy'>,
  settings: SaddleSettings,
): Promise<SaddleRun> {
  const problem = createAutoencoder(seed, settings);
  const step = trainStep({
    loss: () => autoencoderLoss(problem),
    variables: problem.variables,
    policy,
    optimizer: sgd({ learningRate: settings.learningRate }),
  });
  try {
    const losses: number[] = [];
    const gamma: number[] = [];
    let passes = 0;
    for (let epoch = 0; epoch < settings.epochs; epoch++) {
      const result = step(undefined);
      losses.push(await valueOf(result.loss));
      passes += result.passes;
      if (result.metrics['gamma'] !== undefined) gamma.push(await valueOf(result.metrics['gamma']));
      tf.dispose([result.loss, result.finite, result.metrics]);
    }
    losses.push(await finalLoss(problem));
    const relativeLoss = losses.map((loss) => loss / problem.saddleLoss);
    const left = relativeLoss.findIndex((loss) => loss < settings.leftBelow);
    return { relativeLoss, gamma, stepsToLeave: left < 0 ? Infinity : left, passesPerStep: passes / settings.epochs };
  } finally {
    step.dispose();
    disposeAutoencoder(problem);
  }
}

async function finalLoss(problem: Autoencoder): Promise<number> {
  const loss = tf.tidy(() => autoencoderLoss(problem));
  try {
    return await valueOf(loss);
  } finally {
    loss.dispose();
  }
}

async function valueOf(scalar: tf.Scalar): Promise<number> {
  return (await scalar.data())[0] ?? NaN;
}

function notesOf({ initStd, examples, dimension, learningRate, epochs, leftBelow }: SaddleSettings): readonly string[] {
  const norm = initStd * Math.sqrt(2 * dimension ** 2);
  return [
    `The paper fixes d = 20, two square matrices from N(0, 1e-4), learning rate 1e-3 and 500 epochs. N(0, 1e-4) is read as variance 1e-4 (standard deviation 0.01); this run has ${initStd}, an initial ‖w‖ of about ${norm.toPrecision(2)}. The setting initStd = 0.0001 gives the other reading.`,
    `The data, the scale of the loss and the batches are not known to us. Here: ${examples} examples from N(0, I), the loss ½ Σ ‖x W1 W2 − x‖² summed over them, all examples in every step, so that one step is one epoch. With the mean over examples, ${epochs} such steps at ${learningRate} would move no method away: the loss's steepest descent grows by a factor of about ${Math.exp(learningRate * epochs).toPrecision(3)} in all.`,
    `Nothing here is stochastic but data and initial weights: "SGD" is gradient descent on the whole set.`,
    `The saddle counts as left at the first step whose loss is below ${leftBelow} of the loss at W1 = W2 = 0. SAM and SSAM take two gradient passes a step, SGD one: the claim counts steps.`,
  ];
}
