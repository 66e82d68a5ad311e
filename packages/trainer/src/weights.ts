import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { NamedVariables } from './training-part.js';

/**
 * All weights of a model by names that do not depend on what else the process has made: tfjs's unique ones do. Where a
 * layer has several weights of one name (a model within a model), the later ones are numbered: `kernel`, `kernel#2`.
 */
export function weightsOf(model: LayersModel): NamedVariables {
  const weights = new Map<string, tf.Variable>();
  for (const layer of model.layers) {
    for (const weight of layer.weights) {
      // tfjs scopes a weight by its layer or not, as the layer was built by a call or by hand.
      const scope = `${layer.name}/`;
      const name = weight.originalName.startsWith(scope) ? weight.originalName : scope + weight.originalName;
      let unique = name;
      for (let nth = 2; weights.has(unique); nth += 1) unique = `${name}#${nth}`;
      weights.set(unique, weight.read() as tf.Variable);
    }
  }
  return weights;
}
