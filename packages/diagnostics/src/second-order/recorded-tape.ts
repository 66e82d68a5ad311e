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

/** Outputs of a computation, and the tensors that it is to be differentiated along. */
interface Wanted {
  readonly of: Tensors;
  readonly along: Tensors;
}

/** v ↦ (∂of/∂along)ᵀ v: one pass back along the tape. Call it in the second-order scope. */
type Pullback = (v: Tensors) => tf.Tensor[];

/** A computation's tape, kept. */
export interface RecordedTape {
  /** Bytes that the tape holds. */
  readonly bytes: number;
  /** One for each pair that was wanted. */
  readonly pullbacks: readonly Pullback[];
  readonly dispose: () => void;
}

/**
 * Runs `body` and keeps its tape, gradients taken inside included, so that any number of passes back along it cost
 * nothing but themselves. (tfjs frees a tape when its outermost `gradients` returns; here this function is the
 * outermost.) Call it in the second-order scope, which frees the tape on an error.
 */
export const recordTape = (body: () => readonly Wanted[]): RecordedTape => {
  const { state } = tf.engine();
  const bytesBefore = state.numBytes;
  const tape: TapeNode[] = [];
  let wanted: readonly Ends[] = [];
  state.activeTape = tape as unknown as typeof state.activeTape;
  state.gradientDepth++;
  try {
    tf.tidy(() => {
      // The tensors are freed here: of the outputs only the identity is needed.
      wanted = body().map(({ of, along }) => ({
        outputs: of.map(({ id }) => id),
        inputs: along.map(({ id, shape }) => ({ id, shape })),
      }));
    });
  } finally {
    state.gradientDepth--;
  }
  state.activeTape = null as unknown as typeof state.activeTape;
  const paths = wanted.map((ends) => connecting(tape, ends));
  const used = new Set(paths.flat().map(({ saved }) => saved));
  for (const { saved } of tape) if (!used.has(saved)) tf.dispose(saved!);
  return {
    bytes: state.numBytes - bytesBefore,
    pullbacks: wanted.map((ends, i) => (v) => backAlong(paths[i]!, ends, v)),
    dispose: () => {
      for (const saved of used) tf.dispose(saved!);
    },
  };
};

interface Ends {
  readonly outputs: readonly number[];
  readonly inputs: readonly { readonly id: number; readonly shape: number[] }[];
}

/** The nodes on a way from the inputs to the outputs, in order, each with those of its inputs that are on it. */
const connecting = (tape: readonly TapeNode[], { inputs, outputs }: Ends): readonly TapeNode[] => {
  const reached = new Set(inputs.map(({ id }) => id));
  const dependent = tape.flatMap((node): TapeNode[] => {
    const taken = Object.entries(node.inputs).filter(([, { id }]) => reached.has(id));
    if (taken.length === 0) return [];
    for (const { id } of node.outputs) reached.add(id);
    return [{ ...node, inputs: Object.fromEntries(taken) }];
  });
  const leads = new Set(outputs);
  return dependent
    .toReversed()
    .filter((node) => {
      if (!node.outputs.some(({ id }) => leads.has(id))) return false;
      for (const { id } of Object.values(node.inputs)) leads.add(id);
      return true;
    })
    .toReversed();
};

/** Sums and derivatives are freed as soon as no node asks for them: the tape is large enough. */
const backAlong = (path: readonly TapeNode[], { inputs: ends, outputs }: Ends, v: Tensors): tf.Tensor[] =>
  tf.tidy(() => {
    // Private in the types; ids only ever grow.
    const engine = tf.engine() as unknown as { nextTensorId(): number };
    const along = new Map<number, tf.Tensor>();
    const own = new Set<tf.Tensor>();
    const free = (t: tf.Tensor): void => {
      if (own.delete(t)) t.dispose();
    };
    const add = (id: number, dx: tf.Tensor): void => {
      const before = along.get(id);
      if (before === undefined) along.set(id, dx);
      else {
        const sum = tf.add(before, dx);
        own.add(sum);
        along.set(id, sum);
        free(before);
        free(dx);
      }
    };
    const derivative = (rule: () => tf.Tensor): tf.Tensor => {
      const first = engine.nextTensorId();
      const dx = tf.tidy(rule);
      // A rule may pass on what it was given, which others still need.
      const ours = dx.id >= first ? dx : tf.clone(dx);
      own.add(ours);
      return ours;
    };
    const kept = new Set(ends.map(({ id }) => id));
    for (const [i, id] of outputs.entries()) add(id, v[i]!);
    for (const { kernelName, inputs, outputs: made, gradient } of path.toReversed()) {
      // The words of tfjs's own error, by which the op is named.
      if (gradient === undefined) throw new Error(`gradient function not found for ${kernelName}`);
      const rules = gradient(made.map(({ id }) => along.get(id) ?? null));
      for (const [name, { id }] of Object.entries(inputs)) {
        const rule = rules[name];
        if (rule === undefined) throw new Error(`Error in gradient for op ${kernelName}: none for its input ${name}`);
        add(id, derivative(rule));
      }
      for (const { id } of made) {
        const dy = along.get(id);
        if (dy !== undefined && !kept.has(id)) free(dy);
      }
    }
    return ends.map(({ id, shape }) => along.get(id) ?? tf.zeros(shape, 'float32'));
  });
