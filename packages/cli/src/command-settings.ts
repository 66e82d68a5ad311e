import { join } from 'node:path';
import type { Command } from 'commander';
import type { Origin } from './check-settings.js';
import type { ConfigFile } from './config-file.js';
import type { SettingsLayer } from './explain-config.js';
import { flagOf } from './flags.js';
import type { GivenSettings } from './settings.js';

/** Where runs go that were given no folder: `runs/<name>` in the current folder. */
export function runBase(name: string): string {
  return join('runs', name);
}

/** How messages name a setting that came as a flag. */
export function flagOrigin(keys: readonly string[]): Origin {
  return { show: (key) => (key === 'policyOptions' ? '--policy-option' : flagOf(key)), keys };
}

/** How messages name a setting that came from a file. */
export function configOrigin(file: string, keys: readonly string[]): Origin {
  return { label: file, show: (key) => key, keys };
}

const NO_SETTINGS: ReadonlySet<string> = new Set(['config', 'json', 'preset', 'dryRun', 'explainConfig']);

/** What a command was asked to do instead of training. */
export interface Rehearsal {
  readonly dryRun?: boolean;
  readonly explainConfig?: boolean;
  readonly json?: boolean;
}

/** Adds `--dry-run` and `--explain-config`. */
export function addRehearsalFlags(command: Command): void {
  command
    .option('--dry-run', 'resolve everything and say what would run, and where; train nothing, write nothing')
    .option('--explain-config', 'print every setting with its value and where that comes from; train nothing');
}

/** What a configuration file says, if there is one. Throws UsageError. (The reader is loaded only for a file.) */
export async function configGiven(config: string | undefined): Promise<ConfigFile> {
  if (config === undefined) return { settings: {}, lines: {} };
  const { readConfig } = await import('./config-file.js');
  return readConfig(config);
}

/** Flags and a file as the layers of an explanation, the strongest first. */
export function layersOf(
  fromFlags: GivenSettings,
  fromFile: GivenSettings,
  config: string | undefined,
  lines: Readonly<Record<string, number>>,
): readonly SettingsLayer[] {
  return [
    { settings: fromFlags, origin: flagOrigin([]).show },
    { settings: fromFile, origin: (key) => `${config}:${lines[key] ?? '?'}` },
  ];
}

/** What commander parsed, under the settings' names, without the flags that are no settings. */
export function flagsGiven(flags: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { policyOption, ...others } = flags;
  const settings = Object.fromEntries(Object.entries(others).filter(([key]) => !NO_SETTINGS.has(key)));
  return { ...settings, ...(policyOption !== undefined && { policyOptions: policyOption }) };
}

/** Writes `report.html` into `folder`, about the runs in `runFolders` and their curvature, and returns its path. */
export async function writeRunReport(
  folder: string,
  title: string,
  runFolders: readonly string[],
  subtitle: string,
): Promise<string> {
  const [{ readRun, writeReport }, { curvatureSections }] = await Promise.all([
    import('@polder/report/node'),
    import('./curvature-section.js'),
  ]);
  const runs = await Promise.all(runFolders.map((path) => readRun(path)));
  const path = join(folder, 'report.html');
  await writeReport(path, { title, subtitle, runs, sections: await curvatureSections(runFolders) });
  return path;
}
