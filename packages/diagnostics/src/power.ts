import { givenVector, toTensors } from './flat.js';
import { randomStream, rademacher } from './linear-algebra/random.js';
import { addScaled, dot, norm, scaled } from './linear-algebra/vectors.js';
import { withOperator, type CurvatureOperator } from './operator.js';
import type { Session } from './session.js';
import type { EigenOptions, LargestPair } from './spectrum.js';
import type { Target } from './target.js';

interface Pass {
  readonly value: number;
  readonly residual: number;
  readonly converged: boolean;
  readonly vector: Float64Array;
  readonly rayleigh: readonly number[];
  /** Largest |Hv| seen: a lower bound of the spectral radius. */
  readonly radius: number;
}

/**
 * Power iteration. It finds the eigenvalue of largest *magnitude*; where that turns out negative, or is not settled, a
 * second pass on H + σI, σ above the radius seen, finds the largest one. Stops on the residual, never on a small change.
 */
export const powerPair = async (target: Target, options: EigenOptions): Promise<LargestPair> =>
  withOperator(target, options, (operator, session) => power(operator, session, options));

const power = async (operator: CurvatureOperator, session: Session, options: EigenOptions): Promise<LargestPair> => {
  const start =
    options.start === undefined
      ? rademacher(operator.dimension, randomStream(options.seed ?? 0, 0))
      : await givenVector('start', operator.parameters, options.start);
  const maxSteps = options.maxSteps ?? 200;
  const tol = options.tol ?? 1e-3;
  const first = await iterate(operator, session, start, 0, maxSteps, tol, 0);
  const settled = first.converged && first.value > 0;
  const second = settled
    ? first
    : await iterate(operator, session, start, 1.01 * first.radius, maxSteps, tol, first.rayleigh.length);
  const result = {
    value: second.value,
    residual: second.residual,
    converged: second.converged,
    steps: first.rayleigh.length + (settled ? 0 : second.rayleigh.length),
    rayleigh: Float64Array.from(first.rayleigh),
    gradEvals: session.spent(),
    notes: settled
      ? [...operator.notes]
      : [...operator.notes, `second pass, shifted by ${(1.01 * first.radius).toPrecision(3)}`],
  };
  return options.keepVectors === true ? { ...result, vector: toTensors(operator.parameters, second.vector) } : result;
};

const iterate = async (
  operator: CurvatureOperator,
  session: Session,
  start: Float64Array,
  shift: number,
  maxSteps: number,
  tol: number,
  before: number,
): Promise<Pass> => {
  const rayleigh: number[] = [];
  let vector = scaled(1 / norm(start), start);
  let value = Number.NaN;
  let residual = Number.POSITIVE_INFINITY;
  let converged = false;
  let radius = 0;
  while (rayleigh.length < maxSteps && session.affords(operator.cost)) {
    const image = await operator.multiply(vector);
    radius = Math.max(radius, norm(image));
    value = dot(vector, image);
    rayleigh.push(value);
    const rest = Float64Array.from(image);
    addScaled(rest, -value, vector);
    residual = norm(rest);
    session.report({ phase: 'power', done: before + rayleigh.length, of: before + maxSteps, estimate: value });
    converged = residual <= tol * Math.abs(value);
    if (converged) break;
    addScaled(image, shift, vector);
    const length = norm(image);
    if (length === 0) break;
    vector = scaled(1 / length, image);
  }
  return { value, residual, converged, vector, rayleigh, radius };
};
