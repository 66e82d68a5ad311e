import { CommanderError } from 'commander';
import { exitCodeOf } from './failure.js';

/** An error for programs: what `--json` prints on stdout in place of a result. */
export interface FailureJson {
  readonly error: {
    readonly name: string;
    readonly message: string;
    readonly exitCode: number;
    /** What else the error says: `file`, `line`, `expected`, `received`, … */
    readonly [detail: string]: unknown;
  };
}

/** An error as JSON: its own fields that are plain values come along. */
export function failureJson(error: unknown): FailureJson {
  const exitCode = exitCodeOf(error);
  if (error instanceof CommanderError)
    return { error: { name: 'UsageError', message: error.message.replace(/^error: /, ''), exitCode } };
  if (!(error instanceof Error)) return { error: { name: 'Error', message: String(error), exitCode } };
  const details = Object.entries(error).filter(
    ([key, value]) => !['name', 'cause', 'stack'].includes(key) && isPlain(value),
  );
  return { error: { ...Object.fromEntries(details), name: error.name, message: error.message, exitCode } };
}

/** Whether a command line asks for JSON; what stands behind `--` is no flag. */
export function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).includes('--json');
}

function isPlain(value: unknown): boolean {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return true;
  return Array.isArray(value) && value.length <= 100 && value.every((item) => isPlain(item));
}
