import type { EvaluationRow, Progress } from '@polder/trainer';
import { colorsFor } from './console.js';

/** Shows how a run goes, on stderr: a bar that is drawn over on a terminal, a line now and then elsewhere. */
export interface ProgressView {
  update(progress: Progress): void;
  evaluated(row: EvaluationRow): void;
  /** Clears the bar. */
  end(): void;
}

/** Milliseconds between drawings of the bar, and between lines. */
const barInterval = 100;
const lineInterval = 5_000;

/** `label` starts every line: the policy's name. `now` is a clock in milliseconds. */
export function createProgressView(
  label: string,
  stream: NodeJS.WriteStream = process.stderr,
  now: () => number = () => performance.now(),
): ProgressView {
  return stream.isTTY ? barView(label, stream, now) : lineView(label, stream, now);
}

function barView(label: string, stream: NodeJS.WriteStream, now: () => number): ProgressView {
  const { cyan, dim } = colorsFor(stream);
  let drawnAt = Number.NEGATIVE_INFINITY;
  const clear = (): void => {
    stream.write('\r\u001B[K');
  };
  return {
    update(progress) {
      if (now() - drawnAt < barInterval && progress.fraction < 1) return;
      drawnAt = now();
      const tail = describe(progress);
      const width = Math.max(10, Math.min(30, (stream.columns || 80) - label.length - tail.length - 6));
      const full = Math.round(width * progress.fraction);
      const line = `${label} ${cyan('█'.repeat(full))}${dim('░'.repeat(width - full))} ${tail}`;
      clear();
      stream.write(
        label.length + width + tail.length + 2 < (stream.columns || 80)
          ? line
          : `${label} ${tail}`.slice(0, (stream.columns || 80) - 1),
      );
    },
    evaluated(row) {
      clear();
      stream.write(`${label} ${describeEvaluation(row)}\n`);
    },
    end: clear,
  };
}

function lineView(label: string, stream: NodeJS.WriteStream, now: () => number): ProgressView {
  let writtenAt = Number.NEGATIVE_INFINITY;
  return {
    update(progress) {
      if (progress.phase === 'evaluate' || now() - writtenAt < lineInterval) return;
      writtenAt = now();
      stream.write(`${label} ${describe(progress)}\n`);
    },
    evaluated(row) {
      stream.write(`${label} ${describeEvaluation(row)}\n`);
    },
    end: () => undefined,
  };
}

function describe({ phase, fraction, step, passes, loss, imagesPerSecond, secondsLeft }: Progress): string {
  const parts = [
    `${Math.floor(fraction * 100)}%`.padStart(4),
    `step ${step}`,
    `${passes} passes`,
    ...(loss === null ? [] : [`loss ${loss.toFixed(3)}`]),
    phase === 'evaluate' ? 'evaluating' : `${imagesPerSecond.toFixed(imagesPerSecond < 10 ? 1 : 0)} img/s`,
    `ETA ${duration(secondsLeft)}`,
  ];
  return parts.join(' · ');
}

function describeEvaluation(row: EvaluationRow): string {
  const { epoch, passes, testTop1, testLoss, trainTop1, trainLoss, emaTestTop1 } = row;
  return (
    `epoch ${epoch.toFixed(1)} · ${passes} passes · test Top-1 ${percent(testTop1)}, loss ${testLoss.toFixed(3)} · ` +
    `train Top-1 ${percent(trainTop1)}, loss ${trainLoss.toFixed(3)}` +
    (emaTestTop1 === undefined ? '' : ` · averaged weights ${percent(emaTestTop1)}`)
  );
}

/** A fraction as a percentage, 0.5 → "50.0 %". */
export function percent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)} %`;
}

/** 75 → "1m15s". */
function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours > 0) return `${hours}h${String(minutes).padStart(2, '0')}m`;
  return minutes > 0 ? `${minutes}m${String(whole % 60).padStart(2, '0')}s` : `${whole}s`;
}
