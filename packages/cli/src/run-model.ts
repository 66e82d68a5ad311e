import { join } from 'node:path';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { loadRunModel } from '@polder/trainer/node';
import { checkSettings } from './check-settings.js';
import { configOrigin } from './command-settings.js';
import { networkOfRun, type Network } from './network.js';
import { settingKeys, settingsSchema, type GivenSettings } from './settings.js';

/** A run's network with trained weights; the caller disposes of the model, which gives logits. */
export interface OpenedRun {
  readonly model: LayersModel;
  readonly network: Network;
  readonly settings: GivenSettings;
  /** Where the weights came from, and after how many steps. */
  readonly file: string;
  readonly step: number;
}

/**
 * Loads a run's network with the weights of a checkpoint: `last` (the default), `best`, or another name in the run's
 * `checkpoints/`. Throws what `loadRunModel` of `@polder/trainer` throws, and UsageError for a damaged config.json.
 */
export async function openRunModel(folder: string, checkpoint?: string): Promise<OpenedRun> {
  let settings: GivenSettings = {};
  let network: Network | undefined;
  const { model, file, step } = await loadRunModel(
    folder,
    (metadata, config) => {
      settings = checkSettings(settingsSchema, config, configOrigin(join(folder, 'config.json'), settingKeys));
      network = networkOfRun(folder, settings);
      const { classes, inputShape } = metadata ?? shapeOf(settings.data ?? 'shapes');
      return network.create({ classes, inputShape, seed: settings.seed ?? 0 });
    },
    checkpoint,
  );
  return { model, network: network!, settings, file, step };
}

/** What a run that was broken off was trained on: its checkpoint does not say. */
function shapeOf(data: string): { readonly classes: number; readonly inputShape: readonly number[] } {
  const grey = data === 'mnist' || data === 'fashion';
  return { classes: data === 'cifar100' ? 100 : 10, inputShape: grey ? [28, 28, 1] : [32, 32, 3] };
}
