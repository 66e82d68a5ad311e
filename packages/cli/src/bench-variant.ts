import * as tf from '@tensorflow/tfjs';
import { sgd, trainStep } from '@polder/core';
import { batches, shapes } from '@polder/data';
import { createModel, describeModel, vit } from '@polder/models';
import { crossEntropyLoss, toTensors, trainableVariables } from '@polder/trainer';
import { choosePolicy } from './policies.js';

/** A network on the device with one batch of images, and the training steps that are timed on it. */
export interface Workload {
  readonly parameters: number;
  /** A training step under a policy; its weights are those of the other steps, its slots its own. */
  variant(policy: string): Variant;
  dispose(): void;
}

/** A training step that can be timed. */
export interface Variant {
  readonly policy: string;
  /** Takes one step and waits until its loss has been read. */
  step(): Promise<TimedStep>;
  /** `captured`, or `eager: ` and why. */
  capture(): string;
  /** Steps until the step is captured, or known to stay eager, and kernels and plans are compiled. */
  warmUp(): Promise<void>;
  dispose(): void;
}

interface TimedStep {
  readonly ms: number;
  /** Gradient passes. */
  readonly passes: number;
}

// SA-SAM's first step is a shorter one, and V8 compiles a kernel well only when it has run some time.
const fewestWarmUps = 3;
// A step is captured at its fourth; one that will not be is known at its fifth.
const mostWarmUps = 8;

/** Small enough that a hundred steps on one batch overflow under no policy; the time does not depend on it. */
const learningRate = 0.01;

/**
 * Makes a network and one batch of the offline set on the current backend. All steps share the network: whatever is
 * registered in the engine is an input of a captured step, so that five networks would slow down each other.
 */
export function openWorkload(modelId: string, batchSize: number): Workload {
  const { train } = shapes({ train: batchSize, test: 1, seed: 0 });
  const options = { seed: 0, classes: train.classes.length, inputShape: [...train.shape] };
  // The ViT of the peers' benchmark: 4×4 patches, 64 tokens, no class token.
  const model =
    modelId === 'vit'
      ? vit({ ...options, width: 192, depth: 6, heads: 3, pool: 'mean' })
      : createModel(modelId, options);
  const [first] = batches(train, { batchSize, seed: 0, epoch: 0 });
  const batch = toTensors(first!, train);
  const variables = trainableVariables(model);
  const loss = crossEntropyLoss(model, 0);

  const variant = (id: string): Variant => {
    const { policy } = choosePolicy({ policy: id });
    const step = trainStep({
      loss,
      variables,
      policy,
      optimizer: sgd({ learningRate, momentum: 0.9, weightDecay: 5e-4 }),
    });
    const takeStep = async (): Promise<TimedStep> => {
      const start = performance.now();
      const { loss: value, finite, metrics, passes } = step(batch);
      await value.data();
      const ms = performance.now() - start;
      tf.dispose([value, finite, metrics]);
      return { ms, passes };
    };
    return {
      policy: policy.name,
      step: takeStep,
      capture: () => (step.execution.mode === 'replay' ? 'captured' : `eager: ${step.execution.reason}`),
      async warmUp() {
        for (let i = 0; i < mostWarmUps; i += 1) {
          await takeStep();
          if (i + 1 >= fewestWarmUps && step.execution.mode !== 'warm-up') return;
        }
      },
      dispose: () => step.dispose(),
    };
  };

  return {
    parameters: variables.reduce((sum, { size }) => sum + size, 0),
    variant,
    dispose() {
      tf.dispose(Object.values(batch));
      model.dispose();
    },
  };
}

/** Throws for a network that {@link openWorkload} does not know. */
export function checkWorkload(modelId: string): void {
  if (modelId !== 'vit') describeModel(modelId);
}
