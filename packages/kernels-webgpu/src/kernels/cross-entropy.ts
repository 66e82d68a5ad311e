import type * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend.js';
import { gpuKernel, type KernelTable } from '../registry.js';
import { dispatch, makeTensor, type Shader } from './program.js';
import { lanesFor, overRows, rowGroups, ROW_THREADS } from './rows.js';

type Inputs = Readonly<Record<'logits' | 'labels', tf.TensorInfo>>;

/** Softmax cross-entropy of @polder/ops: losses and their gradient in the logits, one dispatch. */
export const crossEntropyKernels: KernelTable = {
  PolderSoftmaxCrossEntropy: gpuKernel(
    (backend: GpuBackend, { logits, labels }: Inputs, { labelSmoothing }: { readonly labelSmoothing: number }) => {
      const [rows, classes] = logits.shape as [number, number];
      const outputs = [makeTensor(backend, [rows]), makeTensor(backend, [rows, classes])];
      if (rows * classes === 0) return outputs;
      const lanes = lanesFor(classes);
      dispatch(backend, shaderFor(labels.shape.length === 1, lanes), {
        inputs: [logits, labels],
        outputs,
        uniforms: [rows, classes, labelSmoothing],
        groups: rowGroups(rows, lanes),
      });
      return outputs;
    },
  ),
};

/** A class number that there is not has a row of zeros for its distribution, as tf.oneHot has it. */
function shaderFor(sparse: boolean, lanes: 1 | 8 | 64): Shader {
  const hard = sparse ? 'select(0.0, 1.0, labels[row] == c)' : 'labels[row * u.width + c]';
  return {
    key: `cross-entropy ${sparse} ${lanes}`,
    inputs: { logits: 'f32', labels: sparse ? 'i32' : 'f32' },
    outputs: { loss: 'f32', slope: 'f32' },
    uniforms: { rows: 'i32', width: 'i32', smoothing: 'f32' },
    threads: ROW_THREADS,
    code: `
fn wanted(row : i32, c : i32) -> f32 { return (1.0 - u.smoothing) * ${hard} + u.smoothing / f32(u.width); }
${overRows(
  lanes,
  `var top = -3.4028234e38;
  for (var c = lane; c < end; c = c + ${lanes}) { top = max(top, logits[base + c]); }
  top = largest(thread, top);
  // The sums of exp, of the targets, and of targets · logits; and numbers that spoil the row: exp and max may lose a NaN,
  // and infinity − infinity need not become one.
  var sums = vec4<f32>(0.0);
  for (var c = lane; c < end; c = c + ${lanes}) {
    let bits = bitcast<u32>(logits[base + c]);
    let spoilt = (bits & 0x7fffffffu) >= 0x7f800000u && bits != 0xff800000u;
    let v = logits[base + c] - top;
    let t = wanted(row, c);
    // 0 · −∞ is nothing here.
    sums = sums + vec4<f32>(exp(v), t, select(0.0, t * v, t != 0.0), select(0.0, 1.0, spoilt));
  }
  sums = total(thread, sums);
  let logSum = log(sums.x);
  let spoilt = sums.w > 0.0;
  if (live && lane == 0) { loss[row] = select(sums.y * logSum - sums.z, u.nan, spoilt); }
  for (var c = lane; c < end; c = c + ${lanes}) {
    let v = sums.y * exp(logits[base + c] - top - logSum) - wanted(row, c);
    slope[base + c] = select(v, u.nan, spoilt);
  }`,
)}`,
  };
}
