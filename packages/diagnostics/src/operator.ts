import * as tf from '@tensorflow/tfjs-core';
import { averageGradient, averageVector } from './average.js';
import { InvalidTargetError, NonFiniteError, SecondOrderUnsupportedError } from './errors.js';
import { toFlat, toTensors } from './flat.js';
import { addScaled, norm, scaled, type HostVector } from './linear-algebra/vectors.js';
import { layOut, type Parameter } from './parameters.js';
import type { Problem } from './problem.js';
import { keepingTapes } from './kept-tapes.js';
import { furtherCost, productCost, type OperatorName } from './products.js';
import { problemOf } from './resolve.js';
import { checkDeterminism, checkSecondOrder, SELF_CHECK_COST } from './self-check.js';
import { createSession, type RunOptions, type Session } from './session.js';
import type { LossTarget, Target } from './target.js';

/** A symmetric operator on flat host vectors: the Hessian, Gauss-Newton or Fisher matrix of a target, or any other. */
export interface CurvatureOperator {
  readonly dimension: number;
  readonly parameters: readonly Parameter[];
  /** Gradient evaluations the next product costs. */
  readonly cost: number;
  readonly multiply: (v: HostVector) => Promise<Float64Array>;
  readonly hvp: 'exact' | 'finite-difference';
  /** Weight of the data a product averages over (the number of examples); known after the first product. */
  readonly numSamples: () => number;
  /** What the reader of a result must know. Grows while the operator is in use. */
  readonly notes: string[];
  /** Frees what is kept between products. */
  readonly close: () => void;
}

/** Whether the target is a bare operator. */
export const isOperator = (target: Target): target is Extract<Target, { multiply: unknown }> => 'multiply' in target;

/** @throws InvalidTargetError for a bare operator: it has no loss */
export const lossTarget = (target: Target, what: string): LossTarget => {
  if (!isOperator(target)) return target;
  throw new InvalidTargetError('a target with a loss', 'a bare operator', `${what} evaluates the loss.`);
};

/** Runs `body` with the operator asked for and a session of its own. @throws as {@link openOperator} */
export const withOperator = async <T>(
  target: Target,
  options: RunOptions,
  body: (operator: CurvatureOperator, session: Session) => Promise<T>,
): Promise<T> => {
  const session = createSession(options);
  const operator = await openOperator(target, options, session);
  try {
    return await body(operator, session);
  } finally {
    operator.close();
  }
};

/**
 * Opens the operator asked for: resolves the target, checks that its loss is deterministic and that its second
 * derivatives are right, and falls back to finite differences where `hvp` allows.
 *
 * @throws SecondOrderUnsupportedError, NonDeterministicLossError, NonFiniteError, InvalidTargetError
 */
const openOperator = async (target: Target, options: RunOptions, session: Session): Promise<CurvatureOperator> => {
  if (isOperator(target)) return hostOperator(target, session);
  const problem = problemOf(target);
  const name = options.operator ?? 'hessian';
  const notes: string[] = [];
  const mode = options.hvp ?? 'auto';
  if (mode === 'finite-difference') {
    requireHessian(name);
    return differenceOperator(problem, options, session, notes);
  }
  const trouble = options.selfCheck === false ? null : await examine(target, problem, options, session, notes);
  if (trouble !== null) {
    if (mode === 'exact' || name !== 'hessian') throw trouble;
    notes.push(`finite differences instead of exact products: suspects ${trouble.suspects.join(', ')}`);
    return differenceOperator(problem, options, session, notes);
  }
  return exactOperator(problem, name, options, session, notes);
};

const requireHessian = (name: OperatorName): void => {
  if (name === 'hessian') return;
  throw new InvalidTargetError(
    "operator: 'hessian' with finite differences",
    `operator: '${name}'`,
    'Gauss-Newton and Fisher products are exact only.',
  );
};

const hostOperator = (target: Extract<Target, { multiply: unknown }>, session: Session): CurvatureOperator => {
  const shape = { shape: [target.size], size: target.size };
  return {
    dimension: target.size,
    parameters: layOut([shape], ['operator']),
    cost: 1,
    multiply: async (v) => {
      const result = await target.multiply(Float64Array.from(v));
      await session.spend(1);
      return result;
    },
    hvp: 'exact',
    numSamples: () => 0,
    notes: [],
    close: () => undefined,
  };
};

/** Targets that passed, with what there was to say: the check runs once per target, not once per measurement. */
const examined = new WeakMap<LossTarget, { trouble: SecondOrderUnsupportedError | null; notes: readonly string[] }>();

