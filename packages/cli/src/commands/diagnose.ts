import { accessSync, constants } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Option, type Command } from 'commander';
import { z } from 'zod';
import { checkSettings } from '../check-settings.js';
import { flagOrigin, writeRunReport } from '../command-settings.js';
import { print, printJson, say, table } from '../console.js';
import type { Curvature } from '../diagnose.js';
import { UsageError } from '../failure.js';
import { addSettingFlags } from '../flags.js';
import { settingGroups } from '../settings.js';
import { withStopSignals } from '../stop-signals.js';

const { data, dataDir } = settingGroups['Data:'] as Readonly<Record<string, z.ZodType>>;
const { smoothing } = settingGroups['Optimizer:'] as Readonly<Record<string, z.ZodType>>;
const { backend } = settingGroups['Machine and output:'] as Readonly<Record<string, z.ZodType>>;
const positive = z.int().min(1);

const groups = {
  'Data:': {
    data: (data as z.ZodEnum).describe("data set (default: the run's)"),
    dataDir: dataDir!,
    limit: positive.describe('how many training examples to measure on (default 128)'),
    batch: positive.describe('examples at a time on the device; changes no result (default 128)'),
    pixels: z
      .enum(['normalized', 'unit'])
      .describe("for a model file: normalised by the set's constants (default), or 0…1"),
    outputs: z
      .enum(['logits', 'probabilities'])
      .describe('for a model file: what it gives (default: by its last layer)'),
    smoothing: (smoothing as z.ZodNumber).describe(
      "label smoothing of the loss (default: the run's; of a model file 0)",
    ),
  },
  'Measuring:': {
    eigenvalues: positive.describe('eigenvalues at each end (default 3)'),
    traceProbes: z.int().min(2).describe('at most so many probes of the trace (default: until ± 5 %)'),
    budget: z.number().min(10).describe('gradient evaluations for eigenvalues, trace and density (default 250)'),
    rho: z.number().positive().describe('radius of the sharpness (default 0.05)'),
    m: positive.describe('examples that share one perturbation in the sharpness (default 32)'),
    surface: z
      .enum(['random', 'eigen'])
      .describe('loss surface along random (default; filter-normalised) or eigen directions'),
    surfacePoints: z.int().min(3).max(101).describe('points along each axis of the surface (default 11)'),
    seed: z.int().min(0).describe('seed of probes and directions (default 0)'),
  },
  'Machine and output:': {
    backend: backend!,
    out: z.string().min(1).describe('for a model file: folder for curvature.json and report.html'),
  },
};

interface Given {
  readonly data?: string;
  readonly dataDir?: string;
  readonly limit?: number;
  readonly batch?: number;
  readonly pixels?: 'normalized' | 'unit';
  readonly outputs?: 'logits' | 'probabilities';
  readonly smoothing?: number;
  readonly eigenvalues?: number;
  readonly traceProbes?: number;
  readonly budget?: number;
  readonly rho?: number;
  readonly m?: number;
  readonly surface?: 'random' | 'eigen';
  readonly surfacePoints?: number;
  readonly seed?: number;
  readonly backend?: string;
  readonly out?: string;
}

const settings = Object.assign({}, ...Object.values(groups)) as Readonly<Record<string, z.ZodType>>;
const schema = z.strictObject(settings).partial() as z.ZodType<Given>;

/** `polder diagnose`: curvature and sharpness of a trained network. */
export function addDiagnose(program: Command): void {
  const command = program
    .command('diagnose')
    .description('measure curvature and sharpness of a trained network: spectrum, trace, density, loss surface')
    .argument('<target>', 'a run folder, or the model.json of any tf.LayersModel')
    .option('--json', 'print the result as JSON on stdout');
  addSettingFlags(command, groups, ['surface']);
  const { surface } = groups['Measuring:'];
  const drawn = new Option('--surface [random|eigen]', surface.description).preset('random').helpGroup('Measuring:');
  command.addOption(drawn);
  command.action(async (target: string, { json, ...flags }: { readonly json?: boolean }) => {
    const given = checkSettings(schema, flags, flagOrigin(Object.keys(settings)));
    if (given.surfacePoints !== undefined && given.surface === undefined)
      throw new UsageError('--surface-points has no effect without --surface.');
    await run(target, given, json === true);
  });
}

