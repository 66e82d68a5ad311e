import type { Command } from 'commander';
import { colorsFor, print, printJson } from '../console.js';
import type { Check } from '../doctor-checks.js';
import { exitCodes } from '../failure.js';
import { version } from '../version.js';

const about = `
Every line is ok, warn (it works, and could be better) or fail, with what to do about it. Exit code 1 when a line fails,
else 0. --json prints { version: 1, ok, polder, checks: [{ id, title, status, detail, fix?, data? }] }; the ids do not
change.`;

interface DoctorFlags {
  readonly backend: string;
  readonly grads?: boolean;
  readonly json?: boolean;
}

/** `polder doctor`: what this machine has for training, and how to get more out of it. */
export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description(
      'examine this machine: Node, backends and why not, WebGPU adapter, native TensorFlow, data, disk, memory',
    )
    .option('--backend <name>', 'the backend to examine training on: auto, webgpu, tensorflow, wasm or cpu', 'auto')
    .option('--grads', 'also check every op on it, forward and gradient, against float64 loops')
    .option('--json', 'print the report as JSON on stdout')
    .addHelpText('after', about)
    .action(async ({ backend, grads, json }: DoctorFlags) => {
      const { examine } = await import('../doctor.js');
      const report = await examine({ backend, grads: grads === true }, version);
      if (json === true) printJson(report);
      else for (const line of report.checks.flatMap(linesOf)) print(line);
      if (!report.ok) process.exitCode = exitCodes.error;
    });
}

function linesOf({ title, status, detail, fix, data }: Check): readonly string[] {
  const { green, yellow, red, dim } = colorsFor(process.stdout);
  const mark = { ok: green('ok  '), warn: yellow('warn'), fail: red('fail') }[status];
  const failures = (data?.['failures'] ?? []) as readonly { readonly name: string; readonly message: string }[];
  return [
    `${mark}  ${title}: ${detail}`,
    ...failures.map(({ name, message }) => `        ${name}: ${message}`),
    ...(fix === undefined ? [] : [dim(`      → ${fix}`)]),
  ];
}
