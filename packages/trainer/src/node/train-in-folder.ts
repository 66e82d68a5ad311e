import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { PolicyState } from '@polder/core';
import type { Dataset } from '@polder/data';
import { assignCheckpoint, decodeCheckpoint, encodeCheckpoint } from '../checkpoint.js';
import { CheckpointError, DivergedError, SettingChangedError } from '../errors.js';
import type { FitOptions, FitResult } from '../fit-options.js';
import { fit } from '../fit.js';
import type { TrainingSnapshot } from '../snapshot.js';
import type { Json } from '../training-part.js';
import { writeJson } from './atomic-file.js';
import { openExtraLogs, type ExtraLogs, type LogOptions } from './extra-logs.js';
import { keepBest, type KeepBestOptions } from './keep-best.js';
import { FINAL_CHECKPOINT } from './load-run-model.js';
import { checkpointsOf, createRunFolder, reopenRunFolder, type RunFolder } from './run-folder.js';
import { findState, type RunFacts, type StoredState } from './state-store.js';

type Plain = Readonly<Record<string, Json>>;

/** Options of {@link trainInFolder}: those of `fit`, and where and how the run is kept. */
export interface FolderOptions<S extends PolicyState = PolicyState> extends Omit<
  FitOptions<S>,
  'checkpoint' | 'resumeFrom' | 'acceptChanges'
> {
  /** The run's folder; a function is called once, when the first step has been taken. */
  readonly folder: string | (() => string);
  /** Settings as plain data: `config.json`. A run that resumes must have the same. */
  readonly config: object;
  /** Of the network, written into its weights' files. */
  readonly modelId: string;
  /** More files that the folder begins with, by name. */
  readonly files?: Readonly<Record<string, object>>;
  /**
   * Keeps the weights that the run starts with, as `checkpoints/initial.safetensors`: for a network that cannot be made
   * with the same ones again, so that a run which was killed before its first checkpoint can start again.
   */
  readonly keepInitial?: boolean;
  /** Steps between checkpoints, and minutes; with neither there is one every five minutes. */
  readonly checkpointEvery?: number;
  readonly checkpointMinutes?: number;
  /** Keeps the weights of the best evaluations. */
  readonly keepBest?: KeepBestOptions;
  /** Logs for other programs. */
  readonly logs?: LogOptions;
  /** More entries of `summary.json`. */
  readonly about?: Plain;
  /** Goes on with the run in `folder` instead of starting one. */
  readonly resume?: ResumeOptions;
  /** The folder is there, and the run's own. */
  readonly onOpen?: (folder: string, resumedAt: number | undefined) => void;
}

/** How a run goes on. */
export interface ResumeOptions {
  /** Settings that may differ from what they were, by name. */
  readonly overrides?: readonly string[];
  /** Settings that determine no number of the run: where things lie and on what they run. */
  readonly free?: readonly string[];
}

export interface FolderResult extends FitResult {
  readonly folder: string;
  /** What `summary.json` holds. */
  readonly written: Readonly<Record<string, unknown>>;
}

/** Minutes between checkpoints where nothing is said. */
const defaultMinutes = 5;

/**
 * Trains a network and keeps the run in a folder: `config.json`, `metrics.jsonl` (what the seed determines),
 * `timing.jsonl` (what the clock does), `checkpoints/` and, at the end, `summary.json`. With `resume` it goes on from
 * the last whole checkpoint, or from the beginning where there is none: whenever the process was killed, on the cpu and
 * wasm backends weights and `metrics.jsonl` become those of a run that was not.
 *
 * The folder comes to be with the first step, so that options which cannot work leave nothing behind. A run that breaks
 * off says so in `summary.json`; one that `signal` stops has saved a checkpoint before.
 *
 * Throws what `fit` throws, a `DivergedError` with the last checkpoint named; `RunFolderError` for a folder that cannot
 * be had, `RunWriteError` when writing fails on the way, `CheckpointError` when no checkpoint is whole,
 * `SettingChangedError` for settings or data that are not those of the run.
 */
