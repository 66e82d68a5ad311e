import { closeSync, mkdirSync, openSync, readdirSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { encodeEvent, type BoardEvent } from './event-file.js';

/** What a run appends to for TensorBoard. */
export interface EventFile {
  readonly path: string;
  /** A row of `metrics.jsonl` or `timing.jsonl`: its numbers at its step, under `train/`, `eval/`, `curvature/`, `timing/`. */
  row(row: Row): void;
  close(): void;
}

/** A row with a step; what is no number is left out, and `null` stands for a number that is not finite. */
export type Row = Readonly<{ step: number }>;

export interface EventFileOptions {
  /**
   * A run that was broken off goes on: the rows that count so far (`metrics.jsonl` as resumed). What earlier event files
   * of the folder hold from the last row's step on does not count, and is written again here; without earlier ones, all.
   */
  readonly resumed?: readonly Row[];
  /** Milliseconds since 1970; default: the clock. */
  readonly now?: () => number;
}

/**
 * Starts a new event file in `folder`, which is made if need be. TensorBoard reads the files of a folder in the order of
 * their names, so a later one's name sorts later, whatever the clock did. Throws what the file system throws.
 */
export function createEventFile(folder: string, { resumed, now = Date.now }: EventFileOptions = {}): EventFile {
  mkdirSync(folder, { recursive: true });
  const { path, file, isFirst } = openNext(folder, Math.floor(now() / 1000));
  const write = (event: Omit<BoardEvent, 'wallTime'>): void => {
    const record = encodeEvent({ wallTime: now() / 1000, ...event });
    // A write may take a part only.
    for (let at = 0; at < record.length;) at += writeSync(file, record, at);
  };
  const writeRow = (row: Row): void => write({ step: row.step, scalars: scalarsOf(row) });
  let open = true;
  write({ version: 'brain.Event:2' });
  if (resumed !== undefined) {
    const step = isFirst ? 0 : resumed.reduce((last, row) => Math.max(last, row.step), 0);
    write({ step, restart: true });
    resumed.filter((row) => row.step >= step).forEach(writeRow);
  }
  return {
    path,
    row: writeRow,
    close() {
      if (!open) return;
      open = false;
      closeSync(file);
    },
  };
}

function openNext(
  folder: string,
  second: number,
): { readonly path: string; readonly file: number; readonly isFirst: boolean } {
  const taken = readdirSync(folder).map((name) => Number(/^events\.out\.tfevents\.(\d+)\./.exec(name)?.[1] ?? 0));
  for (let stamp = Math.max(second, 1 + Math.max(0, ...taken)); ; stamp += 1) {
    const name = `events.out.tfevents.${String(stamp).padStart(10, '0')}.${hostname()}.${process.pid}`;
    try {
      return {
        path: join(folder, name),
        file: openSync(join(folder, name), 'ax'),
        isFirst: taken.every((t) => t === 0),
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** By what only rows of a kind have. */
function groupOf(row: Row): string {
  if ('testTop1' in row) return 'eval';
  if ('lambdaMax' in row) return 'curvature';
  return 'imagesPerSecond' in row ? 'timing' : 'train';
}

function scalarsOf(row: Row): readonly (readonly [string, number])[] {
  const group = groupOf(row);
  return Object.entries(row).flatMap(([key, value]): (readonly [string, number])[] => {
    if (key === 'step') return [];
    if (value === null) return [[`${group}/${key}`, Number.NaN]];
    return typeof value === 'number' ? [[`${group}/${key}`, value]] : [];
  });
}
