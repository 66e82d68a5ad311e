import type { LayersModel } from '@tensorflow/tfjs-layers';
import { TrainerError } from './errors.js';

/** A model that cannot be trained or evaluated as a classifier of the data at hand. */
export class ClassifierError extends TrainerError {
  override readonly name = 'ClassifierError';
  readonly model: string;
  readonly expected: string;
  readonly received: string;

  constructor(model: string, expected: string, received: string, advice: string) {
    super(`${model}: expected ${expected}, got ${received}. ${advice}`);
    this.model = model;
    this.expected = expected;
    this.received = received;
  }
}

/** What a classifier is given and what it must tell apart. */
export interface ClassifierData {
  /** [height, width, channels] */
  readonly shape: readonly number[];
  readonly classes: number;
}

/**
 * Throws {@link ClassifierError} unless the model takes one image of this shape (a size that it leaves open fits any) and
 * gives one number for each class. `title` names it in the message.
 */
export function checkClassifier(
  { inputs, outputs }: LayersModel,
  { shape, classes }: ClassifierData,
  title: string,
): void {
  const taken = inputs.map((input) => input.shape.slice(1));
  const given = outputs.map((output) => output.shape.slice(1));
  const [only] = taken;
  const takes = only?.length === shape.length && only.every((size, i) => size === null || size === shape[i]);
  const gives = given[0]?.length === 1 && given[0][0] === classes;
  if (taken.length === 1 && given.length === 1 && takes && gives) return;
  throw new ClassifierError(
    title,
    `a model from images ${sizes(shape)} to ${classes} classes, as the data are`,
    `one from ${taken.map(sizes).join(', ')} to ${given.map(sizes).join(', ')}`,
    'Choose other data with --data, or change the model.',
  );
}

function sizes(values: readonly (number | null)[]): string {
  return `[${values.map((size) => size ?? 'any').join(', ')}]`;
}
