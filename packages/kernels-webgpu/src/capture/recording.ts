import * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend, TensorData } from '../backend.js';

/** Where the contents of a buffer come from. */
type Origin =
  /** Input number `at` of the program. */
  | { readonly kind: 'input'; readonly at: number }
  /** The host wrote it during the run; as bytes. */
  | { readonly kind: 'constant'; readonly bytes: Uint8Array<ArrayBuffer> }
  /** A tensor that was there before and is no input. */
  | { readonly kind: 'outside'; readonly dataId: tf.DataId; readonly buffer: GPUBuffer }
  /** A dispatch of the run. */
  | { readonly kind: 'made' };

/** One tensor's data during the run: the same GPU buffer serves several, one after the other. */
export interface Slot {
  readonly bytes: number;
  origin: Origin;
}

/** One call of a shader. */
interface Dispatch {
  readonly name: string;
  readonly pipeline: GPUComputePipeline;
  readonly groups: readonly [number, number, number];
  /** Numbers of slots, in the order of the shader's bindings. */
  readonly slots: readonly number[];
  readonly uniforms: Uint8Array<ArrayBuffer>;
}

/** A tensor of the result. */
interface Output {
  readonly shape: readonly number[];
  /** The tensor's type, and that of the data below it: a cast that loses nothing changes the first alone. */
  readonly dtype: tf.DataType;
  readonly dataType: tf.DataType;
  /** The slot that holds it, or what the host holds. */
  readonly from: number | tf.backend_util.TypedArray;
}

/** What a run asked of the GPU. */
export interface Recording {
  readonly dispatches: readonly Dispatch[];
  readonly slots: readonly Slot[];
  readonly outputs: readonly Output[];
  /** What keeps the run from being repeated without tfjs. */
  readonly obstacle: string | undefined;
}

interface RecordedProgram {
  readonly pipeline: GPUComputePipeline;
  readonly shaderKey: string;
  readonly dispatch: [number, number, number];
  readonly pixelsOpType?: unknown;
}

/** What is replaced while a run is recorded; tfjs calls some of it private. */
interface Replaced {
  queue: Pick<GPUQueue, 'submit' | 'writeBuffer'>;
  recordAndSubmit(
    program: RecordedProgram,
    output: tf.TensorInfo,
    inputs: readonly tf.TensorInfo[],
    uniforms?: object[],
  ): void;
  uploadToGPU: GpuBackend['uploadToGPU'];
  read: GpuBackend['read'];
  readSync: GpuBackend['readSync'];
  write: GpuBackend['write'];
  copyBuffer(buffer: GPUBuffer): GPUBuffer;
}

/**
 * Runs `run` and notes every dispatch with its buffers and uniforms, every tensor that the host wrote, and where the
 * tensors that `collect` finds in the result are. The inputs are on the GPU already.
 */
