import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { floatValues, parseNpy, parseSafetensors } from '@polder/data';
import { createModel } from '@polder/models';
import { decodeCheckpoint } from '@polder/trainer';
import { loadModelFile, saveModelFile } from '@polder/trainer/node';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { polderHere, temporaryFolder } from './in-process.js';

const { path: cwd, dispose } = temporaryFolder();
afterAll(dispose);
const here = (...args: readonly string[]): ReturnType<typeof polderHere> => polderHere(args, cwd);
const json = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await here(...args, '--json');
  expect(code === 0 ? '' : stderr).toBe('');
  return JSON.parse(stdout) as Record<string, unknown>;
};
const data = ['--data', 'shapes', '--limit-train', '64', '--limit-test', '32'];
const small = [...data, '--batch', '16', '--gap-examples', '16', '--backend', 'wasm', '--lr', '0.05'];
const sha = (file: string): string =>
  createHash('sha256')
    .update(readFileSync(join(cwd, file)))
    .digest('hex');

/** A model of tf.layers alone, as anybody would write one. */
function ofAnybody(activation: 'softmax' | 'linear' | 'sigmoid' = 'softmax', units = 10): tf.LayersModel {
  const frozen = tf.layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, trainable: false, name: 'frozen' });
  return tf.sequential({
    layers: [
      tf.layers.conv2d({
        inputShape: [32, 32, 3],
        filters: 4,
        kernelSize: 3,
        strides: 2,
        activation: 'relu',
        name: 'first',
      }),
      frozen,
      tf.layers.batchNormalization({ name: 'norm' }),
      tf.layers.globalAveragePooling2d({ dataFormat: 'channelsLast', name: 'pool' }),
      tf.layers.dense({ units, activation, kernelRegularizer: 'l1l2', name: 'head' }),
    ],
  });
}

beforeAll(async () => {
  tf.enableProdMode();
  await tf.setBackend('cpu');
  const model = ofAnybody();
  await saveModelFile(model, join(cwd, 'net'));
  model.dispose();
  await here(
    'train',
    ...small,
    '--model',
    'net',
    '--policy',
    'sam',
    '--epochs',
    '2',
    '--checkpoint-every',
    '3',
    '--run-dir',
    'runs/file',
  );
  await here('train', ...small, '--model', 'resnet8', '--model-ema', '--epochs', '1', '--run-dir', 'runs/ours');
}, 300_000);

const probe = (): tf.Tensor => tf.tidy(() => tf.reshape(tf.sin(tf.range(0, 2 * 3072)), [2, 32, 32, 3]));
const outputs = (model: tf.LayersModel): readonly number[] =>
  tf.tidy(() => [...(model.predict(probe()) as tf.Tensor).dataSync()]);

