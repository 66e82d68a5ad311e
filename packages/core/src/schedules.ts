import * as tf from '@tensorflow/tfjs-core';
import { checkInteger, checkNumber, OptionError } from './errors.js';

/** A learning rate as a function of the 0-based step. */
export type Schedule = (step: number) => number;

/** A fixed number, a 0-D tensor that the caller owns and may be a `tf.Variable`, or a schedule. */
export type LearningRate = number | tf.Scalar | Schedule;

/** The same value at every step. */
export function constant(value: number): Schedule {
  checkNumber('constant(value)', value, 0);
  return () => value;
}

/** Options of {@link stepDecay}. */
export interface StepDecayOptions {
  /** The value before the first milestone. */
  readonly initial: number;
  /** The steps at which the value is multiplied by `factor`, ascending. */
  readonly milestones: readonly number[];
  /** The multiplier at each milestone; default 0.1. */
  readonly factor?: number;
}

/** Multiplies the value by `factor` at each milestone (He et al. 2016, §4.2). */
export function stepDecay({ initial, milestones, factor = 0.1 }: StepDecayOptions): Schedule {
  checkNumber('stepDecay.initial', initial, 0);
  checkNumber('stepDecay.factor', factor, 0);
  milestones.forEach((m) => checkInteger('stepDecay.milestones', m, 0));
  return (step) => initial * factor ** milestones.filter((m) => step >= m).length;
}

/** Before another schedule, a linear warm-up over its first steps: `(step + 1) / warmupSteps` of its values. */
export function withWarmup(schedule: Schedule, warmupSteps: number): Schedule {
  checkInteger('withWarmup.warmupSteps', warmupSteps, 0);
  return (step) => (step < warmupSteps ? (schedule(step) * (step + 1)) / warmupSteps : schedule(step));
}

/** Options of {@link cosine}. */
export interface CosineOptions {
  /** The highest value, reached at the end of the warm-up. */
  readonly initial: number;
  /** The total number of steps, warm-up included; the value stays at `minimum` after them. */
  readonly steps: number;
  /** Steps of linear warm-up from `initial / warmupSteps`; default 0. */
  readonly warmupSteps?: number;
  /** The value at the end; default 0. */
  readonly minimum?: number;
}

/** Linear warm-up, then half a cosine from `initial` to `minimum` (Loshchilov & Hutter 2017, eq. 5, without restarts). */
export function cosine({ initial, steps, warmupSteps = 0, minimum = 0 }: CosineOptions): Schedule {
  checkNumber('cosine.initial', initial, 0);
  checkNumber('cosine.minimum', minimum, 0);
  checkInteger('cosine.steps', steps, 1);
  checkInteger('cosine.warmupSteps', warmupSteps, 0);
  if (warmupSteps > steps) throw new OptionError('cosine.warmupSteps', `at most steps (${steps})`, warmupSteps);
  return (step) => {
    if (step < warmupSteps) return (initial * (step + 1)) / warmupSteps;
    const progress = Math.min(1, (step - warmupSteps) / Math.max(1, steps - warmupSteps));
    return minimum + 0.5 * (initial - minimum) * (1 + Math.cos(Math.PI * progress));
  };
}

/** The learning rate at `step` as a 0-D float tensor; the caller's tidy owns it. */
export function learningRateAt(learningRate: LearningRate, step: number): tf.Scalar {
  if (typeof learningRate === 'number') return tf.scalar(learningRate);
  if (typeof learningRate === 'function') return tf.scalar(checkNumber(`learningRate(${step})`, learningRate(step), 0));
  return tf.reshape(learningRate, []);
}

/** Throws `OptionError` for a negative or non-finite number; tensors and schedules are checked when used. */
export function checkLearningRate(option: string, learningRate: LearningRate): LearningRate {
  return typeof learningRate === 'number' ? checkNumber(option, learningRate, 0) : learningRate;
}

/** A learning rate as plain data for logs: the number, or what it is instead. */
export function describeLearningRate(learningRate: LearningRate): number | 'schedule' | 'tensor' {
  if (typeof learningRate === 'number') return learningRate;
  return typeof learningRate === 'function' ? 'schedule' : 'tensor';
}
