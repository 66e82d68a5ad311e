import { InvalidTargetError } from './errors.js';
import { givenVector, toTensors } from './flat.js';
import { basisMegabytes, lanczos, ritzOf, ritzVector, type Krylov, type Ritz } from './lanczos.js';
import { randomStream, rademacher } from './linear-algebra/random.js';
import { withOperator, type CurvatureOperator } from './operator.js';
import { powerPair } from './power.js';
import type { RunOptions, Session } from './session.js';
import type { ParamVector, Target } from './target.js';

export interface EigenOptions extends RunOptions {
  /** 'lanczos' (default), or 'power': the largest eigenvalue by power iteration, with a shifted second pass. */
  readonly method?: 'lanczos' | 'power';
  /** Residual |Hv − λv| ≤ tol·|λ|. Default 1e-3. */
  readonly tol?: number;
  /** Default 64 for Lanczos, 200 for power iteration. */
  readonly maxSteps?: number;
  /** Start vector: the last eigenvector, while tracking a training. */
  readonly start?: ParamVector;
  /** Return eigenvectors, which the caller disposes. Default false. */
  readonly keepVectors?: boolean;
}

export interface SpectrumOptions extends EigenOptions {
  /** How many eigenpairs of each kind asked for. Default 1. */
  readonly k?: number;
  /** Default 'both' ends. */
  readonly which?: 'largest' | 'smallest' | 'both' | 'magnitude';
}

export interface Eigenpair {
  readonly value: number;
  /** |Hv − value·v| for the unit v: some eigenvalue lies within this distance. */
  readonly residual: number;
  readonly converged: boolean;
  /** Products spent. */
  readonly steps: number;
  /** Unit vector, with `keepVectors`; the caller disposes it. */
  readonly vector?: ParamVector;
}

export interface Spectrum {
  /** Distinct eigenvalues asked for: the largest descending, then the smallest ascending; by magnitude descending. */
  readonly eigenpairs: readonly Eigenpair[];
  readonly lambdaMax: number;
  readonly lambdaMin: number;
  /** Lanczos coefficients, T = tridiag(beta, alpha, beta); the last beta is the residual's. */
  readonly alpha: Float64Array;
  readonly beta: Float64Array;
  readonly gradEvals: number;
  readonly numSamples: number;
  readonly hvp: 'exact' | 'finite-difference';
  readonly notes: readonly string[];
  /** Frees the vectors of all pairs. */
  readonly dispose: () => void;
}

const MIN_STEPS = 6;
/** Residuals below this fraction of the spectral radius are float32 noise. */
const NOISE = 2e-6;

/**
 * Eigenvalues at the ends of the spectrum, by Lanczos with full reorthogonalisation. Both ends come at the price of
 * one. A multiple eigenvalue is found once, unless the Krylov space is exhausted.
 *
 * @throws SecondOrderUnsupportedError, NonDeterministicLossError, NonFiniteError, InvalidTargetError; the signal's reason
 */
export const hessianSpectrum = async (target: Target, options: SpectrumOptions = {}): Promise<Spectrum> => {
  if (options.method === 'power') {
    throw new InvalidTargetError("method: 'lanczos'", "'power'", 'Power iteration finds one pair: use lambdaMax.');
  }
  return withOperator(target, options, async (operator, session) => {
    const krylov = await krylovOf(operator, session, options);
    return spectrumOf(operator, session, krylov, options);
  });
};