export async function trainInFolder<S extends PolicyState = PolicyState>(
  options: FolderOptions<S>,
): Promise<FolderResult> {
  const { model, train, seed, modelId, resume, parts = [], checkpointEvery, checkpointMinutes } = options;
  const config = JSON.parse(JSON.stringify(options.config)) as Plain;
  let folder: RunFolder | undefined;
  let facts: RunFacts | undefined;
  let logs: ExtraLogs | undefined;
  const openLogs = (run: RunFolder, isResumed: boolean): void => {
    if (options.logs !== undefined) logs = run.also(() => openExtraLogs(run.path, options.logs ?? {}, isResumed));
  };
  const open = (): RunFolder => {
    if (folder !== undefined) return folder;
    const path = typeof options.folder === 'string' ? options.folder : options.folder();
    folder = createRunFolder(path, config, { ...options.files, ...(initial && { [INITIAL]: initial }) });
    openLogs(folder, false);
    options.onOpen?.(folder.path, undefined);
    return folder;
  };
  const save = (snapshot: TrainingSnapshot): void => {
    facts ??= { config, data: fingerprint(options), backends: [tf.getBackend()], resumes: 0 };
    open().save(snapshot, facts);
  };
  const metadata = (step: number): Parameters<typeof encodeCheckpoint>[1] => {
    return { model: modelId, classes: train.classes.length, inputShape: train.shape, seed, step };
  };
  const initial =
    options.keepInitial === true && resume === undefined ? await encodeCheckpoint(model, metadata(0)) : undefined;
  const write = async (name: string, step: number, others: Readonly<Record<string, tf.Tensor>>): Promise<void> =>
    open().weights(name, await encodeCheckpoint(model, metadata(step), others));
  const best =
    options.keepBest && keepBest(options.keepBest, { write, remove: (name) => open().removeWeights(name) }, parts);

  const resumed = resume === undefined ? undefined : reopen(options, config, resume);
  try {
    if (resumed !== undefined) {
      ({ folder, facts } = resumed);
      openLogs(folder, true);
      if (resumed.state === undefined) restoreInitial(model, folder.path);
    }
    const { summary, timing } = await fit({
      ...options,
      parts: [...parts, ...(best === undefined ? [] : [best])],
      ...(resumed?.state && { resumeFrom: resumed.state.snapshot }),
      acceptChanges: (resume?.overrides?.length ?? 0) > 0,
      checkpoint: {
        ...(checkpointEvery !== undefined && { everySteps: checkpointEvery }),
        ...((checkpointMinutes !== undefined || checkpointEvery === undefined) && {
          everySeconds: 60 * (checkpointMinutes ?? defaultMinutes),
        }),
        async save(snapshot, occasion) {
          save(snapshot);
          if (occasion !== 'end') return;
          for (const part of parts) {
            const others = part.evaluationWeights?.();
            if (others !== undefined) await write(`${FINAL_CHECKPOINT}-${part.name}`, snapshot.position.step, others);
          }
        },
      },
      onMetrics(row) {
        open().metrics(row);
        open().also(() => logs?.metrics(row));
        options.onMetrics?.(row);
      },
      onTiming(row) {
        open().timing(row);
        open().also(() => logs?.timing(row));
        options.onTiming?.(row);
      },
      onProgress(progress) {
        open();
        options.onProgress?.(progress);
      },
    });
    const { seconds, trainSeconds, imagesPerSecond } = timing;
    const { resumes = 0, backends = [] } = facts ?? {};
    const written = {
      ...summary,
      ...best?.summary(),
      ...options.about,
      imagesPerSecond,
      seconds,
      trainSeconds,
      ...(resumes > 0 && { resumes }),
      ...(backends.length > 1 && { backends: backends.join(', ') }),
    };
    await write(FINAL_CHECKPOINT, summary.steps, {});
    open().also(() => logs?.finish());
    // Last: a summary says that the rest is there.
    open().summary(written);
    return { summary, timing, folder: open().path, written };
  } catch (error) {
    const known = named(error, folder);
    if (folder !== undefined) recordFailure(folder, known, options.signal, logs);
    throw known;
  } finally {
    logs?.close();
    folder?.close();
  }
}

interface Reopened {
  readonly folder: RunFolder;
  readonly state: StoredState | undefined;
  readonly facts: RunFacts;
}

function reopen<S extends PolicyState>(options: FolderOptions<S>, config: Plain, resume: ResumeOptions): Reopened {
  const path = resolve(typeof options.folder === 'string' ? options.folder : options.folder());
  const data = fingerprint(options);
  let state: StoredState | undefined;
  const folder = reopenRunFolder(path, () => {
    state = usableState(path);
    if (state !== undefined) checkUnchanged(state.facts, { config, data }, resume);
    return state;
  });
  try {
    return {
      folder,
      state,
      facts: goOn(folder, state, { config, data }, { overrides: resume.overrides ?? [], options }),
    };
  } catch (error) {
    folder.close();
    throw error;
  }
}

/** Records that a run goes on, and with which settings. */
function goOn<S extends PolicyState>(
  folder: RunFolder,
  state: StoredState | undefined,
  now: Pick<RunFacts, 'config' | 'data'>,
  { overrides, options }: { readonly overrides: readonly string[]; readonly options: FolderOptions<S> },
): RunFacts {
  const { backends = [] } = state?.facts ?? {};
  const backend = tf.getBackend();
  const step = state?.snapshot.position.step ?? 0;
  const record = { step, checkpoint: state?.file ?? null, backend, overrides };
  const line = { ...record, ...options.about, time: new Date().toISOString() };
  const file = join(folder.path, 'resumes.jsonl');
  folder.also(() => appendFileSync(file, `${JSON.stringify(line)}\n`));
  const facts: RunFacts = {
    ...now,
    backends: backends.at(-1) === backend ? backends : [...backends, backend],
    resumes: readFileSync(file, 'utf8').split('\n').length - 1,
  };
  if (overrides.length > 0) {
    // The checkpoint first: should this process be killed before its next one, the run goes on with the new settings.
    // Those of `fit` are known only when that runs, and what is not there is not compared.
    if (state !== undefined) folder.save({ ...state.snapshot, settings: {} }, facts);
    folder.also(() => writeJson(join(folder.path, 'config.json'), now.config));
  }
  options.onOpen?.(folder.path, step);
  return facts;
}

