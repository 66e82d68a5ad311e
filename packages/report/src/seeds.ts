import { flatten } from './config.js';
import { groupBy } from './group.js';
import { meanInterval } from './intervals.js';
import { countedOf, equalPasses, quantitiesOf, statusOf } from './quantities.js';
import type { RunRecord } from './run.js';

/** Runs that no table can compare: they were not tested on the same examples. */
export class IncomparableRunsError extends Error {
  override readonly name = 'IncomparableRunsError';
  /** The setting in which they differ. */
  readonly setting: string;
  /** The values of it, each with the names of its runs. */
  readonly values: readonly { readonly value: string; readonly runs: readonly string[] }[];

  constructor(setting: string, values: IncomparableRunsError['values']) {
    const shown = values.map(({ value, runs: [first, ...rest] }) => {
      return `${setting} ${value} (${first}${rest.length > 0 ? ` and ${rest.length} more` : ''})`;
    });
    super(`Runs on different data cannot be compared: ${shown.join(', ')}. Compare those of one data set at a time.`);
    this.setting = setting;
    this.values = values;
  }
}

/** Runs whose settings differ in nothing but the seed. */
export interface SeedGroup {
  /** The settings that tell it from the other groups: `sam`, `sam rho=0.2`. */
  readonly label: string;
  /** Those settings, by path. */
  readonly settings: Readonly<Record<string, string>>;
  /** One for each seed. */
  readonly runs: readonly RunRecord[];
  /** Runs of a seed that is there already: they are no further evidence. */
  readonly duplicates: readonly RunRecord[];
}

/** What says where and how often a run was watched or saved, not what was computed. */
const NOT_SETTINGS: ReadonlySet<string> = new Set(
  (
    'seed name label runDir dataDir backend threads logEvery checkpointEvery checkpointMinutes keepBest evalMetric ' +
    'curvatureEvery curvatureExamples curvatureAlso tensorboard csv'
  ).split(' '),
);

/** Groups runs by their settings, seeds aside, in order of appearance. */
export function groupBySettings(runs: readonly RunRecord[]): readonly SeedGroup[] {
  const settingsOf = new Map(
    runs.map((run) => [run, new Map(flatten(run.config).filter(([path]) => isSetting(path)))]),
  );
  const keyOf = (run: RunRecord): string =>
    JSON.stringify([...settingsOf.get(run)!].sort(([a], [b]) => (a < b ? -1 : 1)));
  const groups = [...groupBy(runs, keyOf).values()].map((members) => ({
    settings: settingsOf.get(members[0] as RunRecord)!,
    runs: [...groupBy(members, seedOf).values()].map(([first]) => first as RunRecord),
    members,
  }));
  const paths = tellingPaths(groups.map(({ settings }) => settings));
  return groups.map(({ settings, runs, members }) => {
    const telling = paths.flatMap((path) => {
      const value = settings.get(path);
      return value === undefined ? [] : [[path, value] as const];
    });
    return {
      label: labelOf(telling) || (runs[0] as RunRecord).label,
      settings: Object.fromEntries(telling),
      runs,
      duplicates: members.filter((run) => !runs.includes(run)),
    };
  });
}

/**
 * The runs with labels that say their settings, so that the seeds of one setting are repeats for `renderReport`. A run
 * that has a label of its own keeps it. A second run of the same seed becomes no repeat: its label is its name.
 */
export function labelBySettings(runs: readonly RunRecord[]): readonly RunRecord[] {
  const labels = new Map(
    groupBySettings(runs).flatMap(({ label, runs, duplicates }) => [
      ...runs.map((run) => [run, label] as const),
      ...duplicates.map((run) => [run, run.name] as const),
    ]),
  );
  return runs.map((run) => (run.label === run.name ? { ...run, label: labels.get(run) ?? run.label } : run));
}

/** A mean over seeds with its 95 % t-interval; `low` and `high` are null where there is but one value. */
export interface ComparedQuantity {
  readonly mean: number;
  readonly low: number | null;
  readonly high: number | null;
  readonly n: number;
}

/** One setting of a comparison. */
export interface ComparedSetting {
  readonly label: string;
  readonly settings: Readonly<Record<string, string>>;
  /** Runs that count: the completed ones, or all where none was completed. */
  readonly n: number;
  readonly seeds: readonly (number | string)[];
  /** How many runs ended how. */
  readonly status: Readonly<Record<string, number>>;
  readonly runs: readonly string[];
  /** By the keys of {@link RunComparison.quantities}; null where it was not measured. */
  readonly values: Readonly<Record<string, ComparedQuantity | null>>;
}

