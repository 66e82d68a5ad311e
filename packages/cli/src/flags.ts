import { Option, type Command } from 'commander';
import type { z } from 'zod';
import { UsageError } from './failure.js';
import type { SettingGroups } from './settings.js';

/** `warmupEpochs` → `--warmup-epochs`. */
export function flagOf(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Adds a flag for every setting but those in `without`, under its heading. */
export function addSettingFlags(command: Command, groups: SettingGroups, without: readonly string[] = []): void {
  for (const [heading, settings] of Object.entries(groups)) {
    for (const [key, schema] of Object.entries(settings)) {
      if (without.includes(key)) continue;
      for (const option of optionsFor(key, schema)) command.addOption(option.helpGroup(heading));
    }
  }
}

function optionsFor(key: string, schema: z.ZodType): Option[] {
  const flag = flagOf(key);
  const description = schema.description ?? '';
  switch (kindOf(schema)) {
    case 'boolean':
      return [new Option(flag, description), new Option(flag.replace('--', '--no-'), 'without that')];
    case 'record':
      return [
        // In the singular: --policy-option chi=1.2.
        new Option(`${flag.replace(/s$/, '')} <name=value>`, description).argParser(
          (text: string, before: Readonly<Record<string, unknown>> | undefined) => ({
            ...before,
            ...parsePair(flag, text),
          }),
        ),
      ];
    default:
      return [
        new Option(`${flag} <${metavariable(schema)}>`, description).argParser((text: string) =>
          parseFlag(schema, text),
        ),
      ];
  }
}

/** A flag's text as a value of its setting's kind, or the text itself where it is none: the schema then says so. */
function parseFlag(schema: z.ZodType, text: string): unknown {
  switch (kindOf(schema)) {
    case 'number':
      return parseNumber(text);
    case 'array':
      return text
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '')
        .map((item) => (kindOf((schema as z.ZodArray<z.ZodType>).element) === 'number' ? parseNumber(item) : item));
    default:
      return text;
  }
}

function parseNumber(text: string): number | string {
  const value = Number(text);
  return text.trim() === '' || Number.isNaN(value) ? text : value;
}

function parsePair(flag: string, text: string): Readonly<Record<string, unknown>> {
  const [name, ...rest] = text.split('=');
  if (name === undefined || name === '' || rest.length === 0)
    throw new UsageError(`${flag.replace(/s$/, '')}: expected name=value, such as chi=1.2, got "${text}".`);
  const value = rest.join('=');
  return { [name]: value === 'true' ? true : value === 'false' ? false : parseNumber(value) };
}

function metavariable(schema: z.ZodType): string {
  switch (kindOf(schema)) {
    case 'number':
      return 'number';
    case 'enum': {
      const choices = (schema as z.ZodEnum).options.join('|');
      // A longer one would push every description off the screen; the description has them then.
      return choices.length > 50 ? 'name' : choices;
    }
    case 'array':
      return 'list';
    default:
      return 'text';
  }
}

function kindOf(schema: z.ZodType): string {
  return schema.def.type;
}
