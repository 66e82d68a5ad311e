import { formatInterval, type ComparedSetting, type RunComparison } from '@polder/report';
import { table } from './console.js';

/** Shorter than the page's, so that a table fits a terminal; what is not here is in `--json`. */
const HEADERS: Readonly<Record<string, string>> = {
  passesPerStep: 'passes/step',
  passes: 'passes',
  testTop1: 'test Top-1',
  testTop1AtEqualPasses: 'at equal passes',
  last10TestTop1: 'last 10',
  trainLoss: 'train loss',
  generalisationGap: 'gen. gap',
  samGap: 'SAM gap',
  trainSeconds: 'seconds',
};

/** A comparison for a terminal: a row a setting, means with half of the interval, and what to keep in mind. */
export function comparisonText({ quantities, rows, equalPasses, notes }: RunComparison): string {
  const shown = quantities.filter(({ key }) => key in HEADERS);
  const lines = rows.map((row) => [row.label, sizeOf(row), ...shown.map(({ key, unit }) => cell(row, key, unit))]);
  const header = shown.map(({ key }) => (key === 'testTop1AtEqualPasses' ? `at ${equalPasses} passes` : HEADERS[key]!));
  const several = rows.some(({ n }) => n > 1);
  return [
    table(['setting', 'n', ...header], lines),
    ...(several ? ['n seeds; ± is half of the 95 % t-interval of their mean'] : []),
    ...notes.map((note) => `note: ${note}`),
  ].join('\n');
}

/** `3`, or `2 of 3` where not all were completed. */
function sizeOf({ n, status }: ComparedSetting): string {
  const all = Object.values(status).reduce((sum, count) => sum + count, 0);
  return n === all ? String(n) : `${n} of ${all}`;
}

function cell(row: ComparedSetting, key: string, unit: 'number' | 'percent'): string {
  const value = row.values[key];
  if (value === null || value === undefined) return '–';
  const { mean, low, high, n } = value;
  return formatInterval({ estimate: mean, low: low ?? Number.NaN, high: high ?? Number.NaN, n }, unit);
}
