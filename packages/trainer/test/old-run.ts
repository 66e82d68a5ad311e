import { adam, cosine, sam, type Policy } from '@polder/core';
import { flip } from '@polder/data';
import { earlyStopping, weightAverage } from '@polder/trainer';
import { trainInFolder, type FolderOptions, type FolderResult } from '@polder/trainer/node';
import { namedNet } from './named-net.js';
import { spots } from './toy.js';

/** The run that the fixtures are of. Change nothing here: fixtures of formats that were once written are kept for good. */
export async function oldRun(folder: string, overrides: Partial<FolderOptions> = {}): Promise<FolderResult> {
  const model = namedNet(overrides.resume === undefined ? 1 : 2);
  try {
    return await trainInFolder({
      folder,
      config: { policy: 'sam', lr: 0.01 },
      modelId: 'named',
      model,
      train: spots(96),
      test: spots(48),
      batchSize: 16,
      epochs: 4,
      seed: 3,
      augment: [flip()],
      policy: sam({ rho: 0.05 }) as Policy,
      learningRate: cosine({ initial: 0.01, steps: 24, warmupSteps: 6 }),
      optimizer: (learningRate) => adam({ learningRate }),
      parts: [weightAverage({ decay: 0.9 }), earlyStopping({ patience: 3 })],
      keepBest: {},
      logEvery: 4,
      checkpointEvery: 10,
      ...overrides,
    });
  } finally {
    model.dispose();
  }
}
