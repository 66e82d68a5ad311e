import type { TimingRow } from './rows.js';

/** What a stopwatch has counted, to go on from in another process. */
export type Elapsed = Readonly<{ seconds: number; trainSeconds: number; images: number }>;

/** Tells time spent in training steps from all time, and counts the images of the steps. */
export interface Stopwatch {
  count(images: number): void;
  /** Training stands still (an evaluation) until {@link Stopwatch.resume}. */
  pause(): void;
  resume(): void;
  read(): Pick<TimingRow, 'seconds' | 'trainSeconds' | 'imagesPerSecond'>;
  elapsed(): Elapsed;
}

/** Runs on the monotonic clock: setting the time of day moves nothing. */
export function createStopwatch(before: Elapsed = { seconds: 0, trainSeconds: 0, images: 0 }): Stopwatch {
  const start = performance.now() - before.seconds * 1000;
  let resumedAt: number | undefined = performance.now();
  let trained = before.trainSeconds * 1000;
  let { images } = before;
  const elapsed = (): Elapsed => {
    const now = performance.now();
    const trainSeconds = (trained + (resumedAt === undefined ? 0 : now - resumedAt)) / 1000;
    return { seconds: (now - start) / 1000, trainSeconds, images };
  };
  return {
    count: (n) => {
      images += n;
    },
    pause() {
      if (resumedAt !== undefined) trained += performance.now() - resumedAt;
      resumedAt = undefined;
    },
    resume() {
      resumedAt ??= performance.now();
    },
    read() {
      const { seconds, trainSeconds } = elapsed();
      return { seconds, trainSeconds, imagesPerSecond: trainSeconds > 0 ? images / trainSeconds : 0 };
    },
    elapsed,
  };
}
