import * as tf from '@tensorflow/tfjs-core';
import type { Experiment, ExperimentOptions, ExperimentResult } from '../experiment.js';
import { resolveOptions } from '../options.js';
import { methodsOf, SSAM_PAPER, type Method } from './methods.js';
import { quarticVerdict, QUARTIC_CLAIM } from './quartic-claim.js';
import { quarticFigures, quarticTables } from './quartic-figures.js';
import { quarticStart } from './quartic-problem.js';
import { runQuartic, type Outcome } from './quartic-run.js';

/** Settings of `ssam/quartic`. */
export interface QuarticSettings {
  readonly learningRates: readonly number[];
  readonly rhos: readonly number[];
  readonly steps: number;
  /** Starting points are uniform in [−range, range)². */
  readonly range: number;
  /** Success: f at most this part of its minimum −1/4 … */
  readonly depth: number;
  /** … at each of this many last points. */
  readonly settled: number;
}

const DEFAULTS = {
  learningRates: [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8],
  rhos: [0.05, 0.1, 0.2, 0.4],
  steps: 200,
  range: 2,
  depth: 0.9,
  settled: 10,
} as const satisfies QuarticSettings;

const DEFAULT_SEEDS = 16;

/** Outcomes of a method: by learning rate, then by starting point. */
export type Outcomes = ReadonlyMap<Method, readonly (readonly Outcome[])[]>;

/** F2: at which learning rates SGD, SAM and SSAM reach a minimum of a function of two variables. */
export const quartic: Experiment = {
  id: 'ssam/quartic',
  title: 'Success of training against the learning rate, f = x1⁴/4 − x1·x2 + x2²/2',
  paper: { ...SSAM_PAPER, figure: 'F2, rate of successful training' },
  claim: QUARTIC_CLAIM,
  settings: { ...DEFAULTS },
  plan: (options = {}) => resolveOptions(options, { ...DEFAULTS }, DEFAULT_SEEDS),
  run: runAll,
};

async function runAll(options: ExperimentOptions = {}): Promise<ExperimentResult> {
  const { seeds, settings } = resolveOptions<QuarticSettings>(options, { ...DEFAULTS }, DEFAULT_SEEDS);
  const methods = methodsOf(settings.rhos);
  const outcomes = new Map<Method, Outcome[][]>();
  const total = methods.length * settings.learningRates.length;
  let done = 0;
  for (const method of methods) {
    const byRate: Outcome[][] = [];
    for (const learningRate of settings.learningRates) {
      const ends: Outcome[] = [];
      for (const seed of seeds) {
        options.signal?.throwIfAborted();
        ends.push(await runQuartic(quarticStart(seed, settings.range), method.policy, learningRate, settings));
      }
      byRate.push(ends);
      options.onProgress?.({ done: ++done, total, label: `${method.label}, learning rate ${learningRate}` });
      // Lets timers and signals in.
      await tf.nextFrame();
    }
    outcomes.set(method, byRate);
  }
  const parts = (id: Method['id']) =>
    methods.filter((method) => method.id === id).map((method) => partsOf(outcomes.get(method) ?? []));
  const claim = quarticVerdict({
    rhos: settings.rhos,
    sgd: parts('sgd')[0] ?? [],
    sam: parts('sam'),
    ssam: parts('ssam'),
  });
  return {
    version: 1,
    id: quartic.id,
    title: quartic.title,
    paper: quartic.paper,
    seeds,
    settings: { ...settings },
    claim,
    tables: quarticTables(outcomes, settings),
    figures: quarticFigures(outcomes, settings),
    notes: notesOf(settings),
  };
}

/** By starting point, the part of the learning rates that succeeded. */
export function partsOf(byRate: readonly (readonly Outcome[])[]): readonly number[] {
  const starts = byRate[0]?.length ?? 0;
  return Array.from(
    { length: starts },
    (_, i) => byRate.filter((ends) => ends[i] === 'success').length / byRate.length,
  );
}

function notesOf({ steps, range, depth, settled }: QuarticSettings): readonly string[] {
  return [
    `The paper gives the function, its minima ±(1, 1) and what is plotted. Starting points, number of steps and the meaning of "successful" are not known to us. Here: starts uniform in [−${range}, ${range})², the same for every method and learning rate; ${steps} steps; success is f ≤ ${depth} · (−1/4) at each of the last ${settled} points.`,
    'Nothing is stochastic but the start: "SGD" is gradient descent. Near a minimum it is stable up to a learning rate of 2 / (2 + √2) = 0.586.',
    'SAM and SSAM take two gradient passes a step, SGD one: the number of steps is equal, not the number of passes.',
  ];
}
