import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { main } from '../src/main.js';
import type { Finished } from './polder.js';

/**
 * Runs `polder` in this process, in a folder: much cheaper than a process of its own, for what needs none. One at a time.
 */
export async function polderHere(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const before = { cwd: process.cwd(), exitCode: process.exitCode, env: { ...process.env } };
  const listeners = [process.stdout, process.stderr].map((stream) => stream.listeners('error'));
  let [stdout, stderr] = ['', ''];
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((stdout += String(text)), true));
  const err = vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((stderr += String(text)), true));
  delete process.env['POLDER_DATA'];
  Object.assign(process.env, { NO_COLOR: '1', XDG_CACHE_HOME: join(tmpdir(), 'polder-no-cache'), ...env });
  process.exitCode = undefined;
  process.chdir(cwd);
  try {
    await main(['node', 'polder', ...args]);
    return { code: exitCode(), stdout, stderr };
  } finally {
    process.chdir(before.cwd);
    process.exitCode = before.exitCode;
    process.env = before.env;
    out.mockRestore();
    err.mockRestore();
    [process.stdout, process.stderr].forEach((stream, i) => {
      for (const listener of stream.listeners('error'))
        if (!listeners[i]!.includes(listener)) stream.off('error', listener as () => void);
    });
  }
}

/** A folder for a file of tests; `dispose` takes it away. */
export function temporaryFolder(): { readonly path: string; readonly dispose: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'polder-cli-'));
  return { path, dispose: () => rmSync(path, { recursive: true, force: true }) };
}

// Not inline: TypeScript thinks that it is still what it was set to above.
function exitCode(): number {
  return Number(process.exitCode ?? 0);
}
