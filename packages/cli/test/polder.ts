import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../bin/polder.js', import.meta.url));

/** What a run of the command gave. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Called with stderr so far; the answer, if any, is a signal to send. */
  readonly onStderr?: (text: string) => 'SIGINT' | 'SIGTERM' | undefined;
}

/** Runs the real `polder` in a process of its own. */
export function polder(args: readonly string[], { cwd, env = {}, onStderr }: RunOptions = {}): Promise<Finished> {
  const { POLDER_DATA: _data, ...inherited } = process.env;
  // Empty caches: no test may depend on the data or on the native TensorFlow that this machine has.
  const none = join(tmpdir(), 'polder-no-cache');
  const quiet = { ...inherited, NO_COLOR: '1', XDG_CACHE_HOME: none, POLDER_CACHE: none, ...env };
  const child = spawn(process.execPath, [bin, ...args], { ...(cwd !== undefined && { cwd }), env: quiet });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    const signal = onStderr?.(stderr);
    if (signal !== undefined) child.kill(signal);
  });
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', (code) => done({ code, stdout, stderr }));
  });
}

/** Starts the command once, which builds it when that is needed. */
export async function buildFirst(): Promise<void> {
  const { code, stderr } = await polder(['--version']);
  if (code !== 0) throw new Error(`polder does not start:\n${stderr}`);
}

/** A folder that is gone after `action`. */
export async function inTemporaryFolder<T>(action: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'polder-cli-'));
  try {
    return await action(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
