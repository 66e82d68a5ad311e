import { createHash, type Hash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { TrainerError } from '../errors.js';
import type { MetricsRow, RunSummary, TimingRow } from '../rows.js';
import type { TrainingSnapshot } from '../snapshot.js';
import { makeFolder, writeAtomic, writeJson } from './atomic-file.js';
import { claimFolder, isClaim } from './run-lock.js';
import { storeState, sweep, type LogPositions, type RunFacts } from './state-store.js';

/** A run folder that cannot be made, claimed or written: it holds something, another process has it, the system refuses. */
export class RunFolderError extends TrainerError {
  override readonly name = 'RunFolderError';
  readonly path: string;
  readonly reason: 'occupied' | 'locked' | 'unwritable';

  constructor(path: string, reason: RunFolderError['reason'], message: string, options?: ErrorOptions) {
    super(message);
    this.path = path;
    this.reason = reason;
    if (options?.cause !== undefined) this.cause = options.cause;
  }
}

/** A run could not be written any further: the disk is full, or the folder was taken away or closed. */
export class RunWriteError extends TrainerError {
  override readonly name = 'RunWriteError';
  readonly path: string;
  /** The last checkpoint, which is there as it was. */
  readonly checkpoint: string | undefined;

  constructor(path: string, why: string, checkpoint: string | undefined, options?: ErrorOptions) {
    const intact =
      checkpoint === undefined
        ? 'There is no checkpoint yet: start again.'
        : `The last checkpoint is intact (${checkpoint}): resume the run.`;
    super(`Cannot write to ${path}: ${why}. Put that right first. ${intact}`, options);
    this.path = path;
    this.checkpoint = checkpoint;
  }
}

/** A run that ended early, in `summary.json`. */
export interface BrokenOffSummary {
  readonly status: 'diverged' | 'interrupted' | 'failed';
  readonly message: string;
}

/** An open run folder, which no other process has open. Every call throws {@link RunWriteError} when it cannot write. */
export interface RunFolder {
  readonly path: string;
  /** The JSON file of the last checkpoint that was saved or resumed from. */
  readonly lastCheckpoint: string | undefined;
  metrics(row: MetricsRow): void;
  timing(row: TimingRow): void;
  /** Writes `summary.json`, whole or not at all. */
  summary(summary: (RunSummary & Readonly<Record<string, unknown>>) | BrokenOffSummary): void;
  /** Writes weights to `checkpoints/<name>.safetensors`, whole or not at all. */
  weights(name: string, bytes: Uint8Array): void;
  /** Deletes `checkpoints/<name>.safetensors`. */
  removeWeights(name: string): void;
  /** Saves a training, with the logs up to here. */
  save(snapshot: TrainingSnapshot, facts: RunFacts): void;
  /** Writes something else in the folder. */
  also<T>(write: () => T): T;
  /** Gives the folder back. */
  close(): void;
}

/**
 * Makes a run folder, with its parents, writes `config.json`, and before it `files`. The folder must be absent or empty,
 * so that no run mixes with another, and is this process's until it is closed.
 */
export function createRunFolder(
  path: string,
  config: object,
  files: Readonly<Record<string, object | Uint8Array>> = {},
): RunFolder {
  const folder = resolve(path);
  checkRunFolder(folder);
  return guarded(folder, () => {
    makeFolder(folder);
    return claimed(folder, () => {
      // Looked at again under the claim: another process may have been here first.
      checkFree(folder);
      for (const [name, content] of Object.entries(files)) {
        const file = join(folder, name);
        makeFolder(dirname(file));
        if (content instanceof Uint8Array) writeAtomic(file, content);
        else writeJson(file, content);
      }
      writeJson(join(folder, 'config.json'), config);
    });
  });
}

/**
 * Opens the folder of a run that was broken off. Logs are cut to where they were at a checkpoint, or to nothing. Throws
 * {@link RunFolderError} where another process has it.
 */
export function reopenRunFolder(
  path: string,
  at: () => { readonly logs: LogPositions; readonly file: string } | undefined,
): RunFolder {
  const folder = resolve(path);
  return guarded(folder, () =>
    claimed(folder, () => {
      sweep(folder);
      rmSync(join(folder, 'summary.json'), { force: true });
      const state = at();
      return { file: state?.file, metrics: state?.logs.metrics.bytes ?? 0, timing: state?.logs.timing.bytes ?? 0 };
    }),
  );
}

interface Start {
  readonly file: string | undefined;
  readonly metrics: number;
  readonly timing: number;
}

/** A folder as {@link RunFolder} under a claim; `prepare` runs under the claim and says where the logs go on. */
function claimed(folder: string, prepare: () => Start | void): RunFolder {
  const claim = claimFolder(folder);
  if (typeof claim !== 'function')
    throw new RunFolderError(
      folder,
      'locked',
      `${folder} is in use by ${claim.holder}, and a run takes one at a time. Wait for it or stop it` +
        ` (if it is gone for certain, as on a machine that was shut down, delete ${claim.file}).`,
    );
  try {
    return opened(folder, prepare() ?? { file: undefined, metrics: 0, timing: 0 }, claim);
  } catch (error) {
    claim();
    throw error;
  }
}

function opened(folder: string, start: Start, release: () => void): RunFolder {
  const metrics = openLog(join(folder, 'metrics.jsonl'), start.metrics);
  const timing = openLog(join(folder, 'timing.jsonl'), start.timing);
  let lastCheckpoint = start.file;
  let open = true;
  const writing = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw new RunWriteError(folder, explain(error), lastCheckpoint, { cause: error });
    }
  };
  const weightsFile = (name: string): string => join(checkpointsOf(folder), `${name}.safetensors`);
  return {
    path: folder,
    get lastCheckpoint() {
      return lastCheckpoint;
    },
    metrics: (row) => writing(() => metrics.append(row)),
    timing: (row) => writing(() => timing.append(row)),
    summary: (summary) => writing(() => writeJson(join(folder, 'summary.json'), summary)),
    weights: (name, bytes) =>
      writing(() => {
        makeFolder(checkpointsOf(folder));
        writeAtomic(weightsFile(name), bytes);
      }),
    removeWeights: (name) => writing(() => rmSync(weightsFile(name), { force: true })),
    save: (snapshot, facts) =>
      writing(() => {
        makeFolder(checkpointsOf(folder));
        const logs = { metrics: metrics.sync(), timing: { bytes: timing.sync().bytes } };
        lastCheckpoint = storeState(checkpointsOf(folder), snapshot, facts, logs);
      }),
    also: writing,
    close() {
      if (!open) return;
      open = false;
      metrics.close();
      timing.close();
      release();
    },
  };
}

