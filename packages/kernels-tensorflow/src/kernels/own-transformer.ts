import * as tf from '@tensorflow/tfjs-core';
import { BACKEND } from '../backend.js';
import { floatAttr, intAttr, nativeKernel, only } from './native.js';

type LayerNormInputs = Readonly<Record<'x' | 'gamma' | 'beta', tf.TensorInfo>>;
type LayerNormGradInputs = Readonly<Record<'x' | 'gamma' | 'mean' | 'rstd' | 'dy', tf.TensorInfo>>;

interface MaskAttrs {
  readonly rows: number;
  readonly columns: number;
  readonly threshold: number;
  readonly key: readonly number[];
}

/** GELU, layer norm and dropout's masks of @polder packages, and the gradient of softmax, as our own ops. */
export const ownTransformerKernels: Readonly<Record<string, tf.KernelFunc>> = {
  PolderGelu: nativeKernel(({ id, run }, { x }: Readonly<Record<'x', tf.TensorInfo>>) =>
    only(run('PolderGelu', [], [id(x)])),
  ),
  PolderGeluGrad: nativeKernel(({ id, run }, { x, dy }: Readonly<Record<'x' | 'dy', tf.TensorInfo>>) =>
    only(run('PolderGeluGrad', [], [id(x), id(dy)])),
  ),
  PolderSoftmaxGrad: nativeKernel(({ id, run }, { y, dy }: Readonly<Record<'y' | 'dy', tf.TensorInfo>>) =>
    only(run('PolderSoftmaxGrad', [], [id(y), id(dy)])),
  ),
  PolderLayerNorm: nativeKernel(
    ({ binding, id, run }, { x, gamma, beta }: LayerNormInputs, { epsilon }: { readonly epsilon: number }) =>
      run('PolderLayerNorm', [floatAttr(binding, 'epsilon', epsilon)], [x, gamma, beta].map(id), 3),
  ),
  PolderLayerNormGrad: nativeKernel(({ id, run }, { x, gamma, mean, rstd, dy }: LayerNormGradInputs) =>
    run('PolderLayerNormGrad', [], [x, gamma, mean, rstd, dy].map(id), 3),
  ),
  PolderKeepMask: nativeKernel(
    (
      { binding, id, run },
      { counter }: Readonly<Record<'counter', tf.TensorInfo>>,
      { rows, columns, threshold, key }: MaskAttrs,
    ) =>
      only(
        run(
          'PolderKeepMask',
          [
            intAttr(binding, 'rows', rows),
            intAttr(binding, 'columns', columns),
            floatAttr(binding, 'threshold', threshold),
            intAttr(binding, 'key', key),
          ],
          [id(counter)],
        ),
      ),
  ),
};

/** (dy − ⟨dy, y⟩) · y, three ops in tfjs, is one here; every other backend keeps tfjs's gradient. */
export function registerSoftmaxGradient(): void {
  const stock = tf.getGradient('Softmax');
  const { gradFunc, ...rest } = stock;
  if (gradFunc === undefined) return;
  const composed = (y: tf.Tensor, dy: tf.Tensor): tf.Tensor =>
    tf.tidy(() => tf.mul(tf.sub(dy, tf.sum(tf.mul(dy, y), -1, true)), y));
  tf.unregisterGradient('Softmax');
  tf.registerGradient({
    ...rest,
    gradFunc: (dy, saved, attrs) => {
      const [y] = saved as [tf.Tensor];
      const { dim } = attrs as unknown as { readonly dim: number };
      return tf.getBackend() !== BACKEND || dim !== y.rank - 1
        ? gradFunc(dy, saved, attrs)
        : { logits: () => tf.engine().runKernel('PolderSoftmaxGrad', { y, dy: dy as tf.Tensor }) };
    },
  });
  // Its own gradient, for second derivatives: that of the composition.
  tf.registerGradient({
    kernelName: 'PolderSoftmaxGrad',
    inputsToSave: ['y', 'dy'],
    gradFunc: (ddx, [y, dy]) => {
      const parts = tf.grads((a: tf.Tensor, b: tf.Tensor) => composed(a, b));
      const of = (i: 0 | 1): tf.Tensor => parts([y!, dy!], ddx as tf.Tensor)[i] as tf.Tensor;
      return { y: () => of(0), dy: () => of(1) };
    },
  });
}
