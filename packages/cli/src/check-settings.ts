import type { z } from 'zod';
import { UsageError } from './failure.js';
import { didYouMean } from './suggest.js';

/** Where settings came from, to say so in a message. */
export interface Origin {
  /** Before the first message: `polder.yaml`, or nothing for flags. */
  readonly label?: string;
  /** How a key is written there: `--batch` or `batch`. */
  readonly show: (key: string) => string;
  /** The keys there are. */
  readonly keys: readonly string[];
}

/** Checks settings against a schema; throws {@link UsageError} that lists what is wrong, a line each. */
export function checkSettings<T>(schema: z.ZodType<T>, raw: unknown, origin: Origin): T {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const lines = result.error.issues.flatMap((issue) => explain(issue, raw, [], origin));
  const shown = lines.slice(0, 8);
  if (shown.length < lines.length) shown.push(`and ${lines.length - shown.length} more`);
  const label = origin.label === undefined ? '' : `${origin.label}: `;
  throw new UsageError(shown.length === 1 ? label + shown[0] : `${label}\n  ${shown.join('\n  ')}`.trimStart());
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** One line per problem: the key, what was expected and what came. */
function explain(issue: Issue, raw: unknown, prefix: Path, origin: Origin): string[] {
  const path = [...prefix, ...issue.path];
  const place = path.length === 0 ? '' : `${showPath(path, origin)}: `;
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${place}unknown setting "${key}".${didYouMean(key, origin.keys)}`);
  if (issue.code === 'invalid_union') {
    // The branch that fits the kind of value which came: objects against the object, the rest against the first.
    const isObject = typeof valueAt(raw, path) === 'object';
    const branch = issue.errors[isObject ? issue.errors.length - 1 : 0];
    if (branch !== undefined) return branch.flatMap((inner) => explain(inner, raw, path, origin));
  }
  const value = valueAt(raw, path);
  const near = issue.code === 'invalid_value' ? didYouMean(String(value), issue.values.map(String)) : '';
  return [`${place}${expectation(issue)}, got ${show(value)}.${near}`];
}

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${typeNames[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `expected one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      if (issue.origin === 'array' || issue.origin === 'string') return 'expected at least one';
      return `expected ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}`;
    case 'too_big':
      return `expected ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}`;
    default:
      return issue.message;
  }
}

const typeNames: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'an integer',
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  object: 'settings (key: value)',
  record: 'settings (key: value)',
};

function showPath(path: Path, origin: Origin): string {
  const [first, ...rest] = path.map(String);
  return [origin.show(first ?? ''), ...rest].join('.');
}

function valueAt(raw: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], raw);
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  // NaN and Infinity have no JSON; a configuration file can hold them.
  const text = typeof value === 'number' ? String(value) : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
