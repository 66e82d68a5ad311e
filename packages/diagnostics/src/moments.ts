import { estimate, isCheckpoint, type Estimate } from './estimate.js';
import { givenVector, toTensors } from './flat.js';
import { deflate } from './deflation.js';
import { randomStream, rademacher } from './linear-algebra/random.js';
import { tQuantile975 } from './linear-algebra/student-t.js';
import { dot, meanAndError, norm } from './linear-algebra/vectors.js';
import { withOperator, type CurvatureOperator } from './operator.js';
import type { RunOptions, Session } from './session.js';
import type { ParamVector, Target } from './target.js';

export interface ProbeOptions extends RunOptions {
  /** Default 32. */
  readonly maxProbes?: number;
  /** ±1 vectors used instead of drawn ones. */
  readonly probes?: readonly ParamVector[];
}

export interface Diagonal {
  /** One estimate per parameter entry; the caller disposes both. */
  readonly value: ParamVector;
  readonly standardError: ParamVector;
  /** Whether ‖standardError‖ is at most `relTol` · ‖value‖. */
  readonly converged: boolean;
  readonly gradEvals: number;
  readonly numSamples: number;
  readonly hvp: 'exact' | 'finite-difference';
  readonly notes: readonly string[];
}

export interface DiagonalOptions extends ProbeOptions {
  /** Relative error, in the Euclidean norm over all entries, that counts as converged. Default 0.05. */
  readonly relTol?: number;
}

/**
 * The diagonal, as the mean of z ⊙ Hz over Rademacher probes (Bekas, Kokiopoulou, Saad 2007).
 * The standard error is known from two probes on.
 *
 * @throws as hessianTrace
 */
export const hessianDiagonal = async (target: Target, options: DiagonalOptions = {}): Promise<Diagonal> =>
  withOperator(target, options, (operator, session) => diagonal(operator, session, options));

const diagonal = async (operator: CurvatureOperator, session: Session, options: DiagonalOptions): Promise<Diagonal> => {
  const given = await Promise.all((options.probes ?? []).map((p) => givenVector('a probe', operator.parameters, p)));
  const count = given.length || (options.maxProbes ?? 32);
  const random = randomStream(options.seed ?? 0, 1);
  const mean = new Float64Array(operator.dimension);
  const squares = new Float64Array(operator.dimension); // Welford's sums of squared deviations
  let done = 0;
  while (done < count && session.affords(operator.cost)) {
    const z = given[done] ?? rademacher(operator.dimension, random);
    const h = await operator.multiply(z);
    done++;
    for (let i = 0; i < h.length; i++) {
      const sample = z[i]! * h[i]!;
      const delta = sample - mean[i]!;
      mean[i] = mean[i]! + delta / done;
      squares[i] = squares[i]! + delta * (sample - mean[i]!);
    }
    session.report({ phase: 'probes', done, of: count });
  }
  const errors = squares.map((s) => Math.sqrt(s / (done * (done - 1))));
  return {
    value: toTensors(operator.parameters, mean),
    standardError: toTensors(operator.parameters, errors),
    converged: norm(errors) <= (options.relTol ?? 0.05) * norm(mean),
    gradEvals: session.spent(),
    numSamples: operator.numSamples(),
    hvp: operator.hvp,
    notes: [...operator.notes],
  };
};

export interface FrobeniusOptions extends ProbeOptions {
  /** Half-width of the 95 % interval, relative. Default 0.05. */
  readonly relTol?: number;
  /** Lanczos steps of the deflation; 0 for probes alone. Default: as for the trace. */
  readonly basisSteps?: number;
  readonly start?: ParamVector;
}

/**
 * ‖H‖_F. With a Krylov basis Q, ‖H‖²_F = ‖HQ‖²_F + ‖H(I − QQᵀ)‖²_F: the first term exactly, the second as the mean of
 * |H(I − QQᵀ)z|². The error of the root is the square's over 2·value; `samples` are of the square.
 *
 * @throws as hessianTrace
 */
export const frobeniusNorm = async (target: Target, options: FrobeniusOptions = {}): Promise<Estimate> =>
  withOperator(target, options, (operator, session) => frobenius(operator, session, options));

const frobenius = async (
  operator: CurvatureOperator,
  session: Session,
  options: FrobeniusOptions,
): Promise<Estimate> => {
  const given = await Promise.all((options.probes ?? []).map((p) => givenVector('a probe', operator.parameters, p)));
  const deflation = options.basisSteps === 0 ? null : await deflate(operator, session, options);
  const count = given.length || (options.maxProbes ?? 64);
  const random = randomStream(options.seed ?? 0, 1);
  const squared = deflation?.squaredColumns ?? 0;
  const samples: number[] = [];
  let converged = deflation?.complete ?? false;
  while (!converged && samples.length < count && session.affords(operator.cost)) {
    const z = Float64Array.from(given[samples.length] ?? rademacher(operator.dimension, random));
    deflation?.project(z);
    const image = await operator.multiply(z);
    samples.push(dot(image, image));
    const { mean, standardError } = meanAndError(samples);
    session.report({ phase: 'probes', done: samples.length, of: count, estimate: Math.sqrt(squared + mean) });
    if (given.length === 0 && isCheckpoint(samples.length, 8)) {
      const half = tQuantile975(samples.length - 1) * standardError;
      converged = half <= 2 * (options.relTol ?? 0.05) * (squared + mean);
    }
  }
  const { mean, standardError } = samples.length === 0 ? { mean: 0, standardError: 0 } : meanAndError(samples);
  const value = Math.sqrt(squared + mean);
  return estimate({
    value,
    standardError: value === 0 ? 0 : standardError / (2 * value),
    degrees: samples.length - 1,
    converged,
    samples: Float64Array.from(samples),
    gradEvals: session.spent(),
    numSamples: operator.numSamples(),
    method: deflation === null ? 'probes' : `krylov(${deflation.steps}) + probes`,
    hvp: operator.hvp,
    notes: [...operator.notes],
  });
};
