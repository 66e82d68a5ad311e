import type { Command } from 'commander';
import { checkSettings } from '../check-settings.js';
import type { ComparedRun } from '../compare-runs.js';
import { print, printJson, table } from '../console.js';
import { configOrigin, flagOrigin, flagsGiven } from '../command-settings.js';
import { readConfigFile } from '../config-file.js';
import { exitCodes, UsageError } from '../failure.js';
import { addSettingFlags, flagOf } from '../flags.js';
import { presets } from '../presets.js';
import { percent } from '../progress.js';
import { compareSchema, policiesSchema, settingGroups, settingKeys, type GivenComparison } from '../settings.js';
import { didYouMean } from '../suggest.js';

const keys = [...settingKeys.filter((key) => key !== 'policy'), 'policies'];

/** `polder compare`: several policies under equal conditions, or runs that were made before. */
export function addCompare(program: Command): void {
  const command = program
    .command('compare')
    .description('train with several policies, same seed and batches, and compare; or compare runs made before')
    .argument('[runs...]', 'run folders, or folders of run folders: a table with intervals over seeds, no training')
    .option('--preset <name>', `settings to start from: ${Object.keys(presets).join(', ')}`)
    .option('--config <file>', 'settings from a YAML or JSON file; flags go before them')
    .option('--json', 'print the results as JSON on stdout');
  addSettingFlags(command, { 'Policies:': { policies: policiesSchema } });
  addSettingFlags(command, settingGroups, ['policy']);
  command.action(async (folders: readonly string[], flags: Readonly<Record<string, unknown>>) => {
    if (folders.length > 0) {
      await compareFolders(folders, flags);
      return;
    }
    const { preset, config, json } = flags as {
      readonly preset?: string;
      readonly config?: string;
      readonly json?: boolean;
    };
    const fromPreset = preset === undefined ? {} : presetNamed(preset);
    const fromFlags = checkSettings(compareSchema, flagsGiven(flags), flagOrigin(keys));
    const fromFile =
      config === undefined ? {} : checkSettings(compareSchema, readConfigFile(config), configOrigin(config, keys));
    const given = withOneLength(fromPreset, { ...fromFile, ...fromFlags });
    await compare(given, preset ?? 'compare', json === true);
  });
}

/** Runs that are there: nothing is trained or written. */
async function compareFolders(
  folders: readonly string[],
  { json, ...others }: Readonly<Record<string, unknown>>,
): Promise<void> {
  const [other] = Object.keys(others);
  if (other !== undefined)
    throw new UsageError(`${flagOf(other)} is for training: runs that were made before are compared as they are.`);
  const { readRuns, runFoldersIn } = await import('../run-folders.js');
  const runFolders = runFoldersIn(folders);
  const [{ compareSettings }, { comparisonText }, runs] = await Promise.all([
    import('@polder/report'),
    import('../run-table.js'),
    readRuns(runFolders),
  ]);
  const comparison = compareSettings(runs);
  if (json === true) printJson({ ...comparison, folders: runFolders });
  else print(comparisonText(comparison));
}

function presetNamed(name: string): GivenComparison {
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (preset === undefined)
    throw new UsageError(
      `There is no preset "${name}".${didYouMean(name, Object.keys(presets))} Presets: ${Object.keys(presets).join(', ')}.`,
    );
  return preset;
}

/** A length given replaces a preset's, also when it is of the other kind. */
function withOneLength(preset: GivenComparison, given: GivenComparison): GivenComparison {
  const { epochs: _epochs, passBudget: _passBudget, ...rest } = preset;
  if (given.epochs !== undefined || given.passBudget !== undefined) return { ...rest, ...given };
  return { ...preset, ...given };
}

async function compare(given: GivenComparison, name: string, json: boolean): Promise<void> {
  const { compareRuns } = await import('../compare-runs.js');
  const { runs, runDir, report, dataSource, backend } = await compareRuns(given, given.name ?? name);
  if (json) {
    printJson({
      runs: runs.map(({ label, result }) => ({ label, ...result })),
      dataSource,
      backend,
      runDir,
      report,
    });
  } else {
    print(comparison(runs));
    print(`\nruns    ${runDir}`);
    print(`report  ${report}`);
  }
  if (runs.some(({ result }) => result.status === 'diverged')) process.exitCode = exitCodes.diverged;
}

function comparison(runs: readonly ComparedRun[]): string {
  const columns = [
    'policy',
    'test Top-1',
    'train loss',
    'gen. gap',
    'SAM gap',
    'passes/step',
    'steps',
    'passes',
    'img/s',
  ];
  return table(
    columns,
    runs.map(({ label, result }) =>
      result.status === 'diverged'
        ? [label, 'diverged', ...columns.slice(2).map(() => '–')]
        : [
            label,
            percent(result.testTop1),
            result.trainLoss.toFixed(4),
            percent(result.generalisationGap),
            result.samGap.toFixed(4),
            result.passesPerStep.toFixed(2),
            String(result.steps),
            String(result.passes),
            result.imagesPerSecond.toFixed(1),
          ],
    ),
  );
}
