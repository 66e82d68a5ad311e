import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BarFigure, Figure, HeatmapFigure, LineFigure, Section } from '@polder/report';
import { RunFileError } from '@polder/report/node';
import type { Curvature } from './diagnose.js';

/** Where a run folder keeps what `polder diagnose` measured. */
export const CURVATURE_FILE = 'curvature.json';

/** The curvature of those runs that were diagnosed, as parts of a report. Throws RunFileError for a damaged file. */
export async function curvatureSections(runFolders: readonly string[]): Promise<readonly Section[]> {
  const found = await Promise.all(runFolders.map((folder) => readCurvature(join(folder, CURVATURE_FILE))));
  return found.flatMap((curvature) => (curvature === undefined ? [] : [curvatureSection(curvature)]));
}

async function readCurvature(file: string): Promise<Curvature | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const advice = 'Measure again with polder diagnose, or take the file away.';
  let value: Partial<Curvature> | null;
  try {
    value = JSON.parse(text) as Partial<Curvature> | null;
  } catch (error) {
    throw new RunFileError(file, undefined, 'JSON', (error as Error).message, advice);
  }
  if (value?.version === 1 && value.figures !== undefined && value.report !== undefined) return value as Curvature;
  throw new RunFileError(file, undefined, 'curvature of version 1', `version ${String(value?.version)}`, advice);
}

/** A measurement as a part of a report: what was measured, the values, the figures. */
export function curvatureSection(curvature: Curvature): Section {
  const { title, examples, data, report, sharpness, figures, surface } = curvature;
  const { trace, frobenius } = report;
  return {
    heading: `Curvature: ${title}`,
    paragraphs: [
      `The Hessian of the mean cross-entropy${withSmoothing(curvature)} over ${examples} training examples, without ` +
        `augmentation, dropout and weight decay, batch norm at its moving statistics. Data: ${data}. ` +
        `${report.hvp === 'exact' ? 'Exact' : 'Finite-difference'} Hessian-vector products, ` +
        `${report.gradEvals.toFixed(0)} gradient evaluations, seed ${curvature.seed}, backend ${curvature.backend}.`,
      ...(report.converged ? [] : ['Not all values reached their tolerance within the budget.']),
      ...report.notes,
    ],
    tables: [
      {
        caption: 'Curvature and sharpness; ± is one standard error, of an eigenvalue its residual bound',
        columns: ['Quantity', 'Value', '±'],
        rows: [
          ['λ_max', report.lambdaMax, residualAt(report, 'max')],
          ['λ_min', report.lambdaMin, residualAt(report, 'min')],
          ['trace', trace.value, trace.standardError],
          ['Frobenius norm', frobenius.value, frobenius.standardError],
          ['loss', report.loss, null],
          ['gradient norm', report.gradientNorm, null],
          [`sharpness, m = ${sharpness.m}, ρ = ${sharpness.rho}`, sharpness.value, sharpness.standardError],
        ],
      },
    ],
    figures: [
      spectrumFigure(figures),
      ...(figures.density.length > 0 ? [densityFigure(figures)] : []),
      layerFigure(figures),
      ...surfaceFigure(figures, surface),
    ],
  };
}

function withSmoothing({ smoothing = 0 }: Curvature): string {
  return smoothing > 0 ? ` with label smoothing ${smoothing}` : '';
}

/** Residual bound of the outermost eigenvalue at an end: some eigenvalue is that near. */
function residualAt({ eigenvalues, lambdaMax, lambdaMin }: Curvature['report'], end: 'max' | 'min'): number {
  const wanted = end === 'max' ? lambdaMax : lambdaMin;
  return eigenvalues.find(({ value }) => value === wanted)?.residual ?? Number.NaN;
}

function spectrumFigure({ spectrum }: Curvature['figures']): BarFigure {
  const ends = spectrum.toSorted((a, b) => b.value - a.value);
  const bottom = Math.ceil(ends.length / 2);
  return {
    kind: 'bar',
    title: 'Spectrum: the ends',
    description: 'Largest and smallest eigenvalues of the Hessian. Lines: residual bounds of Lanczos.',
    label: 'eigenvalue',
    value: { label: 'λ' },
    bars: ends.map(({ value, residual }, i) => ({
      name: i < bottom ? `λ ${i + 1}` : `λ n${i === ends.length - 1 ? '' : `−${ends.length - 1 - i}`}`,
      value,
      low: value - residual,
      high: value + residual,
    })),
  };
}

function densityFigure({ density }: Curvature['figures']): LineFigure {
  return {
    kind: 'line',
    title: 'Spectral density',
    description: 'Share of eigenvalues per unit of λ, by stochastic Lanczos quadrature, smoothed.',
    x: { label: 'λ' },
    y: { label: 'density', scale: 'log', format: '~e' },
    series: [{ name: 'density', points: density.map(({ lambda, density: y }) => ({ x: lambda, y })) }],
    dots: false,
  };
}

/** More bars than this are no picture. */
const MOST_BARS = 40;

function layerFigure({ perLayer }: Curvature['figures']): BarFigure {
  const weights = perLayer.map(({ trace }) => Math.abs(trace)).toSorted((a, b) => b - a);
  const least = weights[MOST_BARS - 1] ?? 0;
  const shown = perLayer.filter(({ trace }) => Math.abs(trace) >= least).slice(0, MOST_BARS);
  const left = perLayer.length - shown.length;
  return {
    kind: 'bar',
    title: 'Trace by layer',
    description:
      'Trace of the diagonal block of each weight, first layer on top. Lines: 95 % interval over the probes.' +
      (left > 0 ? ` The ${left} smallest of ${perLayer.length} are left out.` : ''),
    label: 'weight',
    value: { label: 'trace' },
    bars: shown.map(({ name, trace, low, high }) => ({ name, value: trace, low, high })),
  };
}

function surfaceFigure({ surface: cells }: Curvature['figures'], about: Curvature['surface']): readonly Figure[] {
  if (cells === null || about === null) return [];
  const label = (value: number): string => String(Number(value.toFixed(3)));
  const values = [...new Set(cells.map(({ x }) => x))].toSorted((a, b) => a - b);
  const finite = cells.flatMap(({ loss }) => (Number.isFinite(loss) ? [loss] : []));
  const low = Math.min(...finite);
  const along =
    about.directions === 'random'
      ? 'two random directions, normalised by filter (Li et al. 2018)'
      : `the eigenvectors of λ = ${(about.eigenvalues ?? []).map((value) => value.toPrecision(3)).join(' and ')}`;
  const figure: HeatmapFigure = {
    kind: 'heatmap',
    title: 'Loss surface',
    description: `Loss along ${along}; the weights are in the middle.`,
    x: { label: 'first direction', values: values.map(label) },
    // The picture's first row is on top.
    y: { label: 'second direction', values: values.toReversed().map(label) },
    value: { label: 'loss', scale: low > 0 && Math.max(...finite) > 20 * low ? 'log' : 'linear' },
    cells: cells.map(({ x, y, loss }) => ({ x: label(x), y: label(y), value: loss })),
  };
  return [figure];
}
