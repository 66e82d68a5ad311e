import { execFileSync, spawn } from 'node:child_process';
import { existsSync, watch } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { checkpointFiles, rowsOf } from './run-files.mjs';

const program = fileURLToPath(new URL('polder.mjs', import.meta.url));
const builder = fileURLToPath(new URL('../../packages/cli/bin/polder.js', import.meta.url));

/** Brings the command up to date. */
export function build() {
  execFileSync(process.execPath, [builder, '--version'], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Starts the real `polder` in a process of its own; `done` tells how it ended. */
export function start(args, cwd) {
  const env = { ...process.env, NO_COLOR: '1', POLDER_DATA: join(cwd, 'no-data'), XDG_CACHE_HOME: join(cwd, 'cache') };
  const child = spawn(process.execPath, [program, ...args], { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const done = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stderr }));
  });
  return { child, done };
}

/** Runs `polder` to its end; throws with what it said unless it succeeds. */
export async function mustRun(args, cwd) {
  const ended = await start(args, cwd).done;
  if (ended.code !== 0)
    throw new Error(`polder ${args.join(' ')}: ended with ${ended.code ?? ended.signal}\n${ended.stderr}`);
  return ended;
}

/**
 * Starts `polder` and kills it with SIGKILL. `aim` says when: `{ at: 'start' }` before the first row; `{ at: 'step',
 * step, delay }` so many milliseconds after the row of a step; `{ at: 'save', step, delay }` while the first checkpoint
 * after a step is written. Tells what the killed process left behind.
 */
export async function startAndKill(args, cwd, run, aim) {
  const { child, done } = start(args, cwd);
  let ended = false;
  void done.then(() => (ended = true));
  await (aim.at === 'save' ? untilSaving(run, aim, () => ended) : untilRow(run, aim, () => ended));
  child.kill('SIGKILL');
  const { signal, code, stderr } = await done;
  const rows = rowsOf(run);
  const last = rows.at(-1);
  const { unfinished } = checkpointFiles(run);
  return {
    signal,
    code,
    stderr,
    step: last?.step ?? 0,
    phase: phaseOf(last, aim.stepsPerEpoch, unfinished),
    unfinished,
  };
}

/** By what is there, not by what was aimed at. */
function phaseOf(last, stepsPerEpoch, unfinished) {
  if (unfinished.some((name) => name.startsWith('state-'))) return 'mid-save';
  if (unfinished.length > 0) return 'mid-save of best weights';
  if (last === undefined) return 'before the first row';
  if ('testTop1' in last) return 'after an evaluation';
  return last.step % stepsPerEpoch === 0 ? 'in an evaluation' : 'mid-epoch';
}

async function untilRow(run, { at, step, delay = 0 }, ended) {
  while (!ended()) {
    if (at === 'start' ? existsSync(join(run, 'metrics.jsonl')) : (rowsOf(run).at(-1)?.step ?? 0) >= step) break;
    await sleep(1);
  }
  await sleep(delay);
}

async function untilSaving(run, { step, delay = 0 }, ended) {
  await untilRow(run, { at: 'step', step }, ended);
  const { folder } = checkpointFiles(run);
  while (!existsSync(folder) && !ended()) await sleep(1);
  if (ended()) return;
  await new Promise((resolve) => {
    const watcher = watch(folder, (_, name) => {
      if (name?.startsWith('state-') === true && name.endsWith('.tmp')) finish();
    });
    const timer = setInterval(() => ended() && finish(), 20);
    const finish = () => {
      watcher.close();
      clearInterval(timer);
      resolve();
    };
  });
  if (delay > 0) await sleep(delay);
}
