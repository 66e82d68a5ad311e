import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { floatValues, writeNpy, writeSafetensors } from '@polder/data';
import { exportTorchWeights, PlainLayersError, withPlainLayers } from '@polder/models';
import { decodeCheckpoint, encodeCheckpoint } from '@polder/trainer';
import { createFileModel, saveModelFile, writeAtomic, writeJson } from '@polder/trainer/node';
import type { OpenedTarget } from './open-target.js';

/** What weights are written as. */
export type ExportFormat = 'tfjs' | 'safetensors' | 'torch' | 'npy';

/** What was written. */
export interface Exported {
  readonly files: readonly string[];
  /** How it is read, in a sentence. */
  readonly use: string;
}

/** Where a format goes in a folder: a file, or a folder of files. */
export const exportPlaces: Readonly<Record<ExportFormat, string>> = {
  tfjs: 'tfjs',
  safetensors: 'model.safetensors',
  torch: 'pytorch.safetensors',
  npy: 'npy',
};

/** Writes a network with its trained weights to `out`. Throws the system's errors, and WeightsError of `@polder/models`. */
export async function exportModel(
  target: OpenedTarget,
  format: ExportFormat,
  out: string,
  { ownLayers = false }: { readonly ownLayers?: boolean } = {},
): Promise<Exported> {
  if (format === 'tfjs') return exportTfjs(target, out, ownLayers);
  if (format === 'npy') return exportNpy(await namedWeights(target), out);
  if (format === 'safetensors') {
    writeFile(out, await namedWeights(target));
    return { files: [out], use: 'weights by layer and weight name, in the layout of TensorFlow.js' };
  }
  const weights = await exportTorchWeights(target.model);
  writeFile(out, writeSafetensors([...weights], { format: 'pt' }));
  return { files: [out], use: "safetensors.torch.load_file(…) gives a state dict in torchvision's names" };
}

async function exportTfjs({ model, network }: OpenedTarget, out: string, ownLayers: boolean): Promise<Exported> {
  if (network.topology !== undefined) {
    // As it came, with the softmax that training left to the loss.
    const { topology } = network;
    const whole = await createFileModel({ file: out, topology, weightSpecs: [], weightData: new ArrayBuffer(0) });
    whole.setWeights(model.getWeights());
    const files = await saveModelFile(whole, out);
    whole.dispose();
    return { files, use: 'tf.loadLayersModel reads it as it read the file that was trained' };
  }
  const plain = ownLayers ? undefined : inPlainLayers(model);
  if (plain === undefined) {
    const use = "tf.loadLayersModel reads it, bit for bit, after import '@polder/models', which has its layers";
    return { files: await saveModelFile(model, out), use };
  }
  const files = await saveModelFile(plain, out);
  plain.dispose();
  return { files, use: 'tf.loadLayersModel reads it anywhere; it gives logits, equal but for rounding' };
}

function writeFile(file: string, bytes: Uint8Array): void {
  mkdirSync(dirname(file), { recursive: true });
  writeAtomic(file, bytes);
}

/** Undefined for a network that has no such form. */
function inPlainLayers(model: LayersModel): LayersModel | undefined {
  try {
    return withPlainLayers(model);
  } catch (error) {
    if (error instanceof PlainLayersError) return undefined;
    throw error;
  }
}

/** The weights as a checkpoint has them. */
function namedWeights({ model, settings, step = 0, network }: OpenedTarget): Promise<Uint8Array> {
  return encodeCheckpoint(model, {
    model: settings.model ?? network.label,
    classes: model.outputs[0]!.shape.at(-1)!,
    inputShape: model.inputs[0]!.shape.slice(1).map((size) => size ?? 1),
    seed: settings.seed ?? 0,
    step,
  });
}

/** A file for each weight, named as in a checkpoint with `.` for `/`, and a list of them. */
function exportNpy(weights: Uint8Array, out: string): Exported {
  mkdirSync(out, { recursive: true });
  const listed = Array.from(decodeCheckpoint(weights, out).tensors, ([name, tensor]) => {
    const file = `${name.replaceAll('/', '.')}.npy`;
    writeAtomic(join(out, file), writeNpy({ dtype: '<f4', shape: tensor.shape, data: floatValues(tensor) }));
    return { name, shape: tensor.shape, file };
  });
  writeJson(join(out, 'weights.json'), listed);
  const files = ['weights.json', ...listed.map(({ file }) => file)].map((file) => join(out, file));
  return { files, use: 'numpy.load reads each; weights.json lists names and shapes' };
}
