import * as tf from '@tensorflow/tfjs-core';
import { flattenState, unflattenState, type TrainState } from '@polder/core';
import type { SafeTensor } from '@polder/data';
import type { ClockState } from './clock.js';
import { SnapshotError } from './errors.js';
import { describeTensor, toDevice, toHost } from './host-tensors.js';
import type { EvaluationRow } from './rows.js';
import type { Elapsed } from './stopwatch.js';
import type { Json, NamedVariables, PartState, TrainingPart } from './training-part.js';
import type { Window, WindowMeans } from './window.js';

/** The version that {@link fit} makes; it resumes from this one. */
export const snapshotVersion = 1;

/**
 * All that lives between two steps of a training, on the host: `fit({ resumeFrom })` goes on from it as if nothing had
 * happened. On the cpu and wasm backends the same options and position give the same snapshot, bit for bit, but for
 * `elapsed`.
 */
export interface TrainingSnapshot {
  readonly version: typeof snapshotVersion;
  /** What determines the training besides data and network, as it was; checked when training resumes. */
  readonly settings: Readonly<Record<string, Json>>;
  readonly position: ClockState & {
    /** The clock's value at which the next evaluation is due. One that is overdue was broken off. */
    readonly nextEvaluation: number;
    /** Why a part has ended the training early. */
    readonly stopped: string | null;
  };
  /** Means at the last log point. */
  readonly logged: WindowMeans | null;
  /** All evaluations so far. */
  readonly history: readonly EvaluationRow[];
  /** The sums of `window` since the last log point, by name: rows of the tensor `window`. */
  readonly window: readonly string[];
  /** What parts say of themselves, by name. */
  readonly parts: Readonly<Record<string, Json>>;
  /** What the clock did. */
  readonly elapsed: Elapsed;
  /**
   * `weights/<layer>/<weight>` (moving statistics too), `state/…` as `flattenState` of `@polder/core` names the step's
   * state, but with the weights' names instead of tfjs's, `window` and `parts/<part>/<name>`.
   */
  readonly tensors: ReadonlyMap<string, SafeTensor>;
}

/** The live things whose state a snapshot holds. */
export interface TrainingState {
  readonly weights: NamedVariables;
  readonly step: { save(): TrainState; restore(state: TrainState): void };
  readonly window: Window;
  readonly parts: readonly TrainingPart[];
}

type HostSide = Omit<TrainingSnapshot, 'version' | 'window' | 'parts' | 'tensors'>;

/** Reads everything from the device. The only place besides log points and evaluations where a training does. */
export async function takeSnapshot(state: TrainingState, host: HostSide): Promise<TrainingSnapshot> {
  const named = new Map<string, tf.Tensor>();
  for (const [name, variable] of state.weights) named.set(`weights/${name}`, variable);
  const saved = state.step.save();
  const stable = renaming(state.weights);
  for (const [key, tensor] of Object.entries(flattenState(saved))) named.set(`state/${rename(key, stable)}`, tensor);
  const sums = state.window.sums();
  const window = sums.size === 0 ? undefined : tf.tidy(() => tf.stack([...sums.values()]));
  if (window !== undefined) named.set('window', window);
  const parts: Record<string, Json> = {};
  for (const part of state.parts) {
    const { tensors = {}, data = null } = part.state?.() ?? {};
    parts[part.name] = data;
    for (const [name, tensor] of Object.entries(tensors)) named.set(`parts/${part.name}/${name}`, tensor);
  }
  try {
    const read = Array.from(named, async ([name, tensor]) => [name, await toHost(tensor)] as const);
    const tensors = new Map(await Promise.all(read));
    return { version: snapshotVersion, ...host, window: [...sums.keys()], parts, tensors };
  } finally {
    tf.dispose([...Object.values(flattenState(saved)), ...(window === undefined ? [] : [window])]);
  }
}

/**
 * Puts a snapshot into a training. Whatever does not fit is found before anything is changed, but for what parts refuse
 * themselves. Throws {@link SnapshotError} or core's `StateError`.
 */