async function run(path: string, given: Given, json: boolean): Promise<void> {
  const { checkFits, kindOfTarget, openModelFile, openRun } = await import('../diagnose-target.js');
  const kind = kindOfTarget(path);
  if (kind === 'run') checkRunUse(path, given);
  const [{ openBackend, openData }, { diagnose }] = await Promise.all([
    import('../workbench.js'),
    import('../diagnose.js'),
  ]);
  // Before the model, whose weights live on it. A run's own backend is a record, not a wish.
  const started = await openBackend(given.backend ?? 'auto');
  say(`backend  ${started.reason}`);
  const target = kind === 'run' ? await openRun(path) : await openModelFile(path, given.outputs);
  try {
    const limit = Math.min(given.limit ?? 128, target.settings.limitTrain ?? Number.POSITIVE_INFINITY);
    const set = given.data ?? target.settings.data;
    const dir = given.dataDir ?? target.settings.dataDir;
    const loaded = await openData({
      ...(set !== undefined && { data: set }),
      ...(dir !== undefined && { dataDir: dir }),
      limitTrain: limit,
      limitTest: 1,
    });
    const { train } = loaded;
    say(`data     ${loaded.source}`);
    checkFits(target, train.shape, train.classes.length);
    const { mean, std } = train.normalization;
    const unit = { mean: mean.map(() => 0), std: std.map(() => 1) };
    const measured = given.pixels === 'unit' ? { ...train, normalization: unit } : train;
    const { surface, surfacePoints: points = 11 } = given;
    let saidAt = performance.now();
    const curvature = await withStopSignals((signal) =>
      diagnose(target, { train: measured, source: loaded.source }, started, {
        limit,
        batch: given.batch ?? 128,
        seed: given.seed ?? 0,
        smoothing: given.smoothing ?? target.settings.smoothing ?? 0,
        eigenvalues: given.eigenvalues ?? 3,
        rho: given.rho ?? 0.05,
        m: given.m ?? 32,
        ...(given.traceProbes !== undefined && { traceProbes: given.traceProbes }),
        ...(given.budget !== undefined && { budget: given.budget }),
        ...(surface !== undefined && { surface: { directions: surface, points } }),
        signal,
        onProgress({ phase, done, of, gradEvals }) {
          if (performance.now() - saidAt < 5_000) return;
          saidAt = performance.now();
          say(`${phase.padEnd(10)} ${done}${of === undefined ? '' : ` of ${of}`} · ${gradEvals.toFixed(0)} gradients`);
        },
      }),
    );
    const page = await save(kind === 'run' ? path : given.out, kind, curvature);
    if (json) printJson({ ...curvature, page: page ?? null });
    else printCurvature(curvature, page);
  } finally {
    target.model.dispose();
  }
}

/** What a run tells by itself, and a place to write: before anything is measured. */
function checkRunUse(folder: string, given: Given): void {
  for (const key of ['pixels', 'outputs', 'out'] as const)
    if (given[key] !== undefined) throw new UsageError(`--${key} is for a model file: a run knows its own.`);
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    throw new UsageError(`Cannot write to ${folder}, where the figures go. Copy the run to another place.`);
  }
}

