import * as tf from '@tensorflow/tfjs';
import { expectNoLeak, startBackend } from '@polder/testkit';
import { DivergedError, earlyStopping, type EarlyStoppingOptions, type EvaluationRow } from '@polder/trainer';
import { beforeAll, describe, expect, it } from 'vitest';
import { nonFiniteGuard } from '../src/nonfinite-guard.js';

const row = (step: number, fields: Partial<EvaluationRow>): EvaluationRow => ({
  step,
  epoch: step,
  passes: step,
  testLoss: 1,
  testTop1: 0,
  testTop5: 0,
  trainLoss: 1,
  trainTop1: 0,
  trainTop5: 0,
  generalisationGap: 0,
  lossGap: 0,
  ...fields,
});

/** The 1-based evaluation that ends the training, and why; the state is saved and restored before each. */
async function stopsAt(
  options: EarlyStoppingOptions,
  values: readonly number[],
): Promise<readonly [number, string] | undefined> {
  const monitor = options.monitor ?? 'testTop1';
  let part = earlyStopping(options);
  for (const [i, value] of values.entries()) {
    const state = JSON.parse(JSON.stringify(part.state!())) as ReturnType<NonNullable<typeof part.state>>;
    part = earlyStopping(options);
    part.restore!(state);
    const answer = await part.afterEvaluation!(row(10 * (i + 1), { [monitor]: value }));
    if (answer) return [i + 1, answer.stop];
  }
  return undefined;
}

describe('earlyStopping', () => {
  it('ends after `patience` evaluations that are no better than the best', async () => {
    expect(await stopsAt({ patience: 2 }, [0.1, 0.3, 0.3, 0.2, 0.9])).toEqual([
      4,
      'testTop1 got no better in 2 evaluations: it was best at step 20, 0.3',
    ]);
    expect(await stopsAt({ patience: 2 }, [0.1, 0.3, 0.2, 0.4, 0.3, 0.5])).toBeUndefined();
    expect((await stopsAt({ patience: 1 }, [0.1, 0.1]))?.[0]).toBe(2);
  });

  it('counts as better only what is so by more than minDelta, against the best', async () => {
    // Each is better than the one before by 0.04, and the third better than the first by 0.08.
    expect(await stopsAt({ patience: 2, minDelta: 0.05 }, [0.1, 0.14, 0.18, 0.22, 0.26])).toBeUndefined();
    expect((await stopsAt({ patience: 2, minDelta: 0.1 }, [0.1, 0.14, 0.18, 0.22]))?.[0]).toBe(3);
  });

  it('wants losses to fall, and takes no NaN for better', async () => {
    expect(await stopsAt({ patience: 1, monitor: 'testLoss' }, [3, 2, 1])).toBeUndefined();
    expect((await stopsAt({ patience: 1, monitor: 'testLoss' }, [1, 2]))?.[0]).toBe(2);
    expect(await stopsAt({ patience: 2, monitor: 'emaTestLoss' }, [Number.NaN, Number.NaN])).toEqual([
      2,
      'emaTestLoss got no better in 2 evaluations: it was never a number',
    ]);
  });

  it('refuses a patience or a minDelta that is none, and a number that evaluations do not give', async () => {
    expect(() => earlyStopping({ patience: 0 })).toThrow('patience: expected an integer of at least 1, got 0.');
    expect(() => earlyStopping({ patience: 1, minDelta: -1 })).toThrow(
      'minDelta: expected a number of at least 0, got -1.',
    );
    expect(() => earlyStopping({ patience: 1, monitor: 'emaTestTop1' }).afterEvaluation!(row(1, {}))).toThrow(
      /monitor: expected a number that evaluations give: step, epoch.*, got emaTestTop1/,
    );
  });
});

describe('nonFiniteGuard', () => {
  beforeAll(() => startBackend('cpu'));

  /** The 1-based step at whose log point it throws, with steps as given ('x' is skipped) and log points every so many. */
  async function throwsAt(
    options: Parameters<typeof nonFiniteGuard>[1],
    steps: string,
    logEvery: number,
  ): Promise<readonly [number, number] | undefined> {
    const part = nonFiniteGuard('sam', options);
    part.start!(new Map());
    try {
      const kinds = steps.split('');
      for (const [i, kind] of kinds.entries()) {
        const step = i + 1;
        tf.tidy(() => part.afterStep!({ step, epoch: 0, passes: step, finite: tf.scalar(kind !== 'x', 'bool') }));
        const skippedSteps = kinds.slice(0, step).filter((k) => k === 'x').length;
        const saved = tf.clone(part.state!().tensors!['counts']!);
        part.restore!({ tensors: { counts: saved } });
        saved.dispose();
        if (step % logEvery === 0) await part.afterLog!({ step, epoch: 0, passes: step, loss: 1, skippedSteps });
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof DivergedError)) throw error;
      return [error.step, error.skippedInARow!];
    } finally {
      part.dispose!();
    }
  }

  it('stops at the log point after the first skipped step, when told to', async () => {
    expect(await throwsAt({ onNonFinite: 'stop' }, '...x......', 2)).toEqual([4, 1]);
    expect(await throwsAt({ onNonFinite: 'stop' }, '....x.....', 2)).toEqual([6, 1]);
    expect(await throwsAt({ onNonFinite: 'stop' }, '..........', 2)).toBeUndefined();
  });

  it('skips up to `maxSkipped` steps in a row, wherever the log points fall', async () => {
    for (const logEvery of [1, 2, 5]) {
      expect(await throwsAt({ maxSkipped: 3 }, 'xxx.xxx.xx', logEvery)).toBeUndefined();
      expect((await throwsAt({ maxSkipped: 3 }, '.xxxx.....', logEvery))?.[0]).toBe(
        5 + (((-5 % logEvery) + logEvery) % logEvery),
      );
    }
    expect(await throwsAt({}, 'x'.repeat(12), 1)).toEqual([11, 11]);
  });

  it('leaves no tensor behind', async () => {
    await expectNoLeak(() => throwsAt({ maxSkipped: 3 }, '.xxxx.....', 2));
  });
});
