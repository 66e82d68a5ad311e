import type { Command } from 'commander';
import { print, printJson, say } from '../console.js';
import { exitCodes, UsageError } from '../failure.js';

/** `polder bench soak`: does memory stay where it is? */
export function addBenchSoak(bench: Command): void {
  bench
    .command('soak')
    .description(
      'train a tiny network with SSAM for 5,000 steps and watch its memory: tensors constant, resident set within 5 % after the first 500 steps; exit code 1 on a miss',
    )
    .option('--backend <name>', 'webgpu, tensorflow, wasm or cpu', 'wasm')
    .option('--steps <number>', 'steps to take, at least 1000', '5000')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (flags: { readonly backend: string; readonly steps: string; readonly json?: boolean }) => {
      const steps = Number(flags.steps);
      if (!Number.isInteger(steps) || steps < 1000)
        throw new UsageError(`--steps: expected a whole number of at least 1000, got "${flags.steps}".`);
      const [{ soak }, { openBackend }] = await Promise.all([import('../bench-soak.js'), import('../workbench.js')]);
      const backend = await openBackend(flags.backend);
      say(`backend  ${backend.reason}`);
      const result = await soak({ steps, backend: backend.backend, onProgress: say });
      if (flags.json === true) printJson(result);
      else {
        const { tensors, residentBytes, growth, bar } = result;
        const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
        print(`tensors       ${tensors.min} to ${tensors.max}`);
        print(
          `resident set  ${megabytes(residentBytes.min)} to ${megabytes(residentBytes.max)}: ${(growth * 100).toFixed(1)} % at most above an earlier reading, of ${bar * 100} % allowed`,
        );
        print(result.ok ? 'ok' : 'MISSED');
      }
      if (!result.ok) process.exitCode = exitCodes.error;
    });
}
