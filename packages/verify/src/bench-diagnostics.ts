import { hessianTrace, lambdaMax, type OperatorTarget } from '@polder/diagnostics';
import * as tf from '@tensorflow/tfjs-core';
import { benchCosts, type CostBench } from './bench-price.js';
import { asHessianGolden } from './hessian-golden.js';
import { hessianNetworks } from './hessian-networks.js';
import { dense, operatorOf, RUN, withHessianTarget } from './hessian-target.js';
import { median } from './median.js';

export interface DiagnosticsBenchOptions {
  /** Parsed golden files of format golden-hessian/1; each becomes a problem. */
  readonly goldens: readonly unknown[];
  /** Trials behind every root mean square error. Default 60. */
  readonly trials?: number;
  /** Repeats behind the coverage. Default 200. */
  readonly repeats?: number;
  readonly onProgress?: (line: string) => void;
}

interface LargestBench {
  readonly problem: string;
  readonly lambdaMax: number;
  /** Median products to a relative error of 1e-3, which then stays. */
  readonly lanczos: number;
  /** The same for plain power iteration within 200 products; null: never. */
  readonly power: number | null;
  /** What plain power iteration ends on has the sign of λ_max. */
  readonly powerSignRight: boolean;
  /** Relative error of our 'power' method, whose second pass is shifted. */
  readonly shiftedPowerError: number;
}

type Method = 'auto' | 'hutchinson' | 'hutch++' | 'xtrace';
const METHODS: readonly Method[] = ['hutchinson', 'hutch++', 'xtrace', 'auto'];

interface TraceBench {
  readonly problem: string;
  readonly trace: number;
  /** Relative root mean square error at 32 products. */
  readonly rmse: Readonly<Record<Method, number>>;
  readonly autoToHutchinson: number;
}

interface CoverageBench {
  readonly problem: string;
  readonly method: 'auto' | 'hutchinson';
  /** Share of repeats whose 95 % interval holds the trace, with the default stopping rule. */
  readonly coverage: number;
  readonly meanProducts: number;
}

interface Bar {
  readonly name: string;
  readonly value: number;
  readonly bar: string;
  readonly ok: boolean;
}

export interface DiagnosticsBench {
  readonly version: 1;
  readonly backend: string;
  readonly largest: readonly LargestBench[];
  readonly trace: readonly TraceBench[];
  readonly coverage: readonly CoverageBench[];
  readonly hvpCost: readonly CostBench[];
  readonly bars: readonly Bar[];
  /** What was measured and has no bar, and why. */
  readonly notes: readonly string[];
  readonly ok: boolean;
}

interface Problem {
  readonly name: string;
  readonly operator: OperatorTarget;
  readonly trace: number;
  readonly lambdaMax: number;
  readonly kind: 'golden' | 'decaying' | 'flat' | 'indefinite' | 'uniform' | 'slow';
}

/** Why Lanczos has no bar on the uniform spectrum. */
const WITHOUT_GAP =
  'no bar, since no method takes 20. The Ritz value is the largest Rayleigh quotient that k products of a random start ' +
  'give; here it is the last node of Gauss-Legendre quadrature, 2.89/(k + 1/2)^2 of half the width below the edge: ' +
  '0.6 % at k = 20. Without a gap any method takes at least of the order of 1/sqrt(tolerance) products.';

const PRODUCTS = 32;
const SIZE = 1024;

/** Standard normal quantile, by bisection on the error function's series. */
const normalQuantile = (p: number): number => {
  let low = -8;
  let high = 8;
  for (let i = 0; i < 60; i++) {
    const x = (low + high) / 2;
    if (normalCdf(x) < p) low = x;
    else high = x;
  }
  return (low + high) / 2;
};

