import '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs-core';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { benchDiagnostics } from '../src/bench-diagnostics.js';

const golden = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../testkit/fixtures/golden/hessian/${name}.json`, import.meta.url), 'utf8'));

test('the bench of diagnostics meets its bars, timing aside', { timeout: 300_000 }, async () => {
  await tf.setBackend('cpu');
  const result = await benchDiagnostics({ goldens: [golden('mlp_tanh')], trials: 30, repeats: 60 });
  const numeric = result.bars.filter(({ name }) => !/price|coverage/.test(name));
  expect(numeric.filter(({ ok }) => !ok)).toEqual([]);
  // 60 repeats: a true 95 % shows as 0.88 or more.
  expect(result.coverage.filter(({ coverage }) => coverage < 0.87)).toEqual([]);
  for (const { gradients, gradientsFurther } of result.hvpCost) {
    expect(gradientsFurther).toBeGreaterThan(0.5);
    expect(gradients).toBeGreaterThan(gradientsFurther);
  }
  expect(result.notes).toHaveLength(1);
});
