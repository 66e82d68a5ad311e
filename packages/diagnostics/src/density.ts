import { lanczos, ritzOf } from './lanczos.js';
import { randomStream, rademacher } from './linear-algebra/random.js';
import { withOperator, type CurvatureOperator } from './operator.js';
import type { RunOptions, Session } from './session.js';
import type { Target } from './target.js';

export interface DensityOptions extends RunOptions {
  /** Lanczos steps of a run: the resolution. Default 64. */
  readonly steps?: number;
  /** Random start vectors averaged over. Default 1; on small models 3 or more. */
  readonly runs?: number;
  /** Points of the grid. Default 1024. */
  readonly points?: number;
  /** Density over log10|λ|, both signs together. */
  readonly log?: boolean;
}

export interface Density {
  /** Eigenvalues, or log10|λ| with `log`; ascending, evenly spaced. */
  readonly grid: Float64Array;
  /** Integrates to 1 over the grid. */
  readonly density: Float64Array;
  /** Quadrature nodes (Ritz values) and weights of each run; the weights of a run sum to 1. */
  readonly nodes: readonly Float64Array[];
  readonly weights: readonly Float64Array[];
  readonly gradEvals: number;
  readonly hvp: 'exact' | 'finite-difference';
  readonly notes: readonly string[];
}

export interface Quadrature {
  readonly nodes: Float64Array;
  readonly weights: Float64Array;
}

/**
 * Spectral density by stochastic Lanczos quadrature (Ubaru, Chen, Saad 2017): the squared first components of T's
 * eigenvectors weigh its eigenvalues; Gaussians of a width tied to the steps smooth them (Papyan 2019, κ = 3).
 *
 * @throws as hessianTrace
 */
export const hessianDensity = async (target: Target, options: DensityOptions = {}): Promise<Density> =>
  withOperator(target, options, (operator, session) => densityOf(operator, session, options, []));

/** {@link hessianDensity} of an open operator; `ready` runs come first. */
export const densityOf = async (
  operator: CurvatureOperator,
  session: Session,
  options: DensityOptions,
  ready: readonly Quadrature[],
): Promise<Density> => {
  const { steps = 64, runs = 1, seed = 0 } = options;
  const random = randomStream(seed, 4);
  const quadratures = [...ready];
  while (quadratures.length < runs && session.affords(2 * operator.cost)) {
    const bytes = (4 * Math.min(steps, operator.dimension) * operator.dimension) / 1e6;
    const krylov = await lanczos(operator, session, {
      start: rademacher(operator.dimension, random),
      maxSteps: steps,
      keepBasis: bytes <= (options.memoryLimitMB ?? 256),
      seed: seed + quadratures.length,
      phase: 'lanczos',
      done: ({ next }) => next === null,
    });
    quadratures.push(quadratureOf(krylov));
  }
  return {
    ...smooth(quadratures, options),
    gradEvals: session.spent(),
    hvp: operator.hvp,
    notes: [...operator.notes],
  };
};

/** Nodes and weights of one run; steps beyond an invariant subspace (β = 0) do not belong to its start vector. */
export const quadratureOf = (krylov: {
  readonly alpha: readonly number[];
  readonly beta: readonly number[];
}): Quadrature => {
  const end = krylov.beta.indexOf(0);
  const steps = end === -1 ? krylov.alpha.length : end + 1;
  const { values, vectors } = ritzOf({ alpha: krylov.alpha.slice(0, steps), beta: krylov.beta.slice(0, steps) });
  return { nodes: values, weights: Float64Array.from(vectors, (s) => s[0]! ** 2) };
};

const KAPPA = 3;

const smooth = (
  quadratures: readonly Quadrature[],
  { points = 1024, log = false }: DensityOptions,
): Pick<Density, 'grid' | 'density' | 'nodes' | 'weights'> => {
  const largest = Math.max(...quadratures.flatMap(({ nodes }) => [...nodes].map(Math.abs)));
  const floor = 1e-6 * (largest || 1);
  const place = (lambda: number): number => (log ? Math.log10(Math.max(Math.abs(lambda), floor)) : lambda);
  const placed = quadratures.map(({ nodes }) => Float64Array.from(nodes, place));
  const all = placed.flatMap((nodes) => [...nodes]);
  const low = Math.min(...all);
  const high = Math.max(...all);
  const range = high - low || Math.max(Math.abs(high), 1) * 1e-3;
  const steps = Math.max(...quadratures.map(({ nodes }) => nodes.length), 2);
  const sigma = range / (steps - 1) / Math.sqrt(8 * Math.log(KAPPA));
  const margin = Math.max(0.05 * range, 4 * sigma);
  const spacing = (high - low + 2 * margin) / (points - 1);
  const grid = Float64Array.from({ length: points }, (_, i) => low - margin + i * spacing);
  const density = new Float64Array(points);
  for (const [run, { weights }] of quadratures.entries()) {
    for (const [j, node] of placed[run]!.entries()) {
      for (let i = 0; i < points; i++) {
        const z = (grid[i]! - node) / sigma;
        density[i] = density[i]! + weights[j]! * Math.exp(-0.5 * z * z);
      }
    }
  }
  const mass = spacing * density.reduce((sum, y, i) => sum + (i === 0 || i === points - 1 ? 0.5 * y : y), 0);
  return {
    grid,
    density: density.map((y) => y / mass),
    nodes: quadratures.map(({ nodes }) => nodes),
    weights: quadratures.map(({ weights }) => weights),
  };
};
