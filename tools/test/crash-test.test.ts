import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const patience = { timeout: 600_000 };

interface Report {
  readonly ok: boolean;
  readonly kills: number;
  readonly equal: number;
  readonly unreadable: number;
  readonly failures: readonly { readonly what: string }[];
  readonly events: readonly Readonly<Record<string, unknown>>[];
}

/** The crash test of CONTRIBUTING.md, on shorter runs. */
function crashTest(...args: readonly string[]): { readonly status: number | null; readonly report: Report } {
  const command = ['tools/crash-test.mjs', '--json', '--epochs', '4', '--seed', '5', ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8' });
  try {
    return { status, report: JSON.parse(stdout) as Report };
  } catch {
    throw new Error(`the crash test printed no report:\n${stdout}\n${stderr}`);
  }
}

it('runs that are killed and resumed end with the bytes of runs left alone, on wasm and cpu', patience, () => {
  const { status, report } = crashTest('--kills', '2');
  expect(report.failures).toEqual([]);
  expect(report).toMatchObject({ ok: true, kills: 2, equal: 2, unreadable: 0 });
  expect(report.events.map(({ backend, signal }) => [backend, signal])).toEqual([
    ['wasm', 'SIGKILL'],
    ['cpu', 'SIGKILL'],
  ]);
  expect(status).toBe(0);
});

it('checkpoints that were spoilt are a failure', patience, () => {
  const { status, report } = crashTest('--kills', '1', '--break');
  expect(report.ok).toBe(false);
  expect(report.failures.map(({ what }) => what).join('\n')).toMatch(/damaged|differ/);
  expect(status).toBe(1);
});
