import type * as tf from '@tensorflow/tfjs-core';
import { boolAttr, floatAttr, intAttr, nativeKernel } from './native.js';

interface Attrs {
  readonly epsilon: number;
  readonly relu: boolean;
  readonly residual: boolean;
}

type ForwardInputs = Readonly<Record<'x' | 'gamma' | 'beta', tf.TensorInfo>> & { readonly residual?: tf.TensorInfo };
type BackwardInputs = Readonly<Record<'x' | 'gamma' | 'y' | 'mean' | 'variance' | 'dy', tf.TensorInfo>>;

/** Training batch norm of @polder/ops and its gradient as our own ops, one each; empty tensors go to `others`. */
export function ownBatchNormKernels(
  others: Readonly<Record<string, tf.KernelFunc>>,
): Readonly<Record<string, tf.KernelFunc>> {
  const unlessEmpty =
    (name: string, own: tf.KernelFunc): tf.KernelFunc =>
    (args) =>
      ((args.inputs['x'] as tf.TensorInfo).shape.includes(0) ? (others[name] as tf.KernelFunc) : own)(args);

  return {
    PolderBatchNorm: unlessEmpty(
      'PolderBatchNorm',
      nativeKernel(({ binding, id, run }, { x, gamma, beta, residual }: ForwardInputs, { epsilon, relu }: Attrs) =>
        run(
          'PolderBatchNorm',
          [
            intAttr(binding, 'residuals', residual === undefined ? 0 : 1),
            floatAttr(binding, 'epsilon', epsilon),
            boolAttr(binding, 'relu', relu),
          ],
          [x, gamma, beta, ...(residual === undefined ? [] : [residual])].map(id),
          3,
        ),
      ),
    ),
    PolderBatchNormGrad: unlessEmpty(
      'PolderBatchNormGrad',
      nativeKernel(
        (
          { binding, id, run },
          { x, gamma, y, mean, variance, dy }: BackwardInputs,
          { epsilon, relu, residual }: Attrs,
        ) => {
          const slopes = relu && residual ? 1 : 0;
          return run(
            'PolderBatchNormGrad',
            [
              intAttr(binding, 'slopes', slopes),
              floatAttr(binding, 'epsilon', epsilon),
              boolAttr(binding, 'relu', relu),
            ],
            // Without the ReLU nothing is read of y.
            [x, gamma, relu ? y : mean, mean, variance, dy].map(id),
            3 + slopes,
          );
        },
      ),
    ),
  };
}
