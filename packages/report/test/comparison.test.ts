import { describe, expect, it } from 'vitest';
import { comparisonTable, runFigures, type LineFigure } from '../src/index.js';
import { differences } from '../src/config.js';
import { run } from './runs.js';

const cell = (table: ReturnType<typeof comparisonTable>, row: number, column: string) => {
  expect(table.columns).toContain(column);
  return table.rows[row]?.[table.columns.indexOf(column)];
};

describe('the comparison table', () => {
  it('compares at the passes that every run has reached, and shows passes per step', () => {
    const table = comparisonTable([run('sgd', { top1: 0.8 }), run('sam', { passesPerStep: 2, top1: 0.9 })]);
    expect(cell(table, 0, 'Passes per step')).toBe('1');
    expect(cell(table, 1, 'Passes per step')).toBe('2');
    expect(cell(table, 1, 'Passes')).toBe('800');
    // SGD ends at 400 passes; SAM had reached half of its 0.9 there.
    expect(cell(table, 0, 'Test Top-1 at 400 passes')).toBe('80.00 %');
    expect(cell(table, 1, 'Test Top-1')).toBe('90.00 %');
    expect(cell(table, 1, 'Test Top-1 at 400 passes')).toBe('45.00 %');
  });

  it('has no such column where all runs end at equal passes', () => {
    const table = comparisonTable([run('sgd'), run('asam')]);
    expect(table.columns.filter((column) => column.startsWith('Test Top-1'))).toEqual(['Test Top-1']);
    expect(table.caption).toContain('400 gradient passes');
  });

  it('derives the generalisation gap from the rows, and prefers what the summary states', () => {
    const stated = run('sam', { summary: { status: 'completed', generalisationGap: 0.25, imagesPerSecond: 180 } });
    const table = comparisonTable([run('sgd'), stated]);
    expect(cell(table, 0, 'Generalisation gap')).toBe('10.00 %');
    expect(cell(table, 1, 'Generalisation gap')).toBe('25.00 %');
    expect(cell(table, 0, 'Images / s')).toBeNull();
    expect(cell(table, 1, 'Images / s')).toBe('180');
  });

  it('shows the mean of the last ten evaluations where there were ten', () => {
    const column = 'Test Top-1, mean of last 10';
    const summary = { status: 'completed', last10TestTop1: 0.75, last10Evaluations: 10 };
    expect(cell(comparisonTable([run('sgd', { summary })]), 0, column)).toBe('75.00 %');
    const few = { ...summary, last10Evaluations: 4 };
    expect(comparisonTable([run('sgd', { summary: few })]).columns).not.toContain(column);
  });

  it('averages repeats of one label, with the half of the 95 % t-interval', () => {
    const repeats = [0.78, 0.8, 0.82].map((top1, i) => run(`sam-${i}`, { label: 'SAM', top1 }));
    const table = comparisonTable([run('sgd'), ...repeats]);
    expect(table.rows).toHaveLength(2);
    expect(table.rows[1]?.[0]).toBe('SAM (3 runs)');
    // s = 0.02, t(2) = 4.3027: half = 4.3027 · 0.02 / √3 = 0.0497.
    expect(cell(table, 1, 'Test Top-1')).toBe('80.0 ± 5.0 %');
  });

  it('leaves out columns that no run has, and survives runs without rows', () => {
    const empty = run('empty', { rows: [], summary: {} });
    expect(comparisonTable([]).rows).toEqual([]);
    expect(comparisonTable([empty]).rows).toEqual([['empty', 'no summary', null, null]]);
    expect(comparisonTable([run('sgd')]).columns).not.toContain('SAM gap');
  });

  it('says how runs ended where one did not complete', () => {
    const table = comparisonTable([
      run('sgd'),
      run('sam', { summary: { status: 'diverged', message: 'loss is NaN' } }),
    ]);
    expect(cell(table, 1, 'Status')).toBe('diverged');
    expect(comparisonTable([run('sgd')]).columns).not.toContain('Status');
  });

  it('shows a diverged value as what it is', () => {
    const diverged = run('sgd', { rows: [{ step: 1, epoch: 1, passes: 1, trainLoss: null, samGap: Infinity }] });
    const table = comparisonTable([diverged]);
    expect(cell(table, 0, 'Train loss')).toBe('NaN');
    expect(cell(table, 0, 'SAM gap')).toBe('∞');
  });
});

