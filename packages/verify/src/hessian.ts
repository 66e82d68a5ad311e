import {
  frobeniusNorm,
  hessianSpectrum,
  hessianTrace,
  hvp,
  lambdaMax,
  lossAndGradient,
  withLinearOperator,
  type Batch,
  type PredictionTarget,
} from '@polder/diagnostics';
import * as tf from '@tensorflow/tfjs-core';
import { absolute, relative, scaled, worstOf, type Comparison } from './comparison.js';
import { compareLandscape, compareSharpness } from './hessian-geometry.js';
import { asHessianGolden, type HessianGolden } from './hessian-golden.js';
import { hessianNetworks, type Network } from './hessian-networks.js';
import {
  dense,
  flatten,
  operatorOf,
  RUN,
  withHessianTarget,
  withVectors,
  type HessianReplay,
} from './hessian-target.js';
import { gradientTolerance, TOLERANCE } from './hessian-tolerances.js';
import type { ReplayLine } from './replay-line.js';

export interface ReplayHessianOptions {
  /** Gets every compared field, the passing ones too. */
  readonly onComparison?: (comparison: Comparison) => void;
  /** Multiplies every tolerance. Default 1. */
  readonly slack?: number;
}

/**
 * Replays a file of format golden-hessian/1 on the current backend through the public API of @polder/diagnostics: one
 * line, with the worst field. An unknown network is skipped.
 *
 * @throws TypeError for another format; whatever a measurement throws
 */
export const replayHessianFile = async (json: unknown, options: ReplayHessianOptions = {}): Promise<ReplayLine[]> => {
  const golden = asHessianGolden(json);
  const name = `hessian/${golden.name}`;
  const network = hessianNetworks[golden.name];
  if (network === undefined) {
    return [{ name, worstField: 'unknown network', deviation: 0, tolerance: 0, verdict: 'skip' }];
  }
  const comparisons = await compareAll(golden, network);
  const slack = options.slack ?? 1;
  const loose = comparisons.map((c) => ({ ...c, tolerance: c.tolerance * slack }));
  for (const comparison of loose) options.onComparison?.(comparison);
  const { field, deviation, tolerance } = worstOf(loose);
  return [{ name, worstField: field, deviation, tolerance, verdict: deviation <= tolerance ? 'ok' : 'FAIL' }];
};

const compareAll = async (golden: HessianGolden, network: Network): Promise<Comparison[]> =>
  withHessianTarget(golden, network, async (replayed) => {
    const parts = [];
    for (const compare of [
      compareFirstOrder,
      compareProducts,
      compareHessian,
      compareSpectrum,
      compareKrylov,
      compareTraceEstimators,
      compareOtherOperators,
      compareSharpness,
      compareSplits,
      compareLandscape,
    ]) {
      parts.push(...(await compare(replayed)));
    }
    return parts;
  });

const signs = (text: string): number[] => Array.from(text, (sign) => (sign === '+' ? 1 : -1));

const compareFirstOrder = async ({ golden, target, logits }: HessianReplay): Promise<Comparison[]> => {
  const output = logits();
  const values = [...(await output.data())];
  output.dispose();
  const { loss, gradient } = await lossAndGradient(target, RUN);
  return [
    absolute('logits', values, golden.logits.data, TOLERANCE.logits),
    absolute('loss', [loss], [golden.loss], TOLERANCE.loss),
    gradientTolerance('gradient', await flatten(gradient), golden.gradient, golden.name),
  ];
};

const compareProducts = async (replayed: HessianReplay): Promise<Comparison[]> => {
  const { golden, target } = replayed;
  return withVectors(
    replayed,
    golden.hvp.map(({ v }) => v),
    async (vectors) => {
      const results = [];
      for (const [i, { Hv }] of golden.hvp.entries()) {
        // The first product goes through the self-check too.
        const product = await hvp(target, vectors[i]!, i === 0 ? { ...RUN, selfCheck: true } : RUN);
        results.push(relative(`hvp[${i}]`, await flatten(product), Hv, TOLERANCE.product));
      }
      return results;
    },
  );
};

/**
 * The diagonal of a positive semidefinite operator of at most this rank, exactly, by a sketch of its range: G = Q (QᵀGQ)
 * Qᵀ. On the golden networks 20 products instead of 300.
 */
