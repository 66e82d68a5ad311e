import type { Command } from 'commander';
import { checkSettings } from '../check-settings.js';
import { print, printJson, say } from '../console.js';
import { addSettingFlags } from '../flags.js';
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
import { settingGroups, settingKeys, settingsSchema, type GivenSettings } from '../settings.js';

/** `polder train`: one network, one policy. */
export function addTrain(program: Command): void {
  const command = program
    .command('train')
    .description('train a network, measure it and write a run folder with a report')
    .option('--config <file>', 'settings from a YAML or JSON file; flags go before them')
    .option('--json', 'print the result as JSON on stdout');
  addRehearsalFlags(command);
  addSettingFlags(command, settingGroups);
  command.action(async (flags: Readonly<Record<string, unknown>>) => {
    const { config, ...rehearsal } = flags as Rehearsal & { readonly config?: string };
    const fromFlags = checkSettings(settingsSchema, flagsGiven(flags), flagOrigin(settingKeys));
    const { settings, lines } = await configGiven(config);
    const fromFile = checkSettings(settingsSchema, settings, configOrigin(config ?? '', settingKeys));
    const layers = layersOf(fromFlags, fromFile, config, lines);
    await train({ ...fromFile, ...fromFlags }, layers, rehearsal);
  });
}

async function train(
  given: GivenSettings,
  layers: readonly SettingsLayer[],
  { json = false, dryRun = false, explainConfig = false }: Rehearsal,
): Promise<void> {
  const [{ choosePolicy }, { checkRunFolder, claimFreshFolder }, { findNetwork }] = await Promise.all([
    import('../policies.js'),
    import('@polder/trainer/node'),
    import('../network.js'),
  ]);
  const [
    { openBackend, openData },
    { resolveSettings },
    { trainRun },
    { createProgressView },
    { withStopSignals },
    { showOutcome },
  ] = await Promise.all([
    import('../workbench.js'),
    import('../resolve.js'),
    import('../train-run.js'),
    import('../progress.js'),
    import('../stop-signals.js'),
    import('../run-result.js'),
  ]);
  if (given.runDir !== undefined) checkRunFolder(given.runDir);
  else checkRunFolder(runBase('.probe'));
  const policy = choosePolicy(given);
  const resolved = resolveSettings(given, policy);
  if (explainConfig) {
    const { explainSettings, explanationText } = await import('../explain-config.js');
    const explained = explainSettings(resolved, layers, policy);
    if (json) printJson({ settings: explained });
    else print(explanationText(explained));
    return;
  }
  const network = await findNetwork(given);
  for (const note of network.notes) say(`model    ${network.label}: ${note}`);
  const backend = await openBackend(given.backend ?? 'auto', undefined, given.precision);
  say(`backend  ${backend.reason}`);
  const data = await openData(given);
  say(`data     ${data.source}`);
  const settings = { ...resolved, data: data.name, backend: backend.backend };
  const name = settings.name ?? `${network.label}-${settings.policy}-${settings.data}`;
  if (dryRun) {
    const { freshFolder, planRun, printDryRun } = await import('../dry-run.js');
    const runDir = settings.runDir ?? freshFolder(runBase(name));
    const plan = await planRun({ settings, network, policy: policy.policy, backend, data, runDir });
    if (json) printJson({ dryRun: plan });
    else printDryRun(plan);
    return;
  }
  const outcome = await withStopSignals((signal) =>
    trainRun({
      settings,
      network,
      policy: policy.policy,
      backend,
      data,
      claimFolder: () => settings.runDir ?? claimFreshFolder(runBase(name)),
      view: createProgressView(settings.policy),
      signal,
    }),
  );
  await showOutcome(outcome, network.label, json);
}