/** Writes `curvature.json` and the page; returns the page's path. Without a folder, nothing. */
async function save(
  folder: string | undefined,
  kind: 'run' | 'model',
  curvature: Curvature,
): Promise<string | undefined> {
  if (folder === undefined) return undefined;
  const [{ writeJson }, { CURVATURE_FILE, curvatureSection }] = await Promise.all([
    import('@polder/trainer/node'),
    import('../curvature-section.js'),
  ]);
  if (kind === 'model') await mkdir(folder, { recursive: true });
  writeJson(join(folder, CURVATURE_FILE), curvature);
  if (kind === 'run') {
    const { readRun } = await import('@polder/report/node');
    const { config, summary } = await readRun(folder);
    const text = (value: unknown): string => (typeof value === 'string' ? value : '?');
    return writeRunReport(
      folder,
      `${text(config['model'])} with ${text(config['policy'])} on ${text(config['data'])}`,
      [folder],
      `${text(summary['dataSource'])}; ${text(summary['backendReason'])}`,
    );
  }
  const { writeReport } = await import('@polder/report/node');
  const page = join(folder, 'report.html');
  await writeReport(page, { title: curvature.title, runs: [], sections: [curvatureSection(curvature)] });
  return page;
}

function printCurvature(curvature: Curvature, page: string | undefined): void {
  const { report, sharpness, figures } = curvature;
  const number = (value: number | null): string =>
    value === null || !Number.isFinite(value) ? '–' : String(Number(value.toPrecision(5)));
  const smoothed = (curvature.smoothing ?? 0) > 0 ? `, label smoothing ${curvature.smoothing}` : '';
  print(`${curvature.title}: ${report.numParams} parameters, ${curvature.examples} training examples${smoothed}`);
  print(
    table(
      ['', 'value', '± (standard error)'],
      [
        ['λ_max', number(report.lambdaMax), ''],
        ['λ_min', number(report.lambdaMin), ''],
        ['trace', number(report.trace.value), number(report.trace.standardError)],
        ['Frobenius norm', number(report.frobenius.value), number(report.frobenius.standardError)],
        ['loss', number(report.loss), ''],
        ['gradient norm', number(report.gradientNorm), ''],
        [`sharpness (m ${sharpness.m}, ρ ${sharpness.rho})`, number(sharpness.value), number(sharpness.standardError)],
      ],
    ),
  );
  print(`eigenvalues  ${report.eigenvalues.map(({ value }) => number(value)).join('  ')}`);
  if (report.density !== null)
    print(`\ndensity: share of eigenvalues by λ (bars: six decades)\n${densityLines(report.density)}`);
  const widest = Math.max(...figures.perLayer.map(({ trace }) => Math.abs(trace)));
  const longest = Math.max(...figures.perLayer.map(({ name }) => name.length));
  print('\ntrace by weight');
  for (const { name, trace, low, high } of figures.perLayer)
    print(
      `${name.padEnd(longest)}  ${number(trace).padStart(10)} ± ${number((high - low) / 2 / 1.96).padEnd(10)} ${bar(Math.abs(trace) / widest)}`,
    );
  print('');
  if (!report.converged) print('Not all values reached their tolerance within the budget: give more with --budget.');
  for (const note of report.notes) print(note);
  print(
    `${report.gradEvals.toFixed(0)} gradient evaluations, ${report.hvp} products, ${curvature.seconds.toFixed(1)} s`,
  );
  if (page !== undefined) print(`report  ${page}`);
}

const BINS = 12;

/** The quadrature's weights, summed in bins of equal width between its ends. */
function densityLines({ nodes, weights }: NonNullable<Curvature['report']['density']>): string {
  const all = nodes.flatMap((run, r) => Array.from(run, (node, i) => ({ node, weight: weights[r]![i]! })));
  const low = Math.min(...all.map(({ node }) => node));
  const high = Math.max(...all.map(({ node }) => node));
  const width = (high - low) / BINS || 1;
  const shares = Array.from({ length: BINS }, () => 0);
  for (const { node, weight } of all)
    shares[Math.min(BINS - 1, Math.floor((node - low) / width))]! += weight / nodes.length;
  return shares
    .map((share, i) => {
      const from = (low + i * width).toPrecision(3).padStart(10);
      const to = (low + (i + 1) * width).toPrecision(3).padStart(10);
      return `${from} … ${to}  ${share.toExponential(1)}  ${bar(share > 0 ? 1 + Math.log10(share) / 6 : 0)}`;
    })
    .join('\n');
}

function bar(fraction: number): string {
  return '█'.repeat(Math.max(0, Math.min(24, Math.round(24 * fraction))));
}