const lowRankDiagonal = async (
  replayed: HessianReplay,
  operator: 'gauss-newton' | 'empirical-fisher',
  rank: number,
): Promise<number[]> => {
  const { target, golden } = replayed;
  const n = golden.gradient.length;
  const multiply = async (v: ArrayLike<number>): Promise<number[]> =>
    withLinearOperator(target, { ...RUN, operator }, async (open) => [...(await open.multiply(v))]);
  const basis: number[][] = [];
  for (let k = 0; k < Math.min(rank + 6, n); k++) {
    // Any generic vectors do; these are far from sparse and from each other.
    const image = await multiply(Array.from({ length: n }, (_, i) => Math.sin((k + 1) * (i + 1) ** 1.5)));
    for (let pass = 0; pass < 2; pass++) for (const q of basis) removeAlong(image, q);
    const size = Math.sqrt(dotOf(image, image));
    basis.push(image.map((x) => x / size));
  }
  const diagonal = Array.from({ length: n }, () => 0);
  for (const q of basis) {
    const image = await multiply(q);
    for (const other of basis) {
      const core = dotOf(other, image);
      for (let i = 0; i < n; i++) diagonal[i]! += core * q[i]! * other[i]!;
    }
  }
  return diagonal;
};

const dotOf = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

const removeAlong = (x: number[], q: readonly number[]): void => {
  const c = dotOf(x, q);
  for (let i = 0; i < x.length; i++) x[i]! -= c * q[i]!;
};

const traceOf = (columns: readonly (readonly number[])[], begin = 0, end: number = columns.length): number =>
  columns.slice(begin, end).reduce((sum, column, j) => sum + column[begin + j]!, 0);

const frobeniusOf = (columns: readonly (readonly number[])[], begin = 0, end: number = columns.length): number =>
  Math.sqrt(columns.slice(begin, end).reduce((s, c) => s + c.slice(begin, end).reduce((t, x) => t + x * x, 0), 0));

const compareHessian = async (replayed: HessianReplay): Promise<Comparison[]> => {
  const { golden, target } = replayed;
  const { hessian } = golden;
  const h = await dense(target);
  const classes = golden.logits.shape[1]!;
  const gn = await lowRankDiagonal(replayed, 'gauss-newton', golden.labels.length * (classes - 1));
  const ef = await lowRankDiagonal(replayed, 'empirical-fisher', golden.labels.length);
  const sum = (diagonal: readonly number[]): number => diagonal.reduce((a, b) => a + b, 0);
  const scale = hessian.frobenius;
  const results = [
    scaled('hessian.trace', [traceOf(h)], [hessian.trace], scale, TOLERANCE.eigenvalue),
    relative('hessian.frobenius', [frobeniusOf(h)], [hessian.frobenius], TOLERANCE.eigenvalue),
    relative(
      'hessian.diagonal',
      h.map((c, j) => c[j]!),
      hessian.diagonal,
      TOLERANCE.eigenvalue,
    ),
    relative('gaussNewton.trace', [sum(gn)], [golden.gaussNewton.trace], TOLERANCE.eigenvalue),
    relative('empiricalFisher.trace', [sum(ef)], [golden.empiricalFisher.trace], TOLERANCE.eigenvalue),
  ];
  let begin = 0;
  for (const [i, block] of hessian.perParam.entries()) {
    const end = begin + golden.params[i]!.data.length;
    const field = (what: string): string => `perParam.${block.name}.${what}`;
    const rows = h.slice(begin, end).map((column) => column.slice(begin, end));
    const size = end - begin;
    const ends = await hessianSpectrum(operatorOf(rows), { ...RUN, tol: 1e-6, maxSteps: size });
    results.push(
      scaled(field('trace'), [traceOf(h, begin, end)], [block.trace], scale, TOLERANCE.eigenvalue),
      scaled(field('frobenius'), [frobeniusOf(h, begin, end)], [block.frobenius], scale, TOLERANCE.eigenvalue),
      scaled(field('lambdaMax'), [ends.lambdaMax], [block.lambdaMax], scale, TOLERANCE.eigenvalue),
      scaled(field('lambdaMin'), [ends.lambdaMin], [block.lambdaMin], scale, TOLERANCE.eigenvalue),
      scaled(
        field('traceGaussNewton'),
        [sum(gn.slice(begin, end))],
        [block.traceGaussNewton],
        golden.gaussNewton.trace,
        TOLERANCE.eigenvalue,
      ),
      scaled(
        field('traceEmpiricalFisher'),
        [sum(ef.slice(begin, end))],
        [block.traceEmpiricalFisher],
        golden.empiricalFisher.trace,
        TOLERANCE.eigenvalue,
      ),
    );
    begin = end;
  }
  const half = 0.5 * golden.sharpness.rho ** 2;
  const average = golden.sharpness.quadraticAverageCase;
  results.push(
    scaled('sharpness.quadraticAverageCase', [half * traceOf(h)], [average], half * scale, TOLERANCE.eigenvalue),
  );
  return results;
};

/** Each eigenvalue relative to itself, small ones to a hundredth of the spectral radius. */
const eigenvalues = (
  field: string,
  actual: readonly number[],
  expected: readonly number[],
  radius: number,
): Comparison => {
  const floor = radius / 100;
  return scaled(
    field,
    actual.map((x, i) => x / Math.max(Math.abs(expected[i]!), floor)),
    expected.map((x) => x / Math.max(Math.abs(x), floor)),
    1,
    TOLERANCE.eigenvalue,
  );
};

