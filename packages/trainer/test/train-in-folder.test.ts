import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cosine, sam, sgd, type Policy } from '@polder/core';
import { expectNoLeak, startBackend } from '@polder/testkit';
import { CheckpointError, DivergedError, SettingChangedError, weightAverage } from '@polder/trainer';
import { readRunStatus, trainInFolder, type FolderOptions, type FolderResult } from '@polder/trainer/node';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { namedNet } from './named-net.js';
import { spots } from './toy.js';

const train = spots(96);
const test = spots(48);
const steps = 24;

type Overrides = Partial<FolderOptions> & { readonly modelSeed?: number };

/** 24 steps of SAM, with averaged weights and the best kept, in a folder. */
async function run(folder: string, { modelSeed = 1, ...overrides }: Overrides = {}): Promise<FolderResult> {
  const model = namedNet(modelSeed);
  try {
    return await trainInFolder({
      folder,
      config: { lr: 0.1, epochs: 4 },
      modelId: 'named',
      model,
      train,
      test,
      batchSize: 16,
      epochs: 4,
      seed: 3,
      policy: sam({ rho: 0.05 }) as Policy,
      learningRate: cosine({ initial: 0.1, steps }),
      optimizer: (learningRate) => sgd({ learningRate, momentum: 0.9 }),
      parts: [weightAverage({ decay: 0.9 })],
      keepBest: { count: 2 },
      logEvery: 1,
      checkpointEvery: 5,
      ...overrides,
    });
  } finally {
    model.dispose();
  }
}

/** Stops a run after its n-th call about progress: steps and evaluations make one each. */
async function breakOff(folder: string, calls: number, overrides: Overrides = {}): Promise<void> {
  const controller = new AbortController();
  let seen = 0;
  const onProgress = (): void => void (++seen === calls && controller.abort(new Error('stop')));
  await expect(run(folder, { ...overrides, signal: controller.signal, onProgress })).rejects.toThrow('stop');
}

/** As SIGKILL leaves a run: without a checkpoint at its end, and in the middle of a line. */
async function kill(folder: string, atStep: number, overrides: Overrides = {}): Promise<void> {
  const onMetrics: FolderOptions['onMetrics'] = ({ step }) => {
    if (step === atStep) throw new Error('killed');
  };
  await expect(run(folder, { ...overrides, onMetrics })).rejects.toThrow('killed');
  rmSync(join(folder, 'summary.json'));
  writeFileSync(join(folder, 'metrics.jsonl'), '{"step":', { flag: 'a' });
}

let base: string;
const at = (...path: readonly string[]): string => join(base, ...path);
const bytes = (...path: readonly string[]): Buffer => readFileSync(at(...path));
const states = (folder: string): string[] =>
  readdirSync(at(folder, 'checkpoints')).filter((name) => /^state-\d+\.json$/.test(name));
const kept = ['best.safetensors', 'final-ema.safetensors', 'final.safetensors'];

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'polder-folder-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

function expectSame(folder: string): void {
  expect(bytes(folder, 'metrics.jsonl').toString()).toBe(bytes('whole', 'metrics.jsonl').toString());
  const weights = (of: string): string[] =>
    readdirSync(at(of, 'checkpoints')).filter((name) => !name.startsWith('state'));
  expect(weights(folder)).toEqual(weights('whole'));
  expect(weights(folder)).toEqual(expect.arrayContaining(kept));
  for (const name of weights('whole'))
    expect(bytes(folder, 'checkpoints', name).equals(bytes('whole', 'checkpoints', name))).toBe(true);
  const last = states('whole').at(-1)!.replace('.json', '.safetensors');
  expect(bytes(folder, 'checkpoints', last).equals(bytes('whole', 'checkpoints', last))).toBe(true);
}

