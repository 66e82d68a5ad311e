import * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend.js';
import { place } from './placement.js';
import type { Recording, Slot } from './recording.js';
import type { Structure } from './structure.js';

/** A recorded program, ready to be sent to the GPU again. */
export interface Replay {
  readonly dispatches: number;
  /** Bytes of GPU memory that it keeps. */
  readonly bytes: number;
  /** Are the tensors from elsewhere that it reads still there? */
  isAlive(): boolean;
  /** Runs it on inputs of the same roles. The result's tensors are new ones. */
  run(inputs: readonly tf.Tensor[]): unknown;
  dispose(): void;
}

/** Dispatches per submission: a driver may take a GPU that is busy with one for seconds as hung. */
const SUBMITTED_AT_ONCE = 256;

/** Prepares a recording: buffers of its own, and all bindings. `structure` is that of the recorded result. */
export function prepareReplay(backend: GpuBackend, recording: Recording, structure: Structure<unknown>): Replay {
  const { device } = backend;
  const { dispatches, slots, outputs } = recording;
  const { STORAGE, COPY_SRC, COPY_DST, UNIFORM } = GPUBufferUsage;
  const owned: GPUBuffer[] = [];
  const create = (size: number, usage: number): GPUBuffer => {
    const buffer = device.createBuffer({ size, usage });
    owned.push(buffer);
    return buffer;
  };

  const placement = place(recording);
  const working = placement.buffers.map((size) => create(size, STORAGE | COPY_SRC | COPY_DST));
  const used = new Set([...dispatches.flatMap((dispatch) => dispatch.slots), ...outputs.map(({ from }) => from)]);
  const constants = new Map<string, GPUBuffer>();
  const bufferOf = ({ bytes, origin }: Slot, at: number): GPUBuffer | undefined => {
    if (!used.has(at)) return undefined;
    if (origin.kind === 'outside') return origin.buffer;
    if (origin.kind === 'made') return working[placement.bufferOf[at]!];
    if (origin.kind === 'input') return create(bytes, STORAGE | COPY_SRC | COPY_DST);
    const key = origin.bytes.join();
    const known = constants.get(key) ?? create(bytes, STORAGE | COPY_SRC | COPY_DST);
    if (!constants.has(key)) backend.queue.writeBuffer(known, 0, origin.bytes);
    constants.set(key, known);
    return known;
  };
  const buffers = slots.map(bufferOf);

  const { data, offsets } = packUniforms(recording, device.limits.minUniformBufferOffsetAlignment);
  const uniforms = create(Math.max(data.length, 4), UNIFORM | COPY_DST);
  if (data.length > 0) backend.queue.writeBuffer(uniforms, 0, data);
  const commands = dispatches.map(({ pipeline, groups, slots: bound, uniforms: { length } }, i) => ({
    pipeline,
    groups,
    bindGroup: device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [
        ...bound.map((slot) => ({ buffer: buffers[slot]!, size: slots[slot]!.bytes })),
        { buffer: uniforms, offset: offsets[i]!, size: length },
      ].map((resource, binding) => ({ binding, resource })),
    }),
  }));
  const copiedIn = slots.flatMap(({ origin, bytes }, slot) =>
    origin.kind === 'input' && used.has(slot) ? [{ at: origin.at, to: buffers[slot]!, bytes }] : [],
  );
  const outside = slots.flatMap(({ origin }) => (origin.kind === 'outside' ? [origin] : []));

  const encodeCopies = (inputs: readonly tf.Tensor[]): void => {
    for (const { at } of copiedIn) backend.uploadToGPU(inputs[at]!.dataId);
    backend.ensureCommandEncoderReady();
    backend.endComputePassEncoder();
    for (const { at, to, bytes } of copiedIn)
      backend.commandEncoder!.copyBufferToBuffer(backend.tensorMap.get(inputs[at]!.dataId).resource!, 0, to, 0, bytes);
  };
  const encodeDispatches = (): void => {
    for (let first = 0; first < commands.length; first += SUBMITTED_AT_ONCE) {
      backend.ensureCommandEncoderReady();
      const pass = backend.commandEncoder!.beginComputePass();
      for (const { pipeline, bindGroup, groups } of commands.slice(first, first + SUBMITTED_AT_ONCE)) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindGroup);
        pass.dispatchWorkgroups(...groups);
      }
      pass.end();
      if (first + SUBMITTED_AT_ONCE < commands.length) backend.submitQueue();
    }
  };
  const collect = (inputs: readonly tf.Tensor[]): readonly tf.Tensor[] => {
    const made = new Map<number, tf.DataId>();
    return outputs.map(({ shape, dtype, dataType, from }) => {
      if (typeof from !== 'number') {
        const { dataId } = backend.makeTensorInfo([...shape], dataType, from.slice());
        return tensorOf(dataId, shape, dtype);
      }
      const { origin, bytes } = slots[from]!;
      const known = origin.kind === 'input' ? inputs[origin.at]!.dataId : made.get(from);
      if (known !== undefined) {
        backend.incRef(known);
        return tensorOf(known, shape, dtype);
      }
      const { dataId } = backend.makeTensorInfo([...shape], dataType);
      backend.uploadToGPU(dataId);
      backend.commandEncoder!.copyBufferToBuffer(buffers[from]!, 0, backend.tensorMap.get(dataId).resource!, 0, bytes);
      made.set(from, dataId);
      return tensorOf(dataId, shape, dtype);
    });
  };

  return {
    dispatches: commands.length,
    bytes: owned.reduce((sum, { size }) => sum + size, 0),
    isAlive: () =>
      outside.every(
        ({ dataId, buffer }) => backend.tensorMap.has(dataId) && backend.tensorMap.get(dataId).resource === buffer,
      ),
    run(inputs) {
      encodeCopies(inputs);
      encodeDispatches();
      const tensors = collect(inputs);
      backend.submitQueue();
      return structure.rebuild(tensors);
    },
    dispose() {
      for (const buffer of owned) buffer.destroy();
    },
  };
}

function tensorOf(dataId: tf.DataId, shape: readonly number[], dtype: tf.DataType): tf.Tensor {
  return tf.engine().makeTensorFromTensorInfo({ dataId, shape: [...shape], dtype });
}

/** All uniforms in one buffer, equal ones once, and where those of each dispatch begin. */
function packUniforms(
  { dispatches }: Recording,
  alignment: number,
): { readonly data: Uint8Array<ArrayBuffer>; readonly offsets: readonly number[] } {
  const starts = new Map<string, number>();
  let end = 0;
  const offsets = dispatches.map(({ uniforms }) => {
    const key = uniforms.join();
    const known = starts.get(key);
    if (known !== undefined) return known;
    const start = Math.ceil(end / alignment) * alignment;
    starts.set(key, start);
    end = start + uniforms.length;
    return start;
  });
  const data = new Uint8Array(Math.ceil(end / 4) * 4);
  for (const [i, { uniforms }] of dispatches.entries()) data.set(uniforms, offsets[i]);
  return { data, offsets };
}
