import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';

/**
 * Writes a small network as a model.json, for `--model`: a convolution, batch norm (whose moving statistics are state
 * too) and a dense layer, seeded. A step of it takes milliseconds, on the cpu backend too.
 */
export async function writeNet(folder) {
  await tf.setBackend('cpu');
  const init = (seed) => tf.initializers.glorotNormal({ seed });
  const model = tf.sequential({
    layers: [
      tf.layers.conv2d({
        inputShape: [32, 32, 3],
        filters: 4,
        kernelSize: 3,
        strides: 4,
        padding: 'same',
        useBias: false,
        kernelInitializer: init(1),
        name: 'conv',
      }),
      tf.layers.batchNormalization({ name: 'bn' }),
      tf.layers.reLU({ name: 'relu' }),
      tf.layers.flatten({ name: 'flat' }),
      tf.layers.dense({ units: 10, kernelInitializer: init(2), name: 'out' }),
    ],
  });
  mkdirSync(folder, { recursive: true });
  await model.save({
    async save({ modelTopology, weightSpecs, weightData }) {
      writeFileSync(join(folder, 'weights.bin'), Buffer.from(weightData));
      const weightsManifest = [{ paths: ['weights.bin'], weights: weightSpecs }];
      const format = 'layers-model';
      writeFileSync(join(folder, 'model.json'), JSON.stringify({ format, modelTopology, weightsManifest }));
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    },
  });
  model.dispose();
  return join(folder, 'model.json');
}