/** A comparison of runs: plain JSON. */
export interface RunComparison {
  /** The number of gradient passes that every run has reached. */
  readonly equalPasses: number;
  readonly quantities: readonly {
    readonly key: string;
    readonly header: string;
    readonly unit: 'number' | 'percent';
  }[];
  readonly rows: readonly ComparedSetting[];
  /** What a reader should know: seeds that came twice, runs that did not end, measures of different kinds. */
  readonly notes: readonly string[];
}

/**
 * Compares runs: those that differ only in their seed are averaged, with 95 % t-intervals over seeds. Throws
 * {@link IncomparableRunsError} for runs on different data or test examples.
 */
export function compareSettings(runs: readonly RunRecord[]): RunComparison {
  for (const setting of ['data', 'limitTest']) requireSame(runs, setting);
  const groups = groupBySettings(runs);
  const kept = groups.flatMap((group) => group.runs);
  const quantities = quantitiesOf(kept);
  const rows = groups.map(({ label, settings, runs }): ComparedSetting => {
    const counted = countedOf(runs);
    const statuses = [...groupBy(runs, statusOf)].map(([status, of]) => [status, of.length]);
    const values = quantities.map(({ key, of }) => {
      const known = counted.map(of).filter((value) => value !== undefined);
      return [key, known.length === 0 ? null : comparedQuantity(known)] as const;
    });
    return {
      label,
      settings,
      n: counted.length,
      seeds: counted.map(seedOf),
      status: Object.fromEntries(statuses) as Record<string, number>,
      runs: counted.map(({ name }) => name),
      values: Object.fromEntries(values),
    };
  });
  return {
    equalPasses: equalPasses(kept),
    quantities: quantities.map(({ key, header, unit }) => ({ key, header, unit })),
    rows,
    notes: notesOn(groups, kept),
  };
}

function comparedQuantity(values: readonly number[]): ComparedQuantity {
  const { estimate, low, high, n } = meanInterval(values);
  return { mean: estimate, low: Number.isNaN(low) ? null : low, high: Number.isNaN(high) ? null : high, n };
}

function notesOn(groups: readonly SeedGroup[], kept: readonly RunRecord[]): readonly string[] {
  const unfinished = kept.filter((run) => statusOf(run) !== 'completed');
  const measures = ['gapRho', 'gapExamples', 'trainEval'].filter(
    (setting) => new Set(kept.map(({ config }) => JSON.stringify(config[setting]))).size > 1,
  );
  return [
    ...groups.flatMap(({ duplicates }) =>
      duplicates.map((run) => `${run.name} has settings and seed of another run, and does not count again`),
    ),
    ...unfinished.map((run) => `${run.name} was not completed: ${statusOf(run)}`),
    ...measures.map(
      (setting) => `the runs were measured with different ${setting}: what depends on it does not compare`,
    ),
  ];
}

function requireSame(runs: readonly RunRecord[], setting: string): void {
  const values = groupBy(runs, ({ config }) => textOf(config[setting]));
  if (values.size < 2) return;
  const named = Array.from(values, ([value, runs]) => ({ value, runs: runs.map(({ name }) => name) }));
  throw new IncomparableRunsError(setting, named);
}

function seedOf({ config: { seed } }: RunRecord): number | string {
  return typeof seed === 'number' ? seed : textOf(seed);
}

function textOf(setting: unknown): string {
  if (setting === undefined) return 'not given';
  return typeof setting === 'string' ? setting : JSON.stringify(setting);
}

const isSetting = (path: string): boolean => !NOT_SETTINGS.has(path.split('.')[0] as string);

type Settings = ReadonlyMap<string, string>;

/**
 * As few settings as tell all groups apart, the policy first: what else differs (a policy's own ρ, momentum 0 where it
 * sets the rate) mostly follows from it.
 */
function tellingPaths(groups: readonly Settings[]): readonly string[] {
  const first = ['policy', 'model', 'data'];
  const all = [...new Set(groups.flatMap((settings) => [...settings.keys()]))];
  const candidates = [...first.filter((path) => all.includes(path)), ...all.filter((path) => !first.includes(path))];
  const distinct = (paths: readonly string[]): number =>
    new Set(groups.map((settings) => JSON.stringify(paths.map((path) => settings.get(path) ?? null)))).size;
  const chosen = candidates.slice(0, 1);
  for (const path of candidates.slice(1)) {
    if (distinct(chosen) === groups.length) break;
    if (distinct(chosen.concat(path)) > distinct(chosen)) chosen.push(path);
  }
  return chosen;
}

/** Names speak for themselves, numbers need theirs: `sam resnet20 rho=0.2`. */
function labelOf(telling: readonly (readonly [string, string])[]): string {
  return telling
    .map(([path, value]) => (['policy', 'model', 'data'].includes(path) ? value : `${path.split('.').at(-1)}=${value}`))
    .join(' ');
}
