export {
  DataError,
  DataFormatError,
  DataLockError,
  DataMissingError,
  DataOptionError,
  DownloadError,
  type FormatProblem,
} from './errors.js';
export {
  concatenate,
  measureNormalization,
  slice,
  type Dataset,
  type DataSplits,
  type ImageShape,
  type Normalization,
} from './dataset.js';
export { NORMALIZATION } from './constants.js';
export { permutation, random, type Stream, type StreamKey } from './random.js';
export { batchCount, batches, streamBatches, type Batch, type BatchOptions, type ImageSource } from './batches.js';
export { cutout, flip, paddedCrop, type Augmentation } from './augment/augmentation.js';
export { colorJitter, type ColorJitterOptions } from './augment/color.js';
export { randAugment, type RandAugmentOptions } from './augment/rand-augment.js';
export { cutmix, mixing, mixup, oneOf, type Mix, type Mixable, type MixingOptions } from './augment/mix.js';
export { shapes, type ShapesOptions } from './shapes/shapes.js';
export { parseCifar10, parseCifar100 } from './formats/cifar.js';
export { parseIdx, parseMnist, type IdxArray, type IdxSet } from './formats/idx.js';
export { gunzip, isGzip } from './formats/gzip.js';
export { CATALOGUE, CIFAR10C, FETCHABLE, type SetEntry, type SetFile, type SetName, type Source } from './catalogue.js';
export { parseNpy, writeNpy, type NpyArray, type NpyData, type NpyType } from './formats/npy.js';
export { readTar } from './formats/tar.js';
export {
  floatTensor,
  floatValues,
  parseSafetensors,
  writeSafetensors,
  type Safetensors,
  type SafetensorType,
  type SafeTensor,
} from './formats/safetensors.js';
export { decodeJpeg } from './formats/jpeg/decode.js';
export { encodeJpeg } from './formats/jpeg/encode.js';
export { PIXEL_LIMIT, type RawImage } from './formats/raw-image.js';
export {
  COMMON_CORRUPTIONS,
  corrupt,
  CORRUPTIONS,
  isCorruption,
  type Corruption,
  type Severity,
} from './corruptions/corrupt.js';
export { corruptedSet } from './corruptions/corrupted-set.js';
export { meanCorruptionError, type CorruptionErrors, type CorruptionSummary } from './corruptions/mce.js';
export { parseCifarC } from './formats/cifar-c.js';
export { decodePng } from './formats/png.js';
export { decodeImage } from './formats/image.js';
export { asRgb, centreSquare, resize } from './formats/resize.js';
export { benchData, type DataBenchRow } from './bench.js';
export {
  browserCache,
  fetchDataset,
  openDatasetFiles,
  opfsCache,
  storageCache,
  type FetchOptions,
  type FileCache,
  type SplitLimits,
} from './browser.js';
