import * as tf from '@tensorflow/tfjs-core';
import { hasFastKernel, runKernel } from './dispatch.js';

/** One tensor per parameter, keyed by the parameter's name. A tree never owns its tensors: whoever made them does. */
export type Tree = Readonly<Record<string, tf.Tensor>>;

/** A tree of the same keys as `tree`, each leaf passed through `fn`. */
export function mapTree(tree: Tree, fn: (leaf: tf.Tensor, name: string) => tf.Tensor): Tree {
  return Object.fromEntries(Object.entries(tree).map(([name, leaf]) => [name, fn(leaf, name)]));
}

/** Combines two trees leaf by leaf. Throws when `b` lacks a key of `a`. */
export function zipTrees(a: Tree, b: Tree, fn: (x: tf.Tensor, y: tf.Tensor, name: string) => tf.Tensor): Tree {
  return mapTree(a, (x, name) => fn(x, leafOf(b, name), name));
}

/** The leaf called `name`; throws a plain error that names it when the tree has none. */
export function leafOf(tree: Tree, name: string): tf.Tensor {
  const leaf = tree[name];
  if (leaf === undefined)
    throw new Error(`The tree has no leaf "${name}"; it has ${Object.keys(tree).join(', ') || 'none'}.`);
  return leaf;
}

/** a + b, leaf by leaf. */
export function addTrees(a: Tree, b: Tree): Tree {
  return zipTrees(a, b, (x, y) => tf.add(x, y));
}

/** a − b, leaf by leaf. */
export function subTrees(a: Tree, b: Tree): Tree {
  return zipTrees(a, b, (x, y) => tf.sub(x, y));
}

/** a · b, leaf by leaf (Hadamard product). */
export function mulTrees(a: Tree, b: Tree): Tree {
  return zipTrees(a, b, (x, y) => tf.mul(x, y));
}

/** s · a, with `s` a number or a 0-D tensor. */
export function scaleTree(a: Tree, s: number | tf.Scalar): Tree {
  return mapTree(a, (x) => tf.mul(x, s));
}

/** s · x + y, leaf by leaf, with `s` a number or a 0-D tensor. */
export function axpyTrees(s: number | tf.Scalar, x: Tree, y: Tree): Tree {
  return tf.tidy(() => {
    const fused = hasFastKernel('PolderAxpy');
    const scale = typeof s === 'number' && fused ? tf.scalar(s) : s;
    return zipTrees(x, y, (xi, yi) =>
      fused && xi.dtype === 'float32' && yi.dtype === 'float32' && tf.util.arraysEqual(xi.shape, yi.shape)
        ? runKernel('PolderAxpy', { scale: scale as tf.Scalar, x: xi, y: yi })
        : tf.add(tf.mul(xi, s), yi),
    );
  });
}

/** ⟨a, b⟩ over all leaves, a 0-D tensor (0 for an empty tree). */
export function dotTrees(a: Tree, b: Tree): tf.Scalar {
  const [left, right] = [Object.values(a), Object.keys(a).map((name) => leafOf(b, name))];
  if (reducible('PolderDot', [...left, ...right])) return reduceLeaves('PolderDot', [...left, ...right]);
  return tf.tidy(() => sumOfScalars(left.map((x, i) => tf.sum(tf.mul(x, right[i]!)))));
}

/** ‖a‖: one global L2 norm over all leaves, a 0-D tensor. */
export function globalNorm(a: Tree): tf.Scalar {
  const leaves = Object.values(a);
  if (reducible('PolderGlobalNorm', leaves)) return reduceLeaves('PolderGlobalNorm', leaves);
  return tf.tidy(() =>
    tf.sqrt(
      reducible('PolderSumOfSquares', leaves)
        ? reduceLeaves('PolderSumOfSquares', leaves)
        : sumOfScalars(leaves.map((x) => tf.sum(tf.square(x)))),
    ),
  );
}

/** Zeros in the shapes of `a`. */
export function zerosLikeTree(a: Tree): Tree {
  return mapTree(a, (x) => tf.zerosLike(x));
}

/** The leaves whose name and tensor pass `keep`; all of them without it. */
export function filterTree(a: Tree, keep: ((name: string, leaf: tf.Tensor) => boolean) | undefined): Tree {
  return keep === undefined ? a : Object.fromEntries(Object.entries(a).filter(([name, leaf]) => keep(name, leaf)));
}

