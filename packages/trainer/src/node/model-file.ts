import { mkdir, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import type { io } from '@tensorflow/tfjs-core';
import { loadLayersModel, type LayersModel } from '@tensorflow/tfjs-layers';
import { TrainerError } from '../errors.js';
import { withoutSoftmax, type Topology } from '../topology.js';
import { writeAtomic } from './atomic-file.js';

/** A `model.json`, or a file of its weights, that is missing, damaged, or no `tf.LayersModel`. */
export class ModelFileError extends TrainerError {
  override readonly name = 'ModelFileError';
  readonly file: string;

  constructor(file: string, problem: string, advice: string, options?: ErrorOptions) {
    super(`${file}: ${problem}. ${advice}`, options);
    this.file = file;
  }
}

/** What a `model.json` and its weight files hold: plain data, no tensor made yet. */
export interface ModelFile {
  /** Named in errors. */
  readonly file: string;
  readonly topology: Topology;
  readonly weightSpecs: readonly io.WeightsManifestEntry[];
  readonly weightData: ArrayBuffer;
}

/**
 * Reads a `model.json` and its weight files from disk, as `model.save` writes them. (Plain TensorFlow.js reads `file://`
 * only in tfjs-node.) Throws {@link ModelFileError}.
 */
export async function readModelFile(file: string): Promise<ModelFile> {
  const json = parse(file, await readOf(file));
  if (json.format === 'graph-model')
    throw new ModelFileError(file, 'a graph model, which has no layers to differentiate', SAVE);
  if (typeof json.modelTopology !== 'object' || json.modelTopology === null || !Array.isArray(json.weightsManifest))
    throw new ModelFileError(file, 'no modelTopology and weightsManifest in it', SAVE);
  const groups = json.weightsManifest as readonly Partial<io.WeightsManifestConfig[number]>[];
  if (!groups.every(({ paths, weights }) => isTexts(paths) && Array.isArray(weights)))
    throw new ModelFileError(file, 'a weightsManifest without paths and weights', SAVE);
  const paths = groups.flatMap((group) => group.paths!);
  const outside = paths.find((path) => isAbsolute(path) || normalize(path).startsWith('..'));
  if (outside !== undefined) throw new ModelFileError(file, `weights outside its folder ("${outside}")`, SAVE);
  const parts = await Promise.all(paths.map((path) => readOf(join(dirname(file), path))));
  const bytes = new Uint8Array(Buffer.concat(parts));
  const weightSpecs = groups.flatMap((group) => group.weights!);
  const wanted = sizeOf(weightSpecs);
  if (wanted !== undefined && wanted !== bytes.length)
    throw new ModelFileError(file, `${bytes.length} bytes of weights instead of ${wanted}`, SAVE);
  return { file, topology: json.modelTopology as Topology, weightSpecs, weightData: bytes.buffer };
}

/**
 * The `tf.LayersModel` of a file, on the current backend; with `logits`, without the softmax that it ends in, which the
 * training loss contains. Layers and weights keep their names. The networks of `@polder/models` are known if that is
 * imported. The caller disposes of the model. Throws {@link ModelFileError}.
 */
export async function createFileModel(
  { file, topology, weightSpecs, weightData }: ModelFile,
  { logits = false }: { readonly logits?: boolean } = {},
): Promise<LayersModel> {
  const modelTopology = logits ? withoutSoftmax(topology) : topology;
  // Without weights tfjs initialises them by itself; with an empty list of them it refuses.
  const weights = weightSpecs.length === 0 ? {} : { weightSpecs: [...weightSpecs], weightData };
  const artifacts = { modelTopology, ...weights } as io.ModelArtifacts;
  try {
    return await loadLayersModel({ load: () => Promise.resolve(artifacts) });
  } catch (error) {
    const { message } = error as Error;
    throw new ModelFileError(file, `TensorFlow.js cannot load it: ${message.split('\n', 1)[0]}`, SAVE, {
      cause: error,
    });
  }
}

/** {@link readModelFile}, then {@link createFileModel}: the model as it was saved. */
export async function loadModelFile(file: string): Promise<LayersModel> {
  return createFileModel(await readModelFile(file));
}

/**
 * Writes a model as `model.json` and `weights.bin` into a folder, made if absent, for `tf.loadLayersModel`; returns the
 * paths. Throws the system's error where the folder cannot be written.
 */
export async function saveModelFile(model: LayersModel, folder: string): Promise<readonly string[]> {
  let saved: io.ModelArtifacts | undefined;
  await model.save({
    save: (artifacts: io.ModelArtifacts) => {
      saved = artifacts;
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' as const } });
    },
  });
  const { modelTopology, weightSpecs, weightData, format, generatedBy } = saved!;
  const parts = (Array.isArray(weightData) ? weightData : [weightData]) as readonly ArrayBuffer[];
  const json = {
    modelTopology,
    format,
    generatedBy,
    convertedBy: null,
    weightsManifest: [{ paths: ['weights.bin'], weights: weightSpecs }],
  };
  await mkdir(folder, { recursive: true });
  const [weights, description] = [join(folder, 'weights.bin'), join(folder, 'model.json')];
  // The description last: where it is, the weights are.
  writeAtomic(weights, Buffer.concat(parts.map((part) => new Uint8Array(part))));
  writeAtomic(description, `${JSON.stringify(json)}\n`);
  return [description, weights];
}

interface ModelJson {
  readonly format?: unknown;
  readonly modelTopology?: object | null;
  readonly weightsManifest?: unknown;
}

const SAVE = "Save the model again with model.save, as a tf.LayersModel of TensorFlow.js's own layers.";

function parse(file: string, bytes: Buffer): ModelJson {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    throw new ModelFileError(file, `no JSON (${(error as Error).message})`, SAVE, { cause: error });
  }
  throw new ModelFileError(file, 'no JSON object', SAVE);
}

async function readOf(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ModelFileError(file, `cannot be read (${code ?? message})`, 'Check the path.', { cause: error });
  }
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** Bytes of the weights, or undefined where they are quantised or of types without a fixed size: tfjs checks those. */
function sizeOf(specs: readonly io.WeightsManifestEntry[]): number | undefined {
  const sizes: Readonly<Record<string, number>> = { float32: 4, int32: 4, bool: 1 };
  let total = 0;
  for (const { dtype, shape, quantization } of specs) {
    const size = quantization === undefined && Array.isArray(shape) ? sizes[dtype] : undefined;
    if (size === undefined) return undefined;
    total += shape.reduce((product, n) => product * n, size);
  }
  return total;
}
