import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { DryRun } from '../src/dry-run.js';
import type { ExplainedSetting } from '../src/explain-config.js';
import { settingKeys } from '../src/settings.js';
import { polderHere, temporaryFolder } from './in-process.js';

const { path: base, dispose } = temporaryFolder();
afterAll(dispose);
const cwd = join(base, 'here');
beforeEach(() => {
  rmSync(cwd, { recursive: true, force: true });
  mkdirSync(cwd);
});
const here = (...args: readonly string[]): ReturnType<typeof polderHere> => polderHere(args, cwd);
const small = ['--data', 'shapes', '--limit-train', '96', '--limit-test', '16', '--batch', '32', '--backend', 'cpu'];

describe('--dry-run', () => {
  const dry = async (...args: readonly string[]): Promise<DryRun> => {
    const { code, stdout } = await here('train', ...small, '--model', 'mlp', ...args, '--dry-run', '--json');
    expect(code).toBe(0);
    return (JSON.parse(stdout) as { readonly dryRun: DryRun }).dryRun;
  };

  it('says what a run would be, and writes nothing', async () => {
    const plan = await dry('--policy', 'sam', '--epochs', '4', '--rho', '0.1');
    // 3,072 inputs, 256 hidden units, 128, 10 classes: the README's mlp on colour images.
    expect(plan).toMatchObject({
      network: { name: 'mlp' },
      data: { name: 'shapes', train: 96, test: 16 },
      backend: { name: 'cpu' },
      stepsPerEpoch: 3,
      steps: 12,
      passes: 24,
      passesPerStep: 2,
      runDir: join(cwd, 'runs/mlp-sam-shapes'),
      settings: { policy: 'sam', rho: 0.1, lr: 0.1, weightDecay: 5e-4, sched: 'cosine' },
    });
    expect(plan.network.parameters).toBeGreaterThan(500_000);
    expect(readdirSync(cwd)).toEqual([]);
  });

  it.each([
    ['none', 1],
    ['ssam', 2],
    ['esam', 2],
    ['msam', 1],
  ])('counts the passes of %s', async (policy, passes) => {
    expect((await dry('--policy', policy, '--epochs', '2')).passesPerStep).toBe(passes);
  });

  it('estimates what depends on the step', async () => {
    // SA-SAM: two passes in the first step, three in the others.
    expect((await dry('--policy', 'sasam', '--epochs', '2')).passes).toBe(17);
    expect(await dry('--policy', 'sam', '--pass-budget', '20')).toMatchObject({ steps: 10, passes: 20 });
  });

  it('names the folder that the run takes, and settings come out as the run has them', async () => {
    mkdirSync(join(cwd, 'runs/mlp-none-shapes'), { recursive: true });
    const args = ['--epochs', '1', '--gap-examples', '16', '--lr', '0.01'];
    const plan = await dry(...args);
    expect(plan.runDir).toBe(join(cwd, 'runs/mlp-none-shapes-2'));
    const { code, stdout } = await here('train', ...small, '--model', 'mlp', ...args, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ steps: plan.steps, passes: plan.passes, runDir: plan.runDir });
    expect(JSON.parse(readFileSync(join(plan.runDir, 'config.json'), 'utf8'))).toEqual(plan.settings);
  });

  it('fails as the run would', async () => {
    writeFileSync(join(cwd, 'taken'), '');
    const { code, stderr } = await here('train', ...small, '--run-dir', 'taken/x', '--dry-run');
    expect(code).toBe(2);
    expect(stderr).toContain('part of the path is a file');
  });

  it('prints a screen for people', async () => {
    const { stdout } = await here('train', ...small, '--model', 'mlp', '--policy', 'sam', '--epochs', '4', '--dry-run');
    expect(stdout).toMatch(/^network {2}mlp, \d+ parameters, [\d.]+ M multiply-adds an example$/m);
    expect(stdout).toContain('length   4 epochs of 3 steps: 12 steps, 24 passes, batch 32');
  });

  it('is there for comparisons and experiments', async () => {
    const compared = await here(
      'compare',
      ...small,
      '--model',
      'mlp',
      '--policies',
      'none,sam',
      '--pass-budget',
      '12',
      '--dry-run',
      '--json',
    );
    const { runs } = (JSON.parse(compared.stdout) as { dryRun: { runs: (DryRun & { label: string })[] } }).dryRun;
    expect(runs.map(({ label, steps, runDir }) => [label, steps, runDir])).toEqual([
      ['none', 12, join(cwd, 'runs/compare/none')],
      ['sam', 6, join(cwd, 'runs/compare/sam')],
    ]);
    const experiment = await here(
      'reproduce',
      'ssam/saddle',
      '--seeds',
      '2',
      '--set',
      'epochs=3',
      '--dry-run',
      '--json',
    );
    expect(JSON.parse(experiment.stdout)).toMatchObject({
      dryRun: { id: 'ssam/saddle', seeds: [0, 1], settings: { epochs: 3 } },
    });
    expect(readdirSync(cwd)).toEqual([]);
  });
});

