import * as tf from '@tensorflow/tfjs-core';
import { gradientNoise, localLipschitz, type GradientNoise } from './gradient-noise.js';
import { curvatureReport, type CurvatureReport, type ReportOptions } from './report.js';
import { problemOf } from './resolve.js';
import type { LossTarget, ParamVector } from './target.js';

export interface FollowOptions extends Omit<ReportOptions, 'start' | 'keepVector'> {
  /** Start from the last eigenvector: 2 to 4 steps instead of 10 or more, and no density. Default true. */
  readonly warmStart?: boolean;
  /** Variance of minibatch gradients too (the target's data must hold two batches or more). Default false. */
  readonly gradientNoise?: boolean;
  /** The gradient's local Lipschitz constant since the last measurement too. Default false. */
  readonly lipschitz?: boolean;
}

export interface CallbackOptions extends FollowOptions {
  /** Measure at the end of every n-th epoch. Default 1; 0 for never. */
  readonly everyEpochs?: number;
  /** Measure every n-th step. Default 0: never. */
  readonly everySteps?: number;
  readonly log: (measured: Measured) => void;
}

/** What a measurement leaves for the next one of the same training. Its holder disposes of the tensors. */
export interface CurvatureMemory {
  /** The top eigenvector, for a warm start. */
  readonly top?: ParamVector;
  /** The weights, for the Lipschitz constant. */
  readonly weights?: ParamVector;
}

/** One measurement along a training. */
export interface Followed {
  readonly report: CurvatureReport;
  readonly gradientNoise?: GradientNoise;
  /** null at the first measurement. */
  readonly lipschitz?: number | null;
}

export interface Measured extends Followed {
  readonly epoch: number;
  /** Steps since the training began. */
  readonly step: number;
}

/**
 * Measures once along a training: a function of the target, its weights, the options and what the measurement before
 * left, which stays the caller's. Leaves no tensor behind when it throws.
 *
 * @throws as curvatureReport, gradientNoise and localLipschitz
 */
export const followCurvature = async (
  target: LossTarget,
  options: FollowOptions,
  before: CurvatureMemory = {},
): Promise<Followed & { readonly memory: CurvatureMemory }> => {
  const { warmStart = true } = options;
  const { topVector, ...report } = await curvatureReport(target, {
    ...options,
    keepVector: warmStart,
    ...(before.top === undefined ? {} : { start: before.top }),
  });
  try {
    const noise = options.gradientNoise === true ? await gradientNoise(target, options) : undefined;
    const lipschitz =
      options.lipschitz !== true
        ? undefined
        : before.weights === undefined
          ? null
          : await localLipschitz(target, before.weights, options);
    const weights = options.lipschitz === true ? problemOf(target).params.map((w) => tf.keep(tf.clone(w))) : undefined;
    return {
      report,
      ...(noise === undefined ? {} : { gradientNoise: noise }),
      ...(lipschitz === undefined ? {} : { lipschitz }),
      memory: { ...(topVector && { top: topVector }), ...(weights && { weights }) },
    };
  } catch (error) {
    tf.dispose([...(topVector ?? [])]);
    throw error;
  }
};

/** What `model.fit({ callbacks })` calls; another training loop may call the same three. */
export interface CurvatureCallback {
  readonly onBatchEnd: (batch: number) => Promise<void>;
  readonly onEpochEnd: (epoch: number) => Promise<void>;
  readonly onTrainEnd: () => Promise<void>;
}

/**
 * Follows the curvature along a training. Measures on the target's own data: a fixed batch or a few, not the training
 * stream. Frees what it keeps at the end of the training.
 */
export const curvatureCallback = (target: LossTarget, options: CallbackOptions): CurvatureCallback => {
  const { everyEpochs = 1, everySteps = 0, log } = options;
  let memory: CurvatureMemory = {};
  let step = 0;
  let epoch = 0;
  const free = (): void => {
    tf.dispose([...(memory.top ?? []), ...(memory.weights ?? [])]);
    memory = {};
  };
  const measure = async (): Promise<void> => {
    const { memory: next, ...followed } = await followCurvature(target, options, memory);
    free();
    memory = next;
    log({ epoch, step, ...followed });
  };
  const guarded = async (): Promise<void> => {
    try {
      await measure();
    } catch (error) {
      free();
      throw error;
    }
  };
  return {
    onBatchEnd: async () => {
      step++;
      if (everySteps > 0 && step % everySteps === 0) await guarded();
    },
    onEpochEnd: async (index) => {
      epoch = index + 1;
      if (everyEpochs > 0 && epoch % everyEpochs === 0) await guarded();
    },
    onTrainEnd: async () => free(),
  };
};
