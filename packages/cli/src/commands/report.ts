import { basename, dirname, join, resolve } from 'node:path';
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { print, printJson } from '../console.js';
import { UsageError } from '../failure.js';
import { readRuns, runFoldersIn } from '../run-folders.js';

/** `polder report`: one page about runs that were made before. */
export function addReport(program: Command): void {
  program
    .command('report')
    .description('write one self-contained HTML page about runs; seeds of one setting become bands')
    .argument('<runs...>', 'run folders, or folders of run folders')
    .option('--out <file>', 'where to write it (default: report.html in the first folder)')
    .option('--title <text>', "title of the page (default: the first folder's name)")
    .option('--json', 'print the path as JSON on stdout')
    .action(report);
}

interface ReportOptions {
  readonly out?: string;
  readonly title?: string;
  readonly json?: boolean;
}

async function report(folders: readonly string[], options: ReportOptions): Promise<void> {
  const runFolders = runFoldersIn(folders);
  const out = resolve(options.out ?? join(folders[0] as string, 'report.html'));
  if (!existsSync(dirname(out))) throw new UsageError(`--out ${out}: there is no folder ${dirname(out)}.`);
  const [{ labelBySettings }, { writeReport }, { curvatureSections }] = await Promise.all([
    import('@polder/report'),
    import('@polder/report/node'),
    import('../curvature-section.js'),
  ]);
  const runs = await readRuns(runFolders);
  const title = options.title ?? basename(resolve(folders[0] as string));
  // One run is called what its folder is called.
  const labelled = runs.length > 1 ? labelBySettings(runs) : runs;
  await writeReport(out, { title, runs: labelled, sections: await curvatureSections(runFolders) });
  if (options.json === true) printJson({ report: out, runs: runFolders });
  else print(out);
}