const compareSpectrum = async ({ golden, target }: HessianReplay): Promise<Comparison[]> => {
  const { hessian } = golden;
  const n = golden.gradient.length;
  const radius = Math.abs(hessian.top5ByMagnitude[0]!);
  const { eigenpairs } = await hessianSpectrum(target, { ...RUN, tol: 1e-5, maxSteps: n, which: 'both', k: 5 });
  const values = eigenpairs.map(({ value }) => value);
  const top = values.slice(0, 5);
  const byMagnitude = [...values].sort((a, b) => Math.abs(b) - Math.abs(a)).slice(0, 5);
  const { rho } = golden.sharpness;
  const worst = 0.5 * rho * rho;
  return [
    eigenvalues('hessian.top5', top, hessian.top5, radius),
    eigenvalues('hessian.bottom3Ascending', values.slice(5, 8), hessian.bottom3Ascending, radius),
    eigenvalues('hessian.top5ByMagnitude', byMagnitude, hessian.top5ByMagnitude, radius),
    scaled(
      'sharpness.quadraticWorstCase',
      [worst * top[0]!],
      [golden.sharpness.quadraticWorstCase],
      worst * radius,
      TOLERANCE.eigenvalue,
    ),
  ];
};

const compareKrylov = async (replayed: HessianReplay): Promise<Comparison[]> => {
  const { golden, target } = replayed;
  const { lanczosAlpha, lanczosBeta, rayleighSequencePowerIteration, moments } = golden.krylov;
  const steps = lanczosAlpha.length;
  return withVectors(replayed, [golden.hvp[0]!.v], async ([start]) => {
    // A tolerance of 0 is never met: exactly `steps` steps.
    const { alpha, beta } = await hessianSpectrum(target, { ...RUN, start: start!, maxSteps: steps, tol: 0 });
    const power = await lambdaMax(target, {
      ...RUN,
      method: 'power',
      start: start!,
      maxSteps: rayleighSequencePowerIteration.length,
      tol: 0,
    });
    const size = Math.max(...[...lanczosAlpha, ...lanczosBeta].map(Math.abs));
    return [
      scaled('krylov.lanczosAlpha', alpha, lanczosAlpha, size, TOLERANCE.krylov),
      scaled('krylov.lanczosBeta', beta, lanczosBeta, size, TOLERANCE.krylov),
      scaled(
        'krylov.rayleighSequencePowerIteration',
        power.rayleigh!,
        rayleighSequencePowerIteration,
        size,
        TOLERANCE.krylov,
      ),
      ...momentsOf(alpha, beta, moments.length).map((moment, k) =>
        scaled(`krylov.moments[${k}]`, [moment], [moments[k]!], size ** (k + 1), TOLERANCE.krylov),
      ),
    ];
  });
};

/** e₁ᵀ Tᵏ e₁ = vᵀHᵏv for k = 1 … count, which Lanczos has exactly. */
const momentsOf = (alpha: Float64Array, beta: Float64Array, count: number): number[] => {
  let x = Float64Array.from(alpha, (_, i) => (i === 0 ? 1 : 0));
  return Array.from({ length: count }, () => {
    x = x.map((value, i) => alpha[i]! * value + (beta[i - 1] ?? 0) * (x[i - 1] ?? 0) + beta[i]! * (x[i + 1] ?? 0));
    return x[0]!;
  });
};

