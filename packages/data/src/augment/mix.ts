import { imageSize, type ImageShape } from '../dataset.js';
import { DataOptionError, requireNumber } from '../errors.js';
import { betaDraw, type Stream } from '../random.js';

/** A batch on its way out: normalised images and target probabilities. */
export interface Mixable {
  /** `size × height × width × channels`. */
  readonly images: Float32Array<ArrayBuffer>;
  /** `size × classes`. */
  readonly softLabels: Float32Array<ArrayBuffer>;
  readonly size: number;
  readonly shape: ImageShape;
}

/** Blends the examples of a batch with one another; draws from `random` alone and leaves its input as it is. */
export type Mix = (batch: Mixable, random: Stream) => Mixable;

const requireAlpha = (alpha: number): void => {
  if (!(alpha > 0 && Number.isFinite(alpha))) throw new DataOptionError('alpha', 'a finite number above 0', alpha);
};

/** A random partner for every example. */
const partners = (size: number, random: Stream): Uint32Array => {
  const order = Uint32Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
};

/** share · rows + (1 − share) · their partners. */
const blend = (values: Float32Array<ArrayBuffer>, order: Uint32Array, share: number): Float32Array<ArrayBuffer> => {
  const out = new Float32Array(values.length);
  const width = values.length / order.length;
  order.forEach((partner, i) => {
    for (let k = 0; k < width; k++) {
      out[i * width + k] = share * values[i * width + k]! + (1 - share) * values[partner * width + k]!;
    }
  });
  return out;
};

/**
 * Mixup (Zhang et al. 2018): every image and its label are blended with another's, by one share from Beta(α, α) for
 * the batch, as in the authors' code.
 */
export const mixup = ({ alpha }: { readonly alpha: number }): Mix => {
  requireAlpha(alpha);
  return (batch, random) => {
    const share = betaDraw(random, alpha, alpha);
    const order = partners(batch.size, random);
    return {
      ...batch,
      images: blend(batch.images, order, share),
      softLabels: blend(batch.softLabels, order, share),
    };
  };
};

/**
 * CutMix (Yun et al. 2019): a box of share 1 − λ, λ from Beta(α, α), is pasted from another image; labels are blended
 * by the area that was really pasted, after clipping at the border.
 */
export const cutmix = ({ alpha }: { readonly alpha: number }): Mix => {
  requireAlpha(alpha);
  return (batch, random) => {
    const [height, width, channels] = batch.shape;
    const side = Math.sqrt(1 - betaDraw(random, alpha, alpha));
    const order = partners(batch.size, random);
    const cutHeight = Math.floor(height * side);
    const cutWidth = Math.floor(width * side);
    const cy = random.integer(height);
    const cx = random.integer(width);
    const top = Math.max(0, cy - (cutHeight >> 1));
    const left = Math.max(0, cx - (cutWidth >> 1));
    const bottom = Math.min(height, cy + (cutHeight >> 1));
    const right = Math.min(width, cx + (cutWidth >> 1));
    const images = batch.images.slice();
    const size = imageSize(batch.shape);
    order.forEach((partner, i) => {
      for (let y = top; y < bottom; y++) {
        const from = (y * width + left) * channels;
        const row = batch.images.subarray(partner * size + from, partner * size + from + (right - left) * channels);
        images.set(row, i * size + from);
      }
    });
    const share = 1 - ((bottom - top) * (right - left)) / (height * width);
    return { ...batch, images, softLabels: blend(batch.softLabels, order, share) };
  };
};

/** One of several, drawn uniformly for each batch (timm's mixup and cutmix together). */
export const oneOf = (mixes: readonly Mix[]): Mix => {
  if (mixes.length === 0) throw new DataOptionError('mixes', 'at least one', 0);
  return (batch, random) => mixes[random.integer(mixes.length)]!(batch, random);
};

/** Options of {@link mixing}; names and defaults are timm's. */
export interface MixingOptions {
  /** α of {@link mixup}; without it there is none. */
  readonly mixup?: number;
  /** α of {@link cutmix}; without it there is none. */
  readonly cutmix?: number;
  /** Chance that a batch is mixed at all, in [0, 1]; default 1. */
  readonly probability?: number;
  /** Where both are on: chance of cutmix instead of mixup, in [0, 1]; default 0.5. */
  readonly switchProbability?: number;
}

/**
 * Mixup, CutMix or both in turn, batch by batch (timm's `--mixup`, `--cutmix`, `--mixup-prob`, `--mixup-switch-prob`).
 * A batch that is not mixed keeps its images and has the labels of one class each.
 * @throws DataOptionError for neither α, an α that is not above 0, or a probability outside [0, 1]
 */
export const mixing = (options: MixingOptions): Mix => {
  const { probability = 1, switchProbability = 0.5 } = options;
  requireNumber('probability', probability, 0, 1);
  requireNumber('switchProbability', switchProbability, 0, 1);
  const first = options.mixup === undefined ? undefined : mixup({ alpha: options.mixup });
  const second = options.cutmix === undefined ? undefined : cutmix({ alpha: options.cutmix });
  if (first === undefined && second === undefined) throw new DataOptionError('mixup, cutmix', 'one or both', 'neither');
  return (batch, random) => {
    // Both are drawn in any case, so that one option does not change what the others draw.
    const mixed = random.uniform() < probability;
    const switched = random.uniform() < switchProbability;
    if (!mixed) return batch;
    return ((switched ? second : first) ?? first ?? second)!(batch, random);
  };
};
