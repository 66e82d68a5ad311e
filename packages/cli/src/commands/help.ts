import type { Command } from 'commander';
import { UsageError } from '../failure.js';
import { didYouMean } from '../suggest.js';

/** `polder help [command…]`: commander's own takes only one name, and no `data corrupt`. */
export function addHelp(program: Command): void {
  program.helpCommand(false);
  program
    .command('help')
    .description('show help, of a command with examples')
    .argument('[command...]', 'such as train, or data corrupt')
    .action((names: readonly string[]) => {
      names.reduce((command, name) => commandNamed(command, name), program).outputHelp();
    });
}

function commandNamed(command: Command, name: string): Command {
  const found = command.commands.find((inner) => inner.name() === name);
  if (found !== undefined) return found;
  const known = command.commands.map((inner) => inner.name());
  const commands = known.length === 0 ? `"${command.name()}" has no commands.` : `Commands: ${known.join(', ')}.`;
  throw new UsageError(`There is no command "${name}".${didYouMean(name, known)} ${commands}`);
}
