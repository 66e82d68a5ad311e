import type { Command, Option } from 'commander';

/** What can stand at a place of a command line: words, files, runs, or anything. */
export type Values =
  | { readonly kind: 'words'; readonly words: readonly string[]; /** Comma-separated. */ readonly list: boolean }
  | { readonly kind: 'files' | 'runs' | 'anything' };

/** A flag of a command. */
interface CompletedFlag {
  /** `--policy` */
  readonly name: string;
  readonly about: string;
  /** Undefined for a flag without a value. */
  readonly values: Values | undefined;
}

/** A command, and what can stand behind it. */
export interface CompletedCommand {
  /** `data corrupt`; empty for `polder` itself. */
  readonly path: string;
  readonly about: string;
  readonly commands: readonly { readonly name: string; readonly about: string }[];
  readonly flags: readonly CompletedFlag[];
  readonly argument: Values | undefined;
}

/** Names that flags and arguments take, which a schema does not list. */
export interface KnownNames {
  readonly policies: readonly string[];
  readonly models: readonly string[];
  readonly backends: readonly string[];
  readonly corruptions: readonly string[];
  readonly experiments: readonly string[];
  readonly sets: readonly string[];
  readonly fetchable: readonly string[];
  readonly presets: readonly string[];
}

/** Everything that a shell can complete, read from the program. */
export function completionSpec(program: Command, names: KnownNames): readonly CompletedCommand[] {
  return commandsBelow(program, []).map(([path, command]) => ({
    path,
    about: command.description(),
    commands: command.commands.map((inner) => ({ name: inner.name(), about: inner.description() })),
    flags: [
      ...command.options.filter(({ long }) => long != null).map((option) => completedFlag(option, names)),
      { name: '--help', about: 'show help', values: undefined },
    ],
    argument: argumentOf(path, program, names),
  }));
}

function commandsBelow(command: Command, path: readonly string[]): readonly (readonly [string, Command])[] {
  const inner = command.commands.flatMap((child) => commandsBelow(child, [...path, child.name()]));
  return [[path.join(' '), command], ...inner];
}

const words = (list: readonly string[], isList = false): Values => ({ kind: 'words', words: list, list: isList });

const FILES: ReadonlySet<string> = new Set(
  '--config --out --data-dir --run-dir --from --corrupted-dir --checkpoint --goldens'.split(' '),
);

function completedFlag(option: Option, names: KnownNames): CompletedFlag {
  const name = option.long!;
  return {
    name,
    about: option.description,
    values: option.required || option.optional ? valuesOf(option, names) : undefined,
  };
}

function valuesOf({ long, flags }: Option, names: KnownNames): Values {
  switch (long) {
    case '--policy':
      return words(names.policies);
    case '--policies':
      return words(names.policies, true);
    case '--model':
      return words(names.models);
    case '--backend':
      return words(names.backends);
    case '--corruptions':
      return words(names.corruptions, true);
    case '--preset':
      return words(names.presets);
    default:
  }
  // What a flag takes stands in its help: --sched <cosine|step|constant>.
  const choices = /[<[]([^>\]]*\|[^>\]]*)[>\]]/.exec(flags)?.[1];
  if (choices !== undefined) return words(choices.split('|'));
  return { kind: FILES.has(long!) ? 'files' : 'anything' };
}

function argumentOf(path: string, program: Command, names: KnownNames): Values | undefined {
  switch (path) {
    case 'report':
    case 'compare':
    case 'diagnose':
    case 'eval':
    case 'export':
    case 'resume':
      return { kind: 'runs' };
    case 'verify':
    case 'init':
      return { kind: 'files' };
    case 'reproduce':
      return words(names.experiments);
    case 'completion':
      return words(['bash', 'zsh', 'fish']);
    case 'help':
      return words(program.commands.map((command) => command.name()));
    case 'backend install':
    case 'backend remove':
      return words(['tensorflow']);
    case 'data get':
    case 'data verify':
      return words(names.fetchable);
    case 'data info':
    case 'data export':
      return words(names.sets);
    default:
      return undefined;
  }
}
