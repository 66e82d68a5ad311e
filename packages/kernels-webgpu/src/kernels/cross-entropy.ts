import type * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend.js';
import { gpuKernel, type KernelTable } from '../registry.js';
import { dispatch, makeTensor, type Shader } from './program.js';
import { ROW_REDUCTIONS, ROW_THREADS } from './rows.js';

type Inputs = Readonly<Record<'logits' | 'labels', tf.TensorInfo>>;

/** Softmax cross-entropy of @polder/ops: losses and their gradient in the logits, one dispatch. */
export const crossEntropyKernels: KernelTable = {
  PolderSoftmaxCrossEntropy: gpuKernel(
    (backend: GpuBackend, { logits, labels }: Inputs, { labelSmoothing }: { readonly labelSmoothing: number }) => {
      const [rows, classes] = logits.shape as [number, number];
      const outputs = [makeTensor(backend, [rows]), makeTensor(backend, [rows, classes])];
      if (rows * classes === 0) return outputs;
      dispatch(backend, shaderFor(labels.shape.length === 1), {
        inputs: [logits, labels],
        outputs,
        uniforms: [classes, labelSmoothing],
        groups: rows,
      });
      return outputs;
    },
  ),
};

/** A class number that there is not has a row of zeros for its distribution, as tf.oneHot has it. */
function shaderFor(sparse: boolean): Shader {
  const hard = sparse ? 'select(0.0, 1.0, labels[row] == c)' : 'labels[base + c]';
  return {
    key: `cross-entropy ${sparse}`,
    inputs: { logits: 'f32', labels: sparse ? 'i32' : 'f32' },
    outputs: { loss: 'f32', slope: 'f32' },
    uniforms: { classes: 'i32', smoothing: 'f32' },
    threads: ROW_THREADS,
    code: `${ROW_REDUCTIONS}
fn target_(row : i32, base : i32, c : i32) -> f32 {
  return (1.0 - u.smoothing) * ${hard} + u.smoothing / f32(u.classes);
}
fn main(row : i32, lane : i32) {
  let base = row * u.classes;
  var top = -3.4028234e38;
  // exp and max may lose a NaN, and infinity − infinity need not become one.
  var spoilt = 0.0;
  for (var c = lane; c < u.classes; c = c + ${ROW_THREADS}) {
    let v = logits[base + c];
    let bits = bitcast<u32>(v);
    if ((bits & 0x7fffffffu) >= 0x7f800000u && bits != 0xff800000u) { spoilt = 1.0; }
    top = max(top, v);
  }
  top = largest(lane, top);
  var sum = 0.0; var mass = 0.0; var inner = 0.0;
  for (var c = lane; c < u.classes; c = c + ${ROW_THREADS}) {
    let v = logits[base + c] - top;
    let t = target_(row, base, c);
    sum = sum + exp(v);
    mass = mass + t;
    if (t != 0.0) { inner = inner + t * v; }
  }
  sum = total(lane, sum);
  mass = total(lane, mass);
  inner = total(lane, inner);
  spoilt = largest(lane, spoilt);
  let logSum = log(sum);
  if (lane == 0) { loss[row] = select(mass * logSum - inner, u.nan, spoilt > 0.0); }
  for (var c = lane; c < u.classes; c = c + ${ROW_THREADS}) {
    let v = mass * exp(logits[base + c] - top - logSum) - target_(row, base, c);
    slope[base + c] = select(v, u.nan, spoilt > 0.0);
  }
}`,
  };
}
