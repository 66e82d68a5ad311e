import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { assignCheckpoint, decodeCheckpoint, type Checkpoint, type CheckpointMetadata } from '../checkpoint.js';
import { CheckpointError } from '../errors.js';
import { checkpointsOf } from './run-folder.js';
import { findState } from './state-store.js';

/** Where a run keeps the weights that it ended with. */
export const FINAL_CHECKPOINT = 'final';

/** Weights that a run folder holds. */
export interface RunCheckpoint {
  readonly file: string;
  /** Steps taken. */
  readonly step: number;
  /** By layer and weight name. */
  readonly tensors: Checkpoint['tensors'];
  /** What the network is; undefined for what a run that was broken off goes on from, which knows only its weights. */
  readonly metadata: CheckpointMetadata | undefined;
}

/**
 * Reads weights of a run folder: `last` is those at its end, or those that it would go on from where it was broken off;
 * else a name in `checkpoints/` (`final`, `best`, `best-step400`, `final-ema`). Throws {@link CheckpointError}, which
 * lists the names there are, and the DataFormatError of `@polder/data` for a damaged file.
 */
export async function readRunCheckpoint(folder: string, name: string = 'last'): Promise<RunCheckpoint> {
  const fileOf = (of: string): string => join(checkpointsOf(folder), `${of}.safetensors`);
  const file = fileOf(name === 'last' ? FINAL_CHECKPOINT : name);
  if (name === 'last' && !existsSync(file)) {
    const { state } = findState(checkpointsOf(folder), join(folder, 'metrics.jsonl'));
    if (state !== undefined) {
      const { tensors, position } = state.snapshot;
      const weights = [...tensors].filter(([key]) => key.startsWith('weights/'));
      const named = new Map(weights.map(([key, tensor]) => [key.slice('weights/'.length), tensor]));
      return { file: state.file, step: position.step, tensors: named, metadata: undefined };
    }
  } else if (!existsSync(file)) {
    const names = namesIn(checkpointsOf(folder));
    const there = names.length === 0 ? 'none' : names.join(', ');
    throw new CheckpointError(file, 'missing', 'a checkpoint of the run', `no such file`, `There are: ${there}.`);
  }
  const { tensors, metadata } = decodeCheckpoint(await readOf(file), file);
  return { file, step: metadata.step, tensors, metadata };
}

/** A run's network with its trained weights; the caller disposes of the model. */
export interface RunModel {
  readonly model: LayersModel;
  /** See {@link RunCheckpoint}. */
  readonly metadata: CheckpointMetadata | undefined;
  readonly step: number;
  /** Where the weights came from. */
  readonly file: string;
  /** The run's `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** Makes the network of a run, with any weights, from what checkpoint and `config.json` say of it. */
export type CreateNetwork = (
  metadata: CheckpointMetadata | undefined,
  config: RunModel['config'],
) => LayersModel | Promise<LayersModel>;

/**
 * Rebuilds the network of a run folder: `create` makes it, and the weights of a checkpoint are put in, see
 * {@link readRunCheckpoint}. Throws {@link CheckpointError} for files that are missing or of another network, the
 * DataFormatError of `@polder/data` for a damaged checkpoint, and what `create` throws.
 */
export async function loadRunModel(folder: string, create: CreateNetwork, checkpoint?: string): Promise<RunModel> {
  const config = readConfig(join(folder, 'config.json'), await readOf(join(folder, 'config.json')));
  const { file, step, tensors, metadata } = await readRunCheckpoint(folder, checkpoint);
  const model = await create(metadata, config);
  try {
    assignCheckpoint(model, { tensors }, file);
  } catch (error) {
    model.dispose();
    throw error;
  }
  return { model, metadata, step, file, config };
}

function namesIn(folder: string): readonly string[] {
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return files.flatMap((name) => /^(?!state-)(.+)\.safetensors$/.exec(name)?.[1] ?? []).sort();
}

function readConfig(file: string, bytes: Uint8Array): RunModel['config'] {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new CheckpointError(file, 'config', 'a JSON object', (error as Error).message, 'Train again.');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as RunModel['config'];
  throw new CheckpointError(file, 'config', 'a JSON object', JSON.stringify(value).slice(0, 60), 'Train again.');
}

async function readOf(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const advice = 'Is this the folder of a run that was trained to its end by this version?';
    throw new CheckpointError(file, 'missing', 'a readable file', code ?? message, advice, { cause: error });
  }
}
