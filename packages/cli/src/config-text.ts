import { stringify } from 'yaml';
import type { z } from 'zod';
import { flagOf } from './flags.js';
import type { RunSettings } from './resolve.js';
import { settingGroups } from './settings.js';

/**
 * A configuration for `polder train --config`, with every setting and what it means: those that the run would have with
 * their values, the others commented out.
 */
export function configText(settings: RunSettings, file: string): string {
  const values = settings as unknown as Readonly<Record<string, unknown>>;
  const groups = Object.entries(settingGroups).map(([heading, group]) => {
    const entries = Object.entries(group).map(([key, schema]) => entry(key, schema, values[key]));
    return `# --- ${heading.replace(/:$/, '')} ---\n\n${entries.join('\n')}`;
  });
  const start = [
    `# Settings of a training run: polder train --config ${file}`,
    '# A flag goes before what stands here (--lr 0.05), and a setting that is commented out is not set.',
    '# Which value comes from where: polder train --config … --explain-config',
  ];
  return `${start.join('\n')}\n\n${groups.join('\n')}`;
}

function entry(key: string, schema: z.ZodType, value: unknown): string {
  const about = `${schema.description ?? ''}${choices(schema)}`;
  const flag = key === 'policyOptions' ? '--policy-option' : flagOf(key);
  const comment = wrapped(`${about} (${flag})`);
  const setting = value === undefined ? `# ${key}: ${placeholder(schema)}\n` : stringify({ [key]: value });
  return `${comment}\n${setting}`;
}

function choices(schema: z.ZodType): string {
  const { type } = schema.def;
  return type === 'enum' ? `; one of ${(schema as z.ZodEnum).options.join(', ')}` : '';
}

function placeholder(schema: z.ZodType): string {
  switch (schema.def.type) {
    case 'boolean':
      return 'true';
    case 'array':
      return '[…]';
    case 'record':
      return '{ name: value }';
    case 'enum':
      return String((schema as z.ZodEnum).options[0]);
    default:
      return schema.def.type === 'number' ? '<number>' : '<text>';
  }
}

/** Comment lines of at most 100 characters. */
function wrapped(text: string): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    if (lines.at(-1)!.length + word.length > 97) lines.push('');
    lines.push(`${lines.pop()!} ${word}`);
  }
  return lines.map((line) => `#${line}`).join('\n');
}