describe.each(['cpu', 'wasm'] as const)('a run in a folder on %s', (backend) => {
  beforeAll(() => startBackend(backend));

  it('ends with the same bytes, however often and wherever it was broken off', async () => {
    await run(at('whole'));
    await breakOff(at('stopped'), 9);
    await breakOff(at('stopped'), 8, { resume: {} });
    await run(at('stopped'), { resume: {} });
    expectSame('stopped');
    // Before the first checkpoint, after one, twice after the same one, and after the last.
    await kill(at('killed'), 3);
    await kill(at('killed'), 8, { resume: {} });
    await kill(at('killed'), 9, { resume: {} });
    await kill(at('killed'), 24, { resume: {} });
    const { written } = await run(at('killed'), { resume: {} });
    expectSame('killed');
    expect(written).toMatchObject({ status: 'completed', steps, resumes: 4 });
    const resumes = bytes('killed', 'resumes.jsonl').toString().trim().split('\n');
    expect(resumes.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual([0, 5, 5, 20]);
  });

  it('leaves no tensor behind', async () => {
    await expectNoLeak(() => breakOff(at('a'), 9));
    await expectNoLeak(() => run(at('a'), { resume: {} }));
  });
});

describe('a run in a folder', () => {
  beforeAll(() => startBackend('cpu'));

  it('keeps two checkpoints, and the best weights by what is asked for', async () => {
    const { written } = await run(at('whole'));
    expect(states('whole')).toEqual(['state-000000020.json', 'state-000000024.json']);
    expect(readdirSync(at('whole'))).toEqual(
      expect.arrayContaining(['config.json', 'metrics.jsonl', 'summary.json', 'timing.jsonl']),
    );
    expect(readdirSync(at('whole')).filter((name) => name.startsWith('.'))).toEqual([]);
    const best = readdirSync(at('whole', 'checkpoints')).filter((name) => name.startsWith('best-step'));
    expect(best).toHaveLength(2);
    const rows = bytes('whole', 'metrics.jsonl').toString().trim().split('\n');
    const evaluations = rows
      .map((row) => JSON.parse(row) as Record<string, number>)
      .filter((row) => 'testTop1' in row)
      .sort((a, b) => b['testTop1']! - a['testTop1']! || a['step']! - b['step']!);
    expect(best.sort()).toEqual(
      evaluations
        .slice(0, 2)
        .map(({ step }) => `best-step${step}.safetensors`)
        .sort(),
    );
    expect(bytes('whole/checkpoints/best.safetensors')).toEqual(
      bytes(`whole/checkpoints/best-step${evaluations[0]!['step']}.safetensors`),
    );
    expect(written['emaTestTop1']).toBeGreaterThan(0);
  });

  it('goes on from the checkpoint before, when the last one is damaged in whatever way', async () => {
    await run(at('whole'));
    const last = (folder: string, ending: string): string => at(folder, 'checkpoints', `state-000000010.${ending}`);
    const damages: readonly ((folder: string) => void)[] = [
      (folder) => truncateSync(last(folder, 'safetensors'), 100),
      (folder) => truncateSync(last(folder, 'json'), 300),
      (folder) => writeFileSync(last(folder, 'json'), ''),
      (folder) => rmSync(last(folder, 'safetensors')),
      (folder) => flip(last(folder, 'safetensors'), -5),
      (folder) => flip(last(folder, 'safetensors'), 200),
      // A digit of a number in the position, say: only the hash of the whole tells.
      (folder) => flip(last(folder, 'json'), 400),
    ];
    await kill(at('run'), 12);
    for (const [i, damage] of damages.entries()) {
      const name = `run-${i}`;
      cpSync(at('run'), at(name), { recursive: true });
      damage(name);
      const { problems, step } = readRunStatus(at(name));
      expect(problems).toHaveLength(1);
      expect(problems[0]).toContain('state-000000010');
      expect(step).toBe(5);
    }
    await run(at('run-0'), { resume: {} });
    expectSame('run-0');
  });

  it('refuses to go on when no checkpoint is whole, or rows are not what they were, and touches nothing', async () => {
    await kill(at('run'), 12);
    const rows = bytes('run', 'metrics.jsonl');
    for (const name of states('run')) flip(at('run', 'checkpoints', name.replace('.json', '.safetensors')), -5);
    const refused = run(at('run'), { resume: {} });
    await expect(refused).rejects.toThrow(CheckpointError);
    await expect(refused).rejects.toThrow(/state-000000010.*damaged.*state-000000005.*delete .*checkpoints/s);
    expect(() => readRunStatus(at('run'))).toThrow(CheckpointError);
    expect(bytes('run', 'metrics.jsonl')).toEqual(rows);
    for (const name of states('run')) flip(at('run', 'checkpoints', name.replace('.json', '.safetensors')), -5);
    writeFileSync(at('run', 'metrics.jsonl'), rows.toString().replace('"step":2', '"step":7'));
    await expect(run(at('run'), { resume: {} })).rejects.toThrow(/metrics\.jsonl was changed/);
    writeFileSync(at('run', 'metrics.jsonl'), rows.subarray(0, 50));
    await expect(run(at('run'), { resume: {} })).rejects.toThrow(/lost rows/);
    writeFileSync(at('run', 'metrics.jsonl'), rows);
    await run(at('run'), { resume: {} });
  });

  it('clears away what a killed process had half written, and nothing else', async () => {
    await kill(at('run'), 12);
    const left = ['state-000000015.safetensors', 'state-000000015.json.77.tmp', 'best.safetensors.77.tmp'];
    for (const name of left) writeFileSync(at('run', 'checkpoints', name), 'half');
    writeFileSync(at('run', 'config.json.77.tmp'), 'half');
    writeFileSync(at('run', 'notes.txt'), 'mine');
    writeFileSync(at('run', 'checkpoints', 'mine.safetensors'), 'mine');
    await run(at('run'), { resume: {} });
    for (const name of left.slice(1)) expect(existsSync(at('run', 'checkpoints', name))).toBe(false);
    expect(existsSync(at('run', 'config.json.77.tmp'))).toBe(false);
    expect(bytes('run', 'notes.txt').toString()).toBe('mine');
    expect(bytes('run', 'checkpoints', 'mine.safetensors').toString()).toBe('mine');
  });

  it('refuses changed settings and changed data by name, and takes them when told to', async () => {
    await kill(at('run'), 12);
    const changed = { config: { lr: 0.2, epochs: 4 }, resume: {} };
    await expect(run(at('run'), changed)).rejects.toThrow(SettingChangedError);
    await expect(run(at('run'), changed)).rejects.toThrow(/^lr was 0\.1 .* is 0\.2 now.*--override lr=/);
    await expect(run(at('run'), { train: spots(96, 80), resume: {} })).rejects.toThrow(/the data was/);
    await expect(run(at('run'), { seed: 4, resume: {} })).rejects.toThrow(/seed: expected 3, got 4/);
    // Killed again before its next checkpoint, it goes on with them all the same.
    const longer = { config: { lr: 0.2, epochs: 6 }, epochs: 6 };
    await kill(at('run'), 12, { ...longer, resume: { overrides: ['lr', 'epochs'] } });
    const { written } = await run(at('run'), { ...longer, resume: {} });
    expect(written).toMatchObject({ steps: 36 });
    expect(JSON.parse(bytes('run', 'config.json').toString())).toEqual({ lr: 0.2, epochs: 6 });
    expect(readRunStatus(at('run'))).toMatchObject({ status: 'completed', step: 36 });
  });

  it('resumes on another backend, and says so', async () => {
    await kill(at('run'), 12);
    await startBackend('wasm');
    try {
      const { written } = await run(at('run'), { resume: {} });
      expect(written['backends']).toBe('cpu, wasm');
    } finally {
      await startBackend('cpu');
    }
  });

  it('names the last good checkpoint when training diverges', async () => {
    const failing = run(at('run'), { learningRate: (step) => (step < 13 ? 0.05 : 1e30), nonFinite: { maxSkipped: 2 } });
    await expect(failing).rejects.toThrow(DivergedError);
    await expect(failing).rejects.toThrow(/last good checkpoint is .*state-0000000\d\d\.json/);
    expect(JSON.parse(bytes('run', 'summary.json').toString())).toMatchObject({ status: 'diverged' });
    const { checkpoint } = (await failing.catch((error: unknown) => error)) as DivergedError;
    expect(existsSync(checkpoint!)).toBe(true);
  });

  it('starts again with the weights that it began with, where they cannot be made again', async () => {
    await run(at('whole'), { keepInitial: true, modelSeed: 5 });
    await kill(at('run'), 3, { keepInitial: true, modelSeed: 5 });
    await run(at('run'), { keepInitial: true, modelSeed: 6, resume: {} });
    expectSame('run');
  });
});

/** Flips one bit of a file; a negative position counts from the end. */
function flip(file: string, position: number): void {
  const content = readFileSync(file);
  content[position < 0 ? content.length + position : position]! ^= 0x04;
  writeFileSync(file, content);
}
