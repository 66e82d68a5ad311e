import * as tf from '@tensorflow/tfjs';
import { adam, cosine, sam, sgd, type LearningRate, type Optimizer, type Policy } from '@polder/core';
import { flip, mixing, mixup } from '@polder/data';
import { expectNoLeak, startBackend } from '@polder/testkit';
import {
  earlyStopping,
  fit,
  SnapshotError,
  weightAverage,
  type FitOptions,
  type FitResult,
  type MetricsRow,
  type TrainingPart,
  type TrainingSnapshot,
} from '@polder/trainer';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { namedNet } from './named-net.js';
import { spots } from './toy.js';

const train = spots(96);
const test = spots(48);

type Overrides = Partial<FitOptions>;

interface Run extends FitResult {
  readonly rows: readonly MetricsRow[];
  readonly weights: readonly Uint8Array[];
  readonly snapshots: readonly { readonly snapshot: TrainingSnapshot; readonly rows: number }[];
}

async function run(overrides: Overrides = {}): Promise<Run> {
  const model = namedNet();
  const rows: MetricsRow[] = [];
  const snapshots: { snapshot: TrainingSnapshot; rows: number }[] = [];
  try {
    const result = await fit({
      model,
      train,
      test,
      batchSize: 16,
      seed: 3,
      ...(overrides.passBudget === undefined && { epochs: 3 }),
      learningRate: cosine({ initial: 0.1, steps: 18 }),
      optimizer: (learningRate) => sgd({ learningRate, momentum: 0.9 }),
      augment: [flip()],
      logEvery: 4,
      onMetrics: (row) => rows.push(row),
      checkpoint: { everySteps: 1, save: (snapshot) => void snapshots.push({ snapshot, rows: rows.length }) },
      ...overrides,
    });
    const weights = model.getWeights().map((w) => new Uint8Array(Float32Array.from(w.dataSync()).buffer));
    return { ...result, rows, weights, snapshots };
  } finally {
    model.dispose();
  }
}

/** As a file would give it back. */
function stored(snapshot: TrainingSnapshot): TrainingSnapshot {
  const { tensors, ...plain } = snapshot;
  return { ...(JSON.parse(JSON.stringify(plain)) as TrainingSnapshot), tensors };
}

/** Sums the weights of every step: a part with state on the device and beside it. */
function runningSum(): TrainingPart {
  let weights: ReadonlyMap<string, tf.Variable> = new Map();
  let sum: tf.Tensor | undefined;
  let steps = 0;
  return {
    name: 'sum',
    start: (started) => void (weights = started),
    restore({ tensors, data }) {
      sum = tf.keep(tf.clone(tensors!['kernel']!));
      steps = data as number;
    },
    afterStep() {
      const kernel = weights.get('out/kernel')!;
      const before = sum;
      sum = tf.keep(tf.tidy(() => (before === undefined ? tf.mul(kernel, 1) : tf.add(before, kernel))));
      before?.dispose();
      steps += 1;
    },
    evaluationWeights: () => (sum === undefined ? undefined : { 'out/kernel': sum }),
    afterEvaluation: (row) => (row.step >= 12 ? { stop: `${steps} steps are enough` } : undefined),
    state: () => ({ ...(sum && { tensors: { kernel: sum } }), data: steps }),
    dispose: () => sum?.dispose(),
  };
}

