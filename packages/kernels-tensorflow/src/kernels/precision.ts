import type * as tf from '@tensorflow/tfjs-core';
import type { Binding, NativeTensor, OpAttribute, TensorflowBackend } from '../backend.js';
import { boolAttr, intAttr, nativeKernel, only, stringAttr, type Native } from './native.js';

/**
 * What convolutions and matrix products multiply: 'float32', or 'bf16', their operands rounded to bfloat16 (8 bits of
 * mantissa), with sums in float32. Weights, statistics, losses and updates are float32 in both.
 */
export type Precision = 'float32' | 'bf16';

/** bf16 was asked for where TensorFlow cannot multiply it. */
export class PrecisionError extends Error {
  override readonly name = 'PrecisionError';
  readonly precision: Precision;

  constructor(precision: Precision, why: string, options?: ErrorOptions) {
    super(`Precision "${precision}" cannot be used: ${why}. Leave it out to compute in float32.`, options);
    this.precision = precision;
  }
}

const BFLOAT16 = 14;

/** An op that multiplies: `operands` are float32, `others` (sizes) stay as they are. */
export type Multiply = (
  op: string,
  attrs: readonly OpAttribute[],
  inputs: readonly { readonly operand?: number; readonly other?: number }[],
) => NativeTensor;

/** How kernels run ops that multiply, at a precision. The op gets its attribute T. */
export function multiplier(native: Native, precision: Precision): Multiply {
  const { binding, run } = native;
  const low = precision === 'bf16';
  const typeT = { name: 'T', type: binding.TF_ATTR_TYPE, value: low ? BFLOAT16 : binding.TF_FLOAT };
  return (op, attrs, inputs) => {
    const ids = inputs.map(({ operand, other }) =>
      operand === undefined ? (other as number) : low ? cast(native, operand, binding.TF_FLOAT, BFLOAT16).id : operand,
    );
    const result = only(run(op, [typeT, ...attrs], ids));
    return low ? cast(native, result.id, BFLOAT16, binding.TF_FLOAT) : result;
  };
}

function cast({ binding, run }: Native, id: number, from: number, to: number): NativeTensor {
  const type = binding.TF_ATTR_TYPE;
  const attrs = [
    { name: 'SrcT', type, value: from },
    { name: 'DstT', type, value: to },
  ];
  return only(run('Cast', [...attrs, boolAttr(binding, 'Truncate', false)], [id]));
}

/** tfjs's matrix product at that precision. */
export function matMulKernel(precision: Precision): tf.KernelFunc {
  return nativeKernel(
    (
      native,
      { a, b }: Readonly<Record<'a' | 'b', tf.TensorInfo>>,
      { transposeA, transposeB }: { readonly transposeA: boolean; readonly transposeB: boolean },
    ) =>
      multiplier(native, precision)(
        'BatchMatMulV2',
        [boolAttr(native.binding, 'adj_x', transposeA), boolAttr(native.binding, 'adj_y', transposeB)],
        [{ operand: native.id(a) }, { operand: native.id(b) }],
      ),
  );
}

/** Throws {@link PrecisionError} where TensorFlow does not convolve bfloat16. */
export function requireBf16({ binding, isUsingGpuDevice }: TensorflowBackend): void {
  if (isUsingGpuDevice) throw new PrecisionError('bf16', 'it has been tried on CPUs only');
  const made: number[] = [];
  const keep = (id: number): number => {
    made.push(id);
    return id;
  };
  const native = probe(binding, keep);
  try {
    const one = keep(binding.createTensor([1, 1, 1, 1], binding.TF_FLOAT, Float32Array.of(1.5)));
    const attrs = [intAttr(binding, 'strides', [1, 1, 1, 1]), stringAttr(binding, 'padding', 'VALID')];
    const { id } = multiplier(native, 'bf16')('Conv2D', attrs, [{ operand: one }, { operand: one }]);
    const [product] = binding.tensorDataSync(id) as Float32Array;
    if (product !== 2.25) throw new Error(`1.5 · 1.5 came out as ${product}`);
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] as string) : String(error);
    throw new PrecisionError('bf16', why, { cause: error });
  } finally {
    for (const id of made) binding.deleteTensor(id);
  }
}

function probe(binding: Binding, keep: (id: number) => number): Native {
  const unused = (): never => {
    throw new Error('not in a probe');
  };
  return {
    binding,
    id: unused,
    constant: unused,
    reshaped: unused,
    run: (op, attrs, inputs, outputs = 1) => {
      const results = binding.executeOp(op, attrs, inputs, outputs);
      for (const { id } of results) keep(id);
      return results;
    },
  };
}
