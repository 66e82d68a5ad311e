import { expectClose } from '@polder/testkit';
import { describe, expect, it } from 'vitest';
import { constant, cosine, OptionError, stepDecay, withWarmup } from '../src/index.js';

describe('schedules', () => {
  it('constant stays', () => {
    expect([0, 10, 1e6].map(constant(0.1))).toEqual([0.1, 0.1, 0.1]);
  });

  it('stepDecay multiplies at each milestone, from that step on', () => {
    const rate = stepDecay({ initial: 1, milestones: [10, 20], factor: 0.1 });
    expectClose([0, 9, 10, 19, 20, 100].map(rate), [1, 1, 0.1, 0.1, 0.01, 0.01], 1e-12);
  });

  it('cosine warms up in a line, starts the descent at the top and stays at the minimum after it', () => {
    const rate = cosine({ initial: 1, steps: 104, warmupSteps: 4, minimum: 0.1 });
    expectClose([0, 1, 2, 3].map(rate), [0.25, 0.5, 0.75, 1], 1e-12);
    expectClose([4, 54, 104, 1000].map(rate), [1, 0.55, 0.1, 0.1], 1e-12);
  });

  it('withWarmup rises in a line to the schedule that it precedes, and leaves the rest of it as it is', () => {
    const rate = withWarmup(stepDecay({ initial: 1, milestones: [2, 10], factor: 0.1 }), 4);
    expectClose([0, 1, 2, 3, 4, 9, 10].map(rate), [0.25, 0.5, 0.075, 0.1, 0.1, 0.1, 0.01], 1e-12);
    expect([0, 5].map(withWarmup(constant(0.3), 0))).toEqual([0.3, 0.3]);
    // The same ramp as that of cosine.
    const cosineSteps = { initial: 0.4, steps: 1e9 };
    expectClose(
      [0, 3, 9].map(withWarmup(cosine(cosineSteps), 10)),
      [0, 3, 9].map(cosine({ ...cosineSteps, warmupSteps: 10 })),
      1e-12,
    );
    expect(() => withWarmup(constant(1), -1)).toThrow('warmupSteps');
  });

  it('refuse negative values and broken milestones', () => {
    expect(() => constant(-1)).toThrow(OptionError);
    expect(() => stepDecay({ initial: 1, milestones: [0.5] })).toThrow('milestones');
    expect(() => cosine({ initial: 1, steps: 0 })).toThrow('cosine.steps');
  });
});
