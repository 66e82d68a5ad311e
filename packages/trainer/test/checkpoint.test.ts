import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { DataFormatError, parseSafetensors, writeSafetensors } from '@polder/data';
import { assignCheckpoint, CheckpointError, decodeCheckpoint, encodeCheckpoint } from '@polder/trainer';
import { createRunFolder, loadRunModel } from '@polder/trainer/node';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { smallNet } from './toy.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const metadata = { model: 'small', classes: 8, inputShape: [4, 4, 1], seed: 3, step: 17 };

/** With moving statistics, and layer names of its own, so that two are the same network. */
function net(seed: number, units = 6): tf.LayersModel {
  return tf.sequential({
    layers: [
      tf.layers.flatten({ inputShape: [4, 4, 1], name: 'flat' }),
      tf.layers.dense({ units, name: 'block/dense', kernelInitializer: tf.initializers.glorotNormal({ seed }) }),
      tf.layers.batchNormalization({
        name: 'bn',
        movingMeanInitializer: tf.initializers.randomNormal({ seed: seed + 1 }),
      }),
    ],
  });
}

const values = (model: tf.LayersModel): number[][] => model.getWeights().map((weight) => [...weight.dataSync()]);
const failure = (action: () => void): CheckpointError => {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    return error as CheckpointError;
  }
  throw new Error('nothing was thrown');
};

describe('a checkpoint', () => {
  it('gives back every weight bit for bit, whatever names tfjs made up, and leaks nothing', async () => {
    const a = net(1);
    const b = net(2);
    const before = tf.memory().numTensors;
    const bytes = await encodeCheckpoint(a, metadata);
    expect([...parseSafetensors(bytes, 'f').tensors.keys()].sort()).toEqual([
      'block/dense/bias',
      'block/dense/kernel',
      'bn/beta',
      'bn/gamma',
      'bn/moving_mean',
      'bn/moving_variance',
    ]);
    const checkpoint = decodeCheckpoint(bytes, 'f');
    expect(checkpoint.metadata).toEqual(metadata);
    expect(values(b)).not.toEqual(values(a));
    assignCheckpoint(b, checkpoint, 'f');
    expect(values(b)).toEqual(values(a));
    expect(await encodeCheckpoint(b, metadata)).toEqual(bytes);
    expect(tf.memory().numTensors).toBe(before);
    a.dispose();
    b.dispose();
  });

  it('refuses the weights of another network, and touches none', async () => {
    const wide = decodeCheckpoint(await encodeCheckpoint(net(1, 7), metadata), 'f');
    const target = net(2);
    const before = values(target);
    const { message, reason } = failure(() => assignCheckpoint(target, wide, 'f'));
    expect(reason).toBe('weights');
    expect(message).toContain('block/dense/kernel is F32 [16, 7] instead of F32 [16, 6]');
    const other = decodeCheckpoint(await encodeCheckpoint(smallNet(), metadata), 'f');
    expect(failure(() => assignCheckpoint(target, other, 'f')).message).toContain('block/dense/kernel is missing');
    expect(values(target)).toEqual(before);
  });

  it('refuses other files', async () => {
    const bytes = await encodeCheckpoint(net(1), metadata);
    expect(() => decodeCheckpoint(bytes.subarray(0, bytes.length - 4), 'f')).toThrow(DataFormatError);
    expect(failure(() => decodeCheckpoint(writeSafetensors([]), 'f')).message).toContain(
      'polder-checkpoint of version',
    );
    const { tensors, metadata: texts } = parseSafetensors(bytes, 'f');
    for (const [key, text] of [
      ['version', '2'],
      ['classes', 'ten'],
      ['inputShape', '[4,-4,1]'],
      ['step', '-1'],
    ] as const) {
      const { reason, message } = failure(() =>
        decodeCheckpoint(writeSafetensors(tensors, { ...texts, [key]: text }), 'f'),
      );
      expect(reason).toBe('metadata');
      expect(message).toContain(text);
    }
  });
});

describe('loadRunModel', () => {
  let base: string;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'polder-runs-'));
  });
  afterEach(() => rmSync(base, { recursive: true, force: true }));

  it('rebuilds the network of a run', async () => {
    const trained = net(1);
    const folder = createRunFolder(join(base, 'r'), { model: 'small', units: 6 });
    folder.weights('final', await encodeCheckpoint(trained, metadata));
    folder.close();
    const loaded = await loadRunModel(join(base, 'r'), (metadata, config) =>
      net(metadata!.seed, config['units'] as number),
    );
    expect(values(loaded.model)).toEqual(values(trained));
    expect(loaded.metadata).toEqual(metadata);
  });

  it('says what is missing or wrong, and disposes of the network', async () => {
    const run = join(base, 'r');
    await expect(loadRunModel(run, () => net(1))).rejects.toThrow(/config\.json: expected a readable file, got ENOENT/);
    mkdirSync(run);
    writeFileSync(join(run, 'config.json'), '[]');
    await expect(loadRunModel(run, () => net(1))).rejects.toThrow(/expected a JSON object, got \[\]/);
    writeFileSync(join(run, 'config.json'), '{}');
    await expect(loadRunModel(run, () => net(1))).rejects.toThrow(/final\.safetensors.*trained to its end/);
    mkdirSync(join(run, 'checkpoints'));
    const bytes = await encodeCheckpoint(net(1, 7), metadata);
    writeFileSync(join(run, 'checkpoints/final.safetensors'), bytes);
    const before = tf.memory().numTensors;
    await expect(loadRunModel(run, () => net(1))).rejects.toThrow(CheckpointError);
    expect(tf.memory().numTensors).toBe(before);
    expect(readFileSync(join(run, 'checkpoints/final.safetensors')).equals(bytes)).toBe(true);
  });
});
