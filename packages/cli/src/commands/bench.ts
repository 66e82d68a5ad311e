import { availableParallelism, cpus, loadavg } from 'node:os';
import { Option, type Command } from 'commander';
import type { BenchRow } from '../bench-steps.js';
import { checkSettings } from '../check-settings.js';
import { flagOrigin } from '../command-settings.js';
import { print, printJson, say, table } from '../console.js';
import { UsageError } from '../failure.js';
import { addBenchParts } from './bench-parts.js';
import { addBenchSoak } from './bench-soak.js';
import { addSettingFlags } from '../flags.js';
import { policiesSchema, settingGroups, compareSchema } from '../settings.js';

const keys = ['model', 'batch', 'backend', 'policies'];

/** `polder bench`: how fast a training step is here, and the benchmarks of single packages. */
export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .description('measure this machine: training steps (as plain "polder bench" does), data, diagnostics, a soak')
    .enablePositionalOptions();
  addBenchStep(command);
  addBenchSoak(command);
  addBenchParts(command);
}

interface StepFlags extends Readonly<Record<string, unknown>> {
  readonly seconds: string;
  readonly threads?: string;
  readonly baseline?: 'stock';
  readonly markdown?: boolean;
  readonly json?: boolean;
}

const columns = `
Every step is the whole of it: forward, backward, momentum 0.9, weight decay 5e-4, moving statistics, and the loss read
back. The policies take turns, step by step; times are minima.

capture       "captured" where the step runs as one recorded graph (tensorflow), else "eager: " and why
ratioToPlain  minimum over that of policy none, timed along in any case
peakBytes     wasm: bytes allocated in the WebAssembly heap at their highest in a step; tensorflow: highest resident set of
              a process with this policy alone, less that before the network was made; else: tfjs's count of live tensors

Networks are those of "polder models", and vit: 4×4 patches, 192 channels, 6 blocks, 3 heads, 64 tokens.
--baseline stock adds a row "stock": forward and backward on stock tfjs, one thread, in a process of its own, in turn.

Example: polder bench step --model resnet20 --batch 128 --backend wasm --threads 1 --policies none,sam --json`;

function addBenchStep(bench: Command): void {
  const { model, batch, backend } = Object.assign(
    {},
    ...Object.values(settingGroups),
  ) as (typeof settingGroups)[string];
  const command = bench
    .command('step', { isDefault: true })
    .description('time training steps of a network under several policies (default none,sam,ssam,sasam,samar)')
    .option('--threads <number>', 'threads of wasm or tensorflow (default: one per core, wasm at most 4)')
    .option('--seconds <number>', 'how long to time each policy', '10')
    .addOption(new Option('--baseline <name>', 'what to time along').choices(['stock']))
    .option('--markdown', 'print the table as Markdown')
    .option('--json', 'print the rows as JSON on stdout')
    .addHelpText('after', columns);
  addSettingFlags(command, {
    'What to time:': { policies: policiesSchema, model: model!, batch: batch!, backend: backend! },
  });
  command.action(benchStep);
}

async function benchStep(flags: StepFlags): Promise<void> {
  const { json, markdown, seconds: secondsText, threads: threadsText, baseline, ...settings } = flags;
  const given = checkSettings(compareSchema, settings, flagOrigin(keys));
  const seconds = numberFlag('--seconds', secondsText, 'a number above 0', (n) => n > 0);
  const threads =
    threadsText === undefined
      ? undefined
      : numberFlag(
          '--threads',
          threadsText,
          'a whole number from 1 to 8',
          (n) => Number.isInteger(n) && n >= 1 && n <= 8,
        );
  const { model = 'resnet20', batch = 128 } = given;
  if (baseline === 'stock' && model !== 'resnet20')
    throw new UsageError(`--baseline stock is a resnet20: it cannot be compared with ${model}.`);
  const [{ benchSteps }, { peakBytesOf }, { checkWorkload }, { choosePolicy }, { openBackend }] = await Promise.all([
    import('../bench-steps.js'),
    import('../bench-memory.js'),
    import('../bench-variant.js'),
    import('../policies.js'),
    import('../workbench.js'),
  ]);
  checkWorkload(model);
  const policies = (given.policies ?? ['none', 'sam', 'ssam', 'sasam', 'samar']).map(
    (entry) => choosePolicy({ policy: typeof entry === 'string' ? entry : entry.policy }).policy.name,
  );
  const backend = await openBackend(given.backend ?? 'auto', threads);
  say(`backend  ${backend.reason}`);
  say(`memory   peakBytes: ${peakBytesOf(backend.backend)}`);
  const [load = 0] = loadavg();
  if (load > availableParallelism() / 2)
    say(`warning  this machine is busy (load ${load.toFixed(1)}): times are too long`);
  const rows = await benchSteps({
    model,
    batch,
    policies,
    backend,
    ...(threads !== undefined && { threads }),
    seconds,
    stock: baseline === 'stock',
    onProgress: say,
  });
  if (json === true) printJson(rows);
  else printRows(`${model}, batch ${batch}; ${backend.reason}; ${machine()}`, rows, markdown === true);
}

function machine(): string {
  return `Node ${process.version}, ${cpus()[0]?.model.trim() ?? process.arch}, ${availableParallelism()} cores`;
}

function printRows(title: string, rows: readonly BenchRow[], markdown: boolean): void {
  const cells = rows.map((row) => [
    row.policy,
    String(row.passesPerStep),
    row.msPerStepMin.toFixed(1),
    row.msPerStepMedian.toFixed(1),
    row.imagesPerSecond.toFixed(1),
    row.ratioToPlain.toFixed(3),
    row.peakBytes === null ? '' : (row.peakBytes / 1e6).toFixed(0),
    row.capture.split(':')[0]!,
  ]);
  const heads = ['policy', 'passes', 'ms/step (min)', 'ms/step (median)', 'img/s', 'to plain', 'peak MB', 'run'];
  print(title);
  if (!markdown) {
    print(table(heads, cells));
    return;
  }
  print('');
  for (const line of [heads, heads.map((_, i) => (i === 0 ? '---' : '--:')), ...cells])
    print(`| ${line.join(' | ')} |`);
}

function numberFlag(flag: string, text: string, expected: string, good: (value: number) => boolean): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value) || !good(value)) throw new UsageError(`${flag}: expected ${expected}, got "${text}".`);
  return value;
}