describe('the curves of runs', () => {
  const figure = (title: string, ...runs: Parameters<typeof runFigures>[0]): LineFigure => {
    const { results, policies } = runFigures(runs);
    const found = [...results, ...policies].find((figure) => figure.title.startsWith(title));
    expect(found).toBeDefined();
    return found as LineFigure;
  };

  it('run over gradient passes, not steps', () => {
    const { x, series } = figure('Training loss', run('sgd'), run('sam', { passesPerStep: 2 }));
    expect(x.label).toBe('gradient passes');
    expect(series.map(({ points }) => points.at(-1)?.x)).toEqual([400, 800]);
  });

  it('draw curvature with the interval of an estimate whose standard error is stated, and averaged weights', () => {
    const at = (step: number) => ({ step, epoch: step, passes: step });
    const rows = [
      { ...at(1), lambdaMax: 4, lambdaMaxResidual: 1e-9, trace: 10, traceError: 0.5 },
      { ...at(2), testTop1: 0.5, emaTestTop1: 0.75, emaTestTop5: 1, emaTestLoss: 1 },
    ];
    const { results, policies } = runFigures([run('sam', { rows })]);
    const points = (metric: string) => (results.find(({ title }) => title === metric) as LineFigure).series[0]!.points;
    expect(points('Trace of the Hessian')).toEqual([{ x: 1, y: 10, low: 10 - 0.98, high: 10 + 0.98 }]);
    expect(points('λ_max of the Hessian')).toEqual([{ x: 1, y: 4 }]);
    expect(points('Test Top-1 of averaged weights')).toEqual([{ x: 2, y: 0.75 }]);
    expect(policies).toEqual([]);
  });

  it('show what policies report, under the symbols of their papers', () => {
    const rows = [1, 2].map((k) => ({
      step: k,
      epoch: k,
      passes: 2 * k,
      gamma: 0.9,
      lambda: 1,
      eta: 0.1,
      rho: 0.3,
      mine: k,
    }));
    const titles = runFigures([run('all', { rows })]).policies.map(({ title }) => title);
    expect(titles.map((title) => title.split(':')[0])).toEqual(['γ', 'λ', 'η', 'ρ', 'mine']);
  });

  it('keep a run’s colour in every figure', () => {
    const gamma = run('ssam', { rows: [{ step: 1, epoch: 1, passes: 2, gamma: 0.9, trainLoss: 1 }] });
    expect(figure('γ', run('sgd'), run('sam'), gamma).series).toMatchObject([{ name: 'ssam', stroke: 2 }]);
    expect(figure('Training loss', run('sgd'), run('sam'), gamma).series.map(({ stroke }) => stroke)).toEqual([
      0, 1, 2,
    ]);
  });

  it('join step rows and evaluation rows of one file', () => {
    const rows = [
      { step: 1, epoch: 0, passes: 1, loss: 2 },
      { step: 2, epoch: 0, passes: 2, loss: 1 },
      { step: 2, epoch: 0, passes: 2, testTop1: 0.5, trainLoss: 1.5 },
    ];
    expect(figure('Minibatch loss', run('sgd', { rows })).series[0]?.points.map(({ x, y }) => [x, y])).toEqual([
      [1, 2],
      [2, 1],
    ]);
    expect(figure('Test Top-1', run('sgd', { rows })).series[0]?.points).toHaveLength(1);
  });

  it('keep a diverged value as NaN, for the figure to mark', () => {
    const rows = [
      { step: 1, epoch: 0, passes: 1, loss: 2 },
      { step: 2, epoch: 0, passes: 2, loss: null },
    ];
    expect(figure('Minibatch loss', run('sgd', { rows })).series[0]?.points[1]?.y).toBeNaN();
  });

  it('average repeats with bands, only where all of them measured', () => {
    const short = run('b', { label: 'SAM', rows: run('b').rows.slice(0, 3), summary: {} });
    const { series, description } = figure('Test Top-1', run('a', { label: 'SAM', top1: 0.4 }), short);
    expect(series[0]?.points.map(({ x }) => x)).toEqual([100, 200, 300]);
    expect(series[0]?.points[0]?.y).toBeCloseTo(0.15, 12);
    expect(series[0]?.points[0]?.low).toBeLessThan(0.15);
    expect(description).toContain('95 %');
  });
});

describe('differing settings', () => {
  it('are listed by path, equal ones are not', () => {
    const runs = [
      run('a', { config: { model: 'resnet8', policy: { name: 'sgd' }, seed: 0, list: [1, 2] } }),
      run('b', { config: { model: 'resnet8', policy: { name: 'sam', rho: 0.05 }, seed: 0, list: [1, 3] } }),
    ];
    expect(differences(runs).rows).toEqual([
      ['policy.name', 'sgd', 'sam'],
      ['list', '[1,2]', '[1,3]'],
      ['policy.rho', '–', '0.05'],
    ]);
    expect(differences([runs[0] as (typeof runs)[0]]).rows).toEqual([]);
  });
});
