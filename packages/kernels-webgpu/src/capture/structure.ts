import * as tf from '@tensorflow/tfjs-core';

/** What a program returned, taken apart: its tensors in a fixed order, and how to put others in their places. */
export interface Structure<T> {
  readonly tensors: readonly tf.Tensor[];
  readonly rebuild: (tensors: readonly tf.Tensor[]) => T;
}

/** Nested records and arrays with tensors at their leaves; everything else in them stays as it is. */
export function structureOf<T>(value: T): Structure<T> {
  const tensors: tf.Tensor[] = [];
  const rebuild = takeApart(value, tensors);
  return { tensors, rebuild: (others) => rebuild(others) as T };
}

type Rebuild = (tensors: readonly tf.Tensor[]) => unknown;

function takeApart(value: unknown, tensors: tf.Tensor[]): Rebuild {
  if (value instanceof tf.Tensor) {
    const at = tensors.push(value) - 1;
    return (others) => others[at];
  }
  if (Array.isArray(value)) {
    const parts = value.map((part) => takeApart(part, tensors));
    return (others) => parts.map((part) => part(others));
  }
  if (typeof value === 'object' && value !== null) {
    const parts = Object.entries(value).map(([key, part]) => [key, takeApart(part, tensors)] as const);
    return (others) => Object.fromEntries(parts.map(([key, part]) => [key, part(others)]));
  }
  return () => value;
}
