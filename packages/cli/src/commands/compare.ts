import { join } from 'node:path';
import type { Command } from 'commander';
import { checkSettings } from '../check-settings.js';
import type { ComparedRun } from '../compare-runs.js';
import { print, printJson, table } from '../console.js';
import {
  addRehearsalFlags,
  configGiven,
  configOrigin,
  flagOrigin,
  flagsGiven,
  layersOf,
  runBase,
  type Rehearsal,
} from '../command-settings.js';
import type { SettingsLayer } from '../explain-config.js';
import { exitCodes, UsageError } from '../failure.js';
import { addSettingFlags, flagOf } from '../flags.js';
import { presets } from '../presets.js';
import { percent } from '../progress.js';
import {
  compareSchema,
  policiesSchema,
  settingGroups,
  settingKeys,
  type GivenComparison,
  type GivenSettings,
} from '../settings.js';
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
  addRehearsalFlags(command);
  addSettingFlags(command, { 'Policies:': { policies: policiesSchema } });
  addSettingFlags(command, settingGroups, ['policy']);
  command.action(async (folders: readonly string[], flags: Readonly<Record<string, unknown>>) => {
    if (folders.length > 0) {
      await compareFolders(folders, flags);
      return;
    }
    const { preset, config, ...rehearsal } = flags as Rehearsal & {
      readonly preset?: string;
      readonly config?: string;
    };
    const fromPreset = preset === undefined ? {} : presetNamed(preset);
    const fromFlags = checkSettings(compareSchema, flagsGiven(flags), flagOrigin(keys));
    const { settings, lines } = await configGiven(config);
    const fromFile = checkSettings(compareSchema, settings, configOrigin(config ?? '', keys));
    const given = withOneLength(fromPreset, { ...fromFile, ...fromFlags });
    if (rehearsal.explainConfig === true) {
      const layers = layersOf(fromFlags, fromFile, config, lines);
      const presetLayer = { settings: fromPreset as GivenSettings, origin: () => `preset ${preset}` };
      await explain(given, [...layers, presetLayer], rehearsal.json === true);
    } else if (rehearsal.dryRun === true) await rehearse(given, preset ?? 'compare', rehearsal.json === true);
    else await compare(given, preset ?? 'compare', rehearsal.json === true);
  });
}

/** Every setting of every policy with its origin. */
async function explain(given: GivenComparison, shared: readonly SettingsLayer[], json: boolean): Promise<void> {
  const [{ resolveComparison }, { explainSettings, explanationText }] = await Promise.all([
    import('../resolve-comparison.js'),
    import('../explain-config.js'),
  ]);
  const runs = (await resolveComparison(given)).map(({ label, own, chosen, settings }) => {
    const listed = { settings: { policy: settings.policy }, origin: () => (given.policies ? 'policies' : 'default') };
    const alone = { settings: own, origin: () => `policies: ${label} alone` };
    return { label, settings: explainSettings(settings, [alone, listed, ...shared], chosen) };
  });
  if (json) printJson({ runs });
  else print(runs.map(({ label, settings }) => `${label}\n${explanationText(settings)}`).join('\n\n'));
}

/** What the comparison would run. */
async function rehearse(given: GivenComparison, name: string, json: boolean): Promise<void> {
  const [{ planComparison }, { freshFolder, planRun, printDryRun }] = await Promise.all([
    import('../compare-runs.js'),
    import('../dry-run.js'),
  ]);
  const { runs, backend, data } = await planComparison(given);
  const runDir = given.runDir ?? freshFolder(runBase(given.name ?? name));
  const plans = [];
  for (const { label, ...run } of runs)
    plans.push({ label, ...(await planRun({ ...run, backend, data, runDir: join(runDir, label) })) });
  if (json) printJson({ dryRun: { runs: plans, runDir } });
  else
    for (const { label, ...plan } of plans) {
      print(label);
      printDryRun(plan);
    }
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
  const { epochs, passBudget, fairPasses } = given;
  if (epochs !== undefined || passBudget !== undefined || fairPasses === true) return { ...rest, ...given };
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
