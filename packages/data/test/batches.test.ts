import { describe, expect, it } from 'vitest';
import {
  batchCount,
  batches,
  cutmix,
  DataOptionError,
  flip,
  mixing,
  mixup,
  oneOf,
  paddedCrop,
  permutation,
  random,
  shapes,
  slice,
  type Batch,
  type BatchOptions,
  type Dataset,
  type MixingOptions,
} from '@polder/data';

const { train } = shapes({ train: 50, test: 1, seed: 3 });
const base = { batchSize: 16, seed: 9, epoch: 0 };
const labelsOf = (all: readonly Batch[]): readonly number[] => all.flatMap(({ labels }) => Array.from(labels));
const augment = [flip(), paddedCrop(4)];

describe('batches', () => {
  it('covers every example once an epoch, the last batch smaller unless dropped', () => {
    const all = [...batches(train, base)];
    expect(all.map(({ size }) => size)).toEqual([16, 16, 16, 2]);
    expect(all.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(batchCount(50, 16)).toBe(4);
    expect(batchCount(50, 16, true)).toBe(3);
    expect([...batches(train, { ...base, dropLast: true })]).toHaveLength(3);
    expect(labelsOf(all).toSorted((a, b) => a - b)).toEqual([...train.labels].toSorted((a, b) => a - b));
  });

  it('normalises each channel by the set', () => {
    const { mean, std } = train.normalization;
    const first = [...batches(train, { ...base, shuffle: false })][0]!;
    for (let i = 0; i < 3072; i++) {
      const expected = (train.images[i]! / 255 - mean[i % 3]!) / std[i % 3]!;
      expect(Math.abs(first.images[i]! - expected)).toBeLessThan(1e-6);
    }
  });

  it('is a pure function of seed, epoch and index: resuming gives the rest of the epoch, bit for bit', () => {
    const whole = [...batches(train, { ...base, augment })];
    expect([...batches(train, { ...base, augment, start: 2 })]).toEqual(whole.slice(2));
    expect([...batches(train, { ...base, augment, start: 4 })]).toEqual([]);
    expect([...batches(train, { ...base, augment, epoch: 1 })]).not.toEqual(whole);
    expect([...batches(train, { ...base, augment, seed: 10 })]).not.toEqual(whole);
  });

  it('augments an example alike whatever the batch size', () => {
    const images = (batchSize: number): readonly number[] =>
      [...batches(train, { ...base, augment, batchSize })].flatMap(({ images }) => Array.from(images));
    expect(images(7)).toEqual(images(50));
  });

  it('augments anew every epoch', () => {
    const at = (epoch: number): Batch => [...batches(train, { ...base, epoch, augment, shuffle: false })][0]!;
    expect(at(0).images).not.toEqual(at(1).images);
    expect(at(0).labels).toEqual(at(1).labels);
  });

  it('orders by permutation(n, seed, epoch)', () => {
    const order = permutation(50, 9, 0);
    expect(labelsOf([...batches(train, base)])).toEqual([...order].map((i) => train.labels[i]));
  });

  it('may be iterated again', () => {
    const epoch = batches(train, { ...base, augment });
    expect([...epoch]).toEqual([...epoch]);
  });

  it('rejects bad options', () => {
    for (const bad of [{ batchSize: 0 }, { batchSize: 1.5 }, { seed: -1 }, { epoch: -1 }, { start: 5 }]) {
      expect(() => batches(train, { ...base, ...bad })).toThrow(DataOptionError);
    }
    const flat: Dataset = { ...train, normalization: { mean: [0, 0, 0], std: [1, 0, 1] } };
    expect(() => batches(flat, base)).toThrow(DataOptionError);
  });
});

describe('soft labels', () => {
  const first = (options: Partial<BatchOptions>): Batch => [...batches(train, { ...base, ...options })][0]!;
  const rows = ({ softLabels, size }: Batch): readonly (readonly number[])[] =>
    Array.from({ length: size }, (_, i) => Array.from(softLabels!.subarray(i * 10, (i + 1) * 10)));

  it('are absent unless asked for', () => {
    expect(first({}).softLabels).toBeUndefined();
  });

  it('smooth: (1 − ε) + ε / 10 on the label, ε / 10 elsewhere', () => {
    const batch = first({ smoothing: 0.1 });
    rows(batch).forEach((row, i) => {
      row.forEach((p, k) => expect(p).toBeCloseTo(k === batch.labels[i] ? 0.91 : 0.01, 6));
    });
  });

  it.each([
    ['mixup', mixup({ alpha: 1 })],
    ['cutmix', cutmix({ alpha: 1 })],
    ['either', oneOf([mixup({ alpha: 0.2 }), cutmix({ alpha: 1 })])],
  ])('of %s sum to one, resume exactly, and blend images and labels by one share', (_, mix) => {
    const plain = first({});
    const mixed = first({ mix });
    expect(first({ mix })).toEqual(mixed);
    expect([...batches(train, { ...base, mix, start: 2 })]).toEqual([...batches(train, { ...base, mix })].slice(2));
    rows(mixed).forEach((row, i) => {
      expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
      // At most two classes, one of them the example's own.
      expect(row.filter((p) => p > 1e-6).length).toBeLessThanOrEqual(2);
      expect(row.filter((p) => p > 1e-6).length === 1 || row[plain.labels[i]!]! > 0).toBe(true);
    });
    expect(mixed.labels).toEqual(plain.labels);
  });

  it('of cutmix give the partner the share of pixels it got', () => {
    const plain = first({});
    const mixed = first({ mix: cutmix({ alpha: 1 }) });
    rows(mixed).forEach((row, i) => {
      let same = 0;
      for (let p = 0; p < 1024; p++) {
        const at = i * 3072 + p * 3;
        if ([0, 1, 2].every((c) => mixed.images[at + c] === plain.images[at + c])) same++;
      }
      // Equal pixels by chance (dark, clipped) may only add to the own share.
      expect(same / 1024).toBeGreaterThanOrEqual(
        row[plain.labels[i]!]! - 1e-5 - (row.filter((p) => p > 1e-6).length === 1 ? 1 : 0),
      );
    });
  });

  it('of mixup are the shares of the images', () => {
    const plain = first({});
    const mixed = first({ mix: mixup({ alpha: 1 }) });
    const soft = rows(mixed);
    const mixedRow = soft.findIndex((row) => row.filter((p) => p > 1e-6).length === 2);
    const share = soft[mixedRow]![plain.labels[mixedRow]!]!;
    const own = plain.images.subarray(mixedRow * 3072, (mixedRow + 1) * 3072);
    const result = mixed.images.subarray(mixedRow * 3072, (mixedRow + 1) * 3072);
    // Some example of the batch is the partner that explains every pixel.
    const explained = Array.from({ length: 16 }, (_, j) => plain.images.subarray(j * 3072, (j + 1) * 3072)).some(
      (other) => result.every((value, k) => Math.abs(value - (share * own[k]! + (1 - share) * other[k]!)) < 1e-4),
    );
    expect(explained).toBe(true);
  });

  it('of mixing are mixed, and by CutMix, as often as its probabilities say', () => {
    const tiny = { images: new Float32Array(2 * 16 * 3), softLabels: new Float32Array([1, 0, 0, 1]), size: 2 };
    // Two pictures, all 0 and all 1: under mixup a pixel is a share, under CutMix it is 0 or 1.
    const batch = { ...tiny, images: tiny.images.fill(1, 48), shape: [4, 4, 3] as const };
    const kind = ({ images, softLabels }: typeof batch): string => {
      if (images === batch.images) return softLabels === batch.softLabels ? 'plain' : 'broken';
      return images.every((value) => value === 0 || value === 1) ? 'cutmix' : 'mixup';
    };
    const counts = (options: MixingOptions): Record<string, number> => {
      const mix = mixing(options);
      const seen: Record<string, number> = { plain: 0, cutmix: 0, mixup: 0 };
      for (let i = 0; i < 4000; i++) seen[kind(mix(batch, random(7, 'mix', 0, i)) as typeof batch)]!++;
      return seen;
    };
    const both = counts({ mixup: 1, cutmix: 1, probability: 0.7, switchProbability: 0.25 });
    // Six standard deviations; mixup with the identity as partners gives 0 and 1 too, which is half of its draws.
    expect(Math.abs(both['plain']! - 1200)).toBeLessThan(6 * Math.sqrt(4000 * 0.3 * 0.7));
    expect(Math.abs(both['mixup']! - 4000 * 0.7 * 0.75 * 0.5)).toBeLessThan(6 * Math.sqrt(4000 * 0.2625 * 0.7375));
    expect(counts({ mixup: 1, probability: 0 })['plain']).toBe(4000);
    expect(counts({ cutmix: 1, switchProbability: 0 })).toMatchObject({ mixup: 0, plain: 0 });
    expect(counts({ mixup: 1, switchProbability: 1 })['mixup']).toBeGreaterThan(1800);
  });

  it('reject an alpha that is none', () => {
    expect(() => mixing({})).toThrow('mixup, cutmix must be one or both, got "neither".');
    expect(() => mixing({ mixup: 0 })).toThrow(DataOptionError);
    expect(() => mixing({ mixup: 1, probability: 1.1 })).toThrow(DataOptionError);
    for (const alpha of [0, -1, NaN, Infinity]) {
      expect(() => mixup({ alpha })).toThrow(DataOptionError);
      expect(() => cutmix({ alpha })).toThrow(DataOptionError);
    }
    expect(() => oneOf([])).toThrow(DataOptionError);
    expect(() => batches(train, { ...base, smoothing: 1.5 })).toThrow(DataOptionError);
  });
});

describe('slice', () => {
  it('views a range and rejects an empty one', () => {
    const part = slice(train, 10, 20);
    expect(part.length).toBe(10);
    expect(part.images.buffer).toBe(train.images.buffer);
    expect(part.labels).toEqual(train.labels.subarray(10, 20));
    expect(slice(train, 40, 99).length).toBe(10);
    expect(() => slice(train, 5, 5)).toThrow(DataOptionError);
    expect(() => slice(train, -1)).toThrow(DataOptionError);
  });
});
