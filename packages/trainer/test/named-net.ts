import * as tf from '@tensorflow/tfjs';

/** A small network with batch norm, whose moving statistics live between steps too, and with names of its own. */
export function namedNet(seed = 1): tf.LayersModel {
  const init = (n: number): ReturnType<typeof tf.initializers.glorotNormal> =>
    tf.initializers.glorotNormal({ seed: seed * 10 + n });
  return tf.sequential({
    layers: [
      tf.layers.flatten({ inputShape: [4, 4, 1], name: 'flat' }),
      tf.layers.dense({ units: 10, kernelInitializer: init(1), name: 'in' }),
      tf.layers.batchNormalization({ name: 'bn' }),
      tf.layers.reLU({ name: 'relu' }),
      tf.layers.dense({ units: 8, kernelInitializer: init(2), name: 'out' }),
    ],
  });
}
