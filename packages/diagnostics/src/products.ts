import * as tf from '@tensorflow/tfjs-core';
import { InvalidTargetError } from './errors.js';
import type { Problem } from './problem.js';
import { recordTape, type RecordedTape } from './second-order/recorded-tape.js';
import { withSecondOrder } from './second-order/scope.js';
import type { Batch, ParamVector } from './target.js';

export type OperatorName = 'hessian' | 'gauss-newton' | 'empirical-fisher';

/** Gradient evaluations that a first product costs, measured on small convolutional networks. */
export const productCost: Readonly<Record<OperatorName, number>> = {
  hessian: 2.5,
  'gauss-newton': 2,
  'empirical-fisher': 2,
};

/** The same of a further product, whose tape is recorded already. */
export const furtherCost: Readonly<Record<OperatorName, number>> = {
  hessian: 1.75,
  'gauss-newton': 1,
  'empirical-fisher': 1,
};

type Tensors = readonly tf.Tensor[];

/** Derivatives of `f` along each of `xs`; zeros where `f` does not depend on one. `dy` weighs a non-scalar `f`. */
const derivatives = (f: () => tf.Tensor, xs: Tensors, dy?: tf.Tensor): { value: tf.Tensor; grads: tf.Tensor[] } => {
  const { value, grads } = tf.engine().gradients(f, xs as tf.Tensor[], dy, true);
  return { value, grads: xs.map((x, i) => grads[i] ?? tf.zeros(x.shape, 'float32')) };
};

/** Per-example losses [B]: the mean over every axis but the first. */
const perExample = (losses: tf.Tensor): tf.Tensor => {
  if (losses.rank === 0) {
    throw new InvalidTargetError(
      'a loss that returns one value per example, [B]',
      'a scalar',
      "operator: 'empirical-fisher' needs the examples' own losses: return them without the mean.",
    );
  }
  return losses.rank === 1 ? losses : tf.mean(tf.reshape(losses, [losses.shape[0], -1]), 1);
};

const penalty = (problem: Problem, params: Tensors): tf.Tensor =>
  tf.mul(
    0.5 * problem.l2,
    params.map((p) => tf.sum(tf.square(p))).reduce((a, b) => tf.add(a, b)),
  );

const meanLoss = (problem: Problem, params: Tensors, batch: Batch): tf.Tensor => {
  const losses = problem.losses(params, batch);
  if (!(losses instanceof tf.Tensor)) {
    throw new InvalidTargetError(
      'a loss that returns a tensor synchronously',
      typeof losses === 'object' ? 'a promise or a plain object' : typeof losses,
      'Return a scalar, or one value per example; read nothing back inside it.',
    );
  }
  const mean = losses.rank === 0 ? losses : tf.mean(losses);
  return problem.l2 === 0 ? mean : tf.add(mean, penalty(problem, params));
};

/**
 * Runs `body` so that no trace is left: within the second-order scope, intermediate tensors freed, and every
 * non-trainable variable that changed meanwhile (moving statistics: a forward pass in training mode writes them) put
 * back bit for bit. The parameters are moved only by `at`, which puts them back itself.
 */
const untouched = <T>(problem: Problem, body: () => T): T => {
  const own = new Set<tf.Tensor>(problem.params);
  const others = Object.values(tf.engine().state.registeredVariables).filter((v) => !v.trainable && !own.has(v));
  const before = others.map((v) => ({ variable: v, dataId: v.dataId, copy: tf.keep(tf.clone(v)) }));
  try {
    return withSecondOrder(() => tf.tidy(body as () => tf.TensorContainer) as T);
  } finally {
    for (const { variable, dataId, copy } of before) {
      if (variable.dataId !== dataId) variable.assign(copy);
      copy.dispose();
    }
  }
};

/** Loss of one batch, a scalar, at `point` (null: where the parameters are). */
export const lossAt = (problem: Problem, batch: Batch, point: ParamVector | null): tf.Tensor =>
  untouched(problem, () => problem.at(point, (params) => meanLoss(problem, params, batch)));

/** Loss and gradient of one batch. */
export const gradientAt = (
  problem: Problem,
  batch: Batch,
  point: ParamVector | null,
): { value: tf.Tensor; grads: tf.Tensor[] } =>
  untouched(problem, () => problem.at(point, (params) => derivatives(() => meanLoss(problem, params, batch), params)));

