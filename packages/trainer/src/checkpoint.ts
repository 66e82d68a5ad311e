import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { floatTensor, parseSafetensors, writeSafetensors, type SafeTensor } from '@polder/data';
import { CheckpointError } from './errors.js';
import { toDevice } from './host-tensors.js';
import { weightsOf } from './weights.js';

/** What a checkpoint is of: enough to build its network again. */
export interface CheckpointMetadata {
  /** Id of the network. */
  readonly model: string;
  readonly classes: number;
  /** [height, width, channels] */
  readonly inputShape: readonly number[];
  readonly seed: number;
  /** Steps taken. */
  readonly step: number;
}

/** A checkpoint as read: weights by layer and weight name (`layer1/0/conv1/kernel`), moving statistics among them. */
export interface Checkpoint {
  readonly metadata: CheckpointMetadata;
  readonly tensors: ReadonlyMap<string, SafeTensor>;
}

/** Of what `metadata` and the names of tensors mean; a reader refuses others. */
const VERSION = '1';

/**
 * All weights of a model, as the bytes of a safetensors file; `others` by name instead of the model's own, such as
 * averages of them. The same weights give the same bytes.
 */
export async function encodeCheckpoint(
  model: LayersModel,
  metadata: CheckpointMetadata,
  others: Readonly<Record<string, tf.Tensor>> = {},
): Promise<Uint8Array> {
  const { model: id, classes, inputShape, seed, step } = metadata;
  const tensors = Array.from(weightsOf(model), async ([name, variable]) => {
    return [name, floatTensor(variable.shape, Float32Array.from(await (others[name] ?? variable).data()))] as const;
  });
  return writeSafetensors(await Promise.all(tensors), {
    format: 'polder-checkpoint',
    version: VERSION,
    model: id,
    classes: String(classes),
    inputShape: JSON.stringify(inputShape),
    seed: String(seed),
    step: String(step),
  });
}

/**
 * Reads what {@link encodeCheckpoint} wrote. `file` names it in errors. Throws the DataFormatError of `@polder/data` for
 * bytes that are no safetensors file, and {@link CheckpointError} for one that is no checkpoint of this version.
 */
export function decodeCheckpoint(bytes: Uint8Array, file: string): Checkpoint {
  const { tensors, metadata } = parseSafetensors(bytes, file);
  if (metadata['format'] !== 'polder-checkpoint' || metadata['version'] !== VERSION) {
    throw new CheckpointError(
      file,
      'metadata',
      `a polder-checkpoint of version ${VERSION}`,
      `format ${metadata['format'] ?? 'none'}, version ${metadata['version'] ?? 'none'}`,
      'Train again with this version, or read the file with the one that wrote it.',
    );
  }
  const read = (key: string): unknown => {
    try {
      return JSON.parse(metadata[key] ?? '') as unknown;
    } catch {
      return undefined;
    }
  };
  const count = (key: string, least: number): number => {
    const value = read(key);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
    throw new CheckpointError(file, 'metadata', `"${key}" of at least ${least}`, String(metadata[key]), REWRITE);
  };
  const inputShape = read('inputShape');
  const isShape = Array.isArray(inputShape) && inputShape.every((size) => Number.isSafeInteger(size) && size > 0);
  if (!isShape) {
    throw new CheckpointError(file, 'metadata', '"inputShape" of sizes', String(metadata['inputShape']), REWRITE);
  }
  return {
    metadata: {
      model: metadata['model'] ?? '',
      classes: count('classes', 1),
      inputShape: inputShape as number[],
      seed: count('seed', 0),
      step: count('step', 0),
    },
    tensors,
  };
}

/**
 * Sets all weights of a model from a checkpoint. Names, types and shapes are checked before a weight is touched. Throws
 * {@link CheckpointError} for weights of another network.
 */
export function assignCheckpoint(model: LayersModel, { tensors }: Pick<Checkpoint, 'tensors'>, file: string): void {
  const slots = weightsOf(model);
  const problems = [
    ...Array.from(slots).flatMap(([name, variable]) => misfit(name, tensors.get(name), variable.shape)),
    ...[...tensors.keys()].filter((name) => !slots.has(name)).map((name) => `${name} is not in the network`),
  ];
  if (problems.length > 0) {
    const shown = problems.slice(0, 3).join('; ') + (problems.length > 3 ? `; and ${problems.length - 3} more` : '');
    const expected = `the ${slots.size} weights of the network "${model.name}"`;
    throw new CheckpointError(file, 'weights', expected, shown, 'Use the weights with the network they are of.');
  }
  for (const [name, variable] of slots) {
    tf.tidy(() => variable.assign(toDevice(tensors.get(name)!) as tf.Tensor));
  }
}

function misfit(name: string, tensor: SafeTensor | undefined, shape: readonly number[]): readonly string[] {
  if (tensor === undefined) return [`${name} is missing`];
  const expected = `F32 [${shape.join(', ')}]`;
  const received = `${tensor.dtype} [${tensor.shape.join(', ')}]`;
  return received === expected ? [] : [`${name} is ${received} instead of ${expected}`];
}

const REWRITE = 'The file is damaged: train again.';
