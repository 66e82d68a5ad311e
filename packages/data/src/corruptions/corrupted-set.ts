import type { Dataset } from '../dataset.js';
import { random } from '../random.js';
import { corrupt, type Corruption, type Severity } from './corrupt.js';

/**
 * A data set of 32 × 32 RGB pictures under one corruption. Each picture is a function of (seed, corruption, severity,
 * index) alone, the same that `polder data corrupt` writes.
 * @throws DataOptionError for an unknown corruption, another severity than 1 to 5, or pictures of another size
 */
export const corruptedSet = (dataset: Dataset, corruption: Corruption, severity: Severity, seed = 0): Dataset => {
  const [height, width, channels] = dataset.shape;
  const size = height * width * channels;
  const streams = random(seed, 'corrupt', corruption, severity);
  const images = new Uint8Array(dataset.images.length);
  for (let i = 0; i < dataset.length; i++) {
    const image = dataset.images.subarray(i * size, (i + 1) * size);
    images.set(corrupt(image, corruption, severity, streams.fork(i)), i * size);
  }
  return { ...dataset, images };
};
