import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { floatValues } from '@polder/data';
import { startBackend } from '@polder/testkit';
import { assignCheckpoint, decodeCheckpoint, encodeCheckpoint } from '@polder/trainer';
import { readRunCheckpoint, readRunStatus } from '@polder/trainer/node';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { namedNet } from './named-net.js';
import { oldRun } from './old-run.js';

// Files as earlier releases wrote them: whoever has some must be able to read them. Add to them, never replace them.
const fixtures = join(import.meta.dirname, 'fixtures');
const weightsFile = join(fixtures, 'weights-v1.safetensors');

let base: string;
beforeAll(() => startBackend('cpu'));
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'polder-old-'));
  cpSync(join(fixtures, 'run-v1'), join(base, 'run'), { recursive: true });
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

/** Rows without what differs by rounding from one version of Node to the next. */
const shapeOf = (file: string): readonly string[][] =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => Object.keys(JSON.parse(line) as object));

describe('formats of earlier releases', () => {
  it('weights of version 1 are read, and written the same', async () => {
    const bytes = readFileSync(weightsFile);
    const checkpoint = decodeCheckpoint(bytes, weightsFile);
    expect(checkpoint.metadata).toEqual({ model: 'named', classes: 8, inputShape: [4, 4, 1], seed: 3, step: 24 });
    const model = namedNet(5);
    try {
      assignCheckpoint(model, checkpoint, weightsFile);
      expect(Buffer.from(await encodeCheckpoint(model, checkpoint.metadata)).equals(bytes)).toBe(true);
    } finally {
      model.dispose();
    }
  });

  it('a run whose training state is of version 1 goes on to where it would have ended', async () => {
    const run = join(base, 'run');
    expect(readRunStatus(run)).toMatchObject({ status: 'broken off', step: 10, problems: [] });
    const { written } = await oldRun(run, { resume: {} });
    expect(written).toMatchObject({ status: 'completed', steps: 24, resumes: 1 });
    expect(shapeOf(join(run, 'metrics.jsonl'))).toEqual(shapeOf(join(fixtures, 'metrics-of-whole-run.jsonl')));
    const ended = await readRunCheckpoint(run);
    const expected = decodeCheckpoint(readFileSync(weightsFile), weightsFile);
    for (const [name, tensor] of expected.tensors) {
      const [a, b] = [floatValues(tensor), floatValues(ended.tensors.get(name)!)];
      // Float32 in fourteen steps, should Math.exp differ in its last bit.
      a.forEach((value, i) => expect(Math.abs(value - b[i]!)).toBeLessThan(1e-4));
    }
  });
});
