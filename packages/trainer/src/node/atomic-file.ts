import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Writes JSON so that the file is there whole or not at all, also if the machine stops: temporary file, fsync, rename. */
export function writeJson(path: string, value: object): void {
  writeAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** {@link writeJson} for text or bytes. */
export function writeAtomic(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = openSync(temporary, 'w');
    try {
      // Not writeSync, which may write a part.
      writeFileSync(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

function syncFolder(folder: string): void {
  // Windows cannot open a folder; its rename is durable by itself.
  if (process.platform === 'win32') return;
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/**
 * Makes a folder and the parents that it lacks; returns the topmost of those made. Not `mkdirSync` with `recursive`:
 * where a parent is there and yet refuses with ENOENT, as in /proc, Node 20 tries again for ever.
 */
export function makeFolder(folder: string): string | undefined {
  try {
    mkdirSync(folder);
    return folder;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(folder).isDirectory()) return undefined;
    const parent = dirname(folder);
    if (code !== 'ENOENT' || parent === folder) throw error;
    const made = makeFolder(parent);
    try {
      mkdirSync(folder);
      return made ?? folder;
    } catch (again) {
      // Another process may have been faster.
      if ((again as NodeJS.ErrnoException).code === 'EEXIST') return made;
      if (made !== undefined) rmSync(made, { recursive: true, force: true });
      throw again;
    }
  }
}
