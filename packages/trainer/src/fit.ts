import * as tf from '@tensorflow/tfjs-core';
import { none, trainStep, type LearningRate, type Policy, type PolicyState, type TrainStep } from '@polder/core';
import { batches, slice } from '@polder/data';
import { createClock, type Clock } from './clock.js';
import { checkInteger, DivergedError, TrainOptionError } from './errors.js';
import { evaluateWith } from './evaluate-with.js';
import type { CheckpointOccasion, FitOptions, FitResult, Progress, TrainingCallback } from './fit-options.js';
import { checkSettings, settingsOf } from './fit-settings.js';
import { crossEntropyLoss, toTensors, trainableVariables, type TensorBatch } from './loss.js';
import { nonFiniteGuard } from './nonfinite-guard.js';
import { planTraining } from './plan.js';
import type { EvaluationRow, StepRow } from './rows.js';
import { samGap } from './sam-gap.js';
import { restoreSnapshot, takeSnapshot } from './snapshot.js';
import { createStopwatch } from './stopwatch.js';
import { summarise, timingRow, type Position } from './summary.js';
import { weightsOf } from './weights.js';
import { createWindow, type WindowMeans } from './window.js';
import { yieldToHost } from './yield-to-host.js';

/**
 * Trains a classifier and measures what came out. Rows and summary are functions of the options alone; time is reported
 * apart. The same seed gives the same batches under every policy. Broken off and resumed from a snapshot, a training
 * gives on the cpu and wasm backends the same bits as one that ran through.
 *
 * Throws `DivergedError` when too many steps are not finite (`nonFinite`), none of the last ones is, or an evaluation is
 * not; `SnapshotError` for a snapshot of another training, `TrainOptionError` and core's `OptionError` and
 * `IncompatibleError` for bad options, and what callbacks, parts and `checkpoint.save` throw; leaves no tensor behind.
 */