/** A file that lines are appended to, and how long it is. */
interface Log {
  append(row: object): void;
  /** Makes sure that the lines so far outlast the machine, and says what they are. */
  sync(): { readonly bytes: number; readonly sha256: string };
  close(): void;
}

/** Opens a log for lines after its first `start` bytes; what was behind them is cut off. */
function openLog(path: string, start: number): Log {
  const file = openSync(path, 'a');
  // Cutting to a length beyond the end would fill up with zeros.
  let bytes = Math.min(start, fstatSync(file).size);
  ftruncateSync(file, bytes);
  const hash: Hash = createHash('sha256').update(readFileSync(path));
  return {
    append(row) {
      const line = `${JSON.stringify(row)}\n`;
      // Not writeSync, which may write a part.
      writeFileSync(file, line);
      hash.update(line);
      bytes += Buffer.byteLength(line);
    },
    sync() {
      fsyncSync(file);
      return { bytes, sha256: hash.copy().digest('hex') };
    },
    close: () => closeSync(file),
  };
}

/** Where a run keeps its checkpoints. */
export function checkpointsOf(folder: string): string {
  return join(folder, 'checkpoints');
}

/**
 * Throws {@link RunFolderError} when `path` could not become a run folder, without leaving anything behind: a check to
 * make before work starts.
 */
export function checkRunFolder(path: string): void {
  const folder = resolve(path);
  if (existsSync(folder)) guarded(folder, () => checkFree(folder));
  // The one reliable test of a writable place is to write there. What it takes is taken back.
  guarded(folder, () => {
    const made = makeFolder(folder);
    try {
      const probe = join(folder, `.probe-${process.pid}`);
      closeSync(openSync(probe, 'ax'));
      rmSync(probe);
    } finally {
      if (made !== undefined) rmSync(made, { recursive: true });
    }
  });
}

function checkFree(folder: string): void {
  if (!statSync(folder).isDirectory())
    throw new RunFolderError(folder, 'occupied', `${folder} is a file. Give --run-dir a folder that is new or empty.`);
  const holds = readdirSync(folder).filter((name) => !isClaim(name));
  if (holds.includes('config.json') || holds.includes('metrics.jsonl'))
    throw new RunFolderError(
      folder,
      'occupied',
      `${folder} holds a run already, and a run is never overwritten. Choose another folder, move that one away, or go on with it: polder resume ${folder}`,
    );
  if (holds.length > 0)
    throw new RunFolderError(
      folder,
      'occupied',
      `${folder} is not empty (it holds ${holds.slice(0, 3).join(', ')}${holds.length > 3 ? ', …' : ''}). Choose a folder that is new or empty.`,
    );
}

/**
 * Makes and returns the first of `base`, `base-2`, `base-3`, … that does not exist. Two processes never get the same.
 * Throws {@link RunFolderError} when none can be made.
 */
export function claimFreshFolder(base: string): string {
  const first = resolve(base);
  return guarded(first, () => {
    makeFolder(dirname(first));
    for (let n = 1; ; n += 1) {
      const candidate = n === 1 ? first : `${first}-${n}`;
      try {
        mkdirSync(candidate);
        return candidate;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
    }
  });
}

function guarded<T>(folder: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof TrainerError) throw error;
    throw new RunFolderError(
      folder,
      'unwritable',
      `Cannot write to ${folder}: ${explain(error)}. Choose another place with --run-dir.`,
      { cause: error },
    );
  }
}

function explain(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined ? message : (explanations[code] ?? message);
}

const explanations: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left on the device',
  EDQUOT: 'your share of the disk is full',
  ENOENT: 'this place takes no new folders',
  ENOTDIR: 'part of the path is a file, not a folder',
  ENAMETOOLONG: 'the path is too long',
  EEXIST: 'another process has just started a run there',
};
