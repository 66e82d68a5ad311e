import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { curvatureReport } from '@polder/diagnostics';
import { shapes } from '@polder/data';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildFirst, inTemporaryFolder, polder } from './polder.js';

// So that no test below pays for it.
beforeAll(async () => {
  await tf.setBackend('cpu');
  await buildFirst();
}, 300_000);

const patience = { timeout: 300_000 };
const train = [
  'train',
  '--data',
  'shapes',
  '--limit-train',
  '16',
  '--limit-test',
  '8',
  '--batch',
  '8',
  '--epochs',
  '1',
];

/** Few examples, few products. */
const quick = ['--limit', '4', '--budget', '60', '--eigenvalues', '1', '--trace-probes', '4'];

interface Diagnosis {
  readonly report: {
    readonly lambdaMax: number;
    readonly lambdaMin: number;
    readonly numParams: number;
    readonly hvp: string;
    readonly loss: number;
    readonly trace: { readonly value: number };
    readonly perLayer: readonly { readonly name: string }[];
  };
  readonly sharpness: { readonly value: number };
  readonly figures: { readonly surface: readonly { x: number; y: number; loss: number }[] | null };
  readonly examples: number;
  readonly page: string | null;
}
const diagnosis = (stdout: string): Diagnosis => JSON.parse(stdout) as Diagnosis;

/** A linear classifier with fixed weights, saved as Keras-style code saves it; its file. */
async function saveSoftmax(folder: string, activation: 'softmax' | 'linear' = 'softmax'): Promise<tf.LayersModel> {
  const model = tf.sequential({
    layers: [
      tf.layers.averagePooling2d({ poolSize: 16, inputShape: [32, 32, 3] }),
      tf.layers.flatten(),
      tf.layers.dense({ units: 10, activation, kernelInitializer: tf.initializers.glorotNormal({ seed: 5 }) }),
    ],
  });
  await model.save(
    tf.io.withSaveHandler((artifacts) => {
      const { modelTopology, weightSpecs, weightData } = artifacts;
      mkdirSync(folder, { recursive: true });
      // In two files, as large models are.
      const bytes = new Uint8Array(weightData as ArrayBuffer);
      writeFileSync(join(folder, 'a.bin'), bytes.subarray(0, 100));
      writeFileSync(join(folder, 'b.bin'), bytes.subarray(100));
      const weightsManifest = [{ paths: ['a.bin', 'b.bin'], weights: weightSpecs }];
      writeFileSync(join(folder, 'model.json'), JSON.stringify({ modelTopology, weightsManifest }));
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } });
    }),
  );
  return model;
}