/** ½ + φ(x)·(x + x³/3 + x⁵/15 + …), which converges everywhere. */
const normalCdf = (x: number): number => {
  let term = x;
  let sum = x;
  for (let k = 1; k < 200 && Math.abs(term) > 1e-17; k++) {
    term *= (x * x) / (2 * k + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
};

/** Synthetic spectra with known answers. */
const spectra: readonly {
  readonly name: string;
  readonly kind: Problem['kind'];
  readonly at: (i: number) => number;
}[] = [
  // Ten outliers over a small bulk of both signs: a trained network.
  {
    name: 'outliers + bulk',
    kind: 'decaying',
    at: (i) => (i < 10 ? 20 / (1 + 0.5 * i) : 0.02 * Math.cos(2.4 * i) + 0.005),
  },
  { name: 'power law i^-2', kind: 'decaying', at: (i) => 1 / (i + 1) ** 2 },
  { name: 'power law i^-1', kind: 'slow', at: (i) => 1 / (i + 1) },
  { name: 'flat', kind: 'flat', at: (i) => 0.9 + 0.2 * ((0.618034 * i) % 1) },
  // Normal quantiles: as much negative as positive, nothing decays.
  { name: 'indefinite', kind: 'indefinite', at: (i) => normalQuantile((i + 0.5) / SIZE) + 0.1 },
  // The hardest case for any eigenvalue method: no gap at the edge (Kuczynski and Wozniakowski 1992).
  { name: 'indefinite, uniform', kind: 'uniform', at: (i) => (2 * (i + 0.5)) / SIZE - 0.95 },
];

/**
 * Measures what @polder/diagnostics claims: products to the largest eigenvalue, errors of the trace estimators at equal
 * cost, coverage of their intervals, and the price of a product in gradients (on the current backend, and only
 * meaningful on an otherwise idle machine). Everything but the price is repeatable to the digit.
 */
export const benchDiagnostics = async (options: DiagnosticsBenchOptions): Promise<DiagnosticsBench> => {
  const { trials = 60, repeats = 200, onProgress } = options;
  const problems = [...synthetic(), ...(await goldenProblems(options.goldens))];
  const largest: LargestBench[] = [];
  const trace: TraceBench[] = [];
  const coverage: CoverageBench[] = [];
  for (const problem of problems) {
    onProgress?.(problem.name);
    largest.push(await benchLargest(problem));
    trace.push(await benchTrace(problem, trials));
    for (const method of ['auto', 'hutchinson'] as const) coverage.push(await benchCoverage(problem, method, repeats));
  }
  onProgress?.('price of a product');
  const hvpCost = await benchCosts();
  const bars = barsOf(problems, largest, trace, coverage, hvpCost);
  return {
    version: 1,
    backend: tf.getBackend(),
    largest,
    trace,
    coverage,
    hvpCost,
    bars,
    notes: problems.flatMap(({ name, kind }, i) =>
      kind === 'uniform' ? [`${name}: Lanczos takes ${largest[i]!.lanczos} products; ${WITHOUT_GAP}`] : [],
    ),
    ok: bars.every(({ ok }) => ok),
  };
};

/** Q Λ Qᵀ with Q two rounds of random signs and Hadamard transforms: eigenvectors as spread out as random ones. */
const synthetic = (): Problem[] => {
  let state = 12345;
  const sign = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state & 0x80000000 ? 1 : -1;
  };
  const flips = [0, 1].map(() => Float64Array.from({ length: SIZE }, sign));
  const forward = (v: Float64Array): Float64Array =>
    flips.reduce((x, flip) => hadamard(x.map((xi, i) => xi * flip[i]!)), v);
  const backward = (v: Float64Array): Float64Array =>
    [...flips].reverse().reduce((x, flip) => hadamard(x).map((xi, i) => xi * flip[i]!), v);
  return spectra.map(({ name, kind, at }) => {
    const eigenvalues = Float64Array.from({ length: SIZE }, (_, i) => at(i));
    return {
      name,
      kind,
      operator: { size: SIZE, multiply: (v) => forward(backward(v).map((x, i) => x * eigenvalues[i]!)) },
      trace: eigenvalues.reduce((a, b) => a + b, 0),
      lambdaMax: Math.max(...eigenvalues),
    };
  });
};

/** The orthonormal Walsh-Hadamard transform; its own inverse. */
const hadamard = (input: Float64Array): Float64Array => {
  const x = Float64Array.from(input);
  for (let half = 1; half < x.length; half *= 2) {
    for (let i = 0; i < x.length; i++) {
      if (i & half) continue;
      const a = x[i]!;
      const b = x[i + half]!;
      x[i] = (a + b) * Math.SQRT1_2;
      x[i + half] = (a - b) * Math.SQRT1_2;
    }
  }
  return x;
};

/** Golden Hessians, made dense once by exact products, so that many trials cost little. */
const goldenProblems = async (files: readonly unknown[]): Promise<Problem[]> => {
  const problems: Problem[] = [];
  for (const file of files) {
    const golden = asHessianGolden(file);
    const network = hessianNetworks[golden.name];
    if (network === undefined) continue;
    const rows = await withHessianTarget(golden, network, async (replay) => dense(replay.target));
    problems.push({
      name: `golden ${golden.name}`,
      kind: 'golden',
      operator: operatorOf(rows),
      trace: golden.hessian.trace,
      lambdaMax: golden.hessian.top5[0]!,
    });
  }
  return problems;
};

const SEEDS = 9;

const benchLargest = async ({ name, operator, lambdaMax: truth }: Problem): Promise<LargestBench> => {
  const near = (value: number): boolean => Math.abs(value - truth) <= 1e-3 * Math.abs(truth);
  const lanczos: number[] = [];
  const power: number[] = [];
  let signRight = true;
  let shiftedError = 0;
  for (let seed = 0; seed < SEEDS; seed++) {
    const estimates: number[] = [];
    await lambdaMax(operator, {
      ...RUN,
      seed,
      tol: 0,
      maxSteps: 64,
      onProgress: ({ estimate }) => estimates.push(estimate!),
    });
    lanczos.push(arrival(estimates, near));
    const pair = await lambdaMax(operator, { ...RUN, seed, method: 'power', tol: 1e-4, maxSteps: 200 });
    power.push(arrival([...pair.rayleigh!], near));
    signRight &&= Math.sign(pair.rayleigh!.at(-1)!) === Math.sign(truth);
    shiftedError = Math.max(shiftedError, Math.abs(pair.value - truth) / Math.abs(truth));
  }
  const typical = median(power);
  return {
    problem: name,
    lambdaMax: truth,
    lanczos: median(lanczos),
    power: Number.isFinite(typical) ? typical : null,
    powerSignRight: signRight,
    shiftedPowerError: shiftedError,
  };
};

/** Products after which every later estimate is near; Infinity where the last one is not. */
const arrival = (estimates: readonly number[], near: (value: number) => boolean): number => {
  const lastMiss = estimates.findLastIndex((value) => !near(value));
  return lastMiss === estimates.length - 1 ? Number.POSITIVE_INFINITY : lastMiss + 2;
};

const benchTrace = async ({ name, operator, trace }: Problem, trials: number): Promise<TraceBench> => {
  const rmse: Partial<Record<Method, number>> = {};
  for (const method of METHODS) {
    let squares = 0;
    for (let seed = 0; seed < trials; seed++) {
      // A product of a bare operator counts as one gradient evaluation. No tolerance: the whole budget is spent.
      const { value } = await hessianTrace(operator, {
        method,
        seed,
        maxGradEvals: PRODUCTS,
        relTol: 0,
        yieldEveryMs: 1000,
      });
      squares += (value - trace) ** 2;
    }
    rmse[method] = Math.sqrt(squares / trials) / Math.abs(trace);
  }
  const all = rmse as Record<Method, number>;
  return { problem: name, trace, rmse: all, autoToHutchinson: all.auto / all.hutchinson };
};

const benchCoverage = async (
  { name, operator, trace }: Problem,
  method: CoverageBench['method'],
  repeats: number,
): Promise<CoverageBench> => {
  let covered = 0;
  let products = 0;
  for (let seed = 0; seed < repeats; seed++) {
    const { ci95, gradEvals } = await hessianTrace(operator, {
      method,
      seed: 10_000 + seed,
      maxGradEvals: 100,
      yieldEveryMs: 1000,
    });
    if (ci95[0] <= trace && trace <= ci95[1]) covered++;
    products += gradEvals;
  }
  return { problem: name, method, coverage: covered / repeats, meanProducts: products / repeats };
};

const barsOf = (
  problems: readonly Problem[],
  largest: readonly LargestBench[],
  trace: readonly TraceBench[],
  coverage: readonly CoverageBench[],
  costs: readonly CostBench[],
): Bar[] => {
  const bars: Bar[] = [];
  const atMost = (name: string, value: number, limit: number): void => {
    bars.push({ name, value, bar: `<= ${limit}`, ok: value <= limit });
  };
  for (const [i, { name, kind }] of problems.entries()) {
    const ratio = trace[i]!.autoToHutchinson;
    if (kind !== 'uniform') atMost(`${name}: Lanczos products to 1e-3 of lambda_max`, largest[i]!.lanczos, 20);
    atMost(`${name}: error of the shifted power method`, largest[i]!.shiftedPowerError, 0.02);
    if (kind === 'decaying') atMost(`${name}: error of auto over Hutchinson`, ratio, 0.1);
    if (kind === 'flat' || kind === 'indefinite' || kind === 'uniform') {
      atMost(`${name}: error of auto over Hutchinson`, ratio, 1.5);
    }
  }
  for (const { problem, method, coverage: share } of coverage) {
    bars.push({
      name: `${problem}: coverage of ${method}`,
      value: share,
      bar: '0.90 .. 0.99',
      ok: share >= 0.9 && share <= 0.99,
    });
  }
  if (tf.getBackend() === 'cpu') {
    atMost('price of a product in gradients, cpu, golden convnet', costs[0]!.gradients, 2.6);
    for (const { network, gradients, gradientsFurther } of costs) {
      atMost(
        `price of a product in gradients, cpu, mean of ten, ${network}`,
        (gradients + 9 * gradientsFurther) / 10,
        2.6,
      );
    }
  }
  return bars;
};