export async function fit<S extends PolicyState = PolicyState>(options: FitOptions<S>): Promise<FitResult> {
  const { model, train, test, batchSize, seed, augment = [], checkpoint, resumeFrom, signal } = options;
  const policyName = options.policy?.name ?? 'none';
  const parts = [nonFiniteGuard(policyName, options.nonFinite), ...(options.parts ?? [])];
  const plan = planTraining(options, train.length, batchSize);
  const logEvery = checkInteger('logEvery', options.logEvery ?? 10, 1);
  const evaluationDistance = checkInteger('evalEvery', options.evalEvery ?? 1, 1) * plan.stepsPerEpoch;
  const trainProbe = slice(train, 0, checkInteger('trainEvalExamples', options.trainEvalExamples ?? test.length, 1));
  const isCheckpointDue = createInterval(options.checkpoint);
  checkParts(parts.map(({ name }) => name));

  // What lives between two steps: this, the step's state, the window, the parts' states and the model's weights.
  const clock = createClock(plan, options.microBatches ?? 1, resumeFrom?.position);
  const watch = createStopwatch(resumeFrom?.elapsed);
  const history: EvaluationRow[] = [...(resumeFrom?.history ?? [])];
  let nextEvaluation = resumeFrom?.position.nextEvaluation ?? evaluationDistance;
  let stopped = resumeFrom?.position.stopped ?? null;
  let logged: WindowMeans | null = resumeFrom?.logged ?? null;

  const { step, learningRate, optimizer } = createStep(options, clock);
  const window = createWindow();
  const weights = weightsOf(model);
  const settings = settingsOf(options, plan, optimizer);

  const position = (): Position => ({
    step: clock.steps,
    epoch: clock.steps / plan.stepsPerEpoch,
    passes: clock.passes,
  });
  const isOver = (): boolean => clock.done() || stopped !== null;
  const report = (phase: Progress['phase']): void => {
    if (options.onProgress === undefined) return;
    const { seconds, imagesPerSecond } = watch.read();
    const fraction = Math.min(1, clock.now() / plan.total);
    const secondsLeft = (seconds * (1 - fraction)) / fraction;
    options.onProgress({ phase, ...position(), fraction, loss: logged?.loss ?? null, imagesPerSecond, secondsLeft });
  };
  const diverged = (): DivergedError =>
    new DivergedError({ policy: policyName, ...position(), skippedSteps: logged?.skippedSteps ?? 0 });
  /** Time in `action` does not count as training. */
  const aside = async <T>(action: () => T | Promise<T>): Promise<T> => {
    watch.pause();
    const result = await action();
    watch.resume();
    return result;
  };

  const log = async (): Promise<void> => {
    const means = await window.read(step.skipped);
    logged = means;
    const { loss, metrics, skippedSteps } = means;
    const rate = options.policy?.setsLearningRate === true ? {} : { learningRate: learningRate() };
    const row: StepRow = { ...metrics, ...position(), ...rate, loss, skippedSteps };
    options.onMetrics?.(row);
    for (const part of parts) await part.afterLog?.(row);
  };
  const callBack = async (call: (callback: TrainingCallback) => void | Promise<void>): Promise<void> => {
    if (options.callbacks === undefined) return;
    await aside(async () => {
      for (const callback of options.callbacks ?? []) await call(callback);
    });
  };
  const endEpoch = (): Promise<void> =>
    aside(async () => {
      for (const part of parts) {
        const measures = await part.afterEpoch?.(position());
        if (measures) options.onMetrics?.({ ...measures, ...position() });
      }
    });
  const measure = (): Promise<void> =>
    aside(async () => {
      report('evaluate');
      const evalOptions = { batchSize: options.evalBatchSize ?? 256, ...(signal && { signal }) };
      const measured = await evaluateWith(model, weights, parts, { test, train: trainProbe }, evalOptions);
      if (!Number.isFinite(measured.testLoss) || !Number.isFinite(measured.trainLoss)) throw diverged();
      const row: EvaluationRow = { ...position(), ...measured };
      history.push(row);
      options.onMetrics?.(row);
      options.onTiming?.(timingRow(position(), watch));
      for (const part of parts) {
        const answer = await part.afterEvaluation?.(row);
        stopped ??= answer?.stop ?? null;
      }
    });
  const measureIfDue = async (): Promise<void> => {
    if (clock.now() < nextEvaluation) return;
    if (!isOver()) await measure();
    while (clock.now() >= nextEvaluation) nextEvaluation += evaluationDistance;
  };
  const save = (occasion: CheckpointOccasion): Promise<void> =>
    aside(async () => {
      const at = { ...clock.state(), nextEvaluation, stopped };
      const host = { settings, position: at, logged, history: [...history], elapsed: watch.elapsed() };
      await checkpoint?.save(await takeSnapshot({ weights, step, window, parts }, host), occasion);
    });

  const takeStep = (tensors: TensorBatch): void => {
    const result = step(tensors);
    clock.tick(result.passes);
    for (const part of parts) part.afterStep?.({ ...position(), finite: result.finite });
    window.add(result);
  };
  const trainEpoch = async (epoch: number): Promise<void> => {
    const start = clock.steps % plan.stepsPerEpoch;
    const mix = options.mix?.(epoch);
    const { dropLast, stepsPerEpoch } = plan;
    const order = { batchSize, seed, epoch, augment, dropLast, start, ...(mix && { mix }) };
    for (const batch of batches(train, order)) {
      signal?.throwIfAborted();
      const tensors = toTensors(batch, train);
      try {
        takeStep(tensors);
      } finally {
        tf.dispose(Object.values(tensors));
      }
      watch.count(batch.size);
      if (clock.steps % logEvery === 0 || clock.now() >= nextEvaluation || clock.done()) await log();
      report('train');
      await yieldToHost();
      await callBack((callback) => callback.onBatchEnd?.(batch.index));
      if (batch.index === stepsPerEpoch - 1 || clock.done()) {
        await callBack((callback) => callback.onEpochEnd?.(epoch));
        await endEpoch();
      }
      await measureIfDue();
      if (isOver()) return;
      if (isCheckpointDue(clock.steps)) await save('interval');
    }
  };

  try {
    for (const part of parts) part.start?.(weights);
    if (resumeFrom !== undefined) {
      if (options.acceptChanges !== true) checkSettings(resumeFrom.settings, settings);
      restoreSnapshot({ weights, step, window, parts }, resumeFrom);
    }
    // What was broken off at the end of an epoch comes first, then an evaluation that was.
    if (clock.steps > 0 && (clock.steps % plan.stepsPerEpoch === 0 || clock.done())) await endEpoch();
    await measureIfDue();
    while (!isOver()) await trainEpoch(Math.floor(clock.steps / plan.stepsPerEpoch));
    // Ended before the guard had counted enough: nothing was trained at the end.
    if (logged?.loss === null) throw diverged();
    if (history.at(-1)?.step !== clock.steps) await measure();
    await save('end');
    watch.pause();
    const { gap } = await samGap(model, train, { ...options.samGap, ...(signal && { signal }) });
    return {
      summary: summarise(history, gap, position(), logged?.skippedSteps ?? 0, clock.done() ? null : stopped),
      timing: timingRow(position(), watch),
    };
  } catch (error) {
    // The signal is heeded only where everything between two steps is whole.
    if (signal?.aborted === true && error === signal.reason && clock.steps > 0) await save('interrupt');
    throw error;
  } finally {
    window.dispose();
    step.dispose();
    for (const part of parts) part.dispose?.();
    for (const callback of options.callbacks ?? []) await callback.onTrainEnd?.();
  }
}

