import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { saveModelFile } from '@polder/trainer/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { polderHere, temporaryFolder } from './in-process.js';

const folder = temporaryFolder();
afterAll(folder.dispose);

// A network of 490 weights, so that curvature takes no time.
beforeAll(async () => {
  await tf.setBackend('cpu');
  const model = tf.sequential({
    layers: [
      tf.layers.averagePooling2d({ poolSize: 8, inputShape: [32, 32, 3] }),
      tf.layers.flatten(),
      tf.layers.dense({ units: 10, kernelInitializer: tf.initializers.glorotNormal({ seed: 1 }) }),
    ],
  });
  await saveModelFile(model, join(folder.path, 'tiny'));
  model.dispose();
});

const small = [
  '--data',
  'shapes',
  '--limit-train',
  '128',
  '--limit-test',
  '32',
  '--model',
  'tiny',
  '--backend',
  'wasm',
];
const quick = [...small, '--batch', '32', '--lr', '0.02', '--gap-examples', '16', '--log-every', '2'];

const readJson = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(folder.path, name), 'utf8')) as Record<string, unknown>;
const rowsOf = (name: string): Record<string, number>[] =>
  readFileSync(join(folder.path, name, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);

describe('polder train', { timeout: 120_000 }, () => {
  it('averages weights, mixes, follows curvature and writes logs for others; the settings say so', async () => {
    const args = [
      '--model-ema',
      '--model-ema-decay',
      '0.8',
      '--mixup',
      '0.2',
      '--cutmix',
      '1',
      '--csv',
      '--tensorboard',
    ];
    const curvature = ['--curvature-every', '2', '--curvature-examples', '32', '--curvature-also', 'gradientVariance'];
    const run = ['train', ...quick, '--epochs', '2', '--policy', 'sam', '--run-dir', 'all', ...args, ...curvature];
    const { code, stderr } = await polderHere(run, folder.path);
    expect(stderr).not.toContain('error');
    expect(code).toBe(0);
    expect(readJson('all/config.json')).toMatchObject({
      mixup: 0.2,
      cutmix: 1,
      mixupProb: 1,
      mixupSwitchProb: 0.5,
      modelEma: true,
      modelEmaDecay: 0.8,
      modelEmaWarmup: false,
      onNonfinite: 'skip',
      maxSkipped: 10,
      curvatureEvery: 2,
      curvatureExamples: 32,
      curvatureAlso: ['gradientVariance'],
    });
    const rows = rowsOf('all');
    const evaluations = rows.filter((row) => 'testTop1' in row);
    expect(evaluations.map((row) => [row['step'], 'emaTestTop1' in row])).toEqual([
      [4, true],
      [8, true],
    ]);
    const measured = rows.filter((row) => 'lambdaMax' in row);
    expect(measured.map((row) => row['step'])).toEqual([8]);
    // Cross-entropy of a linear network is convex: its Hessian has no eigenvalue below 0.
    expect(measured[0]!['lambdaMax']).toBeGreaterThan(0);
    expect(measured[0]!['lambdaMin']).toBeGreaterThan(-1e-2 * measured[0]!['lambdaMax']!);
    expect(measured[0]!['trace']).toBeGreaterThan(measured[0]!['lambdaMax']!);
    expect(measured[0]!['traceError']).toBeGreaterThan(0);
    expect(readFileSync(join(folder.path, 'all/metrics.csv'), 'utf8').split('\r\n')).toHaveLength(rows.length + 2);
    expect(readdirSync(join(folder.path, 'all/tensorboard'))).toHaveLength(1);
    expect(readdirSync(join(folder.path, 'all/checkpoints'))).toContain('final-ema.safetensors');
    expect(readFileSync(join(folder.path, 'all/report.html'), 'utf8')).toContain('λ_max of the Hessian');
    // What was given as flags may be given as a file.
    const again = await polderHere(['train', '--config', 'all/config.json', '--run-dir', 'again'], folder.path);
    expect(again.code).toBe(0);
    expect(rowsOf('again')).toEqual(rows);
  });

  it('stops early, and the summary names the best checkpoint', async () => {
    const args = ['train', ...quick, '--epochs', '30', '--lr', '1e-9', '--patience', '2', '--monitor', 'trainLoss'];
    const more = ['--min-delta', '0.01', '--eval-metric', 'testLoss', '--run-dir', 'early'];
    expect(await polderHere([...args, ...more], folder.path)).toMatchObject({ code: 0 });
    const summary = readJson('early/summary.json');
    expect(summary).toMatchObject({ status: 'completed', epochs: 3, bestMetric: 'testLoss' });
    expect(summary['stopped']).toMatch(/^trainLoss got no better in 2 evaluations/);
    expect(existsSync(join(folder.path, 'early', summary['bestCheckpoint'] as string))).toBe(true);
  });

  it('stops at a gradient that is not finite with exit code 4 and names the last good checkpoint', async () => {
    const args = ['train', ...quick, '--lr', '1e30', '--log-every', '1', '--checkpoint-every', '1', '--run-dir', 'bad'];
    const { code, stderr } = await polderHere([...args, '--on-nonfinite', 'stop'], folder.path);
    expect(code).toBe(4);
    const [, file] =
      /1 step was skipped in a row .* step 2\..* last good checkpoint is (\S+state-000000001\.json)/.exec(stderr)!;
    expect(existsSync(file!)).toBe(true);
    expect(readJson('bad/summary.json')).toMatchObject({ status: 'diverged' });
  });

  it('gives every policy the passes of descent with --fair-passes', async () => {
    const args = ['compare', ...quick, '--policies', 'none,sam', '--epochs', '2', '--fair-passes', '--json'];
    const { code, stdout, stderr } = await polderHere(args, folder.path);
    expect(code).toBe(0);
    const { runs } = JSON.parse(stdout) as { readonly runs: readonly Record<string, unknown>[] };
    expect(runs.map(({ passes, steps }) => [passes, steps])).toEqual([
      [8, 8],
      [8, 4],
    ]);
    expect(stderr).toContain('the gradient passes of 2 epochs of plain descent each');
  });

  it.each([
    [['--mixup-prob', '0.5'], '"mixupProb" has no effect without --mixup or --cutmix above 0'],
    [['--mixup', '1', '--mixup-switch-prob', '1'], '"mixupSwitchProb" has no effect without both'],
    [['--mixup', '-1'], '--mixup: expected at least 0, got -1'],
    [['--model-ema-decay', '0.9'], '"modelEmaDecay" has no effect without --model-ema'],
    [['--model-ema', '--model-ema-decay', '1'], '--model-ema-decay: expected less than 1, got 1'],
    [['--patience', '2', '--monitor', 'emaTestLoss'], '--monitor emaTestLoss needs --model-ema'],
    [['--patience', '2', '--monitor', 'loss'], '--monitor: expected one of testTop1, testTop5'],
    [['--min-delta', '0.1'], '"minDelta" has no effect without --patience'],
    [['--on-nonfinite', 'stop', '--max-skipped', '3'], '"maxSkipped" has no effect without --on-nonfinite skip'],
    [['--fair-passes', '--pass-budget', '10'], '--fair-passes counts passes for --epochs'],
    [['--curvature-also', 'lipschitz'], '"curvatureAlso" has no effect without --curvature-every'],
    [['--curvature-every', '1', '--curvature-also', 'trace'], 'expected one of gradientVariance, lipschitz'],
    [['--tensorbord'], 'Did you mean --tensorboard?'],
  ])('refuses %j', async (args, says) => {
    const { code, stderr } = await polderHere(['train', ...args], folder.path);
    expect(stderr).toContain(says);
    expect(code).toBe(2);
  });
});
