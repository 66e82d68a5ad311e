import { givenVector, toTensors } from './flat.js';
import { addScaled, dot, norm, scaled } from './linear-algebra/vectors.js';
import { withOperator } from './operator.js';
import type { RunOptions } from './session.js';
import type { ParamVector, Target } from './target.js';

export interface InverseOptions extends RunOptions {
  /** Added to every eigenvalue. Default 0. */
  readonly damping?: number;
  /** Length of the residual, relative to v's. Default 1e-3. */
  readonly tol?: number;
  /** Default 100. */
  readonly maxSteps?: number;
}

export interface Solution {
  /** (A + damping)⁻¹ v, as far as it came. The caller disposes it. */
  readonly x: ParamVector;
  /** |(A + damping) x − v| / |v|, as the recurrence has it. */
  readonly residual: number;
  readonly converged: boolean;
  /** A direction of curvature ≤ 0 was met, where conjugate gradients end: raise `damping`, or take Gauss-Newton. */
  readonly negativeCurvature: boolean;
  readonly steps: number;
  readonly gradEvals: number;
  readonly hvp: 'exact' | 'finite-difference';
  readonly notes: readonly string[];
}

/**
 * The inverse of the operator (plus damping) times `v`, by conjugate gradients (Hestenes and Stiefel 1952): influence
 * functions, natural gradients. For positive definite operators: Gauss-Newton or Fisher with damping, or a Hessian at a
 * minimum.
 *
 * @throws as hvp
 */
export const inverseProduct = async (target: Target, v: ParamVector, options: InverseOptions = {}): Promise<Solution> =>
  withOperator(target, options, async (operator, session) => {
    const { damping = 0, tol = 1e-3, maxSteps = 100 } = options;
    const residual = await givenVector('v', operator.parameters, v);
    const size = norm(residual);
    const x = new Float64Array(operator.dimension);
    let direction = Float64Array.from(residual);
    let squared = dot(residual, residual);
    let steps = 0;
    let negativeCurvature = false;
    while (Math.sqrt(squared) > tol * size && steps < maxSteps && session.affords(operator.cost)) {
      const image = await operator.multiply(direction);
      addScaled(image, damping, direction);
      const curvature = dot(direction, image);
      negativeCurvature = curvature <= 0;
      if (negativeCurvature) break;
      addScaled(x, squared / curvature, direction);
      addScaled(residual, -squared / curvature, image);
      const before = squared;
      squared = dot(residual, residual);
      const next = scaled(squared / before, direction);
      addScaled(next, 1, residual);
      direction = Float64Array.from(next);
      steps++;
      session.report({ phase: 'solve', done: steps, of: maxSteps, estimate: Math.sqrt(squared) / size });
    }
    const relative = size === 0 ? 0 : Math.sqrt(squared) / size;
    return {
      x: toTensors(operator.parameters, x),
      residual: relative,
      converged: relative <= tol,
      negativeCurvature,
      steps,
      gradEvals: session.spent(),
      hvp: operator.hvp,
      notes: [...operator.notes],
    };
  });