describe("--model of anybody's model", () => {
  it('trains it: what is frozen stays, the statistics move, and the file is not touched', async () => {
    const before = await loadModelFile(join(cwd, 'net/model.json'));
    const { tensors, metadata } = decodeCheckpoint(
      readFileSync(join(cwd, 'runs/file/checkpoints/final.safetensors')),
      'f',
    );
    expect(metadata).toMatchObject({ model: 'net', classes: 10, inputShape: [32, 32, 3], step: 8 });
    const changed = before.layers.flatMap(({ name, weights }) =>
      weights.map((weight, i) => {
        const key = [...tensors.keys()].filter((of) => of.startsWith(`${name}/`) || of.startsWith(`${name}_`))[i]!;
        expect(tensors.has(key)).toBe(true);
        const now = [...tensors].find(
          ([of]) => of.endsWith(weight.originalName.split('/').at(-1)!) && of.includes(name),
        )![1];
        return [
          `${name}/${weight.originalName.split('/').at(-1)}`,
          floatValues(now).join() !== weight.read().dataSync().join(),
        ] as const;
      }),
    );
    before.dispose();
    expect(Object.fromEntries(changed)).toEqual({
      'first/kernel': true,
      'first/bias': true,
      'frozen/kernel': false,
      'frozen/bias': false,
      'norm/gamma': true,
      'norm/beta': true,
      'norm/moving_mean': true,
      'norm/moving_variance': true,
      'head/kernel': true,
      'head/bias': true,
    });
  });

  it('resumes a run of it to the same bytes, without the file', async () => {
    cpSync(join(cwd, 'runs/file'), join(cwd, 'runs/broken'), { recursive: true });
    // As a kill after the checkpoint at step 6 leaves it, but for the log, which is cut back.
    const checkpoints = join(cwd, 'runs/broken/checkpoints');
    for (const name of readdirSync(checkpoints))
      if (!name.startsWith('state-000000006')) rmSync(join(checkpoints, name));
    rmSync(join(cwd, 'runs/broken/summary.json'));
    renameSync(join(cwd, 'net'), join(cwd, 'away'));
    const resumed = await here('resume', 'runs/broken', '--json');
    renameSync(join(cwd, 'away'), join(cwd, 'net'));
    expect(resumed.stderr).toContain('resume   from step 6');
    expect(JSON.parse(resumed.stdout)).toMatchObject({ steps: 8 });
    for (const file of ['checkpoints/final.safetensors', 'metrics.jsonl'])
      expect(sha(`runs/broken/${file}`)).toBe(sha(`runs/file/${file}`));
  });

  it.each([
    [
      'sigmoid',
      () => ofAnybody('sigmoid'),
      [],
      2,
      /a model that ends in logits or a softmax, got one that ends in sigmoid/,
    ],
    [
      '7 classes',
      () => ofAnybody('softmax', 7),
      [],
      2,
      /from images \[32, 32, 3\] to 10 classes, as the data are, got one from \[32, 32, 3\] to \[7\]/,
    ],
    [
      'all frozen',
      () => {
        const model = ofAnybody();
        model.trainable = false;
        for (const layer of model.layers) layer.trainable = false;
        return model;
      },
      [],
      2,
      /expected weights to train, got none/,
    ],
    ['a shortcut', ofAnybody, ['--shortcut', 'pad'], 2, /--shortcut is for the ResNets/],
  ] as const)('is refused by name: %s', async (name, make, flags, code, says) => {
    const model = make();
    await saveModelFile(model, join(cwd, 'bad'));
    model.dispose();
    const result = await here('train', ...small, '--model', 'bad', ...flags, '--run-dir', 'runs/bad');
    expect(result.stderr).toMatch(says);
    expect(result.stderr).not.toMatch(/\n\s+at /);
    expect(result.code).toBe(code);
    expect(existsSync(join(cwd, 'runs/bad'))).toBe(false);
    expect(name).toBeDefined();
  });

  it('says what it does about a softmax, and what TensorFlow.js leaves to chance', async () => {
    const dropping = tf.sequential({
      layers: [
        tf.layers.flatten({ inputShape: [32, 32, 3] }),
        tf.layers.dropout({ rate: 0.5 }),
        tf.layers.dense({ units: 10, activation: 'softmax' }),
      ],
    });
    await saveModelFile(dropping, join(cwd, 'dropping'));
    dropping.dispose();
    const { stderr } = await here('train', ...small, '--model', 'dropping', '--epochs', '1', '--dry-run');
    expect(stderr).toContain('model    dropping: its softmax is left to the loss');
    expect(stderr).toContain('Dropout of TensorFlow.js draws without a seed');
  });
});

