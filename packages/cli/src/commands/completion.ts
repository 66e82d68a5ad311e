import type { Command } from 'commander';
import type { Shell } from '../completion-scripts.js';
import { UsageError } from '../failure.js';
import { didYouMean } from '../suggest.js';

const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];

/** `polder completion`: a script that completes commands, flags and names in a shell. */
export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('print a script that completes commands, flags, names and run folders in a shell')
    .argument('<shell>', SHELLS.join(', '))
    .action(async (name: string) => {
      const shell = SHELLS.find((known) => known === name);
      if (shell === undefined)
        throw new UsageError(
          `There is no completion for "${name}".${didYouMean(name, SHELLS)} Shells: ${SHELLS.join(', ')}.`,
        );
      const [{ completionSpec }, { completionScript }, names] = await Promise.all([
        import('../completion-spec.js'),
        import('../completion-scripts.js'),
        knownNames(),
      ]);
      process.stdout.write(completionScript(shell, completionSpec(program, names)));
    });
}

async function knownNames(): Promise<Parameters<typeof import('../completion-spec.js').completionSpec>[1]> {
  const [{ experiments, policyIds }, { modelIds }, { CATALOGUE, CORRUPTIONS, FETCHABLE }, { presets }] =
    await Promise.all([
      import('@polder/experiments'),
      import('@polder/models'),
      import('@polder/data'),
      import('../presets.js'),
    ]);
  return {
    policies: policyIds,
    models: modelIds,
    backends: ['auto', 'webgpu', 'tensorflow', 'wasm', 'cpu'],
    corruptions: ['common', 'all', ...CORRUPTIONS],
    experiments: experiments.map(({ id }) => id),
    sets: [...Object.keys(CATALOGUE), 'shapes'],
    fetchable: Object.values(FETCHABLE).map(({ name }) => name),
    presets: Object.keys(presets),
  };
}
