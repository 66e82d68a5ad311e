import * as tf from '@tensorflow/tfjs-core';
import type { EvaluationRow, RunSummary, TimingRow } from './rows.js';
import type { Stopwatch } from './stopwatch.js';

/** How far a training has come. */
export type Position = Readonly<{ step: number; epoch: number; passes: number }>;

/** What the clock and the memory say. */
export function timingRow({ step, passes }: Position, watch: Stopwatch): TimingRow {
  const { numTensors, numBytes } = tf.memory();
  return {
    step,
    passes,
    ...watch.read(),
    numTensors,
    tensorBytes: numBytes,
    ...(typeof process !== 'undefined' && { rssBytes: process.memoryUsage.rss() }),
    time: new Date().toISOString(),
  };
}

/** What came out of a training, from its evaluations and where it ended. */
export function summarise(
  history: readonly EvaluationRow[],
  gap: number,
  { step, epoch, passes }: Position,
  skippedSteps: number,
  stopped: string | null,
): RunSummary {
  const { step: _step, epoch: _epoch, passes: _passes, ...last } = history.at(-1) as EvaluationRow;
  return {
    status: 'completed',
    ...(stopped !== null && { stopped }),
    steps: step,
    epochs: epoch,
    passes,
    passesPerStep: passes / step,
    skippedSteps,
    ...last,
    samGap: gap,
    ...lastTen(history),
  };
}

/** Mean accuracies over the last ten evaluations, as SAMAR's tables report them, or over all when there are fewer. */
function lastTen(
  history: readonly EvaluationRow[],
): Pick<RunSummary, 'last10TestTop1' | 'last10TrainTop1' | 'last10Evaluations'> {
  const last = history.slice(-10);
  const mean = (key: 'testTop1' | 'trainTop1'): number => last.reduce((sum, row) => sum + row[key], 0) / last.length;
  return { last10TestTop1: mean('testTop1'), last10TrainTop1: mean('trainTop1'), last10Evaluations: last.length };
}
