import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { createModel, describeModel } from '@polder/models';
import { checkClassifier, ClassifierError, lastActivation, type Topology } from '@polder/trainer';
import { createFileModel, ModelFileError, readModelFile, type ModelFile } from '@polder/trainer/node';
import { UsageError } from './failure.js';
import type { GivenSettings } from './settings.js';

/** What a network is made for. */
export interface NetworkData {
  readonly classes: number;
  /** [height, width, channels] */
  readonly inputShape: readonly number[];
  /** Of the initial weights; those of a file are in it. */
  readonly seed: number;
}

/** A network that `--model` names: one of `polder models`, or that of a `model.json`. */
export interface Network {
  /** For headings and folders: the id, or what the file is called. */
  readonly label: string;
  /** What a user should know about a file's network before it is trained. */
  readonly notes: readonly string[];
  /** Of a file: what its run keeps as {@link TOPOLOGY_FILE}, so that the file is needed no more. */
  readonly topology?: Topology;
  /** The model, which gives logits; the caller disposes of it. Throws ClassifierError where it does not fit. */
  create(data: NetworkData): Promise<LayersModel>;
  /** Trainable parameters, and multiply-adds of an example where they are known. */
  describe(data: NetworkData): Promise<{ readonly parameters: number; readonly multiplyAdds?: number }>;
}

/** Where a run folder keeps the topology of a network that came from a file. */
export const TOPOLOGY_FILE = 'topology.json';

/**
 * The network that settings name; reads a file, makes no tensor. Throws UnknownModelError of `@polder/models`,
 * {@link ModelFileError}, ClassifierError and {@link UsageError}.
 */
export async function findNetwork({ model = 'resnet20', shortcut }: GivenSettings): Promise<Network> {
  if (!isFile(model)) return ofCatalogue(model, shortcut);
  if (shortcut !== undefined) throw new UsageError('--shortcut is for the ResNets of polder models, not for a file.');
  const file = basename(model).endsWith('.json') ? model : join(model, 'model.json');
  return ofFile(await readModelFile(file));
}

/** The network of a run folder, from what the run has kept. Throws as {@link findNetwork}. */
export function networkOfRun(folder: string, { model = 'resnet20', shortcut }: GivenSettings): Network {
  const file = join(folder, TOPOLOGY_FILE);
  if (!existsSync(file)) {
    if (!isFile(model)) return ofCatalogue(model, shortcut);
    throw new ModelFileError(file, `is missing, the topology of ${model}`, 'Is the run folder complete?');
  }
  try {
    return ofFile({ file, topology: JSON.parse(readFileSync(file, 'utf8')) as Topology });
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new ModelFileError(file, `no JSON (${error.message})`, 'Is the run folder complete?', { cause: error });
  }
}

/** A path, as no id is one: to a file, or to the folder of a `model.json`. */
function isFile(model: string): boolean {
  return model.endsWith('.json') || /[/\\]/.test(model) || existsSync(join(model, 'model.json'));
}

function ofCatalogue(id: string, shortcut: GivenSettings['shortcut']): Network {
  const own = shortcut === undefined ? {} : { shortcut };
  // Throws for an unknown id before anything is started.
  describeModel(id);
  return {
    label: id,
    notes: [],
    create: (data) => Promise.resolve(createModel(id, { ...data, inputShape: [...data.inputShape], ...own })),
    describe: ({ classes, inputShape }) =>
      Promise.resolve(describeModel(id, { classes, inputShape: [...inputShape], ...own })),
  };
}

function ofFile(source: Pick<ModelFile, 'file' | 'topology'> & Partial<ModelFile>): Network {
  const { file, topology, weightSpecs = [], weightData = new ArrayBuffer(0) } = source;
  const ending = lastActivation(topology);
  if (/sigmoid/i.test(ending))
    throw new ClassifierError(
      file,
      'a model that ends in logits or a softmax',
      `one that ends in ${ending}`,
      'Classes that exclude each other need a softmax; polder trains no other classifiers.',
    );
  const create = async ({ classes, inputShape }: NetworkData): Promise<LayersModel> => {
    const model = await createFileModel({ file, topology, weightSpecs, weightData }, { logits: true });
    try {
      checkClassifier(model, { classes, shape: inputShape }, file);
      if (model.trainableWeights.length > 0) return model;
      throw new ClassifierError(file, 'weights to train', 'none that is trainable', 'Set trainable on a layer.');
    } catch (error) {
      model.dispose();
      throw error;
    }
  };
  return {
    label: labelOf(file),
    notes: notesOn(topology, ending),
    topology,
    create,
    async describe(data) {
      const model = await create(data);
      const sizes = model.trainableWeights.map(({ shape }) => shape.reduce<number>((a, b) => a * (b ?? 1), 1));
      model.dispose();
      return { parameters: sizes.reduce((a, b) => a + b, 0) };
    },
  };
}

/** What the network of a file is made for, by its own word. Throws as {@link findNetwork}. */
export async function shapeOfFile(file: string): Promise<NetworkData> {
  const model = await createFileModel(await readModelFile(file));
  const [input, output] = [model.inputs[0]!.shape, model.outputs[0]!.shape];
  model.dispose();
  return { classes: output.at(-1) ?? 0, inputShape: input.slice(1).map((size) => size ?? 1), seed: 0 };
}

/** `nets/mine/model.json` → `mine`, `mine.json` → `mine`. */
function labelOf(file: string): string {
  const stem = basename(file, '.json');
  const name = stem === 'model' ? basename(dirname(resolve(file))) : stem;
  return name.replaceAll(/[^\w.-]/g, '_') || 'model';
}

function notesOn(topology: Topology, ending: string): readonly string[] {
  // By name anywhere in the topology, so also in models within models.
  const random = /"class_name":"((?:Spatial|Alpha|Gaussian)?Dropout(?:1D)?|GaussianNoise)"/.exec(
    JSON.stringify(topology),
  );
  return [
    ...(ending === 'softmax' ? ['its softmax is left to the loss, which is computed from the logits'] : []),
    ...(ending !== 'softmax' && ending !== 'linear' ? [`what ends in ${ending} is taken as logits`] : []),
    ...(random === null ? [] : [`${random[1]} of TensorFlow.js draws without a seed: no two runs are the same`]),
  ];
}
