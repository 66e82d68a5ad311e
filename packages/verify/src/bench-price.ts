import { hvp, withLinearOperator } from '@polder/diagnostics';
import * as tf from '@tensorflow/tfjs-core';
import { hessianNetworks, type Network } from './hessian-networks.js';
import { RUN } from './hessian-target.js';
import { median } from './median.js';

export interface CostBench {
  readonly network: string;
  readonly gradientMs: number;
  readonly hvpMs: number;
  /** Price of a single exact product in (stock) gradients. */
  readonly gradients: number;
  /** Price of each further one at the same weights: what an estimator of many products pays. */
  readonly gradientsFurther: number;
}

/** Names ending in `/kernel` and `/bias`, as the golden networks have them. */
const convnetShapes = {
  'conv1/kernel': [3, 3, 2, 4],
  'conv1/bias': [4],
  'conv2/kernel': [3, 3, 4, 6],
  'conv2/bias': [6],
  'dense/kernel': [6, 3],
  'dense/bias': [3],
};
const deepShapes = { a: [3, 3, 2, 8], b: [3, 3, 8, 8], c: [3, 3, 8, 8], head: [8, 3] };

/** Three equal convolutions: by counting them, a first product tends to 3 gradients in a deep network, a further one to 2. */
const deep: Network = (w, x) => {
  const layer = (input: tf.Tensor, name: string): tf.Tensor =>
    tf.relu(tf.conv2d(input as tf.Tensor4D, w[name] as tf.Tensor4D, 1, 'same'));
  const features = tf.mean(layer(layer(layer(x, 'a'), 'b'), 'c'), [1, 2]);
  return tf.matMul(features, w['head'] as tf.Tensor2D);
};

/** What an exact product costs in stock gradients, on the current backend. */
export const benchCosts = async (): Promise<CostBench[]> => [
  await benchCost('the golden convnet, batch 32 of 16 x 16', convnetShapes, hessianNetworks['convnet']!, 16),
  await benchCost('three convolutions of 8 maps, batch 32 of 8 x 8', deepShapes, deep, 8),
];

const ROUNDS = 13;
/** The first rounds compile. */
const WARM_UP = 4;

const benchCost = async (
  name: string,
  shapes: Readonly<Record<string, number[]>>,
  network: Network,
  pixels: number,
): Promise<CostBench> => {
  const wave = (shape: number[], scale: number): tf.Tensor => {
    const size = shape.reduce((a, b) => a * b, 1);
    return tf.tensor(
      Array.from({ length: size }, (_, i) => scale * Math.sin(1.7 * i * i + 0.3 * i)),
      shape,
    );
  };
  const names = Object.keys(shapes);
  const variables = names.map((key) => tf.variable(wave(shapes[key]!, 0.3), true, `benchDiagnostics/${pixels}/${key}`));
  const xs = wave([32, pixels, pixels, 2], 1);
  const ys = tf.oneHot(
    tf.tensor1d(
      Array.from({ length: 32 }, (_, i) => i % 3),
      'int32',
    ),
    3,
  );
  const settings = { constants: {}, batchNormEpsilon: 1e-3, layerNormEpsilon: 1e-3 };
  const loss = (): tf.Scalar => {
    const weights = Object.fromEntries(names.map((key, i) => [key, variables[i]!]));
    return tf.losses.softmaxCrossEntropy(ys, network(weights, xs, settings));
  };
  const v = names.map((key) => wave(shapes[key]!, 1));
  const flat = Float64Array.from((await Promise.all(v.map(async (t) => [...(await t.data())]))).flat());
  const gradients: number[] = [];
  const products: number[] = [];
  const further: number[] = [];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      let begin = clock();
      const { value, grads } = tf.variableGrads(loss, variables);
      await value.data();
      gradients.push(clock() - begin);
      tf.dispose([value, grads]);
      begin = clock();
      const product = await hvp({ loss, variables }, v, RUN);
      await product[0]!.data();
      products.push(clock() - begin);
      tf.dispose([...product]);
      await withLinearOperator({ loss, variables }, RUN, async ({ multiply }) => {
        await multiply(flat);
        begin = clock();
        await multiply(flat);
        further.push(clock() - begin);
      });
    }
  } finally {
    tf.dispose([...variables, xs, ys, ...v]);
  }
  const gradientMs = median(gradients.slice(WARM_UP));
  const hvpMs = median(products.slice(WARM_UP));
  const gradientsFurther = median(further.slice(WARM_UP)) / gradientMs;
  return { network: name, gradientMs, hvpMs, gradients: hvpMs / gradientMs, gradientsFurther };
};

/** Milliseconds: of processor time on cpu, which other programs do not lengthen; of the wall elsewhere. */
const clock = (): number => {
  if (tf.getBackend() !== 'cpu') return performance.now();
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
