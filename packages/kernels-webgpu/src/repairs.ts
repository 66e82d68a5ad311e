import * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from './backend.js';
import { gpuKernel, stockKernel, type KernelTable } from './registry.js';

// Stock kernels that go wrong on sizes which training meets.

/** The kernels of this file; made when the stock ones are registered, because some of them go on calling those. */
export function repairedKernels(): KernelTable {
  return {
    AddN: addN(stockKernel('AddN')),
    BatchMatMul: inFixedOrder(stockKernel('BatchMatMul')),
    Softmax: softmax,
    _FusedMatMul: inFixedOrder(stockKernel('_FusedMatMul')),
  };
}

/** One of the stock kernel's programs, by the number that its flag takes: small tiles, each summed by itself. */
const SMALL_TILES = 2;

/**
 * Matrix products that are the same bits every time. For long sums and few results (the first dense layer of a network)
 * the stock kernel splits the sums and adds the parts atomically, in whatever order they come.
 */
function inFixedOrder(stock: tf.KernelFunc): tf.KernelFunc {
  const flag = 'WEBGPU_MATMUL_PROGRAM_TYPE';
  return (args) => {
    const { a, b } = args.inputs as { readonly a: tf.TensorInfo; readonly b: tf.TensorInfo };
    const { transposeA, transposeB } = args.attrs as unknown as Readonly<Record<'transposeA' | 'transposeB', boolean>>;
    const [rowsA, columnsA] = a.shape.slice(-2) as [number, number];
    const [rowsB, columnsB] = b.shape.slice(-2) as [number, number];
    const [inner, outerA, outerB] = [
      transposeA ? rowsA : columnsA,
      transposeA ? columnsA : rowsA,
      transposeB ? rowsB : columnsB,
    ];
    const batches = Math.max(...[a, b].map(({ shape }) => tf.util.sizeFromShape(shape.slice(0, -2))));
    const tiles = Math.ceil(outerA / 32) * Math.ceil(outerB / 32);
    const few = tiles <= 2 * (args.backend as GpuBackend).thresholdToIncreaseWorkgroups;
    const chosen = tf.env().getNumber(flag);
    // From 2,000 on the stock kernel splits, unless there are 128 results or fewer.
    if (chosen >= 0 || batches > 1 || inner < 2000 || !few || outerA * outerB <= 128) return stock(args);
    tf.env().set(flag, SMALL_TILES);
    try {
      return stock(args);
    } finally {
      tf.env().set(flag, chosen);
    }
  };
}

/** AddN of any number of tensors: the stock kernel binds all of them at once, and a device has room for a few. */
function addN(stock: tf.KernelFunc): tf.KernelFunc {
  return (args) => {
    const backend = args.backend as GpuBackend;
    const tensors = args.inputs as unknown as readonly tf.TensorInfo[];
    const room = backend.device.limits.maxStorageBuffersPerShaderStage - 1;
    const add = (some: readonly tf.TensorInfo[]): tf.TensorInfo =>
      stock({ ...args, inputs: some as unknown as tf.NamedTensorInfoMap }) as tf.TensorInfo;
    if (tensors.length <= room) return add(tensors);
    let sum = add(tensors.slice(0, room));
    for (let at = room; at < tensors.length; at += room - 1) {
      const next = add([sum, ...tensors.slice(at, at + room - 1)]);
      backend.disposeData(sum.dataId);
      sum = next;
    }
    return sum;
  };
}

/** Threads of a workgroup of softmax. */
const THREADS = 64;

/**
 * Softmax over the last axis. The stock kernel's surplus workgroups, which there are beyond 65,535 rows, write over the
 * last element.
 */
const softmax = gpuKernel(
  (backend: GpuBackend, { logits }: { readonly logits: tf.TensorInfo }, { dim }: { readonly dim: number }) => {
    const columns = logits.shape[dim]!;
    const rows = columns === 0 ? 0 : tf.util.sizeFromShape(logits.shape) / columns;
    // Narrow rows have a thread each, wide ones a workgroup: what lanes share costs a barrier per halving.
    const lanes = columns <= 32 ? 1 : columns <= 512 ? 16 : THREADS;
    return backend.runWebGPUProgram(softmaxProgram(logits.shape, rows, lanes), [logits], 'float32', [
      { type: 'int32', data: [rows] },
      { type: 'int32', data: [columns] },
    ]);
  },
);

function softmaxProgram(shape: number[], rows: number, lanes: number): GpuProgram {
  const share = (combine: (a: string, b: string) => string, name: string): string =>
    lanes === 1
      ? ''
      : `
        part[thread] = ${name};
        workgroupBarrier();
        for (var k = ${lanes / 2}; k > 0; k = k >> 1) {
          if (lane < k) { part[thread] = ${combine('part[thread]', 'part[thread + k]')}; }
          workgroupBarrier();
        }
        ${name} = part[thread - lane];
        workgroupBarrier();`;
  return {
    variableNames: ['x'],
    outputShape: shape,
    workgroupSize: [THREADS, 1, 1],
    dispatch: [Math.ceil((rows * lanes) / THREADS), 1, 1],
    dispatchLayout: { x: shape.map((_, axis) => axis) },
    uniforms: 'rows : i32, columns : i32,',
    shaderKey: `polderSoftmax${lanes}`,
    getUserCode: () => `
      ${lanes === 1 ? '' : `var<workgroup> part : array<f32, ${THREADS}>;`}
      fn main(index : i32) {
        let thread = i32(localId.x);
        let lane = thread % ${lanes};
        let row = index / ${lanes};
        // Threads past the last row have no columns, but meet the others at the barriers.
        let end = select(0, uniforms.columns, row < uniforms.rows);
        let base = row * uniforms.columns;
        var top = -3.4028234663852886e38;
        for (var c = lane; c < end; c = c + ${lanes}) { top = max(top, x[base + c]); }
        ${share((a, b) => `max(${a}, ${b})`, 'top')}
        var sum = 0.0;
        for (var c = lane; c < end; c = c + ${lanes}) { sum = sum + exp(x[base + c] - top); }
        ${share((a, b) => `${a} + ${b}`, 'sum')}
        for (var c = lane; c < end; c = c + ${lanes}) { result[base + c] = exp(x[base + c] - top) / sum; }
      }`,
  };
}
