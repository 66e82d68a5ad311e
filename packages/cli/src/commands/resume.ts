import { Command } from 'commander';
import { join } from 'node:path';
import { checkSettings } from '../check-settings.js';
import { configOrigin } from '../command-settings.js';
import { print, printJson, say } from '../console.js';
import { UsageError } from '../failure.js';
import { addSettingFlags, flagOf } from '../flags.js';
import { settingGroups, settingKeys, settingsSchema, type GivenSettings } from '../settings.js';
import { didYouMean } from '../suggest.js';

/** Settings that say where a run lies: they cannot differ from where it is. */
const fixed: ReadonlySet<string> = new Set(['name', 'runDir', 'backend']);

/** `polder resume`: goes on with a run that was broken off. */
export function addResume(program: Command): void {
  program
    .command('resume')
    .description('go on with a run that was broken off, from its last checkpoint')
    .argument('<run>', 'folder of the run')
    .option(
      '--override <setting=value>',
      'go on with another value of a setting, such as epochs=40; repeatable',
      (text: string, before: readonly string[]) => [...before, text],
      [] as readonly string[],
    )
    .option('--backend <name>', 'go on on another backend (default: the one it was broken off on)')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (run: string, flags: Flags) => resume(run, flags));
}

interface Flags {
  readonly override: readonly string[];
  readonly backend?: string;
  readonly json?: boolean;
}

async function resume(run: string, { override, backend: asked, json = false }: Flags): Promise<void> {
  const changed = parseOverrides(override);
  const { readRunStatus } = await import('@polder/trainer/node');
  const { config, status, step, problems } = readRunStatus(run);
  for (const problem of problems) say(`passed over: ${problem}`);
  if (status === 'completed' && override.length === 0) {
    const message = `The run is complete (${step} steps), nothing is left to do. To train longer: --override epochs=…`;
    if (json) printJson({ status, steps: step, resumed: false, runDir: run });
    else print(message);
    return;
  }
  const file = join(run, 'config.json');
  const settings = checkSettings(settingsSchema, { ...config, ...changed }, configOrigin(file, settingKeys));
  const given = { run, settings, config: { ...config, ...changed }, overrides: Object.keys(changed) };
  await goOn(given, { backend: asked, step, json });
}

interface GivenRun {
  readonly run: string;
  readonly settings: GivenSettings;
  readonly config: object;
  readonly overrides: readonly string[];
}

async function goOn(
  { run, settings: given, config, overrides }: GivenRun,
  {
    backend: asked,
    step,
    json,
  }: { readonly backend: string | undefined; readonly step: number; readonly json: boolean },
): Promise<void> {
  const [{ choosePolicy }, { networkOfRun }, { openBackend, openData }, { resolveSettings }] = await Promise.all([
    import('../policies.js'),
    import('../network.js'),
    import('../workbench.js'),
    import('../resolve.js'),
  ]);
  const [{ trainRun }, { createProgressView }, { withStopSignals }, { showOutcome }] = await Promise.all([
    import('../train-run.js'),
    import('../progress.js'),
    import('../stop-signals.js'),
    import('../run-result.js'),
  ]);
  const policy = choosePolicy(given);
  const settings = resolveSettings(given, policy);
  const network = networkOfRun(run, given);
  const backend = await openBackend(asked ?? settings.backend, undefined, settings.precision);
  say(`backend  ${backend.reason}`);
  const data = await openData(given);
  say(`data     ${data.source}`);
  say(step === 0 ? 'resume   from the beginning: there is no checkpoint' : `resume   from step ${step}`);
  for (const name of overrides) say(`         ${name} is now ${JSON.stringify(given[name as keyof GivenSettings])}`);
  const outcome = await withStopSignals((signal) =>
    trainRun({
      settings,
      network,
      policy: policy.policy,
      backend,
      data,
      claimFolder: () => run,
      resume: { overrides, config },
      view: createProgressView(settings.policy),
      signal,
    }),
  );
  await showOutcome(outcome, network.label, json);
}

/** Reads `lr=0.1` as `--lr 0.1` is read, and `augment=false` as `--no-augment`. */
function parseOverrides(overrides: readonly string[]): Readonly<Record<string, unknown>> {
  const parsed: Record<string, unknown> = {};
  for (const text of overrides) {
    const [name = '', ...rest] = text.split('=');
    const value = rest.join('=');
    if (name === '' || rest.length === 0)
      throw new UsageError(`--override: expected setting=value, such as epochs=40, got "${text}".`);
    if (!settingKeys.includes(name))
      throw new UsageError(`--override ${name}: there is no such setting.${didYouMean(name, settingKeys)}`);
    if (fixed.has(name)) throw new UsageError(`--override ${name}: this cannot be changed. See --help.`);
    parsed[name] = parseAsFlag(name, value);
  }
  return parsed;
}

function parseAsFlag(name: string, value: string): unknown {
  if (value === 'true' || value === 'false') return value === 'true';
  if (name === 'policyOptions')
    throw new UsageError('--override policyOptions: options of a policy cannot be changed.');
  const reader = new Command().exitOverride();
  addSettingFlags(reader, settingGroups);
  reader.parse([flagOf(name), value], { from: 'user' });
  return reader.opts<Readonly<Record<string, unknown>>>()[name];
}
