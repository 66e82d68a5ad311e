import type { Figure, Point, Series } from './figure.js';
import { groupBy } from './group.js';
import { meanInterval } from './intervals.js';
import { formatInterval, formatNumber } from './numbers.js';
import { countedOf, endsEqual, equalPasses, measured, quantitiesOf, statusOf } from './quantities.js';
import type { MetricsRow, RunRecord } from './run.js';
import type { Table, TableCell } from './table.js';

/** What is drawn against passes, in this order, where any run has it. Metrics not named here follow, by name. */
const CURVES: readonly {
  readonly metric: string;
  readonly title: string;
  readonly unit: string;
  readonly about: string;
}[] = [
  {
    metric: 'loss',
    title: 'Minibatch loss',
    unit: 'loss',
    about: "Mean loss of the minibatches before each step: the step's first pass, with augmentation.",
  },
  { metric: 'trainLoss', title: 'Training loss', unit: 'loss', about: 'Mean loss on training examples.' },
  { metric: 'testTop1', title: 'Test Top-1', unit: 'accuracy', about: 'Share of test examples classified right.' },
  {
    metric: 'emaTestTop1',
    title: 'Test Top-1 of averaged weights',
    unit: 'accuracy',
    about: 'Share of test examples classified right with the exponential moving average of the weights.',
  },
  { metric: 'testLoss', title: 'Test loss', unit: 'loss', about: 'Mean loss on the test set.' },
  {
    metric: 'generalisationGap',
    title: 'Generalisation gap',
    unit: 'train − test Top-1',
    about: 'Training Top-1 less test Top-1.',
  },
  {
    metric: 'samGap',
    title: 'SAM gap',
    unit: 'L(w+ε) − L(w)',
    about: 'How much the loss rises at the ascent point: first-order sharpness.',
  },
  {
    metric: 'lambdaMax',
    title: 'λ_max of the Hessian',
    unit: 'λ_max',
    about: 'Largest eigenvalue of the Hessian of the training loss, on fixed examples.',
  },
  {
    metric: 'trace',
    title: 'Trace of the Hessian',
    unit: 'trace',
    about: 'Trace of the Hessian of the training loss, on fixed examples, estimated.',
  },
  {
    metric: 'gradientVariance',
    title: 'Gradient variance',
    unit: 'Σ Var(g_i)',
    about: 'Variance of minibatch gradients, summed over the weights, on fixed examples.',
  },
  {
    metric: 'lipschitz',
    title: 'Local Lipschitz constant of the gradient',
    unit: '‖Δ∇L‖ / ‖Δw‖',
    about: 'How fast the gradient changed along the path since the measurement before.',
  },
];

const POLICY: Readonly<Record<string, readonly [title: string, about: string]>> = {
  gamma: ['γ: renormalisation', 'SSAM: gradient norm over ascent gradient norm.'],
  lambda: ['λ: regularisation weight', 'SAMAR: weight of the sharpness term.'],
  ratio: ['r: sharpness ratio', 'SAMAR: gradient norm over the previous gradient norm.'],
  eta: ['η: step size', 'SA-SAM and SA-SGD: step size from local smoothness.'],
  rho: ['ρ: radius of the neighbourhood', 'Length of the perturbation.'],
  theta: ['θ: growth of the step size', 'SA-SAM and SA-SGD: step size over the previous one.'],
  gradNorm: ['‖g‖: gradient norm', 'Length of the gradient at the weights.'],
  advGradNorm: ['‖g_adv‖: ascent gradient norm', 'Length of the gradient at the ascent point.'],
  learningRate: ['Learning rate', 'Learning rate of the base optimizer.'],
};

/** Not curves: positions, and what other curves already say. */
const NOT_DRAWN = new Set(
  (
    'step epoch passes skippedSteps trainTop1 trainTop5 testTop5 lossGap advLoss ascentNorm emaTestTop5 emaTestLoss ' +
    'lambdaMaxResidual lambdaMin lambdaMinResidual traceError fullGradNorm'
  ).split(' '),
);

/** The repeats of one setting: the runs of equal label, in order of appearance. */
export function groupRuns(
  runs: readonly RunRecord[],
): readonly { readonly label: string; readonly runs: readonly RunRecord[] }[] {
  return [...groupBy(runs, ({ label }) => label)].map(([label, runs]) => ({ label, runs }));
}

/**
 * One row for each label: the final numbers, passes per step, and test Top-1 where every run had spent the same number
 * of passes, unless that is the end of all of them. Repeats (runs of equal label) give `mean ± half of the 95 % interval`
 * over those that were completed.
 */