const momentum = (learningRate: LearningRate): Optimizer => sgd({ learningRate, momentum: 0.9 });
const cases: Readonly<Record<string, () => Overrides>> = {
  'plain descent': () => ({}),
  'SAM on Adam, mixed, clipped': () => ({
    policy: sam({ rho: 0.05 }) as Policy,
    optimizer: (learningRate) => adam({ learningRate }),
    mix: (epoch) => (epoch < 2 ? mixup({ alpha: 0.4 }) : undefined),
    clipNorm: 1,
  }),
  'SAM under a pass budget in micro-batches': () => ({
    policy: sam({ rho: 0.05 }) as Policy,
    optimizer: momentum,
    passBudget: 25,
    microBatches: 2,
  }),
  'a part that keeps weights and stops early': () => ({ parts: [runningSum()] }),
  'averaged weights, mixing, skipped steps, early stopping': () => ({
    policy: sam({ rho: 0.05 }) as Policy,
    mix: () => mixing({ mixup: 0.8, cutmix: 1, probability: 0.7 }),
    learningRate: (clock) => (clock % 7 >= 5 ? 1e300 : 0.05),
    parts: [weightAverage({ decay: 0.9, warmup: true }), earlyStopping({ patience: 1, monitor: 'emaTestTop1' })],
  }),
};

describe.each(['cpu', 'wasm'] as const)('a training on %s that is broken off and resumed', (backend) => {
  beforeAll(() => startBackend(backend));

  it.each(Object.keys(cases))('goes on bit for bit from every step: %s', async (name) => {
    const options = cases[name]!;
    const whole = await run(options());
    expect(whole.snapshots.length).toBeGreaterThan(10);
    const { elapsed: _elapsed, ...known } = stored(whole.snapshots.at(-1)!.snapshot);
    // Each snapshot is resumed from, and each resumed training's last snapshot is that of the whole one.
    for (const { snapshot, rows } of whole.snapshots.filter((_, i) => i % 3 === 1 || i > whole.snapshots.length - 3)) {
      const resumed = await run({ ...options(), resumeFrom: stored(snapshot) });
      expect(JSON.stringify([...whole.rows.slice(0, rows), ...resumed.rows])).toBe(JSON.stringify(whole.rows));
      expect(resumed.weights).toEqual(whole.weights);
      expect(resumed.summary).toEqual(whole.summary);
      const { elapsed: _, ...last } = stored(resumed.snapshots.at(-1)!.snapshot);
      expect(last).toEqual(known);
    }
  });

  it('leaves no tensor behind, resumed or refused', async () => {
    const { snapshots } = await run({ parts: [runningSum()] });
    const { snapshot } = snapshots[4]!;
    await expectNoLeak(() => run({ parts: [runningSum()], resumeFrom: snapshot }));
    await expectNoLeak(() => run({ resumeFrom: snapshot }).catch(() => undefined));
  });
});

