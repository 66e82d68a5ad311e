import type { TrainingPlan } from './plan.js';

/** Where the counting stands: all of it, so that a clock that starts from it goes on as this one does. */
export interface ClockState {
  /** Steps taken. */
  readonly step: number;
  /** Passes over a whole batch. */
  readonly passes: number;
  /** Passes of the dearest step so far. */
  readonly dearest: number;
}

/** Counts steps and passes, and says when the run is over. */
export interface Clock {
  readonly steps: number;
  readonly passes: number;
  /** In the plan's unit. */
  now(): number;
  /** A step was taken, with so many passes over a micro-batch. */
  tick(passes: number): void;
  done(): boolean;
  state(): ClockState;
}

export function createClock(
  plan: TrainingPlan,
  microBatches: number,
  from: ClockState = { step: 0, passes: 0, dearest: 1 },
): Clock {
  let { step: steps, passes, dearest } = from;
  return {
    get steps() {
      return steps;
    },
    get passes() {
      return passes;
    },
    now: () => (plan.unit === 'steps' ? steps : passes),
    tick(spent) {
      steps += 1;
      passes += spent / microBatches;
      dearest = Math.max(dearest, spent / microBatches);
    },
    // The next step may cost what the dearest did; the first one is taken in any case.
    done: () => (plan.unit === 'steps' ? steps >= plan.total : steps > 0 && passes + dearest > plan.total),
    state: () => ({ step: steps, passes, dearest }),
  };
}