/** A curvature operator of one batch where the parameters are: products share what does not depend on the vector. */
export interface Linearised {
  /** Bytes held between products. */
  readonly bytes: number;
  readonly product: (v: Tensors) => tf.Tensor[];
  readonly dispose: () => void;
}

/** The chosen operator of one batch, for any number of products. The caller disposes it. */
export const linearise = (problem: Problem, operator: OperatorName, batch: Batch): Linearised => {
  const made = untouched(problem, () =>
    problem.at(null, (params) => {
      if (operator === 'hessian') return hessian(problem, params, batch);
      return operator === 'gauss-newton' ? gaussNewton(problem, params, batch) : fisher(problem, params, batch);
    }),
  );
  return { ...made, product: (v) => withSecondOrder(() => tf.tidy(() => made.product(v))) };
};

/** One product of the chosen operator, on one batch. */
export const product = (problem: Problem, operator: OperatorName, batch: Batch, v: Tensors): tf.Tensor[] => {
  const linear = linearise(problem, operator, batch);
  try {
    return linear.product(v);
  } finally {
    linear.dispose();
  }
};

/** Back-propagation through back-propagation (Pearlmutter 1994): a pass back along the tape of the gradient. */
const hessian = (problem: Problem, params: Tensors, batch: Batch): Linearised => {
  const tape = recordTape(() => [
    { of: derivatives(() => meanLoss(problem, params, batch), params).grads, along: params },
  ]);
  return { ...tape, product: tape.pullbacks[0]! };
};

/**
 * Jᵀ M J v for the Jacobian J of f(params). Without forward mode: u ↦ Jᵀu is linear, its transpose is v ↦ Jv (the
 * double-backward trick; the value of u does not matter), and both are passes back along one tape.
 */
const sandwich = (f: () => tf.Tensor, params: Tensors, middleOf: (value: tf.Tensor) => Linearised): Linearised => {
  let tape: RecordedTape | undefined;
  let value: tf.Tensor | undefined;
  const free = (): void => {
    tape?.dispose();
    value?.dispose();
  };
  try {
    const recorded = (tape = recordTape(() => {
      // A clone, which is ours to keep: `f` may give back a tensor of the caller's.
      const y = (value = tf.keep(tf.clone(f())));
      const u = tf.ones(y.shape, 'float32');
      return [
        { of: derivatives(() => y, params, u).grads, along: [u] },
        { of: [y], along: params },
      ];
    }));
    const middle = middleOf(value!);
    return {
      bytes: recorded.bytes + middle.bytes,
      product: (v) => recorded.pullbacks[1]!(middle.product(recorded.pullbacks[0]!(v))),
      dispose: () => {
        middle.dispose();
        free();
      },
    };
  } catch (error) {
    free();
    throw error;
  }
};

/** Jᵀ H_out J v, averaged as the loss is (Schraudolph 2002). */
const gaussNewton = (problem: Problem, params: Tensors, batch: Batch): Linearised => {
  const { halves, l2 } = problem;
  if (halves === undefined) {
    throw new InvalidTargetError(
      'a target in two halves: { predict, loss, params } or { model }',
      'a loss closure',
      "operator: 'gauss-newton' must know the predictions.",
    );
  }
  const outerOf = (prediction: tf.Tensor): Linearised => {
    const outer = (): tf.Tensor => {
      const losses = halves.lossesOf(prediction, batch);
      return losses.rank === 0 ? losses : tf.mean(losses);
    };
    const tape = recordTape(() => [{ of: derivatives(outer, [prediction]).grads, along: [prediction] }]);
    return { ...tape, product: tape.pullbacks[0]! };
  };
  const jhj = sandwich(() => halves.predict(params, batch), params, outerOf);
  if (l2 === 0) return jhj;
  return { ...jhj, product: (v) => jhj.product(v).map((g, i) => tf.add(g, tf.mul(l2, v[i]!))) };
};

/** (1/B) Σᵢ gᵢ gᵢᵀ v, with gᵢ the gradient of example i: the Jacobian of the losses, twice. */
const fisher = (problem: Problem, params: Tensors, batch: Batch): Linearised => {
  const mean: Linearised = { bytes: 0, product: ([along]) => [tf.div(along!, along!.size)], dispose: () => undefined };
  return sandwich(
    () => perExample(problem.losses(params, batch)),
    params,
    () => mean,
  );
};