describe('a training that resumes', () => {
  beforeAll(() => startBackend('cpu'));

  it('goes on from where a signal stopped it: between steps, in an evaluation, at the end', async () => {
    const whole = await run({ logEvery: 1 });
    const rowsBefore = (n: number): Overrides => {
      const controller = new AbortController();
      let seen = 0;
      const phases = { onProgress: () => (++seen === n ? controller.abort(new Error('enough')) : undefined) };
      return { signal: controller.signal, ...phases };
    };
    // 18 steps and 3 evaluations report progress once each.
    const occasions: string[] = [];
    for (const n of [1, 5, 6, 7, 20, 21]) {
      const rows: MetricsRow[] = [];
      let last: TrainingSnapshot | undefined;
      const checkpoint = {
        save(snapshot: TrainingSnapshot, occasion: string) {
          last = stored(snapshot);
          occasions.push(occasion);
        },
      };
      const onMetrics = (row: MetricsRow): void => void rows.push(row);
      await expect(run({ ...rowsBefore(n), logEvery: 1, onMetrics, checkpoint })).rejects.toThrow('enough');
      const resumed = await run({ logEvery: 1, resumeFrom: last! });
      expect(JSON.stringify([...rows, ...resumed.rows])).toBe(JSON.stringify(whole.rows));
      expect(resumed.weights).toEqual(whole.weights);
    }
    expect(new Set(occasions)).toEqual(new Set(['interrupt']));
  });

  it('repeats what a signal broke off at the end of an epoch, and nothing else', async () => {
    const counting = (calls: number[], stopAt?: number, controller?: AbortController): TrainingPart => {
      let done = 0;
      return {
        name: 'counting',
        restore: ({ data }) => void (done = data as number),
        afterEpoch({ step }) {
          if (step <= done) return undefined;
          if (step === stopAt) {
            controller!.abort(new Error('enough'));
            controller!.signal.throwIfAborted();
          }
          calls.push(step);
          done = step;
          return { double: 2 * step };
        },
        state: () => ({ data: done }),
      };
    };

    for (const stopAt of [6, 12, 18]) {
      const controller = new AbortController();
      const calls: number[] = [];
      let last: TrainingSnapshot | undefined;
      const checkpoint = { save: (snapshot: TrainingSnapshot) => void (last = stored(snapshot)) };
      const parts = [counting(calls, stopAt, controller)];
      await expect(run({ parts, checkpoint, signal: controller.signal })).rejects.toThrow('enough');
      const rows: MetricsRow[] = [];
      const onMetrics = (row: MetricsRow): void => void rows.push(row);
      await run({ parts: [counting(calls)], resumeFrom: last!, onMetrics });
      expect(calls).toEqual([6, 12, 18]);
      const measured = rows.filter((row) => 'double' in row);
      const expected = [6, 12, 18].filter((step) => step >= stopAt);
      expect(measured).toEqual(expected.map((step) => ({ step, epoch: step / 6, passes: step, double: 2 * step })));
    }
  });

  it('saves by the monotonic clock: setting the time of day neither hastens nor delays it, nor moves a time', async () => {
    let saves = 0;
    const save = (_: TrainingSnapshot, occasion: string): void => void (occasion === 'interval' && saves++);
    // Every look at the time of day finds it a year further back.
    let now = Date.now();
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => (now -= 365 * 86_400_000));
    try {
      const { timing } = await run({ checkpoint: { everySeconds: 3600, save } });
      expect(saves).toBe(0);
      expect(timing.seconds).toBeGreaterThan(0);
      expect(timing.imagesPerSecond).toBeGreaterThan(0);
      await run({ checkpoint: { everySeconds: 1e-9, save } });
      expect(saves).toBe(17);
    } finally {
      clock.mockRestore();
    }
  });

  it('refuses another training by the name of what differs, before it changes anything', async () => {
    const { snapshots } = await run();
    const resumeFrom = snapshots[4]!.snapshot;
    const refused = async (overrides: Overrides): Promise<string> => {
      const error = await run({ resumeFrom, ...overrides }).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(SnapshotError);
      return (error as Error).message;
    };
    expect(await refused({ seed: 4 })).toContain('seed: expected 3, got 4');
    expect(await refused({ epochs: 4 })).toContain('total: expected 18, got 24');
    expect(await refused({ optimizer: (learningRate) => adam({ learningRate }) })).toContain(
      'optimizer: expected "sgd"',
    );
    expect(await refused({ parts: [runningSum()] })).toContain('parts/sum: expected its state');
    const tensors = new Map(resumeFrom.tensors);
    tensors.delete('weights/bn/moving_mean');
    expect(await refused({ resumeFrom: { ...resumeFrom, tensors } })).toContain('weights/bn/moving_mean');
    const dropped = new Map(resumeFrom.tensors);
    dropped.delete('state/slots/momentum/in/kernel');
    await expect(run({ resumeFrom: { ...resumeFrom, tensors: dropped } })).rejects.toThrow(/slots\/momentum/);
  });

  it('takes changes when told to, such as more epochs', async () => {
    const constant = { learningRate: 0.05 };
    const short = await run(constant);
    const long = await run({ ...constant, epochs: 5 });
    const { snapshot } = short.snapshots.at(-1)!;
    const extended = await run({ ...constant, epochs: 5, resumeFrom: snapshot, acceptChanges: true });
    expect(JSON.stringify([...short.rows, ...extended.rows])).toBe(JSON.stringify(long.rows));
    expect(extended.weights).toEqual(long.weights);
  });
});
