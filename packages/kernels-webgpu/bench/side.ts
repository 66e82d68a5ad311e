import { createRequire } from 'node:module';
import { none, sam, sgd, trainStep, type Policy, type TrainStep } from '@polder/core';
import { resnet } from '@polder/models';
import { softmaxCrossEntropy } from '@polder/ops';
import * as tf from '@tensorflow/tfjs';
import { settleWebgpu, startWebgpu, WebgpuUnavailableError } from '../src/index.js';

// One side of the comparison, in a process of its own: a model's variables cannot be on two devices at once.

/** Steps between two readings of the clock: the GPU works on one while the next is encoded, as in training. */
export const STEPS = 5;

export const POLICIES = ['none', 'sam'] as const;
export type PolicyId = (typeof POLICIES)[number];

/** What runs on each side: the stock backend; our kernels through tfjs, and replayed. */
export const SIDES = { stock: ['stock'], ours: ['kernels', 'replay'] } as const;
export type Side = keyof typeof SIDES;
export type EngineId = (typeof SIDES)[Side][number];

export interface SideOptions {
  readonly side: Side;
  readonly depth: number;
  readonly batch: number;
  readonly allowSoftware: boolean;
}

/** What a side can do: `adapter` is what the GPU says of itself, or why there is none. */
export interface Opened {
  readonly adapter: string;
  readonly unavailable: boolean;
  readonly variants: readonly {
    readonly policy: PolicyId;
    readonly engine: EngineId;
    readonly execution: string;
    readonly losses: readonly number[];
  }[];
}

interface Variant {
  readonly step: TrainStep<Batch>;
  readonly data: Batch;
}
type Batch = Readonly<{ images: tf.Tensor4D; labels: tf.Tensor1D }>;

/** Answers `open` with {@link Opened}, a number of a variant with its milliseconds per step, and `check` with `null`. */
export async function serveSide(options: SideOptions): Promise<void> {
  const steps: Variant[] = [];
  const open = async (): Promise<Opened> => {
    let adapter: string;
    try {
      adapter = await start(options);
    } catch (error) {
      if (!(error instanceof WebgpuUnavailableError)) throw error;
      return { adapter: error.message, unavailable: true, variants: [] };
    }
    const variants: Opened['variants'][number][] = [];
    for (const policy of POLICIES)
      for (const engine of SIDES[options.side]) {
        const variant = openVariant(policy, engine === 'replay', options);
        steps.push(variant);
        const losses: number[] = [];
        for (let i = 0; i < STEPS; i++) losses.push(await takeStep(variant, true));
        const { mode, reason } = variant.step.execution;
        variants.push({ policy, engine, execution: `${mode}, ${reason}`, losses });
      }
    return { adapter, unavailable: false, variants };
  };
  process.on('message', (message: 'open' | 'check' | number) => {
    const answer =
      message === 'open' ? open() : message === 'check' ? settleWebgpu().then(() => null) : time(steps[message]!);
    answer.then(
      (value) => process.send!({ value }),
      (error: unknown) => process.send!({ error: String((error as Error).stack ?? error) }),
    );
  });
}

/** Starts the backend of the side, on Dawn from the file beside this program; answers what the adapter says of itself. */
async function start({ side, allowSoftware }: SideOptions): Promise<string> {
  const dawn = createRequire(import.meta.url)('./dawn.node') as {
    create(options: readonly string[]): GPU;
    readonly globals: object;
  };
  Object.assign(globalThis, dawn.globals);
  const gpu = dawn.create([]);
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true, writable: true });
  if (side === 'ours') {
    const { vendor, architecture, device, description } = (await startWebgpu({ allowSoftware })).adapter;
    return [vendor, architecture, device, description].join(' ').trim();
  }
  await import('@tensorflow/tfjs-backend-webgpu');
  await tf.setBackend('webgpu');
  const { device } = tf.backend() as unknown as { readonly device: GPUDevice };
  device.addEventListener('uncapturederror', ({ error }) => {
    process.stderr.write(`the stock backend's device: ${error.message.split('\n')[0]}\n`);
  });
  return 'stock';
}

function openVariant(policy: PolicyId, capture: boolean, { depth, batch }: SideOptions): Variant {
  const model = resnet({ depth, seed: 0, classes: 10, inputShape: [32, 32, 3] });
  const pixels = Float32Array.from({ length: batch * 32 * 32 * 3 }, (_, i) => Math.sin(i * 12.9898));
  const labels = Int32Array.from({ length: batch }, (_, i) => i % 10);
  const data: Batch = { images: tf.tensor4d(pixels, [batch, 32, 32, 3]), labels: tf.tensor1d(labels, 'int32') };
  const step = trainStep<Batch>({
    loss: (given) => softmaxCrossEntropy(model.apply(given.images, { training: true }) as tf.Tensor2D, given.labels),
    variables: model.trainableWeights.map((w) => w.read() as tf.Variable),
    policy: (policy === 'sam' ? sam({ rho: 0.05 }) : none()) as Policy,
    optimizer: sgd({ learningRate: 0.01, momentum: 0.9, weightDecay: 5e-4 }),
    capture,
  });
  return { step, data };
}

async function takeStep({ step, data }: Variant, read: boolean): Promise<number> {
  const { loss, finite, metrics } = step(data);
  const value = read ? (await loss.data())[0]! : NaN;
  tf.dispose([loss, finite, metrics]);
  return value;
}

/** Milliseconds per step, the reading of the last loss included. */
async function time(variant: Variant): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < STEPS; i++) await takeStep(variant, i === STEPS - 1);
  return (performance.now() - start) / STEPS;
}
