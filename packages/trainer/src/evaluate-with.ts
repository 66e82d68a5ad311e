import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { Dataset } from '@polder/data';
import { evaluate, type EvaluateOptions } from './evaluate.js';
import type { EvaluationRow } from './rows.js';
import type { NamedVariables, TrainingPart } from './training-part.js';

/** What an evaluation says apart from when it was. */
export type Measured = Omit<EvaluationRow, 'step' | 'epoch' | 'passes'>;

/** Evaluates the model on test and training examples, and on the test examples also with the weights that parts keep. */
export async function evaluateWith(
  model: LayersModel,
  weights: NamedVariables,
  parts: readonly TrainingPart[],
  data: { readonly test: Dataset; readonly train: Dataset },
  options: EvaluateOptions,
): Promise<Measured> {
  const onTest = await evaluate(model, data.test, options);
  const onTrain = await evaluate(model, data.train, options);
  const others: Record<`${string}Test${'Loss' | 'Top1' | 'Top5'}`, number> = {};
  for (const part of parts) {
    const own = part.evaluationWeights?.();
    if (own === undefined) continue;
    const { loss, top1, top5 } = await withWeights(weights, own, () => evaluate(model, data.test, options));
    Object.assign(others, {
      [`${part.name}TestLoss`]: loss,
      [`${part.name}TestTop1`]: top1,
      [`${part.name}TestTop5`]: top5,
    });
  }
  return {
    testLoss: onTest.loss,
    testTop1: onTest.top1,
    testTop5: onTest.top5,
    trainLoss: onTrain.loss,
    trainTop1: onTrain.top1,
    trainTop5: onTrain.top5,
    generalisationGap: onTrain.top1 - onTest.top1,
    lossGap: onTest.loss - onTrain.loss,
    ...others,
  };
}

/** Runs `action` with other weights in the model; the model's own are back, bit for bit, when it returns or throws. */
async function withWeights<T>(
  weights: NamedVariables,
  others: Readonly<Record<string, tf.Tensor>>,
  action: () => Promise<T>,
): Promise<T> {
  // Reshape counts a reference on the data instead of copying it, and an assignment does not reach it.
  const originals = Array.from(
    weights.values(),
    (variable) => [variable, tf.reshape(variable, variable.shape)] as const,
  );
  try {
    for (const [name, variable] of weights) {
      const other = others[name];
      if (other !== undefined) variable.assign(other);
    }
    return await action();
  } finally {
    for (const [variable, original] of originals) {
      variable.assign(original);
      original.dispose();
    }
  }
}
