import type { RunRecord } from './run.js';
import type { Table } from './table.js';

/** The settings in which the runs differ, one row each; empty for fewer than two runs. */
export function differences(runs: readonly RunRecord[]): Table {
  const flat = runs.map(({ config }) => new Map(flatten(config)));
  const paths = [...new Set(flat.flatMap((settings) => [...settings.keys()]))];
  const rows = paths
    .map((path) => [path, ...flat.map((settings) => settings.get(path) ?? '–')])
    .filter(([, ...values]) => new Set(values).size > 1);
  return {
    caption: 'Settings in which the runs differ',
    columns: ['Setting', ...runs.map(({ label, name }) => (label === name ? label : `${label} (${name})`))],
    rows,
  };
}

/** The whole configuration as indented JSON. */
export function configDetails(config: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(config, null, 2) ?? '';
}

/** Settings by path (`policyOptions.chi`), as text. */
export function flatten(value: unknown, path: readonly string[] = []): [string, string][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || Object.keys(value).length === 0) {
    return [[path.join('.'), typeof value === 'string' ? value : (JSON.stringify(value) ?? '–')]];
  }
  return Object.entries(value).flatMap(([key, inner]) => flatten(inner, [...path, key]));
}