const compareTraceEstimators = async (replayed: HessianReplay): Promise<Comparison[]> => {
  const { golden, target } = replayed;
  const { omega, g, hutchinsonOmega, hutchinsonSamples, hutchPlusPlus, krylovDeflated, xtrace } =
    golden.traceEstimators;
  const scale = golden.hessian.frobenius;
  const close = (
    field: string,
    actual: ArrayLike<number>,
    expected: readonly number[],
    tolerance: number,
  ): Comparison =>
    scaled(`traceEstimators.${field}`, actual, expected, Math.max(scale, ...expected.map(Math.abs)), tolerance);
  const flats = [...omega.map(signs), ...g.map(signs), golden.hvp[0]!.v];
  return withVectors(replayed, flats, async (vectors) => {
    const probes = vectors.slice(0, omega.length);
    const residual = vectors.slice(omega.length, omega.length + g.length);
    const start = vectors.at(-1)!;
    const plain = await hessianTrace(target, { ...RUN, method: 'hutchinson', probes });
    const plus = await hessianTrace(target, { ...RUN, method: 'hutch++', sketch: probes, probes: residual });
    const steps = golden.krylov.lanczosAlpha.length;
    const deflated = await hessianTrace(target, { ...RUN, method: 'auto', probes, start, basisSteps: steps });
    const x = await hessianTrace(target, { ...RUN, method: 'xtrace', probes });
    return [
      close('hutchinsonSamples', plain.samples, hutchinsonSamples, TOLERANCE.eigenvalue),
      close('hutchinsonOmega', [plain.value], [hutchinsonOmega], TOLERANCE.eigenvalue),
      close('hutchPlusPlus.estimate', [plus.value], [hutchPlusPlus.estimate], TOLERANCE.eigenvalue),
      close('krylovDeflated.subspaceTrace', [deflated.subspaceTrace], [krylovDeflated.subspaceTrace], TOLERANCE.krylov),
      close('krylovDeflated.residualSamples', deflated.samples, krylovDeflated.residualSamples, TOLERANCE.krylov),
      close('krylovDeflated.estimate', [deflated.value], [krylovDeflated.estimate], TOLERANCE.krylov),
      close('krylovDeflated.standardError', [deflated.standardError], [krylovDeflated.standardError], TOLERANCE.krylov),
      close('xtrace.estimate', [x.value], [xtrace.estimate], TOLERANCE.eigenvalue),
      close('xtrace.standardError', [x.standardError], [xtrace.standardError], TOLERANCE.eigenvalue),
      close('xtrace.leaveOneOut', x.samples, xtrace.leaveOneOut, TOLERANCE.eigenvalue),
    ];
  });
};

const compareOtherOperators = async (replayed: HessianReplay): Promise<Comparison[]> => {
  const { golden, target } = replayed;
  const { gaussNewton, empiricalFisher } = golden;
  const n = golden.gradient.length;
  const top = async (operator: 'gauss-newton' | 'empirical-fisher', k: number): Promise<number[]> => {
    const options = { ...RUN, operator, which: 'largest' as const, k, tol: 1e-5, maxSteps: n };
    return (await hessianSpectrum(target, options)).eigenpairs.map(({ value }) => value);
  };
  const results = await withVectors(replayed, [golden.hvp[0]!.v], async ([v]) => {
    const product = await flatten(await hvp(target, v!, { ...RUN, operator: 'gauss-newton' }));
    return [relative('gaussNewton.gv1', product, gaussNewton.gv1, TOLERANCE.product)];
  });
  results.push(
    eigenvalues('gaussNewton.top5', await top('gauss-newton', 5), gaussNewton.top5, gaussNewton.top5[0]!),
    eigenvalues(
      'empiricalFisher.top5',
      await top('empirical-fisher', 5),
      empiricalFisher.top5,
      empiricalFisher.top5[0]!,
    ),
  );
  if (gaussNewton.frobenius !== undefined) {
    // A basis of the whole space makes the norm exact.
    const whole = await frobeniusNorm(target, { ...RUN, operator: 'gauss-newton', basisSteps: n });
    results.push(relative('gaussNewton.frobenius', [whole.value], [gaussNewton.frobenius], TOLERANCE.eigenvalue));
  }
  return results;
};

const compareSplits = async (replayed: HessianReplay): Promise<Comparison[]> => {
  const { golden, target, batch } = replayed;
  const results = [];
  for (const split of golden.batchSplits) {
    const field = `batchSplits[${split.sizes.join('+')}]`;
    let begin = 0;
    const data = split.sizes.map((size): Batch => {
      const part = {
        xs: tf.slice(batch.xs as tf.Tensor, begin, size),
        ys: tf.slice(batch.ys as tf.Tensor, begin, size),
      };
      begin += size;
      return part;
    });
    try {
      const divided: PredictionTarget = { ...target, data };
      const { loss, gradient } = await lossAndGradient(divided, RUN);
      tf.dispose([...gradient]);
      const h = await dense(divided);
      const top = await lambdaMax(operatorOf(h), { ...RUN, tol: 1e-6, maxSteps: h.length });
      results.push(
        absolute(`${field}.loss`, [loss], [split.loss], TOLERANCE.loss),
        scaled(`${field}.trace`, [traceOf(h)], [split.trace], split.frobenius, TOLERANCE.eigenvalue),
        relative(`${field}.frobenius`, [frobeniusOf(h)], [split.frobenius], TOLERANCE.eigenvalue),
        relative(`${field}.lambdaMax`, [top.value], [split.lambdaMax], TOLERANCE.eigenvalue),
      );
      const { hv1 } = split;
      if (hv1 !== undefined) {
        const product = await withVectors(replayed, [golden.hvp[0]!.v], async ([v]) =>
          flatten(await hvp(divided, v!, RUN)),
        );
        results.push(relative(`${field}.hv1`, product, hv1, TOLERANCE.product));
      }
    } finally {
      for (const { xs, ys } of data) tf.dispose([xs, ys]);
    }
  }
  return results;
};
