import * as tf from '@tensorflow/tfjs-core';
import { BackendUnavailableError, messageOf } from './errors.js';

/** A backend that has just become the current one. */
export interface Started {
  /** One line that says what it is. */
  readonly what: string;
  readonly threads: number;
}

/** Makes a registered backend the current one. Throws {@link BackendUnavailableError} when it does not initialise. */
export async function activate(name: string): Promise<void> {
  let started = false;
  let cause: unknown;
  try {
    started = await tf.setBackend(name);
  } catch (error) {
    cause = error;
  }
  if (!started)
    throw new BackendUnavailableError(
      name,
      cause === undefined ? 'it does not start on this machine' : messageOf(cause),
      'Take --backend auto, wasm or cpu.',
      { cause },
    );
  await tf.ready();
}

export function importAdvice(packageName: string): string {
  return `Install and import ${packageName} (4.22.0).`;
}
