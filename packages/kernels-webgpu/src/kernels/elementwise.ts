import type * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend.js';
import { gpuKernel, type KernelTable } from '../registry.js';
import { dispatch, makeTensor, sizeOf, type Element, type Shader } from './program.js';

type Of<Names extends string> = Readonly<Record<Names, tf.TensorInfo>>;

interface SgdAttrs {
  readonly momentum: number;
  readonly weightDecay: number;
  readonly nesterov: boolean;
}

interface AdamAttrs {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly coupled: number;
  readonly decoupled: number;
}

/** GELU, axpy, selection and the updates of momentum SGD and Adam of @polder/ops, one dispatch each. */
export const elementwiseKernels: KernelTable = {
  PolderGelu: gpuKernel((backend: GpuBackend, { x }: Of<'x'>) => {
    const y = makeTensor(backend, x.shape);
    return overNumbers(backend, GELU, { x }, {}, [y])[0]!;
  }),
  PolderGeluGrad: gpuKernel((backend: GpuBackend, { x, dy }: Of<'x' | 'dy'>) => {
    const dx = makeTensor(backend, x.shape);
    return overNumbers(backend, GELU_GRAD, { x, dy }, {}, [dx])[0]!;
  }),
  PolderAxpy: gpuKernel((backend: GpuBackend, { scale, x, y }: Of<'scale' | 'x' | 'y'>) => {
    const result = makeTensor(backend, x.shape);
    return overNumbers(backend, AXPY, { x, y }, { scale }, [result])[0]!;
  }),
  PolderSelect: gpuKernel((backend: GpuBackend, { condition, t, e }: Of<'condition' | 't' | 'e'>) => {
    const result = makeTensor(backend, t.shape, t.dtype as 'float32');
    return overNumbers(backend, SELECT, { t, e }, { condition }, [result])[0]!;
  }),
  PolderSgd: gpuKernel(
    (backend: GpuBackend, inputs: Of<'weight' | 'gradient' | 'velocity' | 'rate'>, attrs: SgdAttrs) => {
      const { rate, ...numbers } = inputs;
      const outputs = [makeTensor(backend, numbers.weight.shape), makeTensor(backend, numbers.weight.shape)];
      const { weight, gradient, velocity } = numbers;
      const options = [attrs.momentum, attrs.weightDecay, attrs.nesterov ? 1 : 0];
      return overNumbers(backend, SGD, { weight, gradient, velocity }, { rate }, outputs, options);
    },
  ),
  PolderAdam: gpuKernel(
    (
      backend: GpuBackend,
      { rates, ...numbers }: Of<'weight' | 'gradient' | 'first' | 'second' | 'rates'>,
      { beta1, beta2, epsilon, coupled, decoupled }: AdamAttrs,
    ) => {
      const { weight, gradient, first, second } = numbers;
      const outputs = Array.from({ length: 3 }, () => makeTensor(backend, weight.shape));
      const options = [beta1, 1 - beta1, beta2, 1 - beta2, epsilon, coupled, decoupled];
      return overNumbers(backend, ADAM, { weight, gradient, first, second }, { rates }, outputs, options);
    },
  ),
};

/** A shader that does the same to every number: `code` makes number `i` of the outputs; T is its type, one or four. */
interface Pointwise {
  readonly key: string;
  /** Of the numbers: f32, or u32 for bits that only move. */
  readonly type: 'f32' | 'u32';
  /** Buffers with one number for all. */
  readonly scalars: Readonly<Record<string, Element>>;
  readonly outputs: readonly string[];
  readonly uniforms: Shader['uniforms'];
  readonly helpers?: string;
  readonly code: string;
}

const THREADS = 256;

function overNumbers(
  backend: GpuBackend,
  pointwise: Pointwise,
  numbers: Readonly<Record<string, tf.TensorInfo>>,
  scalars: Readonly<Record<string, tf.TensorInfo>>,
  outputs: tf.TensorInfo[],
  uniforms: readonly number[] = [],
): tf.TensorInfo[] {
  const size = sizeOf(outputs[0]!);
  if (size === 0) return outputs;
  const width = size % 4 === 0 ? 4 : 1;
  dispatch(backend, pointwiseShader(pointwise, Object.keys(numbers), width), {
    inputs: [...Object.values(numbers), ...Object.values(scalars)],
    outputs,
    uniforms: [size / width, ...uniforms],
    groups: Math.ceil(size / width / THREADS),
  });
  return outputs;
}

