import type { GpuBackend } from './backend.js';
import { WebgpuDeviceLostError, WebgpuWorkError, type GpuErrorKind } from './errors.js';

// WebGPU reports errors by events, some of them after the read that they spoil. What cannot come late is the answer of an
// error scope around the submission itself: work that is not valid makes its command buffer invalid.

/** Reports kept word by word; the rest is counted. */
const MAX_REPORTS = 4;

/** A range of tensors, by the numbers that tfjs gives them. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** What the device of one backend has complained about. */
export interface Watch {
  readonly backend: GpuBackend;
  /** Errors so far. */
  count: number;
  /** Errors that an exception has told of. */
  told: number;
  kind: GpuErrorKind;
  reports: string[];
  /** Settled when all that was submitted so far has been accepted or refused. */
  answered: Promise<unknown>;
  /** Number of the youngest tensor. */
  youngest: number;
  /** Tensors up to this number were there at a read that succeeded. */
  sound: number;
  /** Tensors that came to be between a read that succeeded and an error: what they hold is anybody's guess. */
  spoilt: readonly Span[];
  lost: GPUDeviceLostInfo | undefined;
  readonly loss: Promise<GPUDeviceLostInfo>;
}

/** Listens to the backend's device and to the answers to what it submits. */
export function watchDevice(backend: GpuBackend): Watch {
  const { device } = backend;
  const watch: Watch = {
    backend,
    count: 0,
    told: 0,
    kind: 'validation',
    reports: [],
    answered: Promise.resolve(),
    youngest: 0,
    sound: 0,
    spoilt: [],
    lost: undefined,
    loss: device.lost.then((info) => (watch.lost = info)),
  };
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault(); // no second report on the console
    note(watch, event.error);
  });
  const submit = backend.submitQueue.bind(backend);
  backend.submitQueue = () => {
    const { told } = watch;
    device.pushErrorScope('validation');
    submit();
    const answer = device.popErrorScope().then(
      // What was submitted before an exception told of errors is among what it called spoilt.
      (error) => error !== null && watch.told === told && note(watch, error),
      () => undefined, // the device is lost, which is told elsewhere
    );
    watch.answered = Promise.all([watch.answered, answer]);
  };
  const write = backend.write.bind(backend);
  backend.write = (values, shape, dtype) => {
    const dataId = write(values, shape, dtype);
    watch.youngest = (dataId as { readonly id: number }).id;
    return dataId;
  };
  return watch;
}

function note(watch: Watch, error: GPUError): void {
  watch.count++;
  const { name } = error.constructor;
  watch.kind =
    name === 'GPUOutOfMemoryError' ? 'out-of-memory' : name === 'GPUInternalError' ? 'internal' : 'validation';
  const report = error.message.split('\n').slice(0, 3).join(' ').trim().slice(0, 400);
  if (watch.reports.length < MAX_REPORTS && report !== '') watch.reports.push(report);
}

/**
 * Throws the loss of the device, or errors that no exception has told of yet. What was computed since the last good read
 * is spoilt then, for good.
 */
export function throwUntold(watch: Watch): void {
  if (watch.lost !== undefined) throw new WebgpuDeviceLostError(watch.lost.reason, watch.lost.message);
  if (watch.count <= watch.told) return;
  flush(watch.backend); // or the refused commands would spoil what is encoded next
  const error = new WebgpuWorkError(watch.kind, watch.reports, watch.count - watch.told);
  const span = { from: watch.sound + 1, to: watch.youngest };
  watch.spoilt = [...watch.spoilt.filter((old) => old.from < span.from), span];
  watch.sound = watch.youngest;
  watch.told = watch.count;
  watch.reports = [];
  throw error;
}

/** Submits what is encoded, if anything is. */
export function flush(backend: GpuBackend): void {
  if (backend.commandEncoder === null) return;
  backend.endComputePassEncoder();
  backend.submitQueue();
}

/** Throws if the tensor of this number was computed together with work that the GPU refused. */
export function throwSpoilt(watch: Watch, id: number): void {
  if (watch.spoilt.some(({ from, to }) => from <= id && id <= to))
    throw new WebgpuWorkError(watch.kind, ['the tensor was computed together with work that was refused before'], 1);
}

/** Waits for answers to all that was submitted; where there was an error, also for events that explain it. */
export async function answers(watch: Watch): Promise<void> {
  await Promise.race([watch.answered, watch.loss]);
  if (watch.count > watch.told) await pause();
}

/** Events, and the news that a device is lost, may come a moment after promises. */
export async function pause(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20));
}