function createStep<S extends PolicyState>(
  options: FitOptions<S>,
  clock: Clock,
): {
  readonly step: TrainStep<TensorBatch>;
  readonly learningRate: () => number;
  readonly optimizer: ReturnType<FitOptions['optimizer']>;
} {
  const { model, learningRate, labelSmoothing = 0 } = options;
  let current = typeof learningRate === 'number' ? learningRate : learningRate(0);
  const scheduled: LearningRate =
    typeof learningRate === 'number' ? learningRate : () => (current = learningRate(clock.now()));
  const optimizer = options.optimizer(scheduled);
  const step = trainStep<TensorBatch, S>({
    loss: crossEntropyLoss(model, labelSmoothing),
    variables: trainableVariables(model),
    policy: options.policy ?? (none() as unknown as Policy<S>),
    optimizer,
    ...(options.weightDecayInLoss !== undefined && { weightDecayInLoss: options.weightDecayInLoss }),
    ...(options.clipNorm !== undefined && { clipNorm: options.clipNorm }),
    ...(options.microBatches !== undefined && { microBatches: options.microBatches }),
    ...(options.perturbation !== undefined && { perturbation: options.perturbation }),
  });
  return { step, learningRate: () => current, optimizer };
}

/** Says after a step whether it is time for a checkpoint. */
function createInterval({ everySteps, everySeconds }: Partial<NonNullable<FitOptions['checkpoint']>> = {}): (
  step: number,
) => boolean {
  if (everySteps !== undefined) checkInteger('checkpoint.everySteps', everySteps, 1);
  if (everySeconds !== undefined && !(everySeconds > 0))
    throw new TrainOptionError('checkpoint.everySeconds', 'a number above 0', everySeconds);
  // The monotonic clock: setting the time of day neither delays a checkpoint nor hastens it.
  let last = performance.now();
  return (step) => {
    const now = performance.now();
    const isTime = everySeconds !== undefined && now - last >= everySeconds * 1000;
    if (!isTime && !(everySteps !== undefined && step % everySteps === 0)) return false;
    last = now;
    return true;
  };
}

function checkParts(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new TrainOptionError('parts', 'a name of its own for each', `"${twice}" twice`);
}