export function restoreSnapshot(state: TrainingState, snapshot: TrainingSnapshot): void {
  const { weights, step, window, parts } = state;
  const device = new Map<string, tf.Tensor>();
  let sums: ReadonlyMap<string, tf.Tensor> = new Map();
  try {
    for (const [name, tensor] of snapshot.tensors) {
      const loaded = toDevice(tensor);
      if (loaded === undefined) throw new SnapshotError(name, 'float32, int32 or bool', tensor.dtype);
      device.set(name, loaded);
    }
    const group = (prefix: string): Record<string, tf.Tensor> =>
      Object.fromEntries(
        [...device].flatMap(([name, tensor]) =>
          name.startsWith(prefix) ? [[name.slice(prefix.length), tensor] as const] : [],
        ),
      );
    const own = group('weights/');
    checkWeights(own, weights);
    checkParts(Object.keys(snapshot.parts), parts);
    sums = windowSums(device.get('window'), snapshot.window);
    restoreStep(step, group('state/'), weights, snapshot.position.step);
    for (const [name, variable] of weights) variable.assign(own[name] as tf.Tensor);
    window.restore(sums);
    for (const part of parts) {
      const data = snapshot.parts[part.name];
      if (data === undefined) continue;
      const restored: PartState = { tensors: group(`parts/${part.name}/`), data };
      part.restore?.(restored);
    }
  } finally {
    tf.dispose([...device.values(), ...sums.values()]);
  }
}

/** Names of the process's variables to names of weights. */
function renaming(weights: NamedVariables): ReadonlyMap<string, string> {
  return new Map(Array.from(weights, ([name, variable]) => [variable.name, name]));
}

/** `slots/momentum/conv1/kernel_3` → `slots/momentum/conv1/kernel`; keys of other things stay. */
function rename(key: string, names: ReadonlyMap<string, string>): string {
  const [, prefix, parameter] = /^((?:slots|policy)\/[^/]+\/)(.+)$/s.exec(key) ?? [];
  return prefix === undefined || parameter === undefined ? key : prefix + (names.get(parameter) ?? parameter);
}

function restoreStep(
  step: TrainingState['step'],
  flat: Readonly<Record<string, tf.Tensor>>,
  weights: NamedVariables,
  taken: number,
): void {
  const names = new Map(Array.from(weights, ([name, variable]) => [name, variable.name]));
  const like = step.save();
  try {
    const renamed = Object.fromEntries(Object.entries(flat).map(([key, tensor]) => [rename(key, names), tensor]));
    step.restore(unflattenState(renamed, like, taken));
  } finally {
    tf.dispose(Object.values(flattenState(like)));
  }
}

function checkWeights(saved: Readonly<Record<string, tf.Tensor>>, weights: NamedVariables): void {
  for (const [name, variable] of weights) {
    const tensor = saved[name];
    if (tensor === undefined) throw new SnapshotError(`weights/${name}`, describeTensor(variable), 'nothing');
    if (describeTensor(tensor) !== describeTensor(variable))
      throw new SnapshotError(`weights/${name}`, describeTensor(variable), describeTensor(tensor));
  }
  const foreign = Object.keys(saved).find((name) => !weights.has(name));
  if (foreign !== undefined) throw new SnapshotError(`weights/${foreign}`, 'no weight of this name', 'one');
}

function checkParts(saved: readonly string[], parts: readonly TrainingPart[]): void {
  const names = parts.map(({ name }) => name);
  for (const name of saved) {
    if (!names.includes(name)) throw new SnapshotError(`parts/${name}`, `parts ${names.join(', ') || '(none)'}`, name);
  }
  for (const name of names) {
    if (!saved.includes(name))
      throw new SnapshotError(`parts/${name}`, 'its state', `parts ${saved.join(', ') || '(none)'}`);
  }
}

function windowSums(window: tf.Tensor | undefined, keys: readonly string[]): ReadonlyMap<string, tf.Tensor> {
  const shape = window?.shape.join() ?? '0,2';
  if (shape !== `${keys.length},2`)
    throw new SnapshotError('window', `float32 [${keys.length}, 2]`, `float32 [${shape.replace(',', ', ')}]`);
  if (window === undefined) return new Map();
  const rows = tf.unstack(window);
  return new Map(keys.map((key, i) => [key, rows[i] as tf.Tensor]));
}