describe('--explain-config', () => {
  const explain = async (...args: readonly string[]): Promise<ReadonlyMap<string, ExplainedSetting>> => {
    const { code, stdout } = await here('train', ...args, '--explain-config', '--json');
    expect(code).toBe(0);
    const { settings } = JSON.parse(stdout) as { readonly settings: readonly ExplainedSetting[] };
    return new Map(settings.map((one) => [one.setting, one]));
  };

  it('says of every setting what it is and where that comes from', async () => {
    writeFileSync(join(cwd, 'ours.yaml'), '# ours\nbatch: 64\n\npolicy: samar\npolicyOptions:\n  chi: 1.2\nlr: 0.3\n');
    const settings = await explain('--config', 'ours.yaml', '--lr', '0.2');
    expect(settings.get('batch')).toMatchObject({ value: 64, origin: 'ours.yaml:2' });
    expect(settings.get('policy')).toMatchObject({ value: 'samar', origin: 'ours.yaml:4' });
    expect(settings.get('lr')).toMatchObject({ value: 0.2, origin: '--lr' });
    expect(settings.get('policyOptions.chi')).toMatchObject({ value: 1.2, origin: 'ours.yaml:5' });
    expect(settings.get('policyOptions.lambda0')).toMatchObject({ value: 1, origin: 'policy samar' });
    expect(settings.get('rho')).toMatchObject({ value: 0.05, origin: 'policy samar' });
    expect(settings.get('epochs')).toMatchObject({ value: 10, origin: 'default' });
    expect(settings.get('momentum')).toMatchObject({ value: 0.9, origin: 'default of sgd' });
    expect(settings.get('clipGrad')).toMatchObject({ value: null, origin: 'not set' });
    for (const key of settingKeys) if (key !== 'policyOptions') expect([...settings.keys()]).toContain(key);
    expect(readdirSync(cwd)).toEqual(['ours.yaml']);
  });

  it('says what a policy decides', async () => {
    const settings = await explain('--policy', 'sasam');
    expect(settings.get('momentum')).toMatchObject({ value: 0, origin: 'policy sasam sets the learning rate' });
    expect(settings.get('lr')).toMatchObject({ value: null, origin: 'policy sasam sets the learning rate' });
  });

  it('tells presets and single policies of a comparison apart', async () => {
    const { stdout } = await here('compare', '--preset', 'quickstart', '--rho', '0.3', '--explain-config', '--json');
    const { runs } = JSON.parse(stdout) as {
      readonly runs: readonly { label: string; settings: readonly ExplainedSetting[] }[];
    };
    const of = (label: string, setting: string): ExplainedSetting | undefined =>
      runs.find((run) => run.label === label)!.settings.find((one) => one.setting === setting);
    expect(of('sam', 'rho')).toMatchObject({ value: 0.3, origin: '--rho' });
    expect(of('none', 'rho')).toMatchObject({ value: null, origin: '--rho, not used by none' });
    expect(of('sasam', 'policyOptions.etaMax')).toMatchObject({ value: 0.1, origin: 'policies: sasam alone' });
    expect(of('sam', 'model')).toMatchObject({ value: 'resnet8', origin: 'preset quickstart' });
  });
});

describe('polder init', () => {
  it.each([
    [],
    ['--policy', 'sasam'],
    ['--policy', 'samar', '--policy-option', 'chi=1.3'],
    ['--optimizer', 'adamw', '--lr', '0.002'],
    ['--sched', 'step', '--decay-epochs', '3,6'],
    ['--pass-budget', '500', '--model', 'vit-tiny'],
  ])('writes every setting, and train takes it as it is: %j', async (...args) => {
    expect(await here('init', 'sub.yaml', ...args)).toMatchObject({ code: 0, stderr: '' });
    const text = readFileSync(join(cwd, 'sub.yaml'), 'utf8');
    for (const key of settingKeys) expect(text).toMatch(new RegExp(`^(# )?${key}:`, 'm'));
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    const before = JSON.parse((await here('train', ...args, '--explain-config', '--json')).stdout) as {
      settings: ExplainedSetting[];
    };
    const after = JSON.parse(
      (await here('train', '--config', 'sub.yaml', '--explain-config', '--json')).stdout,
    ) as typeof before;
    const values = ({ settings }: typeof before): unknown => settings.map(({ setting, value }) => [setting, value]);
    expect(values(after)).toEqual(values(before));
    const set = Object.keys(parse(text) as object);
    for (const { setting, origin } of after.settings)
      if (set.includes(setting.split('.')[0]!)) expect(origin).toMatch(/^sub\.yaml:\d+$/);
  });

  it('writes over nothing without --force', async () => {
    writeFileSync(join(cwd, 'polder.yaml'), 'mine');
    const { code, stderr } = await here('init');
    expect(code).toBe(2);
    expect(stderr).toContain('polder.yaml is there already');
    expect(readFileSync(join(cwd, 'polder.yaml'), 'utf8')).toBe('mine');
    const { stdout } = await here('init', '--force', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      file: join(cwd, 'polder.yaml'),
      settings: { model: 'resnet20', batch: 128 },
    });
    expect(readFileSync(join(cwd, 'polder.yaml'), 'utf8')).toContain('batch: 128');
  });

  it.each([
    [['init', 'no/such/place.yaml'], 'there is no folder'],
    [['init', '.'], 'is a folder'],
    [['init', '--batch', '0'], '--batch: expected at least 1'],
    [['init', '--policy', 'sma'], 'Did you mean'],
    [['init', '--model', 'resnet21'], 'Did you mean "resnet20"?'],
    [['init', '--policy', 'sasam', '--lr', '1'], '--lr has no effect'],
  ])('%j: says what is wrong, and writes nothing', async (args, says) => {
    const { code, stdout, stderr } = await here(...args);
    expect(stderr).toContain(says);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(existsSync(join(cwd, 'polder.yaml'))).toBe(false);
    expect(readdirSync(cwd)).toEqual([]);
  });
});
