import * as tf from '@tensorflow/tfjs';
import { startBackend, type StartedBackend } from '@polder/backends';
import { CATALOGUE, type DataSplits } from '@polder/data';
import { loadDataset, locateDataset, type DatasetName } from '@polder/data/node';
import { UsageError } from './failure.js';
import type { GivenSettings } from './settings.js';

/** A running backend. Throws UsageError for a precision that it does not have. */
export async function openBackend(
  choice: string,
  threads?: number,
  precision: NonNullable<GivenSettings['precision']> = 'float32',
): Promise<StartedBackend> {
  // Without this the cpu backend advertises another package on its first use.
  tf.enableProdMode();
  const started = await startBackend(choice, threads === undefined ? {} : { threads });
  if (precision === 'float32') return started;
  if (started.backend !== 'tensorflow')
    throw new UsageError(
      `--precision ${precision}: the ${started.backend} backend computes in float32. Leave it out, or take --backend tensorflow.`,
    );
  const { PrecisionError, registerTensorflowKernels } = await import('@polder/kernels-tensorflow');
  try {
    registerTensorflowKernels({ precision });
  } catch (error) {
    throw error instanceof PrecisionError ? new UsageError(error.message) : error;
  }
  return { ...started, reason: `${started.reason}, products in ${precision}` };
}

/** Loaded data, and what was loaded. */
export interface OpenedData extends DataSplits {
  readonly name: DatasetName;
}

/**
 * Loads the data set that the settings name. `auto` is CIFAR-10 when any of it is in the data folder (then all of it
 * must be), else the offline shapes; `source` says which and why.
 */
export async function openData(given: GivenSettings): Promise<OpenedData> {
  const { data = 'auto', dataDir, limitTrain, limitTest } = given;
  const options = {
    ...(dataDir !== undefined && { dir: dataDir }),
    ...(limitTrain !== undefined && { limitTrain }),
    ...(limitTest !== undefined && { limitTest }),
  };
  // Not the run's seed: the offline set, too, is one and the same for every run.
  if (data !== 'auto') return { name: data as DatasetName, ...(await loadDataset(data as DatasetName, options)) };
  const cifar = await locateDataset(CATALOGUE.cifar10, dataDir);
  if (cifar.found.length > 0) return { name: 'cifar10', ...(await loadDataset('cifar10', options)) };
  const splits = await loadDataset('shapes', options);
  return { name: 'shapes', ...splits, source: `${splits.source}; no CIFAR-10 in ${cifar.tried.at(-1)}` };
}
