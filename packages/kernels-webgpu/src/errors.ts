// What WebGPU does not throw by itself. A validation error drops a whole command buffer, and the numbers read afterwards
// are those of an older step.

/** WebGPU does not start here. The message says why, and what to do. */
export class WebgpuUnavailableError extends Error {
  override readonly name = 'WebgpuUnavailableError';
  readonly why: string;
  readonly whatToDo: string;

  constructor(why: string, whatToDo: string, options?: ErrorOptions) {
    super(`WebGPU is not available: ${why}. ${whatToDo}`, options);
    this.why = why;
    this.whatToDo = whatToDo;
  }
}

/** What the device complained about. */
export type GpuErrorKind = 'validation' | 'out-of-memory' | 'internal';

/**
 * The GPU refused work that was sent to it before: whatever was computed since the last read that succeeded is not to be
 * trusted. Thrown by the next read, and by the next training step.
 */
export class WebgpuWorkError extends Error {
  override readonly name = 'WebgpuWorkError';
  readonly kind: GpuErrorKind;
  /** What the device said, one entry per error, the first ones only when there are many. */
  readonly reports: readonly string[];
  /** Errors in all. */
  readonly count: number;

  constructor(kind: GpuErrorKind, reports: readonly string[], count: number) {
    const advice =
      kind === 'out-of-memory'
        ? 'Take a smaller batch, or dispose of tensors.'
        : 'Go back to weights saved before, and report the operation named here.';
    super(
      `The GPU was expected to run all work sent to it, but it refused some (${kind}${count > 1 ? `, ${count} errors` : ''}): ` +
        `${reports.join(' | ')}. Results since the last read that succeeded are wrong. ${advice}`,
    );
    this.kind = kind;
    this.reports = reports;
    this.count = count;
  }
}

/** The device is gone (driver reset, GPU removed, `device.destroy()`), and with it every tensor on it. */
export class WebgpuDeviceLostError extends Error {
  override readonly name = 'WebgpuDeviceLostError';
  /** `destroyed` by the program, or `unknown`: the driver's doing. */
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(
      `The GPU device was expected to live, but it is lost (${reason}${message === '' ? '' : `: ${message}`}); its tensors are gone. ` +
        `Call await startWebgpu() for a new device, and load the last checkpoint.`,
    );
    this.reason = reason;
  }
}

/** A tensor, or a kernel's work on it, is larger than this device takes. Nothing was allocated. */
export class WebgpuLimitError extends Error {
  override readonly name = 'WebgpuLimitError';
  readonly limit: string;
  readonly allowed: number;
  readonly asked: number;

  constructor(what: string, limit: string, allowed: number, asked: number) {
    super(
      `${what} needs ${asked}, but this device's ${limit} is ${allowed}. Take a smaller batch, or split the tensor along its first axis.`,
    );
    this.limit = limit;
    this.allowed = allowed;
    this.asked = asked;
  }
}

/** A tensor on the GPU was read synchronously, which WebGPU cannot do (tfjs's way around it returns zeros at times). */
export class WebgpuReadError extends Error {
  override readonly name = 'WebgpuReadError';

  constructor(shape: readonly number[]) {
    super(
      `A tensor of shape [${shape.join(', ')}] on the GPU was expected to be read with await tensor.data(), but it was read ` +
        `synchronously (dataSync, arraySync, print, or use under another backend). Await its data first.`,
    );
  }
}
