import { averageGradient, averageLoss } from './average.js';
import { deflationOf } from './deflation.js';
import { densityOf, quadratureOf, type Density } from './density.js';
import { toTensors } from './flat.js';
import { basisPays, outlook } from './krylov-payoff.js';
import { ritzOf, ritzVector, type Krylov } from './lanczos.js';
import { meanAndError, dot, norm } from './linear-algebra/vectors.js';
import { isOperator, withOperator, type CurvatureOperator } from './operator.js';
import { problemOf } from './resolve.js';
import type { RunOptions, Session } from './session.js';
import { krylovOf, spectrumOf } from './spectrum.js';
import { traceOf } from './trace.js';
import type { LayerTrace, TraceEstimate, TraceOptions } from './trace-options.js';
import type { ParamVector, Target } from './target.js';

export interface ReportOptions extends RunOptions, Pick<TraceOptions, 'minProbes' | 'maxProbes'> {
  /** Eigenvalues at each end. Default 3. */
  readonly k?: number;
  /** Relative tolerance of the trace. Default 0.05. */
  readonly relTol?: number;
  /** Of the eigenvalues. Default 1e-3. */
  readonly tol?: number;
  /** Spectral density from the same Lanczos run (it then takes at least 32 steps). Default true. */
  readonly density?: boolean;
  /** Start of the Lanczos run, for tracking; then no density, which needs a random start. */
  readonly start?: ParamVector;
  /** Return the top eigenvector, which the caller disposes. Default false. */
  readonly keepVector?: boolean;
}

/** Everything from one shared Krylov run. Plain data but for `topVector`. */
export interface CurvatureReport {
  readonly version: 1;
  /** Mean loss and the norm of its gradient; null for a bare operator. */
  readonly loss: number | null;
  readonly gradientNorm: number | null;
  readonly lambdaMax: number;
  readonly lambdaMin: number;
  /** Largest first, then smallest first. */
  readonly eigenvalues: readonly { readonly value: number; readonly residual: number; readonly converged: boolean }[];
  readonly trace: TraceEstimate;
  readonly frobenius: { readonly value: number; readonly standardError: number };
  readonly perLayer: readonly LayerTrace[];
  readonly density: Pick<Density, 'grid' | 'density' | 'nodes' | 'weights'> | null;
  readonly numParams: number;
  readonly numSamples: number;
  readonly gradEvals: number;
  readonly hvp: 'exact' | 'finite-difference';
  readonly converged: boolean;
  readonly notes: readonly string[];
  readonly topVector?: ParamVector;
  readonly toJSON: () => object;
}

/**
 * The whole set from one Lanczos run and the probes after it: extremal eigenvalues, trace, Frobenius norm, per-layer
 * traces, spectral density, loss and gradient norm; about 100 gradient evaluations.
 *
 * @throws SecondOrderUnsupportedError, NonDeterministicLossError, NonFiniteError, InvalidTargetError; the signal's reason
 */
export const curvatureReport = async (target: Target, options: ReportOptions = {}): Promise<CurvatureReport> =>
  withOperator(target, options, (operator, session) => reportOf(target, operator, session, options));

const reportOf = async (
  target: Target,
  operator: CurvatureOperator,
  session: Session,
  options: ReportOptions,
): Promise<CurvatureReport> => {
  const first = isOperator(target) ? null : problemOf(target);
  const gradient = first === null ? null : (await averageGradient(first, session, null)).vector;
  const loss = first === null ? null : await averageLoss(first, session, null);

  const wantsDensity = options.density !== false && options.start === undefined;
  const spectral = { ...options, k: options.k ?? 3, which: 'both' as const, maxSteps: 64 };
  const krylov = await krylovOf(operator, session, wantsDensity ? { ...spectral, minSteps: 32 } : spectral);
  const { eigenpairs, lambdaMax, lambdaMin } = spectrumOf(operator, session, krylov, spectral);
  const density = wantsDensity
    ? await densityOf(operator, session, { ...options, runs: 1 }, [quadratureOf(krylov)])
    : null;

  const ready = usefulBasis(krylov, operator.dimension, options.start === undefined);
  const squares: number[] = [];
  const trace = await traceOf(operator, session, { ...withoutStart(options), perLayer: true }, ready, (image) => {
    squares.push(dot(image, image));
  });
  const { mean, standardError } = squares.length === 0 ? { mean: 0, standardError: 0 } : meanAndError(squares);
  const frobenius = Math.sqrt((ready?.squaredColumns ?? 0) + mean);
  const { perLayer = [], ...total } = trace;
  const notes = [...operator.notes];
  const plain = {
    version: 1 as const,
    loss,
    gradientNorm: gradient === null ? null : norm(gradient),
    lambdaMax,
    lambdaMin,
    eigenvalues: eigenpairs.map(({ value, residual, converged }) => ({ value, residual, converged })),
    trace: total,
    frobenius: { value: frobenius, standardError: frobenius === 0 ? 0 : standardError / (2 * frobenius) },
    perLayer,
    density:
      density === null
        ? null
        : { grid: density.grid, density: density.density, nodes: density.nodes, weights: density.weights },
    numParams: operator.dimension,
    numSamples: operator.numSamples(),
    gradEvals: session.spent(),
    hvp: operator.hvp,
    converged: trace.converged && eigenpairs.every(({ converged }) => converged),
    notes,
  };
  const vector = options.keepVector === true && krylov.basis.length > 0 ? topVectorOf(krylov) : null;
  return {
    ...plain,
    ...(vector === null ? {} : { topVector: toTensors(operator.parameters, vector) }),
    toJSON: () => ({
      ...plain,
      trace: total.toJSON(),
      density: plain.density === null ? null : plainDensity(plain.density),
    }),
  };
};

const plainDensity = ({ grid, density, nodes, weights }: NonNullable<CurvatureReport['density']>): object => ({
  grid: [...grid],
  density: [...density],
  nodes: nodes.map((run) => [...run]),
  weights: weights.map((run) => [...run]),
});

const withoutStart = ({ start: _start, ...rest }: ReportOptions): Omit<ReportOptions, 'start'> => rest;

/** The basis of the eigenvalue run, where projecting on it pays; after a warm start the outlook is blind, and it does. */
const usefulBasis = (krylov: Krylov, dimension: number, random: boolean): ReturnType<typeof deflationOf> | null => {
  if (krylov.basis.length === 0) return null;
  const seen = outlook(krylov, ritzOf(krylov), dimension);
  const pays = !random || krylov.basis.length >= dimension || basisPays(seen, krylov.alpha.length);
  return pays ? deflationOf(krylov, dimension) : null;
};

const topVectorOf = (krylov: Krylov): Float64Array => ritzVector(krylov.basis, ritzOf(krylov).vectors.at(-1)!);
