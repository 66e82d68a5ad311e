import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseSafetensors, writeSafetensors } from '@polder/data';
import { snapshotVersion, type TrainingSnapshot } from '../snapshot.js';
import type { Json } from '../training-part.js';
import { writeAtomic } from './atomic-file.js';

/** Of the files together; a reader refuses others. Older ones are read by converting them, see the fixtures. */
const FORMAT = 'polder-training-state';
const VERSION = 1;

/** What a checkpoint knows of its run besides the snapshot. */
export interface RunFacts {
  /** The run's settings, as in `config.json`. */
  readonly config: Readonly<Record<string, Json>>;
  /** Fingerprint of the examples, see `fingerprint`. */
  readonly data: string;
  /** Backends that the run has been trained on, in order. */
  readonly backends: readonly string[];
  /** How often it was resumed. */
  readonly resumes: number;
}

/** How long the run's logs were, and what was in the one that the seed determines. */
export interface LogPositions {
  readonly metrics: { readonly bytes: number; readonly sha256: string };
  readonly timing: { readonly bytes: number };
}

/** A checkpoint as read, whole and unaltered. */
export interface StoredState {
  readonly file: string;
  readonly snapshot: TrainingSnapshot;
  readonly facts: RunFacts;
  readonly logs: LogPositions;
}

/** The newest checkpoint that can be used, and why newer ones cannot. */
export interface FoundState {
  readonly state?: StoredState;
  readonly problems: readonly { readonly file: string; readonly problem: string }[];
}

type Manifest = Readonly<{
  format: string;
  version: number;
  configHash: string;
  facts: RunFacts;
  logs: LogPositions;
  snapshot: Omit<TrainingSnapshot, 'tensors'>;
  tensors: Readonly<{ bytes: number; sha256: string }>;
}>;

/** Generations on disk: the newest, and the one before it in case the newest is damaged. */
const generations = 2;

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/**
 * Writes a checkpoint: `state-<step>.safetensors` first, then `state-<step>.json`, which has its length and hash and
 * makes it count; each whole or not at all. Then older ones but one are deleted. Returns the path of the JSON file.
 * Throws what the file system throws; the checkpoints before it are there still.
 */
export function storeState(
  folder: string,
  { tensors, ...plain }: TrainingSnapshot,
  facts: RunFacts,
  logs: LogPositions,
): string {
  const stem = join(folder, `state-${String(plain.position.step).padStart(9, '0')}`);
  const bytes = writeSafetensors(tensors, {
    format: FORMAT,
    version: String(VERSION),
    step: String(plain.position.step),
  });
  const manifest: Manifest = {
    format: FORMAT,
    version: VERSION,
    configHash: sha256(JSON.stringify(facts.config)),
    facts,
    logs,
    snapshot: plain,
    tensors: { bytes: bytes.length, sha256: sha256(bytes) },
  };
  writeAtomic(`${stem}.safetensors`, bytes);
  // The hash of all that stands before it, so that a change in this file is found too.
  const body = JSON.stringify(manifest);
  writeAtomic(`${stem}.json`, `{"manifest":${body},"sha256":"${sha256(body)}"}\n`);
  const stems = stemsIn(folder);
  const { step } = plain.position;
  // A later one can only be a damaged one that was passed over.
  const isPast = (name: string): boolean => stepOf(name) > step;
  const older = stems.filter((name) => !isPast(name)).slice(generations);
  for (const name of [...stems.filter(isPast), ...older]) removeState(folder, name);
  return `${stem}.json`;
}

/** Reads the newest checkpoint whose files are whole and whose log is still there as it was. */
export function findState(folder: string, metricsFile: string): FoundState {
  const problems: { file: string; problem: string }[] = [];
  const stems = existsSync(folder) ? stemsIn(folder) : [];
  const metrics = existsSync(metricsFile) ? readFileSync(metricsFile) : new Uint8Array();
  for (const stem of stems) {
    const file = join(folder, `${stem}.json`);
    try {
      const state = readState(folder, stem);
      checkLog(metrics, state.logs, metricsFile);
      return { state, problems };
    } catch (error) {
      problems.push({ file, problem: error instanceof Error ? error.message : String(error) });
    }
  }
  return { problems };
}

function readState(folder: string, stem: string): StoredState {
  const file = join(folder, `${stem}.json`);
  const text = readFileSync(file, 'utf8');
  const [, body, hash] = /^\{"manifest":(.*),"sha256":"([0-9a-f]{64})"\}\n$/s.exec(text) ?? [];
  if (body === undefined || sha256(body) !== hash)
    throw new Error(`${file} is damaged: its hash is not that of its content`);
  const manifest = JSON.parse(body) as Manifest;
  if (manifest.format !== FORMAT || manifest.version !== VERSION || manifest.snapshot.version !== snapshotVersion)
    throw new Error(
      `${file} is ${manifest.format} of version ${manifest.version}; this release reads ${FORMAT} of version ${VERSION}`,
    );
  const tensorFile = join(folder, `${stem}.safetensors`);
  const bytes = readFileSync(tensorFile);
  const { facts, logs, snapshot, tensors } = manifest;
  if (bytes.length !== tensors.bytes)
    throw new Error(`${tensorFile} is damaged: expected ${tensors.bytes} bytes, got ${bytes.length}`);
  if (sha256(bytes) !== tensors.sha256)
    throw new Error(`${tensorFile} is damaged: its hash is not the one that was written down`);
  return { file, snapshot: { ...snapshot, tensors: parseSafetensors(bytes, tensorFile).tensors }, facts, logs };
}

function checkLog(metrics: Uint8Array, { metrics: saved }: LogPositions, file: string): void {
  if (metrics.length < saved.bytes)
    throw new Error(`${file} has lost rows: it had ${saved.bytes} bytes, and has ${metrics.length}`);
  if (sha256(metrics.subarray(0, saved.bytes)) !== saved.sha256)
    throw new Error(`${file} was changed: its first ${saved.bytes} bytes are not those that were written`);
}

/** The stems of checkpoints that count, newest first. Other files are left alone. */
function stemsIn(folder: string): readonly string[] {
  return readdirSync(folder)
    .flatMap((name) => /^(state-\d{9,})\.json$/.exec(name)?.[1] ?? [])
    .sort((a, b) => stepOf(b) - stepOf(a));
}

function stepOf(stem: string): number {
  return Number(stem.slice('state-'.length));
}

/** A file beside the one that it was to become, see `writeAtomic`. */
const unfinished = /\.\d+\.tmp$/;

/** Takes away what a process left that was killed while it wrote; to be called by who has claimed the run. */
export function sweep(run: string): void {
  const checkpoints = join(run, 'checkpoints');
  for (const folder of [run, checkpoints]) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder)) if (unfinished.test(name)) rmSync(join(folder, name), { force: true });
  }
  if (!existsSync(checkpoints)) return;
  const counting = new Set(stemsIn(checkpoints));
  for (const name of readdirSync(checkpoints)) {
    const stem = /^(state-\d{9,})\.safetensors$/.exec(name)?.[1];
    if (stem !== undefined && !counting.has(stem)) rmSync(join(checkpoints, name), { force: true });
  }
}

function removeState(folder: string, stem: string): void {
  // The JSON file first: without it the other does not count.
  rmSync(join(folder, `${stem}.json`), { force: true });
  rmSync(join(folder, `${stem}.safetensors`), { force: true });
}
