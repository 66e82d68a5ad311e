import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { sgd } from '@polder/core';
import { mixing } from '@polder/data';
import { startBackend } from '@polder/testkit';
import * as trainer from '@polder/trainer';
import { beforeAll, expect, it } from 'vitest';
import { smallNet, spots } from './toy.js';

/** What the examples use of `@wandb/sdk` 0.5.1, as its declarations have it. */
interface Wandb {
  init(options?: { readonly project?: string; readonly config?: unknown }): Promise<unknown>;
  log(data: Record<string, unknown>, step?: number, commit?: boolean): void;
  finish(code?: number): Promise<void>;
}

// The same call as in the README, so that its types are checked too.
const hook =
  (wandb: Wandb): NonNullable<trainer.FitOptions['onMetrics']> =>
  (row) =>
    wandb.log({ ...row }, row.step);

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

/** Runs the README's example that contains `part`, its imports replaced by what is given. */
async function runExample(part: string, names: Readonly<Record<string, unknown>>): Promise<void> {
  const example = readme.split('```js\n').find((block) => block.split('```')[0]!.includes(part))!;
  const body = example.split('```')[0]!.replaceAll(/^import .*$/gm, '');
  const AsyncFunction = (async () => undefined).constructor as new (
    ...args: string[]
  ) => (...values: unknown[]) => Promise<void>;
  await new AsyncFunction(...Object.keys(names), body)(...Object.values(names));
}

beforeAll(() => startBackend('cpu'));

const withOptions = async (action: (options: Omit<trainer.FitOptions, 'epochs'>) => Promise<void>): Promise<void> => {
  const model: tf.LayersModel = smallNet();
  const options = {
    model,
    train: spots(32),
    test: spots(16),
    batchSize: 16,
    seed: 0,
    learningRate: 0.1,
    optimizer: (learningRate: Parameters<trainer.FitOptions['optimizer']>[0]) => sgd({ learningRate }),
  };
  try {
    await action(options);
  } finally {
    model.dispose();
  }
};

it('hands its rows to Weights & Biases as the README says', async () => {
  const logged: (readonly [Record<string, unknown>, number | undefined])[] = [];
  const calls: string[] = [];
  const wandb: Wandb = {
    init: async () => void calls.push('init'),
    log: (data, step) => void logged.push([data, step]),
    finish: async () => void calls.push('finish'),
  };
  await withOptions((options) =>
    runExample('@wandb/sdk', { wandb, fit: trainer.fit, options: { ...options, epochs: 2 } }),
  );
  expect(calls).toEqual(['init', 'finish']);
  expect(logged.map(([data, step]) => ['testTop1' in data, step])).toEqual([
    [false, 2],
    [true, 2],
    [false, 4],
    [true, 4],
  ]);
  const [row] = logged.at(-1)!;
  hook(wandb)(row as unknown as trainer.MetricsRow);
  expect(logged.at(-1)).toEqual(logged.at(-2));
});

it('trains with what the README lists beyond the step', async () => {
  const { weightAverage, earlyStopping } = trainer;
  let summary: trainer.RunSummary | undefined;
  const fit = async (options: trainer.FitOptions): Promise<void> => {
    ({ summary } = await trainer.fit(options));
  };
  await withOptions((options) => runExample('weightAverage({', { fit, options, mixing, weightAverage, earlyStopping }));
  expect(summary!.stopped).toContain('emaTestTop1 got no better in 10 evaluations');
  expect(summary!['emaTestTop1']).toBeGreaterThanOrEqual(0);
});
