import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { loadModelFile } from '@polder/trainer/node';
import { UsageError } from './failure.js';
import { openRunModel } from './run-model.js';
import type { GivenSettings } from './settings.js';

/** What is measured: a model, and what is known of how it was trained. */
export interface DiagnoseTarget {
  readonly title: string;
  readonly model: LayersModel;
  readonly outputs: 'logits' | 'probabilities';
  /** The run's settings; none of a model file. */
  readonly settings: GivenSettings;
  /** Steps of training, of a run. */
  readonly step?: number;
}

/** Whether the path is a run folder or a model file. Throws {@link UsageError} when it can be neither. */
export function kindOfTarget(path: string): 'run' | 'model' {
  if (!existsSync(path)) throw new UsageError(`${path}: there is no such file or folder. Name a run or a model.json.`);
  if (!statSync(path).isDirectory()) return 'model';
  if (existsSync(join(path, 'comparison.json')))
    throw new UsageError(`${path} is a comparison. Name one of the runs in it, such as ${join(path, 'sam')}.`);
  if (existsSync(join(path, 'metrics.jsonl'))) return 'run';
  const inside = existsSync(join(path, 'model.json')) ? ` Did you mean ${join(path, 'model.json')}?` : '';
  throw new UsageError(`${path} is no run folder (a run has a metrics.jsonl).${inside}`);
}

/** Loads a run's network as training left it. */
export async function openRun(folder: string): Promise<DiagnoseTarget> {
  const { model, settings, step } = await openRunModel(folder);
  const title = `${settings.model ?? 'network'} with ${settings.policy ?? 'none'}, step ${step}`;
  return { title, model, outputs: 'logits', settings, step };
}

/** Loads any `tf.LayersModel`. What its outputs are is told by its last layer, unless said. */
export async function openModelFile(file: string, outputs?: DiagnoseTarget['outputs']): Promise<DiagnoseTarget> {
  const model = await loadModelFile(file);
  return { title: file, model, outputs: outputs ?? (endsInSoftmax(model) ? 'probabilities' : 'logits'), settings: {} };
}

function endsInSoftmax({ layers }: LayersModel): boolean {
  const last = layers.at(-1);
  return last?.getClassName() === 'Softmax' || last?.getConfig()['activation'] === 'softmax';
}

/** Throws {@link UsageError} for a model that does not take these images, or does not give these classes. */
export function checkFits({ model, title }: DiagnoseTarget, shape: readonly number[], classes: number): void {
  const { inputs, outputs } = model;
  const taken = inputs[0]!.shape.slice(1);
  const given = outputs[0]!.shape.slice(1);
  const sizes = (values: readonly (number | null)[]): string => `[${values.map((n) => n ?? 'any').join(', ')}]`;
  const takes = taken.length === shape.length && taken.every((size, i) => size === null || size === shape[i]);
  if (inputs.length === 1 && outputs.length === 1 && takes && given.length === 1 && given[0] === classes) return;
  throw new UsageError(
    `${title} takes ${inputs.map((input) => sizes(input.shape.slice(1))).join(', ')} and gives ` +
      `${outputs.map((output) => sizes(output.shape.slice(1))).join(', ')}; the data are images of ${sizes(shape)} ` +
      `in ${classes} classes. Choose other data with --data.`,
  );
}
