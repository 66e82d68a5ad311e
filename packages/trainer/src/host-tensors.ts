import * as tf from '@tensorflow/tfjs-core';
import type { SafeTensor, SafetensorType } from '@polder/data';

const stored: Readonly<Record<string, SafetensorType>> = { float32: 'F32', int32: 'I32', bool: 'BOOL' };
const kept: Partial<Record<SafetensorType, 'float32' | 'int32' | 'bool'>> = {
  F32: 'float32',
  I32: 'int32',
  BOOL: 'bool',
};

/** `float32 [3, 3]` */
export function describeTensor({
  dtype,
  shape,
}: {
  readonly dtype: string;
  readonly shape: readonly number[];
}): string {
  return `${kept[dtype as SafetensorType] ?? dtype} [${shape.join(', ')}]`;
}

/** Reads a tensor from the device, bit for bit. Float, integer and boolean tensors only: training knows no others. */
export async function toHost(tensor: tf.Tensor): Promise<SafeTensor> {
  const dtype = stored[tensor.dtype];
  if (dtype === undefined) throw new TypeError(`A tensor of type ${tensor.dtype} has no place in a checkpoint.`);
  const { shape } = tensor;
  const data = await tensor.data();
  // A copy: what data() gives may be the backend's own memory.
  const values =
    tensor.dtype === 'float32'
      ? Float32Array.from(data)
      : tensor.dtype === 'int32'
        ? Int32Array.from(data)
        : Uint8Array.from(data);
  return { dtype, shape: [...shape], bytes: new Uint8Array(values.buffer) };
}

/** A tensor of a stored one's type, shape and bits; undefined for a type that {@link toHost} does not write. */
export function toDevice({ dtype, shape, bytes }: SafeTensor): tf.Tensor | undefined {
  const type = kept[dtype];
  if (type === undefined) return undefined;
  // A copy, because a view into a file need not be aligned; not by slice, which for a Node Buffer is a view again.
  const { buffer } = new Uint8Array(bytes);
  const values =
    type === 'float32' ? new Float32Array(buffer) : type === 'int32' ? new Int32Array(buffer) : new Uint8Array(buffer);
  return tf.tensor(values, [...shape], type);
}