function pointwiseShader(pointwise: Pointwise, numbers: readonly string[], width: 1 | 4): Shader {
  const type: Element = width === 1 ? pointwise.type : `vec4<${pointwise.type}>`;
  const arrays = (names: readonly string[]): Record<string, Element> =>
    Object.fromEntries(names.map((name) => [name, type]));
  return {
    key: `${pointwise.key} ${width}`,
    inputs: { ...arrays(numbers), ...pointwise.scalars },
    outputs: arrays(pointwise.outputs),
    uniforms: { count: 'i32', ...pointwise.uniforms },
    threads: THREADS,
    code: `alias T = ${type};
${pointwise.helpers ?? ''}
fn main(group : i32, lane : i32) {
  let i = group * ${THREADS} + lane;
  if (i >= u.count) { return; }
  ${pointwise.code}
}`,
  };
}

// erfc(z) = t · exp(−z² + P(t)), t = 1 / (1 + z / 2), z ≥ 0: P fitted for this file, relative error 4e-8 up to z = 9. The
// relative error stays small far out, where 1 + erf would cancel.
const NORMAL = `
fn upperTail(z : T) -> T {
  let t = T(1.0) / (T(1.0) + 0.5 * z);
  var p = T(0.138559336);
  p = p * t - 0.645911328;
  p = p * t + 1.07399128;
  p = p * t - 0.585266875;
  p = p * t - 0.172871493;
  p = p * t + 0.0509365629;
  p = p * t + 0.0175261675;
  p = p * t + 0.390257164;
  p = p * t + 0.998205876;
  p = p * t - 1.26542665;
  return t * exp(p - z * z);
}
// Φ(x), the normal distribution function.
fn normalBelow(x : T) -> T {
  let tail = 0.5 * upperTail(abs(x) * 0.70710678);
  return select(tail, T(1.0) - tail, x > T(0.0));
}`;

const GELU: Pointwise = {
  key: 'gelu',
  type: 'f32',
  scalars: {},
  outputs: ['y'],
  uniforms: {},
  helpers: NORMAL,
  code: 'y[i] = x[i] * normalBelow(x[i]);',
};

const GELU_GRAD: Pointwise = {
  key: 'gelu gradient',
  type: 'f32',
  scalars: {},
  outputs: ['dx'],
  uniforms: {},
  helpers: NORMAL,
  code: `let v = x[i];
  dx[i] = dy[i] * (normalBelow(v) + v * 0.39894228 * exp(-0.5 * v * v));`,
};

const AXPY: Pointwise = {
  key: 'axpy',
  type: 'f32',
  scalars: { scale: 'f32' },
  outputs: ['result'],
  uniforms: {},
  code: 'result[i] = x[i] * scale[0] + y[i];',
};

// Bits, whatever they mean: a NaN in the branch not taken stays there.
const SELECT: Pointwise = {
  key: 'select',
  type: 'u32',
  scalars: { condition: 'i32' },
  outputs: ['result'],
  uniforms: {},
  code: 'result[i] = select(e[i], t[i], condition[0] != 0);',
};

const SGD: Pointwise = {
  key: 'sgd',
  type: 'f32',
  scalars: { rate: 'f32' },
  outputs: ['moved', 'kept'],
  uniforms: { momentum: 'f32', decay: 'f32', nesterov: 'i32' },
  code: `let slope = gradient[i] + weight[i] * u.decay;
  let next = velocity[i] * u.momentum + slope;
  let step = select(next, slope + next * u.momentum, u.nesterov != 0);
  kept[i] = next;
  moved[i] = weight[i] - step * rate[0];`,
};

const ADAM: Pointwise = {
  key: 'adam',
  type: 'f32',
  // η / (1 − β₁ᵗ), √(1 − β₂ᵗ) and η.
  scalars: { rates: 'f32' },
  outputs: ['moved', 'first_', 'second_'],
  uniforms: {
    beta1: 'f32',
    rest1: 'f32',
    beta2: 'f32',
    rest2: 'f32',
    epsilon: 'f32',
    coupled: 'f32',
    decoupled: 'f32',
  },
  code: `let slope = gradient[i] + weight[i] * u.coupled;
  let m = first[i] * u.beta1 + slope * u.rest1;
  let v = second[i] * u.beta2 + slope * slope * u.rest2;
  first_[i] = m;
  second_[i] = v;
  moved[i] = weight[i] - m * rates[0] / (sqrt(v) / rates[1] + u.epsilon) - weight[i] * (rates[2] * u.decoupled);`,
};
