import { CommanderError } from 'commander';

/** Exit codes, as the README lists them. */
export const exitCodes = {
  ok: 0,
  error: 1,
  usage: 2,
  data: 3,
  diverged: 4,
  SIGINT: 130,
  SIGTERM: 143,
} as const;

/** Something in flags, configuration or arguments that the user can put right. `message` says what and how. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The process was asked to stop. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
  readonly signal: 'SIGINT' | 'SIGTERM';

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(`Stopped by ${signal}.`);
    this.signal = signal;
  }
}

// By name, not by class: the packages that define the errors are loaded only when a command needs them.
const codesByName: Readonly<Record<string, number>> = {
  UsageError: exitCodes.usage,
  OptionError: exitCodes.usage,
  IncompatibleError: exitCodes.usage,
  TrainOptionError: exitCodes.usage,
  RunFolderError: exitCodes.usage,
  RunWriteError: exitCodes.error,
  SettingChangedError: exitCodes.usage,
  SnapshotError: exitCodes.data,
  StateError: exitCodes.data,
  BackendUnavailableError: exitCodes.usage,
  TensorflowUnavailableError: exitCodes.usage,
  ProvisionError: exitCodes.error,
  UnknownModelError: exitCodes.usage,
  ModelOptionError: exitCodes.usage,
  WeightsError: exitCodes.usage,
  ClassifierError: exitCodes.usage,
  UnknownPolicyError: exitCodes.usage,
  UnknownExperimentError: exitCodes.usage,
  ExperimentOptionError: exitCodes.usage,
  DataOptionError: exitCodes.usage,
  DataError: exitCodes.data,
  DataFormatError: exitCodes.data,
  DataMissingError: exitCodes.data,
  DownloadError: exitCodes.data,
  DataLockError: exitCodes.data,
  RunFileError: exitCodes.data,
  IncomparableRunsError: exitCodes.usage,
  CheckpointError: exitCodes.data,
  ModelFileError: exitCodes.data,
  DivergedError: exitCodes.diverged,
  InvalidTargetError: exitCodes.usage,
  SecondOrderUnsupportedError: exitCodes.error,
  NonDeterministicLossError: exitCodes.error,
  // Weights or losses that are no numbers: what divergence leaves behind.
  NonFiniteError: exitCodes.diverged,
};

/** The exit code that an error stands for. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof InterruptedError) return exitCodes[error.signal];
  return error instanceof Error ? (codesByName[error.name] ?? exitCodes.error) : exitCodes.error;
}

/** An error as the user sees it: a screen at most. One that nobody expected keeps its stack, for a bug report. */
export function describeFailure(error: unknown, verbose: boolean): string {
  if (!(error instanceof Error)) return `error: ${String(error)}`;
  const expected = error.name in codesByName || error instanceof InterruptedError;
  if (expected && !verbose) return `error: ${error.message}`;
  return `error: ${error.stack ?? error.message}`;
}
