import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { RunRecord } from '@polder/report';
import { UsageError } from './failure.js';
import { didYouMean } from './suggest.js';

/** Whether a folder is that of a run. */
export function isRun(folder: string): boolean {
  return existsSync(join(folder, 'metrics.jsonl'));
}

/** The folders themselves where they are runs, else the run folders in them. Throws {@link UsageError} where there is none. */
export function runFoldersIn(folders: readonly string[]): readonly string[] {
  return [...new Set(folders.flatMap(runsOf))];
}

/** Reads runs; those of one name in different folders are called by their paths. Throws RunFileError. */
export async function readRuns(runFolders: readonly string[]): Promise<readonly RunRecord[]> {
  const { readRun } = await import('@polder/report/node');
  const runs = await Promise.all(runFolders.map((folder) => readRun(folder)));
  return runs.map((run, i) => {
    if (runs.filter(({ name }) => name === run.name).length === 1) return run;
    const name = runFolders[i] as string;
    return { ...run, name, label: run.label === run.name ? name : run.label };
  });
}

function runsOf(folder: string): readonly string[] {
  if (isRun(folder)) return [folder];
  if (!existsSync(folder)) {
    const place = dirname(folder);
    const there = existsSync(place) ? readdirSync(place).map((name) => (place === '.' ? name : join(place, name))) : [];
    throw new UsageError(`${folder}: there is no such folder.${didYouMean(folder, there)} Name the folder of a run.`);
  }
  if (!statSync(folder).isDirectory()) {
    const inRun = isRun(dirname(folder)) ? ` Did you mean ${dirname(folder)}?` : '';
    throw new UsageError(`${folder} is a file (${basename(folder)}), not the folder of a run.${inRun}`);
  }
  const inside = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(folder, entry.name))
    .filter(isRun);
  if (inside.length === 0)
    throw new UsageError(`${folder} is no run folder and holds none (a run has a metrics.jsonl). Check the path.`);
  return inside.sort();
}