const examine = async (
  target: LossTarget,
  problem: Problem,
  options: RunOptions,
  session: Session,
  notes: string[],
): Promise<SecondOrderUnsupportedError | null> => {
  const known = examined.get(target);
  if (known !== undefined) {
    notes.push(...known.notes);
    return known.trouble;
  }
  const share = Array.isArray(target.data) ? 1 / target.data.length : 1;
  await session.spend(share * (await checkDeterminism(problem)));
  let trouble: SecondOrderUnsupportedError | null = null;
  const said: string[] = [];
  try {
    const { verdict, deviation, suspects } = await checkSecondOrder(problem, options.seed ?? 0);
    if (verdict === 'differs') trouble = new SecondOrderUnsupportedError(suspects, deviation);
    if (verdict === 'inconclusive') {
      said.push('self-check inconclusive: differences of gradients do not settle (float32 noise or a rough loss)');
    }
  } catch (error) {
    trouble = asUnsupported(error);
  }
  await session.spend(share * SELF_CHECK_COST);
  session.report({ phase: 'self-check', done: 1, of: 1 });
  examined.set(target, { trouble, notes: said });
  notes.push(...said);
  return trouble;
};

/** tfjs names the kernel it cannot differentiate, or does not have; any other error is the caller's own. */
const asUnsupported = (error: unknown): SecondOrderUnsupportedError => {
  const message = error instanceof Error ? error.message : '';
  const name =
    /gradient function not found for (\w+)/.exec(message)?.[1] ??
    /Error in gradient for op (\w+)/.exec(message)?.[1] ??
    /Cannot find registered kernel '(\w+)'/i.exec(message)?.[1] ??
    /Kernel '(\w+)' not registered/i.exec(message)?.[1];
  if (name === undefined) throw error;
  return new SecondOrderUnsupportedError([name], null, { cause: error });
};

const exactOperator = (
  problem: Problem,
  name: OperatorName,
  { memoryLimitMB = 256 }: RunOptions,
  session: Session,
  notes: string[],
): CurvatureOperator => {
  let numSamples = 0;
  const tapes = keepingTapes(problem, name, memoryLimitMB * 1e6);
  const costOfNext = (): number => (tapes.complete() ? furtherCost : productCost)[name];
  return {
    dimension: problem.dimension,
    parameters: problem.parameters,
    get cost() {
      return costOfNext();
    },
    close: tapes.dispose,
    hvp: 'exact',
    numSamples: () => numSamples,
    notes,
    multiply: async (v) => {
      const tangent = toTensors(problem.parameters, v);
      const cost = costOfNext();
      try {
        const { vector, weight } = await averageVector(problem, session, 'the product', (batch, index) =>
          tapes.product(batch, index, tangent),
        );
        numSamples = weight;
        tapes.passDone();
        await session.spend(cost);
        return vector;
      } catch (error) {
        if (error instanceof Error && error.name === 'Error') throw asUnsupported(error);
        throw error;
      } finally {
        tf.dispose(tangent);
      }
    },
  };
};

const DIFFERENCE_COST = 2;

/**
 * Central differences of gradients, (∇L(w + εv) − ∇L(w − εv)) / 2ε, with ‖εv‖ = 1e-3·max(1, ‖w‖/10). The first product
 * is taken at a third of the step too: where the two disagree, the loss has kinks on this scale.
 */
const differenceOperator = async (
  problem: Problem,
  options: RunOptions,
  session: Session,
  notes: string[],
): Promise<CurvatureOperator> => {
  const weights = await toFlat(problem.parameters, problem.params);
  const step = options.fdStep ?? 1e-3 * Math.max(1, norm(weights) / 10);
  notes.push('finite differences: on ReLU and max-pool networks they include the kinks, which exact products do not');
  let numSamples = 0;
  let checked = false;
  const gradient = async (v: HostVector, scale: number): Promise<Float64Array> => {
    const point = Float64Array.from(weights);
    addScaled(point, scale, v);
    const tensors = toTensors(problem.parameters, point);
    try {
      const { vector, weight } = await averageGradient(problem, session, tensors);
      numSamples = weight;
      return vector;
    } finally {
      tf.dispose(tensors);
    }
  };
  const difference = async (v: HostVector, epsilon: number): Promise<Float64Array> => {
    const result = await gradient(v, epsilon);
    addScaled(result, -1, await gradient(v, -epsilon));
    return scaled(1 / (2 * epsilon), result);
  };
  return {
    dimension: problem.dimension,
    parameters: problem.parameters,
    cost: DIFFERENCE_COST,
    close: () => undefined,
    hvp: 'finite-difference',
    numSamples: () => numSamples,
    notes,
    multiply: async (v) => {
      const length = norm(v);
      if (length === 0) return new Float64Array(problem.dimension);
      if (!Number.isFinite(length)) throw new NonFiniteError('the vector to multiply');
      const result = await difference(v, step / length);
      if (!checked) {
        checked = true;
        const finer = await difference(v, step / 3 / length);
        addScaled(finer, -1, result);
        if (norm(finer) > 0.1 * norm(result)) {
          notes.push('finite differences at two step sizes differ by more than 10 %: the loss has kinks or noise here');
        }
      }
      return result;
    },
  };
};