describe('polder eval', () => {
  it('gives the numbers that the run ended with', async () => {
    for (const run of ['file', 'ours']) {
      const summary = JSON.parse(readFileSync(join(cwd, `runs/${run}/summary.json`), 'utf8')) as Record<string, number>;
      const result = await json('eval', `runs/${run}`, '--backend', 'wasm');
      expect(result).toMatchObject({
        top1: summary['testTop1'],
        top5: summary['testTop5'],
        loss: summary['testLoss'],
        examples: 32,
      });
    }
  });

  it('takes the averaged weights of a run that has them', async () => {
    const summary = JSON.parse(readFileSync(join(cwd, 'runs/ours/summary.json'), 'utf8')) as Record<string, number>;
    const result = await json('eval', 'runs/ours', '--ema', '--backend', 'wasm');
    expect(result).toMatchObject({ top1: summary['emaTestTop1'], loss: summary['emaTestLoss'] });
    expect(summary['emaTestLoss']).not.toBe(summary['testLoss']);
  });

  it('takes other weights, splits and numbers of examples', async () => {
    expect(await json('eval', 'runs/ours', '--checkpoint', 'best', '--backend', 'wasm')).toMatchObject({
      checkpoint: join('runs/ours/checkpoints/best.safetensors'),
    });
    const file = await json(
      'eval',
      'runs/ours/checkpoints/final.safetensors',
      '--split',
      'train',
      '--limit',
      '8',
      '--backend',
      'wasm',
    );
    expect(file).toMatchObject({ examples: 8, split: 'train', step: 4 });
    // Before its end a run has what it would go on from.
    cpSync(join(cwd, 'runs/ours'), join(cwd, 'runs/early'), { recursive: true });
    for (const name of ['final', 'best'])
      rmSync(join(cwd, `runs/early/checkpoints/${name}.safetensors`), { force: true });
    const states = readdirSync(join(cwd, 'runs/early/checkpoints'));
    expect(states.some((name) => name.startsWith('state-'))).toBe(true);
    expect(await json('eval', 'runs/early', '--backend', 'wasm')).toMatchObject({
      top1: (await json('eval', 'runs/ours', '--backend', 'wasm'))['top1'],
      step: 4,
    });
  });

  it('measures corruptions by severity, made here or read from a folder, alike', async () => {
    const args = [
      'eval',
      'runs/ours',
      '--backend',
      'wasm',
      '--corruptions',
      'contrast,jpeg_compression',
      '--severities',
      '1,5',
      '--limit',
      '8',
    ];
    const made = await json(...args);
    const rows = (
      made['corruptions'] as {
        rows: { corruption: string; results: { top1: number; examples: number }[]; meanTop1: number }[];
      }
    ).rows;
    expect(rows.map(({ corruption }) => corruption)).toEqual(['contrast', 'jpeg_compression']);
    for (const { results, meanTop1 } of rows) {
      expect(results.map(({ examples }) => examples)).toEqual([8, 8]);
      expect(meanTop1).toBeCloseTo((results[0]!.top1 + results[1]!.top1) / 2, 12);
    }
    await json(
      'data',
      'corrupt',
      '--set',
      'shapes',
      '--out',
      'corrupted',
      '--corruptions',
      'contrast,jpeg_compression',
      '--severities',
      '1,5',
      '--limit',
      '8',
    );
    const read = await json(...args, '--corrupted-dir', 'corrupted');
    expect(read['corruptions']).toEqual(made['corruptions']);
  });

  it('prints a table', async () => {
    const { stdout } = await here(
      'eval',
      'runs/ours',
      '--backend',
      'wasm',
      '--corruptions',
      'contrast',
      '--severities',
      '5',
      '--limit',
      '8',
    );
    expect(stdout).toMatch(/Top-1 [\d.]+ % {3}Top-5 [\d.]+ % {3}loss [\d.]+/);
    expect(stdout).toMatch(/^contrast +[\d.]+ % +[\d.]+ %$/m);
  });
});

