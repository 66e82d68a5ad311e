import * as tf from '@tensorflow/tfjs-core';

type Tensors = readonly tf.Tensor[];

/** A node of tfjs's tape, as far as it is needed here. */
interface TapeNode {
  readonly kernelName: string;
  readonly inputs: Readonly<Record<string, tf.Tensor>>;
  readonly outputs: Tensors;
  readonly gradient?: (dys: readonly (tf.Tensor | null)[]) => Readonly<Record<string, () => tf.Tensor>>;
  readonly saved?: tf.Tensor[];
}

/** A gradient g(w), with the tape that computed it. */
export interface RecordedGradient {
  /** Bytes that the tape holds. */
  readonly bytes: number;
  /** (∂g/∂w)ᵀ v, which of a gradient is Hv: one pass back along the tape. Call it in the second-order scope. */
  readonly product: (v: Tensors) => tf.Tensor[];
  readonly dispose: () => void;
}

/**
 * Computes a gradient and keeps its tape, which does not depend on v: every further product at the same weights saves
 * the forward and the backward pass, a third of its price or more. (tfjs frees a tape when its outermost `gradients`
 * returns; here this function is the outermost.) Call it in the second-order scope, which frees the tape on an error.
 */
export const recordGradient = (gradient: () => Tensors, params: Tensors): RecordedGradient => {
  const { state } = tf.engine();
  const bytesBefore = state.numBytes;
  const tape: TapeNode[] = [];
  let ids: readonly number[] = [];
  state.activeTape = tape as unknown as typeof state.activeTape;
  state.gradientDepth++;
  try {
    tf.tidy(() => {
      ids = gradient().map(({ id }) => id);
    });
  } finally {
    state.gradientDepth--;
  }
  state.activeTape = null as unknown as typeof state.activeTape;
  const path = connecting(tape, params, ids);
  const used = new Set(path.map(({ saved }) => saved));
  for (const { saved } of tape) if (!used.has(saved)) tf.dispose(saved!);
  return {
    bytes: state.numBytes - bytesBefore,
    product: (v) => backAlong(path, params, ids, v),
    dispose: () => {
      for (const { saved } of path) tf.dispose(saved!);
    },
  };
};

/** The nodes on a way from the parameters to the outputs, in order, each with those of its inputs that are on it. */
const connecting = (tape: readonly TapeNode[], params: Tensors, outputs: readonly number[]): readonly TapeNode[] => {
  const reached = new Set(params.map(({ id }) => id));
  const dependent = tape.flatMap((node): TapeNode[] => {
    const inputs = Object.entries(node.inputs).filter(([, { id }]) => reached.has(id));
    if (inputs.length === 0) return [];
    for (const { id } of node.outputs) reached.add(id);
    return [{ ...node, inputs: Object.fromEntries(inputs) }];
  });
  const wanted = new Set(outputs);
  return dependent
    .toReversed()
    .filter((node) => {
      if (!node.outputs.some(({ id }) => wanted.has(id))) return false;
      for (const { id } of Object.values(node.inputs)) wanted.add(id);
      return true;
    })
    .toReversed();
};

const backAlong = (path: readonly TapeNode[], params: Tensors, outputs: readonly number[], v: Tensors): tf.Tensor[] =>
  tf.tidy(() => {
    const along = new Map<number, tf.Tensor>();
    const add = (id: number, dx: tf.Tensor): void => {
      const sum = along.get(id);
      along.set(id, sum === undefined ? dx : tf.add(sum, dx));
    };
    for (const [i, id] of outputs.entries()) add(id, v[i]!);
    for (const { kernelName, inputs, outputs: made, gradient } of path.toReversed()) {
      // The words of tfjs's own error, by which the op is named.
      if (gradient === undefined) throw new Error(`gradient function not found for ${kernelName}`);
      const rules = gradient(made.map(({ id }) => along.get(id) ?? null));
      for (const [name, { id }] of Object.entries(inputs)) {
        const rule = rules[name];
        if (rule === undefined) throw new Error(`Error in gradient for op ${kernelName}: none for its input ${name}`);
        add(id, tf.tidy(rule));
      }
    }
    return params.map((p) => along.get(p.id) ?? tf.zeros(p.shape, 'float32'));
  });