const INITIAL = 'checkpoints/initial.safetensors';

/** For a run that starts again, the weights that it started with, where it keeps them. */
function restoreInitial(model: LayersModel, folder: string): void {
  const file = join(folder, INITIAL);
  if (existsSync(file)) assignCheckpoint(model, decodeCheckpoint(readFileSync(file), file), file);
}

/** The state to go on from; undefined for a run that was broken off before its first checkpoint. */
function usableState(folder: string): StoredState | undefined {
  const { state, problems } = findState(checkpointsOf(folder), join(folder, 'metrics.jsonl'));
  if (state === undefined && problems.length > 0) {
    const [first] = problems;
    throw new CheckpointError(
      first!.file,
      'damaged',
      'one checkpoint that is whole',
      problems.map(({ problem }) => problem).join('; '),
      `To start the run again from its beginning, delete ${checkpointsOf(folder)}.`,
    );
  }
  return state;
}

function checkUnchanged(
  saved: RunFacts,
  now: Pick<RunFacts, 'config' | 'data'>,
  { overrides = [], free = [] }: ResumeOptions,
): void {
  const allowed = new Set([...overrides, ...free]);
  for (const name of new Set([...Object.keys(saved.config), ...Object.keys(now.config)])) {
    const [before, after] = [saved, now].map(({ config }) => JSON.stringify(config[name]) ?? 'nothing');
    if (before !== after && !allowed.has(name)) throw new SettingChangedError(name, String(before), String(after));
  }
  if (saved.data !== now.data && overrides.length === 0)
    throw new SettingChangedError('the data', `fingerprint ${saved.data.slice(0, 12)}`, now.data.slice(0, 12));
}

/** Of everything that the training sees: two data sets with the same one are the same. */
function fingerprint({ train, test }: { readonly train: Dataset; readonly test: Dataset }): string {
  const hash = createHash('sha256');
  for (const { images, labels, shape, length } of [train, test]) {
    hash
      .update(JSON.stringify([shape, length]))
      .update(images)
      .update(labels);
  }
  return hash.digest('hex');
}

/** A divergence with the checkpoint that a user may go back to. */
function named(error: unknown, folder: RunFolder | undefined): unknown {
  const checkpoint = folder?.lastCheckpoint;
  if (!(error instanceof DivergedError) || checkpoint === undefined) return error;
  const { policy, step, passes, skippedSteps, skippedInARow } = error;
  return new DivergedError({ policy, step, passes, skippedSteps, skippedInARow, checkpoint });
}

function recordFailure(folder: RunFolder, error: unknown, signal: AbortSignal | undefined, logs?: ExtraLogs): void {
  const status =
    error instanceof DivergedError
      ? 'diverged'
      : signal?.aborted === true && error === signal.reason
        ? 'interrupted'
        : 'failed';
  try {
    folder.summary({ status, message: error instanceof Error ? error.message : String(error) });
    logs?.finish();
  } catch {
    // The disk that failed the run fails this too; the error on its way to the user is the one that matters.
  }
}

/** How a run in a folder stands. */
export interface RunStatus {
  /** `config.json`. */
  readonly config: Plain;
  /** `'broken off'` is any run that is not at its end; one that another process is at among them. */
  readonly status: 'completed' | 'broken off';
  /** Steps taken, of a completed run; else those of the checkpoint to go on from, 0 for the beginning. */
  readonly step: number;
  /** Checkpoints that are damaged, and how. */
  readonly problems: readonly string[];
}

/** Reads how a run stands; changes nothing. Throws `CheckpointError` where there is no run, or no whole checkpoint. */
export function readRunStatus(path: string): RunStatus {
  const folder = resolve(path);
  const config = readPlain(join(folder, 'config.json'));
  const summaryFile = join(folder, 'summary.json');
  const summary = existsSync(summaryFile) ? readPlain(summaryFile) : {};
  if (summary['status'] === 'completed')
    return { config, status: 'completed', step: Number(summary['steps']), problems: [] };
  const { problems } = findState(checkpointsOf(folder), join(folder, 'metrics.jsonl'));
  const step = usableState(folder)?.snapshot.position.step ?? 0;
  return { config, status: 'broken off', step, problems: problems.map(({ problem }) => problem) };
}

function readPlain(file: string): Plain {
  const advice = 'Is this the folder of a run?';
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CheckpointError(file, 'missing', 'a readable file', code ?? message, advice, { cause: error });
  }
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Plain;
  } catch {
    // Told with what came instead.
  }
  throw new CheckpointError(file, 'config', 'a JSON object', text.slice(0, 60), advice);
}
