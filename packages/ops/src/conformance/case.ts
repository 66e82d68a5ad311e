import * as tf from '@tensorflow/tfjs-core';
import * as reference from './reference.js';

/**
 * One row of the table. `run` rejects with an error that says what deviates by how much. It awaits what it reads: WebGPU
 * has no other way.
 */
export interface OpCase {
  readonly name: string;
  readonly run: () => Promise<void>;
}

export interface Input {
  readonly shape: readonly number[];
  readonly values: Float64Array;
  readonly dtype?: 'int32';
}

export type Tensors = Readonly<Record<string, tf.Tensor>>;
export type Values = Readonly<Record<string, Float64Array>>;

export interface Row {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Input>>;
  /** All outputs that are compared; the gradient is the first one's. */
  readonly op: (t: Tensors) => readonly tf.Tensor[];
  readonly forward: (v: Values) => readonly Float64Array[];
  /** Analytic gradients by plain loops; central differences of `forward` when absent. */
  readonly backward?: (v: Values, dy: Float64Array) => Values;
}

const TOLERANCE = 2e-5;

/** Runs a row, forward and backward. */
export async function checkRow(row: Row): Promise<void> {
  const before = tf.memory().numTensors;
  const names = Object.keys(row.inputs);
  const floats = names.filter((name) => row.inputs[name]!.dtype === undefined);
  const values = Object.fromEntries(names.map((name) => [name, row.inputs[name]!.values]));
  const tensors = Object.fromEntries(names.map((name) => [name, toTensor(row.inputs[name]!)]));
  const outputs = row.op(tensors);
  const expected = row.forward(values);
  for (const [i, output] of outputs.entries()) compare(`output ${i}`, await output.data(), expected[i]!);
  tf.dispose([...outputs]);
  const dy = normals(expected[0]!.length, 99);
  const slopes = row.backward?.(values, dy) ?? reference.differences((v) => row.forward(v)[0]!, values, floats, dy);
  const gradients = tf.tidy(() => {
    const loss = (...xs: tf.Tensor[]): tf.Scalar => {
      const named = Object.fromEntries(floats.map((name, i) => [name, xs[i]!]));
      const [y] = row.op({ ...tensors, ...named });
      return tf.sum(tf.mul(y!, tf.tensor(Float32Array.from(dy), y!.shape)));
    };
    return tf.grads(loss)(floats.map((name) => tensors[name]!));
  });
  for (const [i, name] of floats.entries()) compare(`gradient of ${name}`, await gradients[i]!.data(), slopes[name]!);
  tf.dispose([tensors, gradients]);
  const left = tf.memory().numTensors - before;
  if (left !== 0) throw new Error(`${left} tensors left behind`);
}

function compare(what: string, actual: ArrayLike<number>, expected: Float64Array): void {
  if (actual.length !== expected.length)
    throw new Error(`${what}: ${actual.length} numbers where ${expected.length} are expected`);
  const scale = expected.reduce((m, v) => (Number.isNaN(v) ? m : Math.max(m, Math.abs(v))), 1e-3);
  let [worst, at] = [0, -1];
  expected.forEach((v, i) => {
    if (Number.isNaN(v)) return; // not differentiated, see differences
    const deviation = Math.abs(v - actual[i]!) / scale;
    if (!(deviation <= worst)) [worst, at] = [deviation, i];
  });
  if (!(worst <= TOLERANCE)) {
    throw new Error(
      `${what} deviates by ${worst} of its largest value: at ${at}, ${actual[at]} instead of ${expected[at]}`,
    );
  }
}

// ---- inputs

export function list(numbers: readonly number[]): string {
  return `[${numbers.join(', ')}]`;
}

export function input(shape: readonly number[], seed: number, mean = 0, deviation = 1): Input {
  const size = shape.reduce((a, b) => a * b, 1);
  return { shape, values: normals(size, seed).map((v) => Math.fround(mean + deviation * v)) };
}

/** Numbers like normal ones (sums of 12 uniforms), the same for the same seed, exact in float32. */
export function normals(size: number, seed: number): Float64Array {
  let state = seed * 2654435761;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float64Array.from({ length: size }, () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += uniform();
    return Math.fround(sum);
  });
}

function toTensor({ shape, values, dtype }: Input): tf.Tensor {
  return tf.tensor(
    dtype === 'int32' ? Int32Array.from(values) : Float32Array.from(values),
    [...shape],
    dtype ?? 'float32',
  );
}
