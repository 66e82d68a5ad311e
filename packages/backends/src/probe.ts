import * as tf from '@tensorflow/tfjs-core';
import { messageOf } from './errors.js';
import { watchKernels, type MissingKernel } from './kernel-watch.js';

/** What {@link probe} needs of a model; every `tf.LayersModel` has it. */
export interface ProbedModel {
  readonly name: string;
  readonly inputs: readonly { readonly shape: readonly (number | null)[]; readonly dtype: tf.DataType }[];
  readonly layers: readonly object[];
  readonly trainableWeights: readonly object[];
  apply(inputs: tf.Tensor[], options: { training: boolean }): unknown;
}

/** What a step of training asks of a backend. */
export interface ProbeReport {
  readonly backend: string;
  /** Nothing is missing, nothing threw, and the loss and its gradients are finite. */
  readonly ok: boolean;
  /** The kernels that ran, by name, those that are missing included. */
  readonly kernels: readonly string[];
  /** Kernels that the backend lacks, in the order in which they were asked for. */
  readonly missing: readonly MissingKernel[];
  /** What went wrong beyond missing kernels. */
  readonly problem?: string;
}

/**
 * One forward and backward pass of a model over two made-up examples, in training mode, on the current backend: which
 * kernels does training need, and which of them are missing here? Where one is missing the cpu backend's stands in for
 * it, so that one probe finds them all. Leaves no tensors, and every variable as it was. Throws nothing of the backend's
 * or the model's: that is `problem`.
 */
export async function probe(model: ProbedModel): Promise<ProbeReport> {
  const backend = tf.getBackend();
  const before = new Map(Object.values(tf.engine().registeredVariables).map((v) => [v, v.clone()]));
  const watch = watchKernels(model);
  let sizes: tf.Tensor[] = [];
  let problem: string | undefined;
  try {
    sizes = tf.tidy(() => {
      const { value, grads } = tf.variableGrads(() => watch.forward(() => lossOf(model)), variablesOf(model));
      return [value, ...Object.values(grads).map((gradient) => tf.sum(tf.abs(gradient)))];
    });
    watch.stop();
    // Awaited, as WebGPU can be read no other way.
    const read = await Promise.all(sizes.map((size) => size.data()));
    if (watch.missing().length === 0 && !read.every(([number]) => Number.isFinite(number)))
      problem = 'the loss or a gradient is not finite';
  } catch (error) {
    freeTape();
    problem = messageOf(error);
  } finally {
    watch.stop();
    tf.dispose(sizes);
    for (const [variable, value] of before) {
      if (!variable.isDisposed) variable.assign(value);
      value.dispose();
    }
  }
  const missing = watch.missing();
  return {
    backend,
    ok: missing.length === 0 && problem === undefined,
    kernels: watch.kernels(),
    missing,
    ...(problem !== undefined && { problem }),
  };
}

const examples = 2;

function lossOf(model: ProbedModel): tf.Scalar {
  const inputs = model.inputs.map(({ shape, dtype }) => {
    const sizes = [examples, ...shape.slice(1).map((size) => size ?? 1)];
    // Integers are indices or token numbers: 0 is one everywhere.
    return dtype === 'float32' ? spread(sizes) : tf.zeros(sizes, dtype);
  });
  const outputs = [model.apply(inputs, { training: true })].flat() as tf.Tensor[];
  const losses = outputs.map((output) => tf.mean(tf.square(tf.cast(output, 'float32'))));
  return losses.reduce((sum, loss) => tf.add(sum, loss)) as tf.Scalar;
}

/** Numbers in (−1, 1) that differ from one another, the same each time. */
function spread(shape: number[]): tf.Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, (_, i) => Math.sin(i * 12.9898)),
    shape,
  );
}

function variablesOf({ trainableWeights }: ProbedModel): tf.Variable[] {
  // tf.layers keeps a weight's variable in `val`, which it does not type.
  return trainableWeights.map((weight) => (weight as { readonly val: tf.Variable }).val);
}

/** When a gradient throws, tfjs leaves on its tape what the operations so far had saved for the backward pass. */
function freeTape(): void {
  const { activeTape, gradientDepth } = tf.engine().state;
  if (gradientDepth > 0) return;
  for (const node of activeTape ?? []) tf.dispose((node as { saved?: tf.Tensor[] }).saved ?? []);
}
