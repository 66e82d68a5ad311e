import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { DiagnosticsBench } from '@polder/verify';
import { print, printJson, say, table } from '../console.js';
import { exitCodes, UsageError } from '../failure.js';

const jsonFlag = ['--json', 'print the results as JSON on stdout'] as const;

/** `polder bench data|diagnostics`. */
export function addBenchParts(bench: Command): void {
  bench
    .command('data')
    .description('time decoding, augmenting and batching, on one core')
    .option(...jsonFlag)
    .action(benchData);
  bench
    .command('diagnostics')
    .description(
      'measure the curvature estimators against spectra with known answers; exit code 1 if one misses its bar',
    )
    .option('--goldens <folder>', 'golden Hessian files to measure on too (default in a checkout: its own)')
    .option('--backend <name>', 'auto, webgpu, tensorflow, wasm or cpu', 'cpu')
    .option(...jsonFlag)
    .action(benchDiagnostics);
}

async function benchData({ json }: { readonly json?: boolean }): Promise<void> {
  const data = await import('@polder/data');
  const results = data.benchData();
  if (json === true) printJson({ node: process.version, results });
  else
    print(
      table(
        ['on one core', 'img/s'],
        results.map((row) => [row.name, row.imagesPerSecond.toFixed(0)]),
      ),
    );
}

interface DiagnosticsFlags {
  readonly goldens?: string;
  readonly backend: string;
  readonly json?: boolean;
}

async function benchDiagnostics({ goldens: folder, backend, json }: DiagnosticsFlags): Promise<void> {
  const goldens = await readGoldens(folder);
  const [verify, { openBackend }] = await Promise.all([import('@polder/verify'), import('../workbench.js')]);
  const started = await openBackend(backend);
  say(`backend  ${started.reason}`);
  const result = await verify.benchDiagnostics({ goldens, onProgress: say });
  if (json === true) printJson(result);
  else printBench(result);
  if (!result.ok) process.exitCode = exitCodes.error;
}

function printBench({ backend, bars, trace, largest, hvpCost, notes }: DiagnosticsBench): void {
  print('products to 1e-3 of λ_max, and relative error of the trace at 32 products');
  print(
    table(
      ['problem', 'Lanczos', 'power', 'auto', 'Hutchinson', 'Hutch++', 'XTrace'],
      trace.map(({ problem, rmse }, i) => [
        problem,
        String(largest[i]!.lanczos),
        largest[i]!.power === null ? 'never' : String(largest[i]!.power),
        ...[rmse.auto, rmse.hutchinson, rmse['hutch++'], rmse.xtrace].map((error) => error.toExponential(1)),
      ]),
    ),
  );
  print(`\nprice of an exact Hessian product, in gradients (${backend})`);
  print(
    table(
      ['network', 'the first', 'each further'],
      hvpCost.map(({ network, gradients, gradientsFurther }) => [
        network,
        gradients.toFixed(2),
        gradientsFurther.toFixed(2),
      ]),
    ),
  );
  print('');
  print(
    table(
      ['bar', 'value', 'wanted', ''],
      bars.map(({ name, value, bar, ok }) => [name, String(Number(value.toPrecision(3))), bar, ok ? 'ok' : 'MISSED']),
    ),
  );
  for (const note of notes) print(`\n${note}`);
}

/** The golden files of a folder; without one those of the checkout, which a published package does not have. */
async function readGoldens(given: string | undefined): Promise<readonly unknown[]> {
  const checkout = fileURLToPath(new URL('../../../testkit/fixtures/golden', import.meta.url));
  const own = ['hessian', 'more-hessian'].map((name) => join(checkout, name));
  if (given === undefined && !own.every(existsSync)) {
    say('no golden files here (--goldens FOLDER): synthetic spectra alone');
    return [];
  }
  const files = await Promise.all((given === undefined ? own : [given]).map(goldenFiles));
  return Promise.all(files.flat().map(readGolden));
}

async function goldenFiles(folder: string): Promise<readonly string[]> {
  const names = (await listOf(folder)).filter((name) => name.endsWith('.json') && name !== 'index.json').sort();
  if (names.length === 0) throw new UsageError(`--goldens: ${folder} holds no .json files. Check the path.`);
  return names.map((name) => join(folder, name));
}

async function listOf(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    throw new UsageError(`--goldens: ${folder} is no folder that can be read. Check the path.`, { cause: error });
  }
}

async function readGolden(file: string): Promise<unknown> {
  let golden: unknown;
  try {
    golden = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new UsageError(`--goldens: ${file} is no JSON: ${(error as Error).message}`, { cause: error });
  }
  const { hessianReplayer } = await import('@polder/verify');
  if (hessianReplayer().matches(golden)) return golden;
  throw new UsageError(`--goldens: ${file} is no file of format golden-hessian/1. Name a folder of such files.`);
}