export function record<T>(
  backend: GpuBackend,
  inputs: readonly tf.Tensor[],
  run: () => T,
  collect: (result: T) => readonly tf.Tensor[],
): { readonly result: T; readonly recording: Recording } {
  const dispatches: Dispatch[] = [];
  const slots: Slot[] = [];
  const current = new Map<GPUBuffer, number>();
  const made = new WeakSet<tf.DataId>();
  let uniforms = new Uint8Array();
  let obstacle: string | undefined;

  const addSlot = (buffer: GPUBuffer, origin: Origin): number => {
    const slot = slots.push({ bytes: buffer.size, origin }) - 1;
    current.set(buffer, slot);
    return slot;
  };
  for (const [at, { dataId }] of inputs.entries()) {
    const { resource } = backend.tensorMap.get(dataId);
    if (resource != null && !current.has(resource)) addSlot(resource, { kind: 'input', at });
  }
  const slotOf = ({ dataId }: tf.TensorInfo): number => {
    const { resource } = backend.tensorMap.get(dataId);
    if (resource == null) throw new Error('a tensor of a dispatch has no buffer');
    return current.get(resource) ?? addSlot(resource, { kind: 'outside', dataId, buffer: resource });
  };

  const gpu = backend as unknown as Replaced;
  const { queue } = gpu;
  const recordAndSubmit = gpu.recordAndSubmit.bind(backend);
  const uploadToGPU = gpu.uploadToGPU.bind(backend);
  const write = gpu.write.bind(backend);
  const copyBuffer = gpu.copyBuffer.bind(backend);
  const watched = <F extends 'read' | 'readSync'>(name: F): Replaced[F] => {
    const stock = gpu[name].bind(backend) as (dataId: tf.DataId) => unknown;
    return ((dataId: tf.DataId) => {
      // What the host made in this run and still holds is a constant.
      if (!made.has(dataId) || backend.tensorMap.get(dataId).resource != null)
        obstacle ??= 'it reads a tensor back to the host (dataSync, arraySync or data)';
      return stock(dataId);
    }) as Replaced[F];
  };
  const replacements: Replaced = {
    queue: {
      submit: (commands) => queue.submit(commands),
      writeBuffer: (buffer, offset, data, ...rest) => {
        uniforms = new Uint8Array((data as ArrayBuffer).slice(0));
        queue.writeBuffer(buffer, offset, data, ...rest);
      },
    },
    recordAndSubmit(program, output, tensors, given) {
      recordAndSubmit(program, output, tensors, given);
      if (program.pixelsOpType !== undefined) obstacle ??= 'it reads or draws pixels';
      dispatches.push({
        name: program.shaderKey,
        pipeline: program.pipeline,
        groups: [...program.dispatch],
        slots: [output, ...tensors].map(slotOf),
        uniforms,
      });
    },
    uploadToGPU(dataId) {
      const data = backend.tensorMap.get(dataId);
      if (data.resource != null) return;
      const bytes = data.values == null ? undefined : bytesOf(data);
      uploadToGPU(dataId);
      addSlot(data.resource!, bytes === undefined ? { kind: 'made' } : { kind: 'constant', bytes });
    },
    read: watched('read'),
    readSync: watched('readSync'),
    write(values, shape, dtype) {
      const dataId = write(values, shape, dtype);
      made.add(dataId);
      return dataId;
    },
    copyBuffer(buffer) {
      obstacle ??= 'it copies a buffer outside of a shader';
      return copyBuffer(buffer);
    },
  };
  const before = Object.getOwnPropertyDescriptors(backend);
  Object.assign(backend, replacements);
  try {
    const result = run();
    const outputs = collect(result).map((tensor): Output => {
      const { shape, dtype, dataId } = tensor;
      const { resource, values, dtype: dataType } = backend.tensorMap.get(dataId);
      if (resource == null) return { shape, dtype, dataType, from: (values as tf.backend_util.TypedArray).slice() };
      return { shape, dtype, dataType, from: slotOf(tensor) };
    });
    if (outputs.some(({ from }) => typeof from === 'number' && slots[from]!.origin.kind === 'outside'))
      obstacle ??= 'its result holds a tensor that the step did not make';
    return { result, recording: { dispatches, slots, outputs, obstacle } };
  } finally {
    for (const name of Object.keys(replacements)) {
      const own = before[name];
      if (own === undefined) delete (backend as unknown as Record<string, unknown>)[name];
      else Object.defineProperty(backend, name, own);
    }
  }
}

/** Values as the GPU holds them: bools are integers there. */
function bytesOf({ values, dtype }: TensorData): Uint8Array<ArrayBuffer> {
  const numbers = values as unknown as ArrayLike<number>;
  const typed = dtype === 'int32' || dtype === 'bool' ? Int32Array.from(numbers) : Float32Array.from(numbers);
  return new Uint8Array(typed.buffer);
}

/** Why two recordings of the same program are not the same work; undefined when they are. */
export function difference(a: Recording, b: Recording): string | undefined {
  const others = 'it runs other operations at one step than at another';
  if (a.dispatches.length !== b.dispatches.length || a.slots.length !== b.slots.length) return others;
  for (const [i, x] of a.dispatches.entries()) {
    const y = b.dispatches[i]!;
    if (x.pipeline !== y.pipeline || x.groups.join() !== y.groups.join() || x.slots.join() !== y.slots.join())
      return others;
    if (!sameBytes(x.uniforms, y.uniforms))
      return `a number given to the shader ${x.name.split('_')[0]} changes from step to step`;
  }
  for (const [i, { bytes, origin: x }] of a.slots.entries()) {
    const { bytes: otherBytes, origin: y } = b.slots[i]!;
    if (bytes !== otherBytes || x.kind !== y.kind) return others;
    if (x.kind === 'input' && x.at !== (y as typeof x).at) return others;
    if (x.kind === 'constant' && !sameBytes(x.bytes, (y as typeof x).bytes))
      return 'it makes a tensor on the host whose values change from step to step, such as random numbers or a step count';
    if (x.kind === 'outside' && x.buffer !== (y as typeof x).buffer)
      return 'it reads tensors that change from step to step but are neither in the batch nor variables';
  }
  return sameOutputs(a.outputs, b.outputs) ? undefined : 'its result is another at one step than at another';
}

function sameOutputs(a: readonly Output[], b: readonly Output[]): boolean {
  return (
    a.length === b.length &&
    a.every((x, i) => {
      const y = b[i]!;
      if (x.shape.join() !== y.shape.join() || x.dtype !== y.dtype || x.dataType !== y.dataType) return false;
      if (typeof x.from === 'number' || typeof y.from === 'number') return x.from === y.from;
      return x.from.length === y.from.length && x.from.every((v, j) => Object.is(v, (y.from as typeof x.from)[j]));
    })
  );
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
