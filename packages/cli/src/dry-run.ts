import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import type { StartedBackend } from '@polder/backends';
import { sgd, trainStep, type Policy } from '@polder/core';
import { planTraining } from '@polder/trainer';
import { print } from './console.js';
import type { Network } from './network.js';
import type { RunSettings } from './resolve.js';
import type { OpenedData } from './workbench.js';

/** What would run. */
export interface DryRun {
  readonly settings: RunSettings;
  readonly network: { readonly name: string; readonly parameters: number; readonly multiplyAdds?: number };
  readonly data: { readonly name: string; readonly source: string; readonly train: number; readonly test: number };
  readonly backend: { readonly name: string; readonly reason: string };
  readonly stepsPerEpoch: number;
  /** Under a pass budget, and with a policy whose steps differ, as near as its first steps tell. */
  readonly steps: number;
  readonly passes: number;
  readonly passesPerStep: number;
  /** The folder that it would take. */
  readonly runDir: string;
}

/** Settings that are resolved, a backend that runs and data that are loaded: all but the training. */
export interface DryRunInput {
  readonly settings: RunSettings;
  readonly network: Network;
  readonly policy: Policy;
  readonly backend: StartedBackend;
  readonly data: OpenedData;
  readonly runDir: string;
}

/** Says what a run would be. Writes nothing; a network that does not fit the data throws, as in the run. */
export async function planRun({ settings, network, policy, backend, data, runDir }: DryRunInput): Promise<DryRun> {
  const { train, test, name, source } = data;
  const shape = { classes: train.classes.length, inputShape: [...train.shape], seed: settings.seed };
  const { parameters, multiplyAdds } = await network.describe(shape);
  const plan = planTraining(settings, train.length, settings.batch);
  const passesPerStep = countPasses(policy, Math.min(64, plan.total));
  const steps = plan.unit === 'steps' ? plan.total : Math.max(1, Math.floor(plan.total / passesPerStep));
  return {
    settings,
    network: { name: network.label, parameters, ...(multiplyAdds !== undefined && { multiplyAdds }) },
    data: { name, source, train: train.length, test: test.length },
    backend: { name: backend.backend, reason: backend.reason },
    stepsPerEpoch: plan.stepsPerEpoch,
    steps,
    passes: plan.unit === 'steps' ? Math.round(steps * passesPerStep) : plan.total,
    passesPerStep,
    runDir,
  };
}

/** The folder that a run would take: the first that is free, as when it starts. */
export function freshFolder(base: string): string {
  const first = resolve(base);
  for (let n = 1; ; n += 1) {
    const candidate = n === 1 ? first : `${first}-${n}`;
    if (!existsSync(candidate)) return candidate;
  }
}

/** For a terminal. */
export function printDryRun({ network, data, backend, settings, ...plan }: DryRun): void {
  const { parameters, multiplyAdds } = network;
  const cost = multiplyAdds === undefined ? '' : `, ${(multiplyAdds / 1e6).toFixed(1)} M multiply-adds an example`;
  const exact = Number.isInteger(plan.passesPerStep) ? '' : 'about ';
  const length =
    settings.passBudget === undefined && settings.fairPasses !== true
      ? `${settings.epochs} epochs of ${plan.stepsPerEpoch} steps: ${plan.steps} steps, ${exact}${plan.passes} passes`
      : `${plan.passes} passes: about ${plan.steps} steps, ${(plan.steps / plan.stepsPerEpoch).toFixed(1)} epochs`;
  print(`network  ${network.name}, ${parameters} parameters${cost}`);
  print(`data     ${data.source}`);
  print(`backend  ${backend.reason}`);
  print(`policy   ${settings.policy}, ${exact}${Number(plan.passesPerStep.toFixed(2))} gradient passes a step`);
  print(`length   ${length}, batch ${settings.batch}`);
  print(`folder   ${plan.runDir}`);
}

/** Passes of a step, on average over the first steps, counted on a problem of two weights. */
function countPasses(policy: Policy, steps: number): number {
  const x = tf.tensor2d([1, 2, -1, 1, 2, -2, 0.5, 1], [4, 2]);
  const weights = tf.variable(tf.tensor2d([0.5, -0.25], [2, 1]));
  const step = trainStep({
    // One loss for each example, for the policies that choose among them.
    loss: (batch: { readonly x: tf.Tensor2D }) =>
      tf.tidy(() => tf.squeeze<tf.Tensor1D>(tf.square(tf.sub(tf.matMul(batch.x, weights), 1)), [1])),
    variables: [weights],
    policy,
    optimizer: sgd({ learningRate: 1e-3, momentum: policy.setsLearningRate === true ? 0 : 0.9 }),
  });
  let passes = 0;
  for (let i = 0; i < steps; i += 1) {
    const { passes: spent, ...tensors } = step({ x });
    passes += spent;
    tf.dispose(tensors);
  }
  step.dispose();
  tf.dispose([x, weights]);
  return passes / steps;
}
