import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  curvatureFigures,
  curvatureReport,
  frobeniusNorm,
  hessianDensity,
  hessianDiagonal,
  hessianSpectrum,
  hessianTrace,
  lambdaMax,
  type OperatorTarget,
} from '../src/index.js';
import { gaussian, randomStream } from '../src/linear-algebra/random.js';
import { leavingNoTensors, read } from './support.js';
import './support.js';

/** A dense symmetric matrix with these eigenvalues and random eigenvectors (two rounds of Householder reflections). */
const withSpectrum = (eigenvalues: ArrayLike<number>): OperatorTarget & { readonly diagonal: number[] } => {
  const n = eigenvalues.length;
  const reflectors = Array.from({ length: 8 }, (_, k) => {
    const u = gaussian(n, randomStream(k, 40));
    const length = Math.hypot(...u);
    return u.map((x) => x / length);
  });
  const reflect = (v: Float64Array, order: readonly Float64Array[]): Float64Array => {
    let x = Float64Array.from(v);
    for (const u of order) {
      const c = 2 * u.reduce((sum, ui, i) => sum + ui * x[i]!, 0);
      x = x.map((xi, i) => xi - c * u[i]!);
    }
    return x;
  };
  const multiply = (v: Float64Array): Float64Array =>
    reflect(
      reflect(v, reflectors).map((x, i) => x * eigenvalues[i]!),
      [...reflectors].reverse(),
    );
  const diagonal = Array.from(
    { length: n },
    (_, i) => multiply(Float64Array.from({ length: n }, (__, j) => (i === j ? 1 : 0)))[i]!,
  );
  return { size: n, multiply, diagonal };
};

const outliers = Array.from({ length: 300 }, (_, i) =>
  i < 6 ? 40 / (i + 1) : i === 6 ? -12 : 0.02 * Math.sin(i) ** 2,
);
const trace = outliers.reduce((a, b) => a + b, 0);
const frobenius = Math.hypot(...outliers);

beforeAll(async () => {
  await tf.setBackend('cpu');
});

describe('hessianTrace', () => {
  for (const method of ['auto', 'hutchinson', 'hutch++', 'xtrace'] as const) {
    test(`${method} covers the known trace and repeats by seed`, async () => {
      const target = withSpectrum(outliers);
      let covered = 0;
      for (let seed = 0; seed < 20; seed++) {
        const { ci95, value, standardError } = await hessianTrace(target, {
          method,
          seed,
          maxGradEvals: 40,
          relTol: 0.001,
        });
        if (ci95[0] <= trace && trace <= ci95[1]) covered++;
        expect(Math.abs(value - trace)).toBeLessThan(8 * standardError);
      }
      expect(covered).toBeGreaterThanOrEqual(15);
      const again = async (): Promise<number> =>
        (await hessianTrace(target, { method, seed: 5, maxGradEvals: 40 })).value;
      expect(await again()).toBe(await again());
    });
  }

  test('auto is exact when the basis spans the space', async () => {
    const small = [5, -3, 2, 1, 0.5, 0.25, 7, 9];
    const { value, standardError, converged } = await hessianTrace(withSpectrum(small), { basisSteps: 8 });
    expect(value).toBeCloseTo(21.75, 5);
    expect(standardError).toBe(0);
    expect(converged).toBe(true);
  });

  test('hutch++ and xtrace are exact on an operator of low rank', async () => {
    const target = withSpectrum(Array.from({ length: 100 }, (_, i) => (i < 4 ? 3 - i : 0)));
    for (const method of ['hutch++', 'xtrace'] as const) {
      const { value } = await hessianTrace(target, { method, maxGradEvals: 60 });
      expect(value).toBeCloseTo(6, 8);
    }
  });

  test('says so when the budget ends first, and never exceeds it', async () => {
    const target = withSpectrum(Array.from({ length: 300 }, (_, i) => Math.sin(i * i)));
    const result = await hessianTrace(target, { maxGradEvals: 20, relTol: 1e-6 });
    expect(result.converged).toBe(false);
    expect(result.gradEvals).toBeLessThanOrEqual(20);
  });

  test('without memory for a basis takes plain probes and notes it', async () => {
    const result = await hessianTrace(withSpectrum(outliers), { memoryLimitMB: 0.001, maxGradEvals: 30 });
    expect(result.method).toBe('hutchinson');
    expect(result.notes.join()).toMatch(/memoryLimitMB/);
  });
});

