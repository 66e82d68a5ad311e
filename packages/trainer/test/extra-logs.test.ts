import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sgd } from '@polder/core';
import { startBackend } from '@polder/testkit';
import type { MetricsRow } from '@polder/trainer';
import { trainInFolder, type FolderOptions } from '@polder/trainer/node';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { metricsCsv } from '../src/node/metrics-csv.js';
import { readEvents } from './read-events.js';
import { namedNet } from './named-net.js';
import { spots } from './toy.js';

beforeAll(() => startBackend('wasm'));
let root: string;
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'polder-logs-'))));
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function train(name: string, overrides: Partial<FolderOptions> = {}): Promise<string> {
  const model = namedNet();
  try {
    const { folder } = await trainInFolder({
      model,
      modelId: 'small',
      train: spots(96),
      test: spots(48),
      epochs: 3,
      batchSize: 16,
      seed: 3,
      learningRate: 0.1,
      optimizer: (learningRate) => sgd({ learningRate, momentum: 0.9 }),
      logEvery: 2,
      checkpointEvery: 4,
      folder: join(root, name),
      config: { model: 'small' },
      logs: { tensorboard: true, csv: true },
      ...overrides,
    });
    return folder;
  } finally {
    model.dispose();
  }
}

/** What a board shows: of each tag the value at each step, files in the order of their names, restarts heeded. */
function shownBy(folder: string): Readonly<Record<string, Readonly<Record<number, number>>>> {
  const shown: Record<string, Record<number, number>> = {};
  for (const name of readdirSync(folder).sort()) {
    for (const { step = 0, restart, scalars } of readEvents(join(folder, name))) {
      if (restart)
        for (const values of Object.values(shown))
          for (const at of Object.keys(values)) if (Number(at) >= step) delete values[Number(at)];
      for (const [tag, value] of Object.entries(scalars)) (shown[tag] ??= {})[step] = value;
    }
  }
  // What the clock did differs from run to run.
  return Object.fromEntries(Object.entries(shown).filter(([tag]) => !tag.startsWith('timing/')));
}

const csvOf = (folder: string): string => readFileSync(join(folder, 'metrics.csv'), 'utf8');

it('say the same of a run that was broken off and resumed as of one that ran through', async () => {
  const whole = await train('whole');
  expect(csvOf(whole)).toBe(metricsCsv(readFileSync(join(whole, 'metrics.jsonl'), 'utf8')));
  const board = shownBy(join(whole, 'tensorboard'));
  expect(Object.keys(board['train/loss']!).map(Number)).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18]);
  expect(Object.keys(board['eval/testTop1']!).map(Number)).toEqual([6, 12, 18]);

  // Broken off by an error two rows behind the last checkpoint, which is at step 12 with its evaluation.
  const broken = (row: MetricsRow): void => {
    if (row.step === 16) throw new Error('power cut');
  };
  await expect(train('broken', { onMetrics: broken })).rejects.toThrow('power cut');
  const folder = join(root, 'broken');
  expect(shownBy(join(folder, 'tensorboard'))['train/loss']).toHaveProperty('14');
  await train('broken', { resume: {} });
  expect(readdirSync(join(folder, 'tensorboard'))).toHaveLength(2);
  expect(csvOf(folder)).toBe(csvOf(whole));
  expect(shownBy(join(folder, 'tensorboard'))).toEqual(board);
});

it('are there only when asked for', async () => {
  const folder = await train('plain', { logs: {} });
  expect(existsSync(join(folder, 'metrics.csv')) || existsSync(join(folder, 'tensorboard'))).toBe(false);
});
