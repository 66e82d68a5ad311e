import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { Batch, Dataset } from '@polder/data';
import { softmaxCrossEntropy } from '@polder/ops';

/** A minibatch on the device: `images` [n, height, width, channels], `labels` int32 [n] or float32 [n, classes]. */
export type TensorBatch = Readonly<{ images: tf.Tensor4D; labels: tf.Tensor1D | tf.Tensor2D }>;

/** Uploads a batch. The caller disposes of the tensors. */
export function toTensors({ images, labels, softLabels, size }: Batch, dataset: Dataset): TensorBatch {
  const [height, width, channels] = dataset.shape;
  return {
    images: tf.tensor4d(images, [size, height, width, channels]),
    labels:
      softLabels === undefined ? tf.tensor1d(labels, 'int32') : tf.tensor2d(softLabels, [size, dataset.classes.length]),
  };
}

/** The logits of a batch, [n, classes]. */
export function logitsOf(model: LayersModel, images: tf.Tensor4D, training: boolean): tf.Tensor2D {
  return model.apply(images, { training }) as tf.Tensor2D;
}

/**
 * The training loss of a model that gives logits: softmax cross-entropy, one per example. What the model's layers ask for
 * as regularizers (`kernelRegularizer` and the like) is added to each, so that the mean holds it once, as in `model.fit`.
 */
export function crossEntropyLoss(model: LayersModel, labelSmoothing: number): (batch: TensorBatch) => tf.Tensor1D {
  const regularized = tf.tidy(() => penaltiesOf(model).length > 0);
  return ({ images, labels }) => {
    const losses = softmaxCrossEntropy(logitsOf(model, images, true), labels, { labelSmoothing });
    return regularized ? penaltiesOf(model).reduce((sum, penalty) => tf.add(sum, penalty), losses) : losses;
  };
}

/** Not `model.calculateLosses`: a sequential model's is always empty (its layers belong to another model inside). */
function penaltiesOf({ layers }: Pick<LayersModel, 'layers'>): readonly tf.Scalar[] {
  return layers.flatMap((layer) =>
    'layers' in layer ? penaltiesOf(layer as unknown as LayersModel) : layer.calculateLosses(),
  );
}

/** The trainable variables of a model, in its order. */
export function trainableVariables(model: LayersModel): tf.Variable[] {
  // A LayerVariable reads as the variable itself.
  return model.trainableWeights.map((weight) => weight.read() as tf.Variable);
}
