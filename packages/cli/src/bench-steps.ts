import type { StartedBackend } from '@polder/backends';
import { openByteMeter, residentPeak, type ByteMeter } from './bench-memory.js';
import { openStockSteps } from './bench-stock.js';
import { openWorkload, type Variant, type Workload } from './bench-variant.js';

/** What to time. */
export interface BenchOptions {
  readonly model: string;
  readonly batch: number;
  readonly policies: readonly string[];
  readonly backend: StartedBackend;
  /** The threads asked for, if any: other processes are started with them too. */
  readonly threads?: number;
  /** How long to time each policy, on average. */
  readonly seconds: number;
  /** Also times stock tfjs on wasm, in a process of its own, in turn with ours. */
  readonly stock: boolean;
  readonly onProgress: (message: string) => void;
}

/** One policy's training steps: forward, backward, update. */
export interface BenchRow {
  readonly policy: string;
  readonly backend: string;
  readonly threads: number;
  /** `captured` as one graph, or `eager: ` and why. */
  readonly capture: string;
  readonly msPerStepMin: number;
  readonly msPerStepMedian: number;
  /** Examples a second at the minimum, however many passes each takes. */
  readonly imagesPerSecond: number;
  readonly passesPerStep: number;
  /** The minimum over that of plain descent, which is timed even where no row asks for it. */
  readonly ratioToPlain: number;
  /** See peakBytesOf; null where it cannot be told. */
  readonly peakBytes: number | null;
}

const plain = 'none';
const fewestRounds = 5;
/** A step of stock tfjs takes as long as ten of ours. */
const roundsPerStockStep = 6;

/**
 * Times the training steps of several policies on one network, in turn: A B C A B C …, so that what else the machine does
 * hits all alike, and takes the minimum of each.
 */
export async function benchSteps(options: BenchOptions): Promise<readonly BenchRow[]> {
  const { policies, backend, seconds, onProgress } = options;
  const timed = [...new Set([...policies, plain])];
  onProgress('warming up');
  const { workload, variants, peaks } = await prepare(options, timed);
  const stock = options.stock ? await openStockSteps(options.batch) : undefined;
  const times = timed.map((): number[] => []);
  const passes = timed.map(() => 0);
  try {
    const budget = seconds * 1000 * timed.length;
    let spent = 0;
    for (let round = 0; round < fewestRounds || spent < budget; round += 1) {
      for (const [i, variant] of variants.entries()) {
        const step = await variant.step();
        times[i]!.push(step.ms);
        passes[i] = passes[i]! + step.passes;
        spent += step.ms;
      }
      if (round % roundsPerStockStep === 0) await stock?.step();
    }
  } finally {
    stock?.close();
  }
  const best = times.map((series) => Math.min(...series));
  const plainBest = best[timed.indexOf(plain)]!;
  const rows = policies.map((policy) => {
    const i = timed.indexOf(policy);
    return rowOf({
      policy,
      backend: backend.backend,
      threads: backend.threads,
      capture: variants[i]!.capture(),
      series: times[i]!,
      batch: options.batch,
      plainBest,
      passesPerStep: passes[i]! / times[i]!.length,
      peakBytes: peaks[i]!,
    });
  });
  for (const variant of variants) variant.dispose();
  workload.dispose();
  if (stock === undefined) return rows;
  const about = 'eager: stock tfjs with a shimmed filter gradient, forward and backward without an update';
  const { times: series } = stock;
  const fixed = { policy: 'stock', backend: 'wasm', threads: 1, capture: about, passesPerStep: 1, peakBytes: null };
  return [...rows, rowOf({ ...fixed, series, batch: options.batch, plainBest })];
}

interface Timed extends Omit<BenchRow, 'msPerStepMin' | 'msPerStepMedian' | 'imagesPerSecond' | 'ratioToPlain'> {
  /** Milliseconds of each step. */
  readonly series: readonly number[];
  readonly batch: number;
  readonly plainBest: number;
}

function rowOf({
  policy,
  backend,
  threads,
  capture,
  series,
  batch,
  plainBest,
  passesPerStep,
  peakBytes,
}: Timed): BenchRow {
  const sorted = [...series].sort((a, b) => a - b);
  const msPerStepMin = sorted[0]!;
  return {
    policy,
    backend,
    threads,
    capture,
    msPerStepMin,
    msPerStepMedian: sorted[sorted.length >> 1]!,
    imagesPerSecond: (batch * 1000) / msPerStepMin,
    passesPerStep,
    ratioToPlain: msPerStepMin / plainBest,
    peakBytes,
  };
}

interface Prepared {
  readonly workload: Workload;
  readonly variants: readonly Variant[];
  /** Of each variant. */
  readonly peaks: readonly (number | null)[];
}

/** Makes everything, warms it up, and measures its memory. */
async function prepare(options: BenchOptions, policies: readonly string[]): Promise<Prepared> {
  const meter = openByteMeter();
  if (meter !== undefined) return prepareMetered(options, policies, meter);
  const peaks: (number | null)[] = [];
  for (const policy of policies) {
    options.onProgress(`measuring the memory of ${policy}`);
    const { model, batch, threads } = options;
    const lone = { model, batch, policy, backend: options.backend.backend, ...(threads !== undefined && { threads }) };
    peaks.push((await residentPeak(lone)) ?? null);
  }
  const workload = openWorkload(options.model, options.batch);
  const variants = policies.map((policy) => workload.variant(policy));
  for (const variant of variants) await variant.warmUp();
  return { workload, variants, peaks };
}

async function prepareMetered(
  { model, batch }: BenchOptions,
  policies: readonly string[],
  meter: ByteMeter,
): Promise<Prepared> {
  const before = meter.live();
  const workload = openWorkload(model, batch);
  const network = meter.live() - before;
  const slots: number[] = [];
  const variants = policies.map((policy) => {
    const without = meter.live();
    const variant = workload.variant(policy);
    slots.push(meter.live() - without);
    return variant;
  });
  const made = meter.live();
  for (const variant of variants) await variant.warmUp();
  // Tables and scratch memory of the kernels, which stay.
  const scratch = meter.live() - made;
  const peaks: number[] = [];
  for (const [i, variant] of variants.entries()) {
    const resting = meter.live();
    meter.takePeak();
    await variant.step();
    peaks.push(network + slots[i]! + scratch + meter.takePeak() - resting);
  }
  meter.stop();
  return { workload, variants, peaks };
}
