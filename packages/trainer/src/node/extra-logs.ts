import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { metricsCsv } from './metrics-csv.js';
import { writeAtomic } from './atomic-file.js';
import { createEventFile, type EventFile, type Row } from './tensorboard.js';

/** Logs that say what `metrics.jsonl` and `timing.jsonl` do, for other programs. */
export interface LogOptions {
  /** Event files in `<run>/tensorboard`. */
  readonly tensorboard?: boolean;
  /** `<run>/metrics.csv`, written anew at each evaluation and at the end. */
  readonly csv?: boolean;
}

/** Open extra logs. All but `close` throw what the file system throws. */
export interface ExtraLogs {
  /** A row that is in `metrics.jsonl` by now. */
  metrics(row: Row): void;
  timing(row: Row): void;
  /** Brings everything up to `metrics.jsonl`. */
  finish(): void;
  close(): void;
}

/** Opens the extra logs of a run folder; `resumed` for a run that goes on, its logs cut to where it does. */
export function openExtraLogs(folder: string, { tensorboard, csv }: LogOptions, resumed: boolean): ExtraLogs {
  const metricsFile = join(folder, 'metrics.jsonl');
  const board: EventFile | undefined =
    tensorboard === true
      ? createEventFile(join(folder, 'tensorboard'), resumed ? { resumed: rowsOf(metricsFile) } : {})
      : undefined;
  const finish = (): void => {
    if (csv === true) writeAtomic(join(folder, 'metrics.csv'), metricsCsv(readFileSync(metricsFile, 'utf8')));
  };
  return {
    metrics(row) {
      board?.row(row);
      if ('testTop1' in row) finish();
    },
    timing: (row) => board?.row(row),
    finish,
    close: () => board?.close(),
  };
}

function rowsOf(file: string): readonly Row[] {
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Row);
}
