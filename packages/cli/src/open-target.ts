import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { findNetwork, type Network, type NetworkData } from './network.js';
import { UsageError } from './failure.js';
import { isRun } from './run-folders.js';
import type { GivenSettings } from './settings.js';

/** Where trained weights are: in a run, under a name; or in a model file. */
export type Target =
  | { readonly kind: 'run'; readonly folder: string; readonly checkpoint: string | undefined }
  | { readonly kind: 'file'; readonly file: string };

/**
 * What a path and `--checkpoint` name: a run folder, weights in its `checkpoints/` (`last`, `best`, another name, or the
 * path of a file), or a model.json. Throws {@link UsageError} when it can be none.
 */
export function findTarget(path: string, checkpoint?: string): Target {
  if (!existsSync(path)) throw new UsageError(`${path}: there is no such file or folder. Name a run or a model.json.`);
  if (!statSync(path).isDirectory()) {
    if (path.endsWith('.safetensors')) {
      if (checkpoint !== undefined) throw new UsageError(`--checkpoint: ${path} is a checkpoint already.`);
      return checkpointFile(path);
    }
    if (checkpoint !== undefined) throw new UsageError('--checkpoint is for a run: a model file has its own weights.');
    return { kind: 'file', file: path };
  }
  if (isRun(path)) {
    if (checkpoint?.endsWith('.safetensors') !== true) return { kind: 'run', folder: path, checkpoint };
    const file = existsSync(checkpoint) ? checkpoint : join(path, 'checkpoints', checkpoint);
    return { ...checkpointFile(file), folder: path };
  }
  if (existsSync(join(path, 'comparison.json')))
    throw new UsageError(`${path} is a comparison. Name one of the runs in it, such as ${join(path, 'sam')}.`);
  if (existsSync(join(path, 'model.json'))) return findTarget(join(path, 'model.json'), checkpoint);
  throw new UsageError(`${path} is no run folder (a run has a metrics.jsonl), and there is no model.json in it.`);
}

/** `run/checkpoints/best.safetensors` → the run and the name. */
function checkpointFile(file: string): Extract<Target, { readonly kind: 'run' }> {
  const folder = dirname(dirname(file));
  if (basename(dirname(file)) !== 'checkpoints' || !isRun(folder))
    throw new UsageError(`${file} is not in the checkpoints of a run, which knows the network. Name a run's.`);
  if (basename(file).startsWith('state-'))
    throw new UsageError(`${file} is what a run goes on from. Name the run, and --checkpoint last.`);
  return { kind: 'run', folder, checkpoint: basename(file, '.safetensors') };
}

/** The checkpoint that flags name: `--ema` is the averaged weights that a run with `--model-ema` ends with. */
export function checkpointNamed(checkpoint: string | undefined, ema: boolean | undefined): string | undefined {
  if (ema !== true) return checkpoint;
  if (checkpoint !== undefined) throw new UsageError('--ema and --checkpoint exclude each other. Give one.');
  return 'final-ema';
}

/** A target's network with its weights, and what is known of how it was trained. */
export interface OpenedTarget {
  readonly title: string;
  /** Of a run. */
  readonly settings: GivenSettings;
  readonly step?: number;
  readonly checkpoint: string;
  /** Gives logits; the caller disposes of it. */
  readonly model: LayersModel;
  readonly network: Network;
}

/** Loads a target's network on the current backend. `data` is what a model file must fit; a run knows its own. */
export async function openTarget(target: Target, data: () => Promise<NetworkData>): Promise<OpenedTarget> {
  if (target.kind === 'file') {
    const network = await findNetwork({ model: target.file });
    const model = await network.create(await data());
    return { title: target.file, settings: {}, checkpoint: target.file, model, network };
  }
  const { openRunModel } = await import('./run-model.js');
  const { model, network, settings, file, step } = await openRunModel(target.folder, target.checkpoint);
  return { title: target.folder, settings, step, checkpoint: file, model, network };
}