describe('spectrum', () => {
  test('both ends, with residual bounds that hold', async () => {
    const target = withSpectrum(outliers);
    const result = await hessianSpectrum(target, { k: 3 });
    const expected = [40, 20, 40 / 3, -12];
    for (const [i, pair] of result.eigenpairs.slice(0, 4).entries()) {
      expect(Math.abs(pair.value - expected[i]!)).toBeLessThanOrEqual(pair.residual + 1e-5);
    }
    expect(result.lambdaMax).toBeCloseTo(40, 4);
    expect(result.lambdaMin).toBeCloseTo(-12, 4);
  });

  test('vectors satisfy H v = λ v and are freed by dispose', async () => {
    const target = withSpectrum(outliers);
    await leavingNoTensors(async () => {
      const result = await hessianSpectrum(target, { k: 2, which: 'magnitude', keepVectors: true, tol: 1e-4 });
      for (const { value, vector } of result.eigenpairs) {
        const v = Float64Array.from(await read(vector!));
        const image = target.multiply(v) as Float64Array;
        const miss = Math.hypot(...image.map((x, i) => x - value * v[i]!));
        expect(miss).toBeLessThan(1e-3 * Math.abs(value));
      }
      result.dispose();
    });
  });

  test('a small operator is exhausted: multiple eigenvalues and the null space come out right', async () => {
    const { eigenpairs } = await hessianSpectrum(withSpectrum([2, 2, 2, 0, 0, -1]), {
      k: 6,
      which: 'largest',
      maxSteps: 6,
      tol: 0,
    });
    const found = eigenpairs.map(({ value }) => value);
    for (const [i, value] of [2, 2, 2, 0, 0, -1].entries()) expect(found[i]!).toBeCloseTo(value, 5);
  });

  test('lambdaMax is the largest, not the largest in magnitude, by both methods', async () => {
    const target = withSpectrum(Array.from({ length: 60 }, (_, i) => (i === 0 ? -9 : i === 1 ? 5 : Math.cos(i))));
    const lanczos = await lambdaMax(target);
    const power = await lambdaMax(target, { method: 'power', maxSteps: 300, maxGradEvals: 1000 });
    expect(lanczos.value).toBeCloseTo(5, 3);
    expect(power.value).toBeCloseTo(5, 2);
    expect(power.rayleigh!.at(-1)).toBeCloseTo(-9, 2);
    expect(lanczos.steps).toBeLessThan(power.steps);
  });

  test('power iteration on ±λ does not claim convergence to a wrong value', async () => {
    const target = withSpectrum(
      Array.from({ length: 60 }, (_, i) => (i === 0 ? -3 : i === 1 ? 2.99 : 0.1 * Math.cos(i))),
    );
    const pair = await lambdaMax(target, { method: 'power', maxSteps: 30 });
    expect(pair.converged ? Math.abs(pair.value - 2.99) < 0.01 : true).toBe(true);
  });

  test('without memory for a basis the extremes are still right', async () => {
    const result = await hessianSpectrum(withSpectrum(outliers), { memoryLimitMB: 0.001 });
    expect(result.lambdaMax).toBeCloseTo(40, 3);
    expect(result.notes.join()).toMatch(/memoryLimitMB/);
  });
});

describe('density', () => {
  test('integrates to one, and its quadrature has the operator’s moments', async () => {
    const uniform = Array.from({ length: 400 }, (_, i) => -1 + (4 * (i + 0.5)) / 400);
    const { grid, density, nodes, weights } = await hessianDensity(withSpectrum(uniform), { runs: 3, steps: 40 });
    const spacing = grid[1]! - grid[0]!;
    expect(spacing * density.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 3);
    const moment = (k: number): number =>
      nodes.reduce((sum, run, r) => sum + run.reduce((s, x, i) => s + weights[r]![i]! * x ** k, 0), 0) / nodes.length;
    expect(Math.abs(moment(1) - 1)).toBeLessThan(0.1);
    expect(Math.abs(moment(2) - 7 / 3)).toBeLessThan(0.3);
    // Half the mass of the uniform density on [-1, 3] lies above 1.
    const above = spacing * density.reduce((sum, y, i) => sum + (grid[i]! > 1 ? y : 0), 0);
    expect(Math.abs(above - 0.5)).toBeLessThan(0.05);
  });

  test('on a logarithmic axis spans the decades', async () => {
    const { grid } = await hessianDensity(withSpectrum(outliers), { log: true, steps: 30 });
    expect(grid.at(-1)!).toBeGreaterThan(Math.log10(40));
    expect(grid[0]!).toBeLessThan(-1.5);
  });
});

test('hessianDiagonal and frobeniusNorm cover the known values', async () => {
  await leavingNoTensors(async () => {
    const target = withSpectrum(outliers);
    const { value, standardError, converged } = await hessianDiagonal(target, { maxProbes: 64 });
    expect(converged).toBe(false);
    const found = await read(value);
    const errors = await read(standardError);
    const inside = found.filter((x, i) => Math.abs(x - target.diagonal[i]!) <= 2 * errors[i]!).length;
    expect(inside / found.length).toBeGreaterThan(0.88);
    tf.dispose([...value, ...standardError]);
    const loose = await hessianDiagonal(target, { maxProbes: 64, relTol: 1 });
    expect(loose.converged).toBe(true);
    tf.dispose([...loose.value, ...loose.standardError]);
  });
  const norm = await frobeniusNorm(withSpectrum(outliers));
  expect(Math.abs(norm.value - frobenius)).toBeLessThan(0.01 * frobenius);
});

test('curvatureReport gathers all of it from one run, and is plain JSON', async () => {
  const report = await curvatureReport(withSpectrum(outliers), { k: 2 });
  expect(report.lambdaMax).toBeCloseTo(40, 3);
  expect(report.lambdaMin).toBeCloseTo(-12, 3);
  expect(Math.abs(report.trace.value - trace)).toBeLessThan(0.05 * trace);
  expect(Math.abs(report.frobenius.value - frobenius)).toBeLessThan(0.01 * frobenius);
  expect(report.converged).toBe(true);
  expect(report.gradEvals).toBeLessThan(100);
  const json = JSON.parse(JSON.stringify(report)) as { version: number; density: { grid: number[] } };
  expect(json.version).toBe(1);
  expect(json.density.grid.length).toBe(report.density!.grid.length);
  const figures = curvatureFigures(report);
  expect(figures.spectrum.map(({ value }) => Math.round(value))).toEqual([40, 20, -12, 0]);
  expect(figures.perLayer.length).toBe(1);
});
