/** Base of the errors that `@polder/trainer` throws on purpose. */
export class TrainerError extends Error {
  override readonly name: string = 'TrainerError';
}

/** A setting of {@link fit} or {@link evaluate} outside its range. */
export class TrainOptionError extends TrainerError {
  override readonly name = 'TrainOptionError';
  readonly option: string;
  readonly received: unknown;

  constructor(option: string, expected: string, received: unknown) {
    super(`${option}: expected ${expected}, got ${String(received)}.`);
    this.option = option;
    this.received = received;
  }
}

/** Training went bad: too many steps with a gradient that is not finite, or a loss that is not at an evaluation. */
export class DivergedError extends TrainerError {
  override readonly name = 'DivergedError';
  readonly policy: string;
  readonly step: number;
  readonly passes: number;
  /** Steps that were thrown away because a gradient was not finite. */
  readonly skippedSteps: number;
  /** How many of them came in a row, where that is what ended the training. */
  readonly skippedInARow: number | undefined;
  /** File of the last checkpoint before it, where there is one. */
  readonly checkpoint: string | undefined;

  constructor(at: {
    readonly policy: string;
    readonly step: number;
    readonly passes: number;
    readonly skippedSteps: number;
    readonly skippedInARow?: number | undefined;
    readonly checkpoint?: string;
  }) {
    const steps = (n: number): string => `${n} ${n === 1 ? 'step was' : 'steps were'} skipped`;
    const what =
      at.skippedInARow === undefined
        ? `the loss is not a finite number at step ${at.step} (${steps(at.skippedSteps)} for a non-finite gradient)`
        : `${steps(at.skippedInARow)} in a row for a non-finite gradient, up to step ${at.step}`;
    super(
      `Training with policy "${at.policy}" diverged: ${what}. Take a smaller learning rate, a warm-up, or clip the gradient.` +
        (at.checkpoint === undefined ? '' : ` The last good checkpoint is ${at.checkpoint}.`),
    );
    this.policy = at.policy;
    this.step = at.step;
    this.passes = at.passes;
    this.skippedSteps = at.skippedSteps;
    this.skippedInARow = at.skippedInARow;
    this.checkpoint = at.checkpoint;
  }
}

/** Saved weights that are not there, are no checkpoint, or are those of another network. */
export class CheckpointError extends TrainerError {
  override readonly name = 'CheckpointError';
  readonly file: string;
  readonly reason: 'missing' | 'damaged' | 'config' | 'metadata' | 'weights';
  readonly expected: string;
  readonly received: string;

  constructor(
    file: string,
    reason: CheckpointError['reason'],
    expected: string,
    received: string,
    advice: string,
    options?: ErrorOptions,
  ) {
    super(`${file}: expected ${expected}, got ${received}. ${advice}`, options);
    this.file = file;
    this.reason = reason;
    this.expected = expected;
    this.received = received;
  }
}

/** A training's saved state does not fit the training that is to go on from it; nothing was changed. */
export class SnapshotError extends TrainerError {
  override readonly name = 'SnapshotError';
  /** What does not fit: a tensor or a part by name, or a setting. */
  readonly field: string;
  readonly expected: string;
  readonly received: string;

  constructor(field: string, expected: string, received: string, advice: string = 'It is of another training.') {
    super(`The saved state does not fit: ${field}: expected ${expected}, got ${received}. ${advice}`);
    this.field = field;
    this.expected = expected;
    this.received = received;
  }
}

/** A run was to go on with a setting, or with data, that is not what it was. */
export class SettingChangedError extends TrainerError {
  override readonly name = 'SettingChangedError';
  readonly setting: string;
  readonly before: string;
  readonly after: string;

  constructor(setting: string, before: string, after: string) {
    super(
      `${setting} was ${before} when the run was broken off, and is ${after} now. Put it back, or say that the run is to ` +
        `go on with the new one: --override ${setting}=…`,
    );
    this.setting = setting;
    this.before = before;
    this.after = after;
  }
}

/** Returns `value` when it is an integer of at least `minimum`; throws {@link TrainOptionError}. */
export function checkInteger(option: string, value: number, minimum: number): number {
  if (Number.isSafeInteger(value) && value >= minimum) return value;
  throw new TrainOptionError(option, `an integer of at least ${minimum}`, value);
}
