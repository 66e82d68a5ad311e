import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cosine, sgd } from '@polder/core';
import { floatValues, flip, shapes } from '@polder/data';
import { listProvisioned, startTensorflow } from '@polder/kernels-tensorflow';
import { createModel } from '@polder/models';
import { policyById } from '@polder/experiments';
import { lacks } from '@polder/testkit';
import { decodeCheckpoint } from '@polder/trainer';
import { trainInFolder, type FolderOptions } from '@polder/trainer/node';
import { beforeAll, describe, expect, it } from 'vitest';
import '@tensorflow/tfjs';

const provisioned = (await listProvisioned()).some((entry) => entry.current);
const { train, test } = shapes({ train: 64, test: 16, seed: 0 });

async function run(folder: string, overrides: Partial<FolderOptions> = {}): Promise<readonly Float32Array[]> {
  const model = createModel('resnet8', { classes: 10, inputShape: [32, 32, 3], seed: 1 });
  try {
    await trainInFolder({
      folder,
      config: {},
      modelId: 'resnet8',
      model,
      train,
      test,
      batchSize: 16,
      epochs: 3,
      seed: 1,
      augment: [flip()],
      policy: policyById('ssam', { rho: 0.05 }),
      learningRate: cosine({ initial: 0.1, steps: 12 }),
      optimizer: (learningRate) => sgd({ learningRate, momentum: 0.9 }),
      logEvery: 1,
      checkpointEvery: 3,
      samGap: { examples: 16 },
      ...overrides,
    });
    const file = join(folder, 'checkpoints/final.safetensors');
    return [...decodeCheckpoint(readFileSync(file), file).tensors.values()].map(floatValues);
  } finally {
    model.dispose();
  }
}

describe.skipIf(lacks('tensorflow', provisioned))('a run on native TensorFlow', () => {
  beforeAll(() => startTensorflow());

  // Bit for bit on every machine that this was tried on; sums over threads may come in another order elsewhere.
  it('that is broken off, in the midst of replaying a recorded step, ends where it would have, to 1e-4', async () => {
    const base = mkdtempSync(join(tmpdir(), 'polder-tensorflow-'));
    try {
      const whole = await run(join(base, 'whole'));
      const onMetrics: FolderOptions['onMetrics'] = ({ step }) => {
        if (step === 8) throw new Error('killed');
      };
      await expect(run(join(base, 'run'), { onMetrics })).rejects.toThrow('killed');
      const resumed = await run(join(base, 'run'), { resume: {} });
      expect(resumed).toHaveLength(whole.length);
      const most = Math.max(...resumed.flatMap((values, i) => [...values].map((v, j) => Math.abs(v - whole[i]![j]!))));
      expect(most).toBeLessThan(1e-4);
    } finally {
      rmSync(base, { recursive: true, force: true });
    }
  });
});