export function comparisonTable(runs: readonly RunRecord[]): Table {
  const budget = equalPasses(runs);
  const columns = quantitiesOf(runs);
  const ended = (runs: readonly RunRecord[]): string => [...new Set(runs.map(statusOf))].join(', ');
  const allCompleted = runs.every((run) => statusOf(run) === 'completed');
  return {
    caption: endsEqual(runs)
      ? `Comparison at the end of each run: ${formatNumber(budget)} gradient passes`
      : `Comparison at the end of each run, and at ${formatNumber(budget)} gradient passes`,
    columns: ['Run', ...(allCompleted ? [] : ['Status']), ...columns.map(({ header }) => header)],
    rows: groupRuns(runs).map(({ label, runs }) => {
      const counted = countedOf(runs);
      const size = counted.length < runs.length ? `${counted.length} of ${runs.length} runs` : `${runs.length} runs`;
      return [
        runs.length > 1 ? `${label} (${size})` : label,
        ...(allCompleted ? [] : [ended(runs)]),
        ...columns.map(({ of, unit }) => summarise(counted.map(of), unit)),
      ];
    }),
  };
}

function summarise(values: readonly (number | undefined)[], unit: 'number' | 'percent'): TableCell {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? null : formatInterval(meanInterval(known), unit);
}

/** The curves of the runs against gradient passes: first the results, then what the policies report. */
export function runFigures(runs: readonly RunRecord[]): {
  readonly results: readonly Figure[];
  readonly policies: readonly Figure[];
} {
  const named = new Set(CURVES.map(({ metric }) => metric));
  const others = [...new Set(runs.flatMap(({ rows }) => rows.flatMap((row) => Object.keys(row))))]
    .filter((metric) => !named.has(metric) && !NOT_DRAWN.has(metric))
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return {
    results: CURVES.flatMap(({ metric, title, unit, about }) => figureOf(runs, metric, title, unit, about)),
    policies: others.flatMap((metric) => {
      const [title, about] = POLICY[metric] ?? [metric, `Metric "${metric}" as the policy reports it.`];
      return figureOf(runs, metric, title, metric, about);
    }),
  };
}

function figureOf(
  runs: readonly RunRecord[],
  metric: string,
  title: string,
  unit: string,
  about: string,
): readonly Figure[] {
  const series = groupRuns(runs).flatMap(({ label, runs }, stroke): Series[] => {
    const points = curve(runs, metric);
    return points.length === 0 ? [] : [{ name: label, points, stroke }];
  });
  if (series.length === 0) return [];
  const percent = metric === 'testTop1' || metric === 'emaTestTop1' || metric === 'generalisationGap';
  const banded = series.some(({ points }) => points.some(({ low }) => low !== undefined));
  const repeats = groupRuns(runs).some(({ runs }) => runs.length > 1);
  const bands = repeats ? ' Bands: 95 % interval of the mean over repeats.' : ' Bands: 95 % interval of the estimate.';
  return [
    {
      kind: 'line',
      title,
      description: about + (banded ? bands : ''),
      x: { label: 'gradient passes', format: '~s' },
      y: { label: unit, scale: wide(series) ? 'log' : 'linear', ...(percent ? { format: '.3~p' } : {}) },
      series,
    },
  ];
}

/** One run's point, with the 95 % interval of an estimate whose standard error the row states (`traceError`). */
function pointOf(row: MetricsRow, metric: string): Point {
  const y = measured(row, metric) as number;
  const error = row[`${metric}Error`];
  return { x: row.passes, y, ...(typeof error === 'number' && { low: y - 1.96 * error, high: y + 1.96 * error }) };
}

function curve(runs: readonly RunRecord[], metric: string): readonly Point[] {
  const [first] = runs;
  if (first === undefined) return [];
  const curves = runs.map(({ rows }) => rows.flatMap((row) => (measured(row, metric) === undefined ? [] : [row])));
  if (runs.length === 1) return (curves[0] ?? []).map((row) => pointOf(row, metric));
  // Repeats are averaged where all of them have measured; a run that ended early ends the mean too.
  const at = groupBy(curves.flat(), ({ passes }) => passes);
  return [...at]
    .filter(([, rows]) => rows.length === runs.length)
    .sort(([a], [b]) => a - b)
    .map(([passes, rows]) => {
      const { estimate, low, high } = meanInterval(rows.map((row) => measured(row, metric) as number));
      return { x: passes, y: estimate, low, high };
    });
}

/** Whether a linear axis would flatten the curves: positive values over more than a factor of 50. */
function wide(series: readonly Series[]): boolean {
  const values = series.flatMap(({ points }) =>
    points.flatMap(({ y }) => (y !== null && Number.isFinite(y) ? [y] : [])),
  );
  return values.length > 0 && values.every((value) => value > 0) && Math.max(...values) > 50 * Math.min(...values);
}

function rank(metric: string): number {
  const at = Object.keys(POLICY).indexOf(metric);
  return at < 0 ? Infinity : at;
}
