import { readFileSync, statSync } from 'node:fs';
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { UsageError } from './failure.js';

/** No configuration is larger, and a mistaken path to a data file should not be read as one. */
const largest = 1_000_000;

/** A configuration, and where in its file each setting stands. */
export interface ConfigFile {
  readonly settings: Readonly<Record<string, unknown>>;
  /** 1-based. */
  readonly lines: Readonly<Record<string, number>>;
}

/**
 * Reads a configuration in YAML or JSON (which YAML contains). Throws {@link UsageError} for a file that is not there,
 * not text, or not a mapping; keys given twice, and aliases that unfold without end, are errors too.
 */
export function readConfig(path: string): ConfigFile {
  const text = readText(path);
  const lineCounter = new LineCounter();
  const document = parseDocument(text.replace(/^\uFEFF/, ''), { uniqueKeys: true, lineCounter });
  const [error] = document.errors;
  if (error !== undefined) throw new UsageError(`${path}: ${error.message.trim()}`);
  const value = toPlain(path, () => document.toJS({ maxAliasCount: 100 }) as unknown);
  if (value === null || value === undefined) return { settings: {}, lines: {} };
  if (typeof value !== 'object' || Array.isArray(value))
    throw new UsageError(
      `${path}: expected settings (key: value), got ${Array.isArray(value) ? 'a list' : JSON.stringify(value)}.`,
    );
  const items = isMap(document.contents) ? document.contents.items : [];
  const lines = items.flatMap(({ key }) =>
    isScalar(key) && key.range ? [[String(key.value), lineCounter.linePos(key.range[0]).line] as const] : [],
  );
  return { settings: value as ConfigFile['settings'], lines: Object.fromEntries(lines) };
}

function readText(path: string): string {
  try {
    const { size } = statSync(path);
    if (size > largest)
      throw new UsageError(`${path} has ${size} bytes: too large for a configuration. Check the path.`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : message;
    throw new UsageError(`--config ${path}: ${why}.`);
  }
}

function toPlain(path: string, read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
