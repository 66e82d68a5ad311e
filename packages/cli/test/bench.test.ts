import { describe, expect, it } from 'vitest';
import { polder } from './polder.js';

interface Row extends Readonly<Record<string, unknown>> {
  readonly policy: string;
  readonly msPerStepMin: number;
  readonly peakBytes: number;
}

const keys = [
  'policy',
  'backend',
  'threads',
  'capture',
  'msPerStepMin',
  'msPerStepMedian',
  'imagesPerSecond',
  'passesPerStep',
  'ratioToPlain',
  'peakBytes',
];

async function bench(...args: readonly string[]): Promise<{ readonly rows: readonly Row[]; readonly stderr: string }> {
  const { code, stdout, stderr } = await polder(['bench', ...args, '--seconds', '0.02', '--json']);
  expect(stderr).not.toContain('error:');
  expect(code).toBe(0);
  return { rows: JSON.parse(stdout) as readonly Row[], stderr };
}

describe('polder bench step', { timeout: 180_000 }, () => {
  it('gives a row of exactly these fields for every policy, in the order asked', async () => {
    const small = ['--model', 'lenet5', '--batch', '8', '--backend', 'wasm', '--threads', '1'];
    const { rows, stderr } = await bench('step', ...small, '--policies', 'sasam,none,sam');
    expect(rows.map((row) => Object.keys(row))).toEqual([keys, keys, keys]);
    expect(rows.map(({ policy, passesPerStep }) => [policy, passesPerStep])).toEqual([
      ['sasam', 3],
      ['none', 1],
      ['sam', 2],
    ]);
    expect(rows[1]).toMatchObject({
      backend: 'wasm',
      ratioToPlain: 1,
      capture: 'eager: the wasm backend does not record',
    });
    for (const row of rows) {
      expect(row['imagesPerSecond']).toBeCloseTo(8000 / row.msPerStepMin, 6);
      expect(row['msPerStepMedian']).toBeGreaterThanOrEqual(row.msPerStepMin);
      expect(row['ratioToPlain']).toBeCloseTo(row.msPerStepMin / rows[1]!.msPerStepMin, 6);
      // Weights, momentum and the weights' new values at least: 62,006 parameters of 4 bytes.
      expect(row.peakBytes).toBeGreaterThan(3 * 4 * 62_006);
      expect(row.peakBytes).toBeLessThan(10e6);
    }
    // SA-SAM keeps the weights of the step before.
    expect(rows[0]!.peakBytes - rows[1]!.peakBytes).toBeGreaterThan(4 * 62_006);
    expect(stderr).toContain('peakBytes: bytes allocated in the WebAssembly heap');
  });

  it('times plain descent for the ratio where no row asks for it, on cpu too', async () => {
    const { rows } = await bench('--model', 'lenet5', '--backend', 'cpu', '--policies', 'sam', '--batch', '1');
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ policy: 'sam', backend: 'cpu', threads: 1 });
    expect(rows[0]!['ratioToPlain']).toBeGreaterThan(1);
    expect(rows[0]!.peakBytes).toBeGreaterThan(0);
  });
});