/** A 0-D bool tensor: does every leaf of every tree hold finite numbers only? (`isFinite` tests bits on every backend.) */
export function allFinite(...trees: readonly Tree[]): tf.Scalar {
  // Integers and bools cannot be anything else.
  const leaves = [...new Set(trees.flatMap((tree) => Object.values(tree)))].filter((leaf) => leaf.dtype === 'float32');
  if (reducible('PolderAllFinite', leaves)) return reduceLeaves('PolderAllFinite', leaves);
  // Reductions in pairs, never addN: eight inputs or more break silently on WebGPU.
  return tf.tidy(() =>
    leaves.reduce<tf.Scalar>(
      (finite, leaf) => tf.logicalAnd(finite, tf.all(tf.isFinite(leaf))),
      tf.scalar(true, 'bool'),
    ),
  );
}

/**
 * `condition ? a : b` leaf by leaf, for a 0-D bool tensor: chosen on the device, never by reading it. A NaN in the
 * branch not taken does not leak into the result.
 */
export function selectTree(condition: tf.Scalar, a: Tree, b: Tree): Tree {
  return zipTrees(a, b, (x, y) => selectTensor(condition, x, y));
}

/** `condition ? a : b` for one pair of tensors of equal shape, see {@link selectTree}. */
export function selectTensor(condition: tf.Scalar, a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  if (a === b) return a;
  if (a.dtype === b.dtype && hasFastKernel('PolderSelect')) return runKernel('PolderSelect', { condition, t: a, e: b });
  // Not the Select kernel with a 1-D condition: on cpu it repeats the first element of each row.
  return tf.where(condition, a, b);
}

/** a / b for 0-D tensors, and `otherwise` (0 unless given) where b is not above zero: never a NaN from a zero norm. */
export function safeDivide(a: tf.Scalar | number, b: tf.Scalar, otherwise = 0): tf.Scalar {
  const positive = tf.greater(b, 0);
  return tf.where(positive, tf.div<tf.Scalar>(a, tf.where(positive, b, tf.onesLike(b))), tf.scalar(otherwise));
}

// ---- kernels that reduce all leaves in one call: their inputs are an array, as concat's are.

function reducible(kernelName: string, leaves: readonly tf.Tensor[]): boolean {
  return leaves.length > 0 && leaves.every((leaf) => leaf.dtype === 'float32') && hasFastKernel(kernelName);
}

function reduceLeaves(kernelName: string, leaves: readonly tf.Tensor[]): tf.Scalar {
  return runKernel(kernelName, [...leaves] as unknown as tf.NamedTensorMap) as tf.Scalar;
}

/** Gradients keyed by position, which is what the engine wants for array inputs. */
function gradientsByPosition(gradients: readonly (() => tf.Tensor)[]): Record<string, () => tf.Tensor> {
  return gradients as unknown as Record<string, () => tf.Tensor>;
}

tf.registerGradient({
  kernelName: 'PolderSelect',
  inputsToSave: ['condition'],
  gradFunc: (dy, [condition]) => {
    const part = (taken: boolean): tf.Tensor => {
      const [given, zeros] = [dy as tf.Tensor, tf.zerosLike(dy as tf.Tensor)];
      return selectTensor(condition as tf.Scalar, taken ? given : zeros, taken ? zeros : given);
    };
    return { condition: () => tf.zerosLike(condition!), t: () => part(true), e: () => part(false) };
  },
});
tf.registerGradient({
  kernelName: 'PolderSumOfSquares',
  saveAllInputs: true,
  gradFunc: (dy, leaves) => gradientsByPosition(leaves.map((x) => () => tf.mul(tf.mul(x, 2), dy as tf.Tensor))),
});

tf.registerGradient({
  kernelName: 'PolderGlobalNorm',
  saveAllInputs: true,
  outputsToSave: [true],
  gradFunc: (dy, saved) => {
    const norm = saved[saved.length - 1] as tf.Scalar;
    // At the origin, where there is none: zeros, as safeDivide gives them.
    const scale = safeDivide(dy as tf.Scalar, norm);
    return gradientsByPosition(saved.slice(0, -1).map((x) => () => tf.mul(x, scale)));
  },
});

tf.registerGradient({
  kernelName: 'PolderDot',
  saveAllInputs: true,
  gradFunc: (dy, leaves) => {
    const half = leaves.length / 2;
    return gradientsByPosition(
      leaves.map((_, i) => () => tf.mul(leaves[(i + half) % leaves.length]!, dy as tf.Tensor)),
    );
  },
});

tf.registerGradient({
  kernelName: 'PolderAxpy',
  inputsToSave: ['scale', 'x'],
  gradFunc: (dy, [scale, x]) => ({
    scale: () => tf.sum(tf.mul(x!, dy as tf.Tensor)),
    x: () => tf.mul(dy as tf.Tensor, scale!),
    y: () => tf.clone(dy as tf.Tensor),
  }),
});

function sumOfScalars(scalars: readonly tf.Tensor[]): tf.Scalar {
  const [first, ...rest] = scalars;
  return (first === undefined ? tf.scalar(0) : rest.reduce((sum, x) => tf.add(sum, x), first)) as tf.Scalar;
}
