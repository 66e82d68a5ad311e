import * as tfl from '@tensorflow/tfjs-layers';
import { PlainLayersError } from './errors.js';
import type { LayerOptions } from './layer.js';

type Value = tfl.SymbolicTensor;
type PlainLayer = tfl.layers.Layer;

/** What a layer becomes: its value, and the layer of TensorFlow.js's own that takes over its weights. */
interface Plain {
  readonly value: Value;
  readonly weighted?: PlainLayer;
}

type Writing = (name: string, options: LayerOptions, inputs: readonly Value[]) => Plain;

const on = (layer: PlainLayer, ...inputs: readonly Value[]): Value =>
  layer.apply(inputs.length === 1 ? inputs[0]! : [...inputs]) as Value;

/** How each kind of layer is written in TensorFlow.js's own. */
const writings: Readonly<Record<string, Writing>> = {
  PolderConv2D(name, options, [x]) {
    const { filters, kernelSize, strides, padding, useBias } = options as Readonly<Record<string, number>>;
    // 'same' pads as we do at stride 1 only.
    const same = strides === 1 && padding! * 2 === kernelSize! - 1;
    const around =
      same || padding === 0 ? x! : on(tfl.layers.zeroPadding2d({ name: `${name}/pad`, padding: padding! }), x!);
    const settings = { filters: filters!, kernelSize: kernelSize!, strides: strides!, useBias: Boolean(useBias) };
    const layer = tfl.layers.conv2d({ name, ...settings, padding: same ? 'same' : 'valid' });
    return { value: on(layer, around), weighted: layer };
  },
  PolderBatchNorm(name, options, [x, residual]) {
    const { momentum, epsilon } = options as Readonly<Record<string, number>>;
    const layer = tfl.layers.batchNormalization({ name, momentum: momentum!, epsilon: epsilon! });
    const normal = on(layer, x!);
    const sum = residual === undefined ? normal : on(tfl.layers.add({ name: `${name}/add` }), normal, residual);
    const value = options['relu'] === true ? on(tfl.layers.reLU({ name: `${name}/relu` }), sum) : sum;
    return { value, weighted: layer };
  },
  PolderDense(name, { units }, [x]) {
    const layer = tfl.layers.dense({ name, units: units as number });
    return { value: on(layer, x!), weighted: layer };
  },
  PolderActivation: (name, { kind }, [x]) => ({
    value: on(tfl.layers.activation({ name, activation: kind as 'relu' | 'tanh' }), x!),
  }),
  PolderAdd: (name, _, inputs) => ({ value: on(tfl.layers.add({ name }), ...inputs) }),
  PolderMaxPool2D: (name, { size }, [x]) => ({
    value: on(tfl.layers.maxPooling2d({ name, poolSize: size as number, strides: size as number }), x!),
  }),
  PolderGlobalAveragePool2D: (name, _, [x]) => ({
    value: on(tfl.layers.globalAveragePooling2d({ name, dataFormat: 'channelsLast' }), x!),
  }),
  PolderFlatten: (name, _, [x]) => ({ value: on(tfl.layers.flatten({ name }), x!) }),
  PolderPadShortcut(name, options, [x]) {
    const { filters, strides, pool } = options as { filters: number; strides: number; pool: string };
    const poolSize = pool === 'average' ? strides : 1;
    // 'same': a rest at the edge is averaged over what is there, as ours is.
    const pooling = tfl.layers.averagePooling2d({ name: `${name}/pool`, poolSize, strides, padding: 'same' });
    const smaller = strides === 1 ? x! : on(pooling, x!);
    const more = filters - (x!.shape[3] as number);
    const before = pool === 'average' ? 0 : Math.floor(more / 2);
    // Zero padding is for rows and columns: the channels are turned into rows for it.
    const turned = on(tfl.layers.permute({ name: `${name}/turn`, dims: [3, 1, 2] }), smaller);
    const padding: [[number, number], [number, number]] = [
      [before, more - before],
      [0, 0],
    ];
    const padded = on(tfl.layers.zeroPadding2d({ name: `${name}/pad`, padding }), turned);
    return { value: on(tfl.layers.permute({ name, dims: [2, 3, 1] }), padded) };
  },
};

/**
 * A network of this package written in TensorFlow.js's own layers, with copies of its weights under the same names: what
 * `model.save` makes of it loads wherever TensorFlow.js does, without this package. Inference gives the same logits but
 * for rounding (batch norm is computed in another order). ResNets, Wide ResNets, VGG, PyramidNet, LeNet and MLPs can be
 * written so; grouped convolutions (ResNeXt) and transformers cannot: throws {@link PlainLayersError}, which lists the
 * layers.
 */
export function withPlainLayers(model: tfl.LayersModel): tfl.LayersModel {
  const foreign = model.layers.filter((layer) => !isWritable(layer));
  if (foreign.length > 0)
    throw new PlainLayersError(
      model.name,
      foreign.map(({ name }) => name),
    );
  const values = new Map<Value, Value>();
  const taken: (readonly [PlainLayer, PlainLayer])[] = [];
  for (const layer of model.layers) {
    const output = layer.output as Value;
    if (layer.getClassName() === 'InputLayer') {
      values.set(output, tfl.input({ shape: output.shape.slice(1), name: layer.name }));
      continue;
    }
    const inputs = [layer.input].flat().map((input) => values.get(input)!);
    const { value, weighted } = writings[layer.getClassName()]!(layer.name, optionsOf(layer), inputs);
    values.set(output, value);
    if (weighted !== undefined) taken.push([weighted, layer]);
  }
  const inputs = model.inputs.map((input) => values.get(input)!);
  const plain = tfl.model({ inputs, outputs: values.get(model.outputs[0]!)!, name: model.name });
  for (const [layer, source] of taken) layer.setWeights(source.getWeights());
  return plain;
}

function isWritable(layer: PlainLayer): boolean {
  const kind = layer.getClassName();
  return kind === 'InputLayer' || (Object.hasOwn(writings, kind) && (optionsOf(layer)['groups'] ?? 1) === 1);
}

function optionsOf(layer: PlainLayer): LayerOptions {
  return (layer as unknown as { readonly options?: LayerOptions }).options ?? {};
}