describe('polder diagnose', patience, () => {
  it('measures a trained ResNet and adds figures to its report, also when that is written anew', async () => {
    await inTemporaryFolder(async (cwd) => {
      const trained = await polder([...train, '--model', 'resnet8', '--policy', 'sam', '--run-dir', 'r'], { cwd });
      expect(trained.code).toBe(0);
      const page = (file = 'r/report.html'): string => readFileSync(join(cwd, file), 'utf8');
      expect(page()).not.toContain('Spectral density');
      const args = ['diagnose', 'r', ...quick, '--surface', '--surface-points', '3', '--backend', 'wasm'];
      const { code, stdout, stderr } = await polder(args, { cwd });
      expect(stderr).not.toContain('error');
      expect(code).toBe(0);
      for (const text of ['λ_max', 'λ_min', 'trace', 'sharpness', 'density', 'layer1/0/conv1/kernel', '█'])
        expect(stdout).toContain(text);
      for (const title of ['Spectrum: the ends', 'Spectral density', 'Trace by layer', 'Loss surface', 'Results'])
        expect(page()).toContain(title);
      expect(page()).toContain('resnet8 with sam on shapes');
      const saved = diagnosis(readFileSync(join(cwd, 'r/curvature.json'), 'utf8'));
      expect(saved.report).toMatchObject({ numParams: 78_042, hvp: 'exact' });
      expect(saved.report.lambdaMax).toBeGreaterThan(saved.report.lambdaMin);
      expect(saved.figures.surface).toHaveLength(9);
      // The middle of the surface is the model itself.
      const centre = saved.figures.surface!.find(({ x, y }) => x === 0 && y === 0)!;
      expect(centre.loss).toBeCloseTo(saved.report.loss, 5);
      await polder(['report', 'r', '--out', 'again.html'], { cwd });
      expect(page('again.html')).toContain('Spectral density');
      writeFileSync(join(cwd, 'r/curvature.json'), '{"version": 2}');
      const damaged = await polder(['report', 'r'], { cwd });
      expect(damaged.stderr).toMatch(/curvature\.json: expected curvature of version 1, got version 2/);
      expect(damaged.code).toBe(3);
    });
  });

  it('measures the weights of the run: the same loss as the run, the same numbers again', async () => {
    await inTemporaryFolder(async (cwd) => {
      const settings = ['--model', 'lenet5', '--lr', '0.05', '--train-eval', '16', '--no-augment', '--json'];
      const trained = await polder([...train, ...settings, '--run-dir', 'r'], { cwd });
      const { trainLoss } = JSON.parse(trained.stdout) as { trainLoss: number };
      const all = ['--limit', '16', '--batch', '6', '--budget', '40', '--eigenvalues', '1', '--trace-probes', '2'];
      const first = diagnosis((await polder(['diagnose', 'r', ...all, '--json'], { cwd })).stdout);
      expect(first.examples).toBe(16);
      expect(first.report.loss).toBeCloseTo(trainLoss, 4);
      const second = diagnosis((await polder(['diagnose', 'r', ...all, '--json'], { cwd })).stdout);
      expect({ ...second, seconds: 0 }).toEqual({ ...first, seconds: 0 });
    });
  });

  it('measures the loss that was trained, label smoothing included, unless told otherwise', async () => {
    await inTemporaryFolder(async (cwd) => {
      await polder([...train, '--model', 'mlp', '--smoothing', '0.2', '--run-dir', 'r'], { cwd });
      const least = ['--limit', '4', '--budget', '30', '--eigenvalues', '1', '--trace-probes', '2', '--backend', 'cpu'];
      const loss = async (...flags: readonly string[]): Promise<number> => {
        const { stdout } = await polder(['diagnose', 'r', ...least, ...flags, '--json'], { cwd });
        return diagnosis(stdout).report.loss;
      };
      const smoothed = await loss();
      expect(readFileSync(join(cwd, 'r/report.html'), 'utf8')).toContain('label smoothing 0.2');
      const hard = await loss('--smoothing', '0');
      expect(smoothed - hard).toBeGreaterThan(1e-3);
      // The smoothed loss is linear in the smoothing.
      expect(await loss('--smoothing', '0.4')).toBeCloseTo(hard + 2 * (smoothed - hard), 4);
    });
  });

  it('measures any tf.LayersModel from its file, and gets what the library gives', async () => {
    await inTemporaryFolder(async (cwd) => {
      const model = await saveSoftmax(join(cwd, 'm'));
      const args = ['--data', 'shapes', '--limit', '20', '--pixels', 'unit', '--backend', 'cpu', '--out', 'o'];
      const { code, stdout, stderr } = await polder(['diagnose', 'm/model.json', ...args, '--json'], { cwd });
      expect(stderr).not.toContain('error');
      expect(code).toBe(0);
      const found = diagnosis(stdout);
      // The same, by hand.
      const { train: set } = shapes({ train: 20, test: 1, seed: 0 });
      const xs = tf.tensor4d(
        Float32Array.from(set.images, (value) => value / 255),
        [20, 32, 32, 3],
      );
      const ys = tf.tensor1d([...set.labels], 'int32');
      const report = await curvatureReport({ model, loss: 'sparseCategoricalCrossentropy', data: { xs, ys } });
      expect(found.report.loss).toBeCloseTo(report.loss!, 5);
      expect(found.report.lambdaMax).toBeCloseTo(report.lambdaMax, 4);
      expect(found.report.trace.value / report.trace.value).toBeCloseTo(1, 3);
      expect(found.report.perLayer.map(({ name }) => name.split('/').at(-1))).toEqual(['kernel', 'bias']);
      expect(readFileSync(join(cwd, 'o/report.html'), 'utf8')).toContain('Trace by layer');
      expect(found.page).toBe('o/report.html');
      // Taken for logits, the probabilities give another loss.
      const wrong = [...args.slice(0, -2), '--outputs', 'logits', '--json'];
      const logits = diagnosis((await polder(['diagnose', 'm/model.json', ...wrong], { cwd })).stdout);
      expect(logits.page).toBeNull();
      expect(Math.abs(logits.report.loss - found.report.loss)).toBeGreaterThan(0.01);
      tf.dispose([xs, ys]);
      model.dispose();
    });
  });

  it('says what is wrong with a target, and writes nothing', async () => {
    await inTemporaryFolder(async (cwd) => {
      (await saveSoftmax(join(cwd, 'm'))).dispose();
      await polder([...train, '--model', 'mlp', '--run-dir', 'r'], { cwd });
      const fails = async (args: readonly string[], code: number, says: RegExp): Promise<void> => {
        const result = await polder(['diagnose', ...args], { cwd });
        expect(result.stderr).toMatch(says);
        expect(result.stderr).not.toMatch(/\n\s+at /);
        expect(result.stdout).toBe('');
        expect(result.code).toBe(code);
      };
      await fails(['nowhere'], 2, /nowhere: there is no such file or folder/);
      await fails(['m'], 2, /m is no run folder.*Did you mean m\/model\.json\?/);
      await fails(['m/model.json', '--data', 'mnist'], 3, /train-images.*--data-dir/s);
      await fails(['r', '--outputs', 'logits'], 2, /--outputs is for a model file/);
      await fails(['r', '--limit', '0'], 2, /--limit: expected at least 1/);
      await fails(['r', '--surface', 'flat'], 2, /--surface: expected one of random, eigen/);
      await fails(['r', '--surface-points', '5'], 2, /no effect without --surface/);

      // Weights cut short, gone, of another network; a run that was never trained to its end.
      const weights = join(cwd, 'r/checkpoints/final.safetensors');
      const bytes = readFileSync(weights);
      writeFileSync(weights, bytes.subarray(0, bytes.length - 8));
      await fails(['r'], 3, /final\.safetensors: at byte/);
      writeFileSync(weights, bytes);
      const config = readFileSync(join(cwd, 'r/config.json'), 'utf8');
      writeFileSync(join(cwd, 'r/config.json'), config.replace('{', '{ "shortcut": "pad",'));
      await fails(['r'], 2, /shortcut.*mlp/);
      writeFileSync(join(cwd, 'r/config.json'), '[]');
      await fails(['r'], 3, /config\.json: expected a JSON object/);
      writeFileSync(join(cwd, 'r/config.json'), config);
      // What it would be resumed from would do as well: that must be gone too.
      rmSync(join(cwd, 'r/checkpoints'), { recursive: true });
      await fails(['r'], 3, /final\.safetensors: expected a readable file, got ENOENT/);

      // Model files.
      const file = join(cwd, 'm/model.json');
      const model = readFileSync(file, 'utf8');
      renameSync(join(cwd, 'm/b.bin'), join(cwd, 'm/c.bin'));
      await fails(['m/model.json'], 3, /b\.bin: cannot be read \(ENOENT\)/);
      writeFileSync(join(cwd, 'm/b.bin'), 'short');
      await fails(['m/model.json'], 3, /105 bytes of weights instead of 520/);
      renameSync(join(cwd, 'm/c.bin'), join(cwd, 'm/b.bin'));
      writeFileSync(file, model.replace('a.bin', '../a.bin'));
      await fails(['m/model.json'], 3, /weights outside its folder/);
      writeFileSync(file, model.replace('"Flatten"', '"Mystery"'));
      await fails(['m/model.json'], 3, /cannot load it: Unknown layer: Mystery/);
      writeFileSync(file, model.replace('"modelTopology"', '"format":"graph-model","modelTopology"'));
      await fails(['m/model.json'], 3, /a graph model/);
      writeFileSync(file, model.slice(0, 50));
      await fails(['m/model.json'], 3, /no JSON/);
      writeFileSync(file, model.replaceAll('[null,32,32,3]', '[null,32,16,3]').replaceAll('[16,16]', '[16,8]'));
      await fails(['m/model.json', '--data', 'shapes'], 2, /takes \[32, 16, 3\] and gives \[10\].*Choose other data/);
    });
  });
});