/** Runs Lanczos until the pairs asked for have converged. */
export const krylovOf = async (
  operator: CurvatureOperator,
  session: Session,
  options: SpectrumOptions & { readonly minSteps?: number },
): Promise<Krylov> => {
  const seed = options.seed ?? 0;
  const start =
    options.start === undefined
      ? rademacher(operator.dimension, randomStream(seed, 0))
      : await givenVector('start', operator.parameters, options.start);
  const maxSteps = options.maxSteps ?? 64;
  const keepBasis =
    basisMegabytes(Math.min(maxSteps, operator.dimension), operator.dimension) <= (options.memoryLimitMB ?? 256);
  if (!keepBasis) {
    operator.notes.push('no Krylov basis (memoryLimitMB): extremal eigenvalues are right, repeated ones are copies');
    if (options.keepVectors === true) operator.notes.push('eigenvectors need the basis: none returned');
  }
  const tol = options.tol ?? 1e-3;
  // A warm start is the answer to before, or near it: two steps may do.
  const least = options.minSteps ?? (options.start === undefined ? MIN_STEPS : 2);
  return lanczos(operator, session, {
    start,
    maxSteps,
    keepBasis,
    seed,
    phase: 'lanczos',
    estimate: ({ values }) => values.at(-1)!,
    done: (state, ritz) => {
      const step = state.alpha.length;
      // On long runs the tridiagonal problem is solved at every thirty-second part of the way only.
      if (step < least || step % Math.ceil(step / 32) !== 0) return false;
      return wantedOf(ritz(), options).every((i) => settled(ritz(), i, tol));
    },
  });
};

/** Indices into the ascending Ritz values of the pairs asked for. */
const wantedOf = ({ values }: Ritz, { k = 1, which = 'both' }: SpectrumOptions): readonly number[] => {
  const n = values.length;
  const count = Math.min(k, n);
  const descending = Array.from({ length: count }, (_, i) => n - 1 - i);
  const ascending = Array.from({ length: count }, (_, i) => i);
  if (which === 'largest') return descending;
  if (which === 'smallest') return ascending;
  if (which === 'both') return [...descending, ...ascending];
  return Array.from(values.keys())
    .sort((i, j) => Math.abs(values[j]!) - Math.abs(values[i]!))
    .slice(0, count);
};

const settled = ({ values, residuals }: Ritz, i: number, tol: number): boolean => {
  const radius = Math.max(Math.abs(values[0]!), Math.abs(values.at(-1)!));
  return residuals[i]! <= Math.max(tol * Math.abs(values[i]!), NOISE * radius);
};

export const spectrumOf = (
  operator: CurvatureOperator,
  session: Session,
  krylov: Krylov,
  options: SpectrumOptions,
): Spectrum => {
  if (krylov.alpha.length === 0) {
    throw new InvalidTargetError(
      `a budget of at least one product (${operator.cost} gradient evaluations)`,
      `maxGradEvals ${session.maxGradEvals}, ${session.spent()} spent on the self-check`,
      'Raise maxGradEvals.',
    );
  }
  const ritz = ritzOf(krylov);
  const tol = options.tol ?? 1e-3;
  const vectors = options.keepVectors === true && krylov.basis.length > 0;
  const eigenpairs = wantedOf(ritz, options).map((i): Eigenpair => {
    const pair = {
      value: ritz.values[i]!,
      residual: ritz.residuals[i]!,
      converged: settled(ritz, i, tol),
      steps: krylov.alpha.length,
    };
    return vectors
      ? { ...pair, vector: toTensors(operator.parameters, ritzVector(krylov.basis, ritz.vectors[i]!)) }
      : pair;
  });
  return {
    eigenpairs,
    lambdaMax: ritz.values.at(-1)!,
    lambdaMin: ritz.values[0]!,
    alpha: Float64Array.from(krylov.alpha),
    beta: Float64Array.from(krylov.beta),
    gradEvals: session.spent(),
    numSamples: operator.numSamples(),
    hvp: operator.hvp,
    notes: [...operator.notes],
    dispose: () => {
      for (const { vector = [] } of eigenpairs) for (const part of vector) part.dispose();
    },
  };
};

export interface LargestPair extends Eigenpair {
  readonly gradEvals: number;
  readonly notes: readonly string[];
  /** With method 'power': Rayleigh quotients of the first pass, one per product. */
  readonly rayleigh?: Float64Array;
}

/**
 * The largest eigenvalue (algebraically: not the largest in magnitude).
 *
 * @throws as {@link hessianSpectrum}
 */
export const lambdaMax = async (target: Target, options: EigenOptions = {}): Promise<LargestPair> => {
  if (options.method === 'power') return powerPair(target, options);
  const { eigenpairs, gradEvals, notes } = await hessianSpectrum(target, { ...options, which: 'largest', k: 1 });
  return { ...eigenpairs[0]!, gradEvals, notes };
};
