import { formatNumber } from './numbers.js';
import type { MetricsRow, RunRecord } from './run.js';

/** Something that runs are compared by. */
export interface Quantity {
  /** In JSON. */
  readonly key: string;
  /** Over a column. */
  readonly header: string;
  readonly unit: 'number' | 'percent';
  /** Undefined where the run did not measure it. */
  readonly of: (run: RunRecord) => number | undefined;
}

/**
 * What these runs can be compared by, in the order of the table: costs, results, times. Test Top-1 also at the passes that
 * every run has reached, unless that is the end of all of them. What no run measured is left out.
 */
export function quantitiesOf(runs: readonly RunRecord[]): readonly Quantity[] {
  const budget = equalPasses(runs);
  const final = (metric: string) => (run: RunRecord) => finalOf(run, metric);
  const number = (key: string, header: string): Quantity => ({ key, header, unit: 'number', of: final(key) });
  const percent = (key: string, header: string): Quantity => ({ key, header, unit: 'percent', of: final(key) });
  const all: readonly Quantity[] = [
    { ...number('passesPerStep', 'Passes per step'), of: passesPerStep },
    number('passes', 'Passes'),
    percent('testTop1', 'Test Top-1'),
    ...(endsEqual(runs)
      ? []
      : [
          {
            ...percent('testTop1AtEqualPasses', `Test Top-1 at ${formatNumber(budget)} passes`),
            of: (run: RunRecord) => within(run, 'testTop1', budget),
          },
        ]),
    ...(runs.some(({ summary }) => Number(summary['last10Evaluations']) >= 10)
      ? [percent('last10TestTop1', 'Test Top-1, mean of last 10')]
      : []),
    percent('testTop5', 'Test Top-5'),
    percent('emaTestTop1', 'Test Top-1, averaged weights'),
    number('testLoss', 'Test loss'),
    number('trainLoss', 'Train loss'),
    percent('generalisationGap', 'Generalisation gap'),
    number('samGap', 'SAM gap'),
    number('imagesPerSecond', 'Images / s'),
    number('trainSeconds', 'Seconds of training'),
  ];
  const always = new Set(['passesPerStep', 'passes']);
  return all.filter(({ key, of }) => always.has(key) || runs.some((run) => of(run) !== undefined));
}

/** The number of gradient passes that every run has reached: the budget of the honest comparison. 0 without runs. */
export function equalPasses(runs: readonly RunRecord[]): number {
  return runs.length === 0 ? 0 : Math.min(...runs.map((run) => finalOf(run, 'passes') ?? 0));
}

/** Whether all runs have spent the same number of passes. */
export function endsEqual(runs: readonly RunRecord[]): boolean {
  const budget = equalPasses(runs);
  return runs.every((run) => finalOf(run, 'passes') === budget);
}

/** Of repeats, those whose numbers count: the completed ones, or all where none is. */
export function countedOf(runs: readonly RunRecord[]): readonly RunRecord[] {
  const completed = runs.filter((run) => statusOf(run) === 'completed');
  return completed.length > 0 ? completed : runs;
}

/** How a run ended; a run without a summary has not ended, or was killed. */
export function statusOf({ summary }: RunRecord): string {
  const { status } = summary;
  if (typeof status === 'string') return status;
  // The speed comes from timing.jsonl, which a killed run has too.
  return Object.keys(summary).some((key) => key !== 'imagesPerSecond') ? 'completed' : 'no summary';
}

/** A row's value; null means "not finite" in JSON. Undefined: not measured there. */
export function measured(row: MetricsRow, metric: string): number | undefined {
  if (metric === 'generalisationGap' && row['generalisationGap'] === undefined) {
    const { trainTop1, testTop1 } = row;
    return typeof trainTop1 === 'number' && typeof testTop1 === 'number' ? trainTop1 - testTop1 : undefined;
  }
  const value = row[metric];
  return value === null ? NaN : value;
}

function finalOf(run: RunRecord, metric: string): number | undefined {
  const stated = run.summary[metric];
  if (typeof stated === 'number') return stated;
  const last = run.rows.findLast((row) => measured(row, metric) !== undefined);
  return last === undefined ? undefined : measured(last, metric);
}

function passesPerStep(run: RunRecord): number | undefined {
  const stated = run.summary['passesPerStep'];
  if (typeof stated === 'number') return stated;
  const passes = finalOf(run, 'passes');
  const steps = typeof run.summary['steps'] === 'number' ? run.summary['steps'] : run.rows.at(-1)?.step;
  return passes === undefined || steps === undefined || steps === 0 ? undefined : passes / steps;
}

function within(run: RunRecord, metric: string, budget: number): number | undefined {
  const row = run.rows.findLast((row) => row.passes <= budget && measured(row, metric) !== undefined);
  return row === undefined ? undefined : measured(row, metric);
}
