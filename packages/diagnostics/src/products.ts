import * as tf from '@tensorflow/tfjs-core';
import { InvalidTargetError } from './errors.js';
import type { Problem } from './problem.js';
import { recordGradient, type RecordedGradient } from './second-order/recorded-gradient.js';
import { withSecondOrder } from './second-order/scope.js';
import type { Batch, ParamVector } from './target.js';

export type OperatorName = 'hessian' | 'gauss-newton' | 'empirical-fisher';

/** Gradient evaluations a product costs: a first Hessian product measured 2.5 on a small convolutional network. */
export const productCost: Readonly<Record<OperatorName, number>> = {
  hessian: 2.5,
  'gauss-newton': 3,
  'empirical-fisher': 3,
};

/** A Hessian product whose gradient is recorded already. */
export const FURTHER_PRODUCT_COST = 1.75;

type Tensors = readonly tf.Tensor[];

/** Derivatives of `f` along each of `xs`; zeros where `f` does not depend on one. `dy` weighs a non-scalar `f`. */
const derivatives = (f: () => tf.Tensor, xs: Tensors, dy?: tf.Tensor): { value: tf.Tensor; grads: tf.Tensor[] } => {
  const { value, grads } = tf.engine().gradients(f, xs as tf.Tensor[], dy, true);
  return { value, grads: xs.map((x, i) => grads[i] ?? tf.zeros(x.shape, 'float32')) };
};

const inner = (a: Tensors, b: Tensors): tf.Tensor =>
  a.map((x, i) => tf.sum(tf.mul(x, b[i]!))).reduce((sum, term) => tf.add(sum, term));

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

/** The product of the chosen operator, on one batch, with `v`. */
export const product = (problem: Problem, operator: OperatorName, batch: Batch, v: Tensors): tf.Tensor[] => {
  if (operator === 'hessian') {
    const linear = linearise(problem, batch);
    try {
      return linear.product(v);
    } finally {
      linear.dispose();
    }
  }
  return untouched(problem, () =>
    problem.at(null, (params) =>
      operator === 'empirical-fisher'
        ? fisherProduct(problem, params, batch, v)
        : gaussNewtonProduct(problem, params, batch, v),
    ),
  );
};

/**
 * The gradient of one batch where the parameters are, recorded for products with its Hessian: back-propagation through
 * back-propagation (Pearlmutter 1994). The caller disposes it.
 */
export const linearise = (problem: Problem, batch: Batch): RecordedGradient => {
  const recorded = untouched(problem, () =>
    problem.at(null, (params) =>
      recordGradient(() => derivatives(() => meanLoss(problem, params, batch), params).grads, params),
    ),
  );
  return { ...recorded, product: (v) => withSecondOrder(() => recorded.product(v)) };
};

/**
 * Jacobian times v without forward mode: u ↦ Jᵀu is linear, and the derivative of (Jᵀu)·v along u is Jv.
 * (The double-backward trick; the value of u does not matter.)
 */
const jacobianProduct = (f: () => tf.Tensor, params: Tensors, v: Tensors): tf.Tensor => {
  const u = tf.ones(f().shape, 'float32');
  return derivatives(() => inner(derivatives(f, params, u).grads, v), [u]).grads[0]!;
};

/** Jᵀ H_out J v, averaged as the loss is (Schraudolph 2002). */
const gaussNewtonProduct = (problem: Problem, params: Tensors, batch: Batch, v: Tensors): tf.Tensor[] => {
  const { halves } = problem;
  if (halves === undefined) {
    throw new InvalidTargetError(
      'a target in two halves: { predict, loss, params } or { model }',
      'a loss closure',
      "operator: 'gauss-newton' must know the predictions.",
    );
  }
  const predict = (): tf.Tensor => halves.predict(params, batch);
  const tangent = jacobianProduct(predict, params, v);
  const prediction = predict();
  const outer = (): tf.Tensor => {
    const losses = halves.lossesOf(prediction, batch);
    return losses.rank === 0 ? losses : tf.mean(losses);
  };
  const curved = derivatives(() => inner(derivatives(outer, [prediction]).grads, [tangent]), [prediction]).grads[0]!;
  const { grads } = derivatives(predict, params, curved);
  return problem.l2 === 0 ? grads : grads.map((g, i) => tf.add(g, tf.mul(problem.l2, v[i]!)));
};

/** (1/B) Σᵢ gᵢ gᵢᵀ v, with gᵢ the gradient of example i: the Jacobian of the losses, twice. */
const fisherProduct = (problem: Problem, params: Tensors, batch: Batch, v: Tensors): tf.Tensor[] => {
  const losses = (): tf.Tensor => perExample(problem.losses(params, batch));
  const along = jacobianProduct(losses, params, v);
  return derivatives(losses, params, tf.div(along, along.size)).grads;
};
