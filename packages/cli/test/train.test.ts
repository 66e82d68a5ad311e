import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildFirst, inTemporaryFolder, polder } from './polder.js';

// So that no test below pays for it.
beforeAll(buildFirst, 300_000);

// Seconds of training on any machine: 8 steps on a small network.
const mlp = ['--data', 'shapes', '--limit-train', '128', '--limit-test', '64', '--model', 'mlp', '--batch', '32'];
const quick = [...mlp, '--epochs', '2', '--lr', '0.05', '--gap-examples', '32', '--log-every', '2'];

const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;
const readJson = (...path: readonly string[]): Record<string, unknown> => json(readFileSync(join(...path), 'utf8'));
const rowsOf = (folder: string): Record<string, number>[] =>
  readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);

// Every test starts processes, and a busy machine starts them slowly.
const patience = { timeout: 300_000 };

describe('polder train', patience, () => {
  it('trains a ResNet with SAM on wasm, and prints one JSON object on stdout', async () => {
    await inTemporaryFolder(async (cwd) => {
      const args = ['train', '--data', 'shapes', '--limit-train', '64', '--limit-test', '32', '--model', 'resnet8'];
      const more = ['--policy', 'sam', '--rho', '0.05', '--batch', '16', '--epochs', '1', '--gap-examples', '16'];
      const where = ['--backend', 'wasm', '--run-dir', 'r', '--json'];
      const { code, stdout, stderr } = await polder([...args, ...more, ...where], { cwd });
      expect(stderr).toContain('backend  wasm: WebAssembly');
      expect(stderr).toContain('offline procedural set');
      expect(stderr).toMatch(/sam +\d+% · step 1 · 2 passes .* img\/s · ETA/);
      expect(code).toBe(0);
      expect(json(stdout)).toMatchObject({ steps: 4, passes: 8, passesPerStep: 2, backend: 'wasm', policy: 'sam' });
      for (const key of ['testTop1', 'trainTop1']) {
        expect(json(stdout)[key]).toBeGreaterThanOrEqual(0);
        expect(json(stdout)[key]).toBeLessThanOrEqual(1);
      }
      for (const key of ['trainLoss', 'testLoss', 'imagesPerSecond', 'seconds'])
        expect(json(stdout)[key]).toBeGreaterThan(0);
      const files = ['checkpoints', 'config.json', 'metrics.jsonl', 'report.html', 'summary.json', 'timing.jsonl'];
      expect(readdirSync(join(cwd, 'r')).sort()).toEqual(files);
      const { runDir: _runDir, report: _report, ...summary } = json(stdout);
      expect(readJson(cwd, 'r/summary.json')).toEqual(summary);
    });
  });

  it('gives the same rows for the same seed, also from the configuration that it saved', async () => {
    await inTemporaryFolder(async (cwd) => {
      const policy = ['--policy', 'samar', '--policy-option', 'chi=1.2', '--rho', '0.1'];
      await polder(['train', ...quick, ...policy, '--run-dir', 'a'], { cwd });
      await polder(['train', ...quick, ...policy, '--run-dir', 'b'], { cwd });
      await polder(['train', ...quick, ...policy, '--run-dir', 'c', '--seed', '1'], { cwd });
      const { code, stderr } = await polder(['train', '--config', 'a/config.json', '--run-dir', 'd'], { cwd });
      expect(stderr).not.toContain('error');
      expect(code).toBe(0);
      const metrics = (folder: string): string => readFileSync(join(cwd, folder, 'metrics.jsonl'), 'utf8');
      expect(metrics('b')).toBe(metrics('a'));
      expect(metrics('c')).not.toBe(metrics('a'));
      expect(metrics('d')).toBe(metrics('a'));
      expect({ ...readJson(cwd, 'd/config.json'), runDir: 'a' }).toEqual(readJson(cwd, 'a/config.json'));
      expect(readJson(cwd, 'a/config.json')).toMatchObject({
        rho: 0.1,
        policyOptions: { chi: 1.2 },
        weightDecay: 5e-4,
      });
    });
  });

  it('takes a configuration, and flags before it', async () => {
    await inTemporaryFolder(async (cwd) => {
      writeFileSync(join(cwd, 'c.yaml'), 'policy: ssam\nrho: 0.2\nepochs: 1\nmodel: mlp\ndata: shapes\n');
      const size = ['--limit-train', '64', '--limit-test', '32', '--batch', '32', '--rho', '0.3', '--name', 'mine'];
      const { code } = await polder(['train', '--config', 'c.yaml', ...size], { cwd });
      expect(code).toBe(0);
      expect(readJson(cwd, 'runs/mine/config.json')).toMatchObject({ policy: 'ssam', rho: 0.3, epochs: 1, batch: 32 });
    });
  });

  it('trains SA-SAM at constant rate without momentum, and says what the rate was', async () => {
    await inTemporaryFolder(async (cwd) => {
      const args = ['train', ...mlp, '--epochs', '2', '--policy', 'sasam', '--gap-examples', '32', '--log-every', '1'];
      const { code, stdout } = await polder([...args, '--run-dir', 'r', '--json'], { cwd });
      expect(code).toBe(0);
      expect(json(stdout)).toMatchObject({ steps: 8, passes: 23 });
      const config = readJson(cwd, 'r/config.json');
      expect(config).toMatchObject({ sched: 'constant', momentum: 0 });
      expect(config).not.toHaveProperty('lr');
      const steps = rowsOf(join(cwd, 'r')).filter((row) => 'loss' in row);
      expect(steps.every((row) => row['eta']! > 0 && !('learningRate' in row))).toBe(true);
    });
  });

  it('takes a fresh folder every time when none is given', async () => {
    await inTemporaryFolder(async (cwd) => {
      for (let i = 0; i < 2; i += 1)
        expect(await polder(['train', ...quick, '--epochs', '1'], { cwd })).toMatchObject({ code: 0 });
      expect(readdirSync(join(cwd, 'runs')).sort()).toEqual(['mlp-none-shapes', 'mlp-none-shapes-2']);
    });
  });

  it('exits with 4 when training diverges, and the run says so', async () => {
    await inTemporaryFolder(async (cwd) => {
      const { code, stderr } = await polder(['train', ...quick, '--lr', '1e30', '--run-dir', 'r'], { cwd });
      expect(stderr).toMatch(/diverged.*Take a smaller learning rate/);
      expect(code).toBe(4);
      expect(readJson(cwd, 'r/summary.json')).toMatchObject({ status: 'diverged' });
      expect(existsSync(join(cwd, 'r/report.html'))).toBe(false);
    });
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('stops at %s with exit code %i, and the run says so', async (signal, expected) => {
    await inTemporaryFolder(async (cwd) => {
      let sent = false;
      const { code, stderr } = await polder(['train', ...mlp, '--epochs', '100000', '--run-dir', 'r'], {
        cwd,
        onStderr(text) {
          if (sent || !text.includes('step 1 ')) return undefined;
          sent = true;
          return signal;
        },
      });
      expect(stderr).toContain(`Stopped by ${signal}`);
      expect(code).toBe(expected);
      expect(readJson(cwd, 'r/summary.json')).toMatchObject({ status: 'interrupted' });
    });
  });

  it('uses CIFAR-10 where POLDER_DATA holds it, and says so', async () => {
    await inTemporaryFolder(async (cwd) => {
      const folder = join(cwd, 'data/cifar-10-batches-bin');
      mkdirSync(folder, { recursive: true });
      const names = [...[1, 2, 3, 4, 5].map((n) => `data_batch_${n}.bin`), 'test_batch.bin'];
      for (const name of names) {
        const bytes = Uint8Array.from({ length: 20 * 3073 }, (_, i) =>
          i % 3073 === 0 ? ((i / 3073) * 7) % 10 : (i * 31) % 256,
        );
        writeFileSync(join(folder, name), bytes);
      }
      const args = ['train', '--model', 'mlp', '--batch', '16', '--epochs', '1', '--run-dir', 'r', '--json'];
      const { code, stdout, stderr } = await polder(args, { cwd, env: { POLDER_DATA: join(cwd, 'data') } });
      expect(stderr).toContain('CIFAR-10');
      expect(code).toBe(0);
      expect(json(stdout)).toMatchObject({ data: 'cifar10', steps: 6 });
      expect(readJson(cwd, 'r/config.json')).toMatchObject({ data: 'cifar10' });
    });
  });
});

describe('polder compare', patience, () => {
  it('gives every policy the same number of passes, tables them and writes one report', async () => {
    await inTemporaryFolder(async (cwd) => {
      const policies = ['none', 'sam', 'ssam', 'sasam', 'samar'];
      const args = [
        'compare',
        ...mlp,
        '--policies',
        policies.join(','),
        '--pass-budget',
        '12',
        '--lr',
        '0.05',
        '--rho',
        '0.1',
      ];
      const { code, stdout, stderr } = await polder([...args, '--gap-examples', '32', '--log-every', '1'], { cwd });
      expect(code).toBe(0);
      expect(stdout).toMatch(/policy +test Top-1 +train loss +gen. gap +SAM gap +passes\/step +steps +passes +img\/s/);
      const passes = policies.map((policy) => {
        const line = stdout.split('\n').find((row) => row.startsWith(`${policy} `));
        return Number(/(\d+) +[\d.]+$/.exec(line!)![1]);
      });
      expect(passes).toEqual([12, 12, 12, 11, 12]);
      const folder = join(cwd, 'runs/compare');
      expect(stdout).toContain(join(folder, 'report.html'));
      const page = readFileSync(join(folder, 'report.html'), 'utf8');
      expect(page).toContain('<svg');
      expect(page).not.toMatch(/(src|href)="https?:/);
      // The same batches: the first loss is the same under every policy.
      const first = policies.map((policy) => rowsOf(join(folder, policy))[0]!['loss']);
      expect(new Set(first).size).toBe(1);
      expect(stderr).toContain('12 gradient passes each, the same seed and batches');
    });
  });

  it('keeps a policy that diverges as such, finishes the others, and exits with 4', async () => {
    await inTemporaryFolder(async (cwd) => {
      writeFileSync(
        join(cwd, 'c.yaml'),
        'policies:\n  - { policy: sam, lr: 1.0e+30 }\n  - none\n  - { policy: none, seed: 1 }\n',
      );
      const { code, stdout } = await polder(['compare', ...quick, '--epochs', '1', '--config', 'c.yaml', '--json'], {
        cwd,
      });
      expect(code).toBe(4);
      const { runs } = json(stdout) as { readonly runs: readonly Record<string, unknown>[] };
      expect(runs.map(({ label, status }) => [label, status])).toEqual([
        ['sam', 'diverged'],
        ['none', 'completed'],
        ['none-2', 'completed'],
      ]);
    });
  });
});

describe('what else there is', patience, () => {
  it('lists models, data sets and experiments', async () => {
    const models = JSON.parse((await polder(['models', '--json'])).stdout) as { name: string; parameters: number }[];
    expect(models.find(({ name }) => name === 'resnet20')!.parameters).toBe(272_474);
    expect((await polder(['data'])).stdout).toMatch(/cifar10 .* not here: \d+ files missing/);
    expect((await polder(['reproduce'])).stdout).toContain('ssam/saddle');
  });

  it('replays golden files, and notices a number that was changed', async () => {
    await inTemporaryFolder(async (cwd) => {
      const golden = readFileSync(
        new URL('../../testkit/fixtures/golden/steps/sam__default__quartic-0.json', import.meta.url),
        'utf8',
      );
      writeFileSync(join(cwd, 'good.json'), golden);
      const good = await polder(['verify', '.', '--backend', 'wasm'], { cwd });
      expect(good.stdout.trimEnd().split('\n').at(-1)).toBe('1 passed, 0 failed, 0 skipped');
      expect(good.code).toBe(0);
      // Some digit of some recorded number: 0.1234… becomes 0.9234….
      writeFileSync(join(cwd, 'good.json'), golden.replace(/(.*)0\.[1-8](\d{6})/s, '$10.9$2'));
      const bad = await polder(['verify', '.', '--backend', 'wasm'], { cwd });
      expect(bad.stdout.trimEnd().split('\n').at(-1)).toBe('0 passed, 1 failed, 0 skipped');
      expect(bad.code).toBe(1);
    });
  });

  it('reports on runs made before', async () => {
    await inTemporaryFolder(async (cwd) => {
      for (const name of ['a', 'b'])
        await polder(['train', ...quick, '--epochs', '1', '--run-dir', `all/${name}`], { cwd });
      const { code, stdout } = await polder(['report', 'all', '--out', 'page.html', '--title', 'Two of them'], { cwd });
      expect(code).toBe(0);
      expect(stdout.trim()).toBe(join(cwd, 'page.html'));
      expect(readFileSync(join(cwd, 'page.html'), 'utf8')).toContain('<title>Two of them</title>');
    });
  });
});
