import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunComparison } from '@polder/report';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { polderHere, temporaryFolder } from './in-process.js';

const { path: cwd, dispose } = temporaryFolder();
afterAll(dispose);
const here = (...args: readonly string[]): ReturnType<typeof polderHere> => polderHere(args, cwd);

const small = ['--data', 'shapes', '--limit-train', '48', '--limit-test', '32', '--batch', '16', '--model', 'mlp'];

// Two comparisons, so that runs of one name are in two folders: a/none, b/none.
beforeAll(async () => {
  const length = ['--epochs', '1', '--gap-examples', '16', '--backend', 'wasm', '--policies', 'none,sam'];
  for (const [seed, folder] of ['a', 'b'].entries())
    await here('compare', ...small, ...length, '--seed', String(seed), '--run-dir', `runs/${folder}`);
}, 300_000);

const summaryOf = (run: string): Record<string, number> =>
  JSON.parse(readFileSync(join(cwd, 'runs', run, 'summary.json'), 'utf8')) as Record<string, number>;

describe('polder compare of run folders', () => {
  it('groups seeds of one setting, with t-intervals', async () => {
    const { code, stdout } = await here('compare', 'runs/a', 'runs/b', '--json');
    expect(code).toBe(0);
    const { rows, folders } = JSON.parse(stdout) as RunComparison & { readonly folders: readonly string[] };
    expect(folders).toHaveLength(4);
    expect(rows.map(({ label, n, seeds }) => ({ label, n, seeds }))).toEqual([
      { label: 'none', n: 2, seeds: [0, 1] },
      { label: 'sam', n: 2, seeds: [0, 1] },
    ]);
    const [a, b] = [summaryOf('a/sam'), summaryOf('b/sam')];
    const { mean, low, high } = rows[1]!.values['testLoss']!;
    expect(mean).toBeCloseTo((a['testLoss']! + b['testLoss']!) / 2, 12);
    // Two values: s/√2 is half of their distance, t(1) = 12.7062.
    expect(high! - low!).toBeCloseTo(12.7062 * Math.abs(a['testLoss']! - b['testLoss']!), 3);
    expect(rows[0]!.values['passesPerStep']!.mean).toBe(1);
    expect(rows[1]!.values['trainSeconds']!.mean).toBeGreaterThan(0);
  });

  it('prints a table that says how many', async () => {
    const { stdout } = await here('compare', 'runs/a', 'runs/b/none');
    expect(stdout).toMatch(/^setting +n +passes\/step +passes +test Top-1 +at 3 passes .*seconds$/m);
    expect(stdout).toMatch(/^none +2 .*±/m);
    expect(stdout).toMatch(/^sam +1 +2 +6 /m);
    expect(stdout).toContain('95 % t-interval');
  });

  it('writes nothing, and refuses what does not compare', async () => {
    cpSync(join(cwd, 'runs/a/sam'), join(cwd, 'other'), { recursive: true });
    const config = JSON.parse(readFileSync(join(cwd, 'other/config.json'), 'utf8')) as object;
    writeFileSync(join(cwd, 'other/config.json'), JSON.stringify({ ...config, limitTest: 16 }));
    const before = readdirSync(cwd, { recursive: true }).length;
    const { code, stdout, stderr } = await here('compare', 'runs/a', 'other');
    expect(stderr).toMatch(
      /different data cannot be compared: limitTest 32 \(none and 1 more\), limitTest 16 \(other\)/,
    );
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect((await here('compare', 'runs/a', '--policies', 'sam')).stderr).toContain('--policies is for training');
    expect(readdirSync(cwd, { recursive: true })).toHaveLength(before);
  });
});

describe('polder report of many runs', () => {
  it('averages seeds, with bands', async () => {
    const { code, stdout } = await here('report', 'runs/a', 'runs/b', '--out', 'all.html', '--json');
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as { readonly runs: readonly string[] }).runs).toHaveLength(4);
    const page = readFileSync(join(cwd, 'all.html'), 'utf8');
    expect(page).toContain('sam (2 runs)');
    expect(page).toContain('Bands: 95 % interval of the mean over repeats');
    expect(page).toContain('Seconds of training');
  });
});

const badRuns: readonly (readonly [string, (folder: string) => void, RegExp])[] = [
  [
    'an empty run',
    (folder) => writeFileSync(join(folder, 'metrics.jsonl'), ''),
    /config\.json: expected a readable file, got ENOENT/,
  ],
  [
    'a damaged line of metrics',
    (folder) => {
      cpSync(join(cwd, 'runs/a/sam'), folder, { recursive: true });
      const file = join(folder, 'metrics.jsonl');
      writeFileSync(file, readFileSync(file, 'utf8').replace('\n', '\n{"step": 1, "epo\n'));
    },
    /metrics\.jsonl:2: expected a JSON object/,
  ],
  [
    'a row without a step',
    (folder) => {
      writeFileSync(join(folder, 'config.json'), '{}');
      writeFileSync(join(folder, 'metrics.jsonl'), '{"epoch":1,"passes":2}\n');
    },
    /metrics\.jsonl:1: expected "step" to be a number of at least 0, got nothing/,
  ],
  [
    'a summary that is a list',
    (folder) => {
      cpSync(join(cwd, 'runs/a/sam'), folder, { recursive: true });
      writeFileSync(join(folder, 'summary.json'), '[1]');
    },
    /summary\.json: expected a JSON object, got \[1\]/,
  ],
];

describe.each(['report', 'compare'])('polder %s', (command) => {
  it.each(badRuns)('says what is wrong with %s, and writes nothing', async (_, spoil, says) => {
    const folder = join(cwd, `bad-${command}-${Math.random().toString(36).slice(2)}`);
    mkdirSync(folder);
    spoil(folder);
    const before = readdirSync(folder).sort();
    const { code, stdout, stderr } = await here(command, folder);
    expect(stderr).toMatch(says);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(readdirSync(folder).sort()).toEqual(before);
  });

  it('leaves out a last line that was cut short', async () => {
    const folder = join(cwd, `cut-${command}`);
    cpSync(join(cwd, 'runs/a/sam'), folder, { recursive: true });
    writeFileSync(join(folder, 'metrics.jsonl'), readFileSync(join(folder, 'metrics.jsonl'), 'utf8') + '{"step": 9');
    expect((await here(command, folder)).code).toBe(0);
  });

  it.each([
    [['nowhere'], /nowhere: there is no such folder/],
    [['runs/a/samm'], /Did you mean "runs\/a\/sam"\?/],
    [['runs/a/sam/config.json'], /is a file \(config\.json\).*Did you mean runs\/a\/sam\?/],
    [['runs/a/sam/checkpoints'], /no run folder and holds none/],
  ])('says where %j is no run', async (args, says) => {
    const { code, stdout, stderr } = await here(command, ...args);
    expect(stderr).toMatch(says);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});
