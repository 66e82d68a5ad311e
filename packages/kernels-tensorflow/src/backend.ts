import * as tf from '@tensorflow/tfjs-core';

export const BACKEND = 'tensorflow';

/** An attribute of a TensorFlow op as the addon takes it; `type` is one of the binding's TF_ATTR numbers. */
export interface OpAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: number | boolean | string | readonly number[];
}

/** A tensor of the addon: a handle, with the native shape and TF_DataType number. */
export interface NativeTensor {
  readonly id: number;
  readonly shape: number[];
  readonly dtype: number;
}

/** The functions of tfjs-node's addon that we call. Handles are numbers that are never used twice. */
export interface Binding {
  executeOp(name: string, attrs: readonly OpAttribute[], inputs: readonly number[], outputs: number): NativeTensor[];
  createTensor(shape: readonly number[], dtype: number, values: ArrayBufferView | readonly Uint8Array[]): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): ArrayBufferView;
  loadSavedModel(folder: string, tags: string): number;
  deleteSavedModel(id: number): void;
  runSavedModel(id: number, inputs: readonly number[], inputNames: string, outputNames: string): NativeTensor[];
  readonly TF_Version: string;
  readonly TF_FLOAT: number;
  readonly TF_INT32: number;
  readonly TF_BOOL: number;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_FLOAT: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_SHAPE: number;
}

/** tfjs-node's backend, as far as we use it. */
export interface TensorflowBackend extends tf.KernelBackend {
  binding: Binding;
  readonly isUsingGpuDevice: boolean;
  /** The handles of tensors; what the host has not handed over yet is handed over. */
  getInputTensorIds(tensors: readonly tf.TensorInfo[]): number[];
  createOutputTensor(native: NativeTensor): tf.Tensor;
}

/** The running tensorflow backend; throws {@link TensorflowUnavailableError} when the current backend is another one. */
export function currentBackend(): TensorflowBackend {
  if (tf.getBackend() !== BACKEND)
    throw new TensorflowUnavailableError(
      `the current backend is "${tf.getBackend()}"`,
      'Call await startTensorflow() first.',
    );
  return tf.backend() as TensorflowBackend;
}

/** Native TensorFlow does not start here. The message says why, and how to get one. */
export class TensorflowUnavailableError extends Error {
  override readonly name = 'TensorflowUnavailableError';
  readonly why: string;
  readonly whatToDo: string;

  constructor(why: string, whatToDo: string, options?: ErrorOptions) {
    super(`Native TensorFlow is not available: ${why}. ${whatToDo}`, options);
    this.why = why;
    this.whatToDo = whatToDo;
  }
}
