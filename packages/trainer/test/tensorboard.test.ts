import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lacks } from '@polder/testkit';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { crc32c } from '../src/node/event-file.js';
import { createEventFile, type Row } from '../src/node/tensorboard.js';
import { checksum, readEvents } from './read-events.js';

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'polder-board-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A row of any kind. */
const rowOf = (fields: Readonly<Record<string, unknown>> & { readonly step: number }): Row => fields;
const stepRow = (step: number, loss: number | null) => ({ step, epoch: step / 4, passes: 2 * step, loss });

describe('crc32c', () => {
  // RFC 3720, appendix B.4, and the check value of the CRC catalogues.
  it.each([
    [new Uint8Array(32), 0x8a9136aa],
    [new Uint8Array(32).fill(0xff), 0x62a8ab43],
    [Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    [Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
    [new TextEncoder().encode('123456789'), 0xe3069283],
    [new Uint8Array(0), 0],
  ])('of a known message is what the standard says', (bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });

  it('agrees with long division on any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => crc32c(bytes) === checksum(bytes)));
  });
});

describe('createEventFile', () => {
  it('writes rows as scalars at their steps, by kind, as another parser reads them', () => {
    const file = createEventFile(folder, { now: () => 1_700_000_000_500 });
    file.row(stepRow(3, 0.5));
    file.row(rowOf({ step: 2 ** 40 + 5, epoch: 1, passes: 8, testTop1: 0.25, testLoss: null }));
    file.row(rowOf({ step: 4, lambdaMax: -1.5 }));
    file.row(rowOf({ step: 4, imagesPerSecond: 100, time: '2026-01-01' }));
    file.close();
    const [first, ...rows] = readEvents(file.path);
    expect(first).toMatchObject({ wallTime: 1_700_000_000.5, version: 'brain.Event:2', scalars: {} });
    expect(rows.map(({ step, scalars }) => [step, scalars])).toEqual([
      [3, { 'train/epoch': 0.75, 'train/passes': 6, 'train/loss': 0.5 }],
      [2 ** 40 + 5, { 'eval/epoch': 1, 'eval/passes': 8, 'eval/testTop1': 0.25, 'eval/testLoss': Number.NaN }],
      [4, { 'curvature/lambdaMax': -1.5 }],
      [4, { 'timing/imagesPerSecond': 100 }],
    ]);
    expect(file.path).toMatch(/events\.out\.tfevents\.1700000000\./);
  });

  it('goes on in a new file after a break, that drops what no longer counts and says again what does', () => {
    const before = createEventFile(folder, { now: () => 5000 });
    for (const step of [1, 2, 3, 4]) before.row(stepRow(step, step));
    before.close();
    const kept = [stepRow(1, 1), stepRow(2, 2)];
    // The clock went back: the name sorts later all the same.
    const after = createEventFile(folder, { resumed: kept, now: () => 1000 });
    after.row(stepRow(3, 30));
    after.close();
    expect(
      readdirSync(folder)
        .sort()
        .map((name) => join(folder, name)),
    ).toEqual([before.path, after.path]);
    expect(readEvents(after.path).map(({ step, restart, scalars }) => [step, restart, scalars['train/loss']])).toEqual([
      [undefined, false, undefined],
      [2, true, undefined],
      [2, false, 2],
      [3, false, 30],
    ]);
  });
});

it('says everything where earlier files are missing', () => {
  const file = createEventFile(folder, { resumed: [stepRow(1, 1), stepRow(2, 2)] });
  file.close();
  expect(readEvents(file.path).map(({ step, scalars }) => [step, scalars['train/loss']])).toEqual([
    [undefined, undefined],
    [0, undefined],
    [1, 1],
    [2, 2],
  ]);
});

const python = [process.env['POLDER_TENSORBOARD_PYTHON'] ?? 'python3'].find(
  (candidate) => spawnSync(candidate, ['-c', 'import tensorboard']).status === 0,
);

/** What TensorBoard itself shows of a folder: [step, value] by tag. */
const PROGRAM = `
import json, math, sys
from tensorboard.backend.event_processing import event_accumulator
board = event_accumulator.EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
board.Reload()
print(json.dumps({tag: [[e.step, None if math.isnan(e.value) else e.value] for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}))
`;

describe.skipIf(lacks('tensorboard', python !== undefined))("Python's TensorBoard", { timeout: 120_000 }, () => {
  it('reads back every scalar, and after a break only what counts', () => {
    const before = createEventFile(folder);
    for (const step of [1, 2, 3, 4]) before.row(stepRow(step, step / 8));
    before.row(rowOf({ step: 2, epoch: 0.5, passes: 4, testTop1: 0.5 }));
    before.row(rowOf({ step: 4, epoch: 1, passes: 8, testTop1: 0.75 }));
    before.close();
    const kept = [stepRow(1, 1 / 8), stepRow(2, 2 / 8), rowOf({ step: 2, epoch: 0.5, passes: 4, testTop1: 0.5 })];
    const after = createEventFile(folder, { resumed: kept });
    after.row(stepRow(3, null));
    after.row(stepRow(4, 0.5));
    after.close();
    const shown = JSON.parse(execFileSync(python!, ['-c', PROGRAM, folder], { encoding: 'utf8' })) as unknown;
    expect(shown).toEqual({
      'train/epoch': [1, 2, 3, 4].map((step) => [step, step / 4]),
      'train/passes': [1, 2, 3, 4].map((step) => [step, 2 * step]),
      'train/loss': [
        [1, 0.125],
        [2, 0.25],
        [3, null],
        [4, 0.5],
      ],
      'eval/epoch': [[2, 0.5]],
      'eval/passes': [[2, 4]],
      'eval/testTop1': [[2, 0.5]],
    });
  });
});
