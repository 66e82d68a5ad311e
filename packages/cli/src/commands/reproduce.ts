import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from '@polder/experiments';
import type { Command } from 'commander';
import { runBase } from '../command-settings.js';
import { print, printJson, say, table } from '../console.js';
import { UsageError } from '../failure.js';
import { withStopSignals } from '../stop-signals.js';

interface ReproduceOptions {
  readonly seeds?: string;
  readonly seed?: string;
  readonly set?: readonly string[];
  readonly backend: string;
  readonly runDir?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `polder reproduce`: a paper's figure or table again, and whether its claim holds. */
export function addReproduce(program: Command): void {
  program
    .command('reproduce')
    .description("run a paper's experiment again and check its claim; without an id, list them")
    .argument('[id]', 'experiment, such as ssam/saddle')
    .option('--seeds <number>', 'how many seeds')
    .option('--seed <number>', 'the first seed')
    .option('--set <name=value...>', 'a setting of the experiment; lists with commas')
    .option('--backend <name>', 'auto, webgpu, tensorflow, wasm or cpu', 'cpu')
    .option('--run-dir <folder>', 'where result and report go; must be new or empty')
    .option('--dry-run', 'say with which seeds and settings it would run, and where; run and write nothing')
    .option('--json', 'print the result as JSON on stdout')
    .action((id: string | undefined, options: ReproduceOptions) =>
      id === undefined ? list(options.json === true) : reproduce(id, options),
    );
}

async function list(json: boolean): Promise<void> {
  const { experiments } = await import('@polder/experiments');
  if (json)
    printJson(experiments.map(({ id, title, paper, claim, settings }) => ({ id, title, paper, claim, settings })));
  else
    print(
      table(
        ['experiment', 'claim'],
        experiments.map(({ id, claim }) => [id, claim]),
      ),
    );
}

async function reproduce(id: string, options: ReproduceOptions): Promise<void> {
  const [{ claimLine, findExperiment, reportOf }, { checkRunFolder, claimFreshFolder, writeJson }, { writeReport }] =
    await Promise.all([import('@polder/experiments'), import('@polder/trainer/node'), import('@polder/report/node')]);
  const { openBackend } = await import('../workbench.js');
  const experiment = findExperiment(id);
  const settings = Object.fromEntries((options.set ?? []).map(parseSetting));
  const [seeds, seed] = [integer('--seeds', options.seeds, 1), integer('--seed', options.seed, 0)];
  checkRunFolder(options.runDir ?? runBase('.probe'));
  const chosen = { ...(seeds !== undefined && { seeds }), ...(seed !== undefined && { seed }), settings };
  if (options.dryRun === true) {
    const { freshFolder } = await import('../dry-run.js');
    const runDir = options.runDir ?? freshFolder(runBase(id.replaceAll('/', '-')));
    const plan = { id, title: experiment.title, claim: experiment.claim, ...experiment.plan(chosen), runDir };
    if (options.json === true) printJson({ dryRun: { ...plan, backend: options.backend } });
    else printPlan(plan, options.backend);
    return;
  }
  const { reason } = await openBackend(options.backend);
  say(`backend  ${reason}`);
  const result = await withStopSignals((signal) =>
    experiment.run({
      ...chosen,
      signal,
      onProgress: ({ done, total, label }) => say(`${done}/${total} ${label}`),
    }),
  );
  const folder = options.runDir ?? claimFreshFolder(runBase(id.replaceAll('/', '-')));
  mkdirSync(folder, { recursive: true });
  writeJson(join(folder, 'result.json'), result);
  const report = join(folder, 'report.html');
  await writeReport(report, reportOf(result));
  if (options.json === true) printJson({ ...result, report });
  else {
    for (const condition of result.claim.conditions) print(`${condition.holds ? 'yes' : 'no '}  ${condition.text}`);
    print(claimLine(result.claim));
    print(`report  ${report}`);
  }
}

function printPlan(
  plan: {
    readonly title: string;
    readonly claim: string;
    readonly seeds: readonly number[];
    readonly settings: Settings;
    readonly runDir: string;
  },
  backend: string,
): void {
  print(`${plan.title}\nclaim    ${plan.claim}`);
  print(`seeds    ${plan.seeds.join(', ')}`);
  for (const [name, value] of Object.entries(plan.settings)) print(`         ${name}=${String(value)}`);
  print(`backend  ${backend}`);
  print(`folder   ${plan.runDir}`);
}

function parseSetting(text: string): [string, number | readonly number[]] {
  const [name, value, ...rest] = text.split('=');
  const numbers = (value ?? '').split(',').map((item) => (item.trim() === '' ? Number.NaN : Number(item)));
  if (name === undefined || name === '' || rest.length > 0 || numbers.some((n) => Number.isNaN(n)))
    throw new UsageError(`--set: expected name=number or name=number,number,…, got "${text}".`);
  return [name, numbers.length === 1 && !(value ?? '').includes(',') ? numbers[0]! : numbers];
}

function integer(flag: string, text: string | undefined, minimum: number): number | undefined {
  if (text === undefined) return undefined;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isSafeInteger(value) || value < minimum)
    throw new UsageError(`${flag}: expected an integer of at least ${minimum}, got "${text}".`);
  return value;
}
