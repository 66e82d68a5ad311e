import {
  denseMatrix,
  losses,
  type Batch,
  type OperatorTarget,
  type ParamVector,
  type PredictionTarget,
  type RunOptions,
} from '@polder/diagnostics';
import * as tf from '@tensorflow/tfjs-core';
import type { HessianGolden, NamedData, ShapedData } from './hessian-golden.js';
import type { Network } from './hessian-networks.js';

/** Exhaustive measurements of small networks: no budget, no self-check between the many calls, no yielding. */
export const RUN: RunOptions = {
  maxGradEvals: Number.POSITIVE_INFINITY,
  hvp: 'exact',
  selfCheck: false,
  yieldEveryMs: 1000,
};

/** A golden network as a target of @polder/diagnostics. */
export interface HessianReplay {
  readonly golden: HessianGolden;
  readonly target: PredictionTarget;
  readonly batch: Batch;
  readonly logits: () => tf.Tensor;
}

/** Builds the network of a golden file from plain tensors, for the time of `body`. */
export const withHessianTarget = async <T>(
  golden: HessianGolden,
  network: Network,
  body: (replay: HessianReplay) => Promise<T>,
): Promise<T> => {
  const tensor = ({ data, shape }: ShapedData): tf.Tensor => tf.tensor(data, shape, 'float32');
  const params = golden.params.map(tensor);
  const names = golden.params.map((p) => p.name);
  const constants = golden.constants.map(tensor);
  const xs = tensor(golden.inputs);
  const ys = tf.tensor1d([...golden.labels], 'int32');
  const settings = {
    constants: Object.fromEntries(golden.constants.map((c: NamedData, i) => [c.name, constants[i]!])),
    ...golden.conventions,
  };
  const predict = (weights: readonly tf.Tensor[], { xs: inputs }: Batch): tf.Tensor =>
    network(Object.fromEntries(names.map((name, i) => [name, weights[i]!])), inputs as tf.Tensor, settings);
  const batch: Batch = { xs, ys };
  const target: PredictionTarget = {
    predict,
    loss: (logits, { ys: labels }) => losses.sparseSoftmaxCrossEntropy(labels as tf.Tensor, logits),
    params,
    names,
    data: batch,
  };
  try {
    return await body({ golden, target, batch, logits: () => tf.tidy(() => predict(params, batch)) });
  } finally {
    tf.dispose([...params, ...constants, xs, ys]);
  }
};

/** A flat golden vector as tensors of the parameters' shapes, for the time of `body`. */
export const withVectors = async <T>(
  { golden }: HessianReplay,
  flats: readonly ArrayLike<number>[],
  body: (vectors: readonly ParamVector[]) => Promise<T>,
): Promise<T> => {
  const vectors = flats.map((flat) => {
    let offset = 0;
    return golden.params.map(({ data, shape }) => {
      const part = Array.prototype.slice.call(flat, offset, offset + data.length) as number[];
      offset += data.length;
      return tf.tensor(part, shape, 'float32');
    });
  });
  try {
    return await body(vectors);
  } finally {
    tf.dispose(vectors);
  }
};

/** Reads a parameter vector as one flat list, and frees it. */
export const flatten = async (vector: ParamVector): Promise<number[]> => {
  const parts = await Promise.all(vector.map(async (t) => t.data()));
  tf.dispose([...vector]);
  return parts.flatMap((part) => [...part]);
};

/** The Hessian of a target on the golden's parameters, whole. */
export const dense = async (target: PredictionTarget): Promise<number[][]> =>
  (await denseMatrix(target, RUN)).map((row) => [...row]);

/** A dense matrix as an operator of its own. */
export const operatorOf = (rows: readonly (readonly number[])[]): OperatorTarget => ({
  size: rows.length,
  multiply: (v) => Float64Array.from(rows, (row) => row.reduce((sum, x, k) => sum + x * v[k]!, 0)),
});