describe('polder export', () => {
  it("gives anybody's model back as it came, with trained weights: the run's numbers bit for bit", async () => {
    const { out } = await json('export', 'runs/file');
    const model = await loadModelFile(join(out as string, 'model.json'));
    const { tensors } = decodeCheckpoint(readFileSync(join(cwd, 'runs/file/checkpoints/final.safetensors')), 'f');
    expect(model.layers.map((layer) => layer.getClassName())).toEqual([
      'Conv2D',
      'Conv2D',
      'BatchNormalization',
      'GlobalAveragePooling2D',
      'Dense',
    ]);
    expect(model.layers.at(-1)!.getConfig()['activation']).toBe('softmax');
    const trained = new Set([...tensors.values()].map((tensor) => floatValues(tensor).join()));
    for (const weight of model.weights) expect(trained.has([...weight.read().dataSync()].join())).toBe(true);
    model.dispose();
    const [own, exported] = [
      await json('eval', 'runs/file', '--backend', 'wasm'),
      await json('eval', out as string, '--data', 'shapes', '--limit', '32', '--backend', 'wasm'),
    ];
    expect(['loss', 'top1', 'top5'].map((key) => exported[key])).toEqual(
      ['loss', 'top1', 'top5'].map((key) => own[key]),
    );
  });

  it('keeps our layers bit for bit, and writes plain ones that agree within rounding', async () => {
    const reference = createModel('resnet8', { seed: 0 });
    const own = await loadModelFile(
      join((await json('export', 'runs/ours', '--own-layers', '--out', 'own'))['out'] as string, 'model.json'),
    );
    const plain = await loadModelFile(join((await json('export', 'runs/ours'))['out'] as string, 'model.json'));
    expect(plain.layers.some((layer) => layer.getClassName().startsWith('Polder'))).toBe(false);
    expect(own.layers.map(({ name }) => name)).toEqual(reference.layers.map(({ name }) => name));
    const { tensors } = decodeCheckpoint(readFileSync(join(cwd, 'runs/ours/checkpoints/final.safetensors')), 'f');
    for (const { name, weights } of reference.layers)
      for (const weight of weights)
        (weight.read() as tf.Variable).assign(
          tf.tensor(
            floatValues(tensors.get(`${name}/${weight.originalName.split('/').at(-1)}`)!),
            weight.shape as number[],
          ),
        );
    expect(outputs(own)).toEqual(outputs(reference));
    const largest = Math.max(...outputs(own).map(Math.abs));
    outputs(plain).forEach((value, i) =>
      expect(Math.abs(value - outputs(own)[i]!)).toBeLessThanOrEqual(1e-5 * largest),
    );
    for (const model of [reference, own, plain]) model.dispose();
  });

  it('writes the same weights as safetensors, a PyTorch state dict and NumPy arrays', async () => {
    const final = readFileSync(join(cwd, 'runs/ours/checkpoints/final.safetensors'));
    const { files: named } = await json('export', 'runs/ours', '--format', 'safetensors');
    expect(readFileSync((named as string[])[0]!).equals(final)).toBe(true);
    const { tensors } = parseSafetensors(final, 'final');
    const { files: torch } = await json('export', 'runs/ours', '--format', 'torch');
    const state = parseSafetensors(readFileSync((torch as string[])[0]!), 'torch');
    const kernel = tensors.get('fc/kernel')!;
    const [inputs, classes] = kernel.shape as [number, number];
    expect(state.tensors.get('fc.weight')!.shape).toEqual([classes, inputs]);
    const [ours, theirs] = [floatValues(kernel), floatValues(state.tensors.get('fc.weight')!)];
    for (let i = 0; i < inputs; i += 1)
      for (let c = 0; c < classes; c += 1) expect(theirs[c * inputs + i]).toBe(ours[i * classes + c]);
    const { out } = await json('export', 'runs/ours', '--format', 'npy');
    const listed = JSON.parse(readFileSync(join(out as string, 'weights.json'), 'utf8')) as {
      name: string;
      shape: number[];
      file: string;
    }[];
    expect(listed.map(({ name }) => name).sort()).toEqual([...tensors.keys()].sort());
    for (const { name, shape, file } of listed) {
      const array = parseNpy(readFileSync(join(out as string, file)), file);
      expect({ shape: array.shape, dtype: array.dtype }).toEqual({ shape, dtype: '<f4' });
      expect([...(array.data as Float32Array)]).toEqual([...floatValues(tensors.get(name)!)]);
    }
  });

  it('writes over nothing, and leaves nothing where it fails', async () => {
    mkdirSync(join(cwd, 'taken'));
    writeFileSync(join(cwd, 'taken/x'), '');
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['--out', 'taken'], /taken is there already.*--force/],
      [['--out', 'taken/x'], /is a file; tfjs needs a folder/],
      [['--format', 'torch', '--out', 'taken'], /is a folder; torch needs a file/],
      [['--format', 'tfsj'], /--format: expected one of tfjs.*Did you mean "tfjs"/],
      [['--format', 'npy', '--own-layers', '--out', 'n'], /--own-layers has no effect/],
      [
        ['--checkpoint', 'bets', '--out', 'n'],
        /bets\.safetensors: expected a checkpoint of the run.*There are: best, final, final-ema/,
      ],
      [['--out', 'taken/x/y'], /Cannot write .*ENOTDIR/],
    ];
    const before = readdirSync(cwd, { recursive: true }).length;
    for (const [flags, says] of cases) {
      const { code, stdout, stderr } = await here('export', 'runs/ours', ...flags);
      expect(stderr).toMatch(says);
      expect(stdout).toBe('');
      expect([2, 3]).toContain(code);
    }
    expect((await here('export', 'net')).stderr).toContain('--out is missing');
    expect(readdirSync(cwd, { recursive: true })).toHaveLength(before);
  });
});
