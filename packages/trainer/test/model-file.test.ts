import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shapes } from '@polder/data';
import { expectNoLeak } from '@polder/testkit';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkClassifier, ClassifierError, crossEntropyLoss, lastActivation, withoutSoftmax } from '../src/index.js';
import { createFileModel, loadModelFile, ModelFileError, readModelFile, saveModelFile } from '../src/node/index.js';

const folder = mkdtempSync(join(tmpdir(), 'polder-model-file-'));
beforeAll(async () => {
  tf.enableProdMode();
  await tf.setBackend('cpu');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Ending = 'dense' | 'activation' | 'softmax' | 'nested' | 'functional' | 'none';

/** The same network, ended in every way that people end one. */
const body = (): tf.layers.Layer[] => [
  tf.layers.conv2d({ inputShape: [8, 8, 3], filters: 4, kernelSize: 3, strides: 2, activation: 'relu' }),
  tf.layers.batchNormalization(),
  tf.layers.flatten(),
];
const head = (more: object = {}): tf.layers.Layer => tf.layers.dense({ units: 5, ...more });
const makers: Readonly<Record<Ending, () => tf.LayersModel>> = {
  none: () => tf.sequential({ layers: [...body(), head()] }),
  dense: () => tf.sequential({ layers: [...body(), head({ activation: 'softmax' })] }),
  activation: () => tf.sequential({ layers: [...body(), head(), tf.layers.activation({ activation: 'softmax' })] }),
  softmax: () => tf.sequential({ layers: [...body(), head(), tf.layers.softmax()] }),
  nested: () =>
    tf.sequential({
      layers: [...body(), tf.sequential({ layers: [head({ inputShape: [36], activation: 'softmax' })] })],
    }),
  functional() {
    const input = tf.input({ shape: [8, 8, 3] });
    const features = body().reduce<tf.SymbolicTensor>((x, layer) => layer.apply(x) as tf.SymbolicTensor, input);
    // The output is not the last layer of the list.
    const [wide, narrow] = [head(), head()].map((layer) => layer.apply(features) as tf.SymbolicTensor);
    const sum = tf.layers.add().apply([wide!, narrow!]) as tf.SymbolicTensor;
    return tf.model({ inputs: input, outputs: tf.layers.softmax().apply(sum) as tf.SymbolicTensor });
  },
};
const network = (ending: Ending): tf.LayersModel => makers[ending]();

const images = (): tf.Tensor4D => tf.tidy(() => tf.reshape(tf.sin(tf.range(0, 4 * 192)), [4, 8, 8, 3]));

describe('model files', () => {
  it.each<Ending>(['dense', 'activation', 'softmax', 'nested', 'functional', 'none'])(
    'come back bit for bit, and without their softmax give its logits: %s',
    async (ending) => {
      const place = join(folder, ending);
      const model = network(ending);
      expect(await saveModelFile(model, place)).toEqual([join(place, 'model.json'), join(place, 'weights.bin')]);
      const file = join(place, 'model.json');
      const check = async (): Promise<void> => {
        const [same, logits] = [
          await loadModelFile(file),
          await createFileModel(await readModelFile(file), { logits: true }),
        ];
        tf.tidy(() => {
          const x = images();
          const [expected, again, z] = [model, same, logits].map((m) => m.predict(x) as tf.Tensor);
          expect(again!.dataSync()).toEqual(expected!.dataSync());
          const given = ending === 'none' ? z! : tf.softmax(z!);
          expect(given.dataSync()).toEqual(expected!.dataSync());
          if (ending !== 'none') expect(z!.dataSync()).not.toEqual(expected!.dataSync());
        });
        expect(logits.weights.map((w) => w.originalName)).toEqual(same.weights.map((w) => w.originalName));
        same.dispose();
        logits.dispose();
      };
      // tfjs keeps the weights of a model within a model when it disposes of the outer one.
      await (ending === 'nested' ? check() : expectNoLeak(check));
      model.dispose();
    },
  );

  it('tells the last activation, also of what Keras writes', () => {
    const dense = { class_name: 'Dense', config: { name: 'd', units: 2, activation: 'softmax' } };
    const sequential = { class_name: 'Sequential', config: { layers: [dense] } };
    expect(lastActivation(sequential)).toBe('softmax');
    expect(lastActivation({ model_config: sequential, keras_version: '2.4.0' })).toBe('softmax');
    expect(lastActivation({ class_name: 'Sequential', config: [dense] })).toBe('softmax');
    const stripped = withoutSoftmax({ model_config: sequential });
    expect(lastActivation(stripped)).toBe('linear');
    expect(dense.config.activation).toBe('softmax');
    for (const broken of [
      {},
      { config: null },
      { config: { layers: [null] } },
      { config: { layers: [], output_layers: 3 } },
    ])
      expect(lastActivation(broken)).toBe('linear');
  });

  it('are refused by name when they are damaged', async () => {
    const good = join(folder, 'good');
    const model = network('none');
    await saveModelFile(model, good);
    model.dispose();
    const text = readFileSync(join(good, 'model.json'), 'utf8');
    const cases: readonly (readonly [string, RegExp])[] = [
      ['{', /no JSON/],
      ['3', /no JSON object/],
      ['{"format":"graph-model"}', /graph model/],
      ['{"modelTopology":{}}', /no modelTopology and weightsManifest/],
      ['{"modelTopology":{},"weightsManifest":[{}]}', /without paths and weights/],
      [text.replace('weights.bin', '../weights.bin'), /outside its folder/],
      [text.replace('weights.bin', 'gone.bin'), /gone\.bin: cannot be read \(ENOENT\)/],
      [text.replace('"shape":[5]', '"shape":[6]'), /bytes of weights instead of/],
      [text.replace('"Flatten"', '"Flatter"'), /cannot load it: Unknown layer: Flatter/],
      [
        text.replace(
          '"activity_regularizer":null',
          '"activity_regularizer":{"class_name":"L1L2","config":{"l1":1,"l2":0}}',
        ),
        /activity regularizer/,
      ],
    ];
    for (const [content, says] of cases) {
      writeFileSync(join(good, 'broken.json'), content);
      const loading = loadModelFile(join(good, 'broken.json'));
      await expect(loading).rejects.toThrow(says);
      await expect(loading).rejects.toThrow(ModelFileError);
    }
  });

  it('leave nothing half-written where they cannot be saved', async () => {
    const model = network('none');
    writeFileSync(join(folder, 'occupied'), '');
    await expect(saveModelFile(model, join(folder, 'occupied/x'))).rejects.toThrow(/ENOTDIR/);
    expect(readdirSync(folder).filter((name) => name.includes('tmp'))).toEqual([]);
    model.dispose();
  });
});

describe('classifiers', () => {
  it('must fit the data', () => {
    const model = network('none');
    const fits = { shape: [8, 8, 3], classes: 5 };
    checkClassifier(model, fits, 'm');
    for (const misfit of [
      { ...fits, classes: 10 },
      { ...fits, shape: [8, 8, 1] },
      { ...fits, shape: [64] },
    ])
      expect(() => checkClassifier(model, misfit, 'm.json')).toThrow(ClassifierError);
    expect(() => checkClassifier(model, { shape: [32, 32, 3], classes: 10 }, 'm.json')).toThrow(
      'm.json: expected a model from images [32, 32, 3] to 10 classes, as the data are, got one from [8, 8, 3] to [5].',
    );
    model.dispose();
    const open = tf.sequential({
      layers: [
        tf.layers.conv2d({
          inputShape: [null as unknown as number, null as unknown as number, 3],
          filters: 5,
          kernelSize: 1,
        }),
        tf.layers.globalMaxPooling2d({} as never),
      ],
    });
    checkClassifier(open, fits, 'm');
    open.dispose();
  });

  it('are trained with the penalties that their layers ask for', async () => {
    const { train } = shapes({ train: 4, test: 1, seed: 0 });
    const make = (l2: number): tf.LayersModel =>
      tf.sequential({
        layers: [
          tf.layers.flatten({ inputShape: [32, 32, 3] }),
          tf.layers.dense({
            units: 10,
            ...(l2 > 0 && { kernelRegularizer: tf.regularizers.l2({ l2 }) }),
          }),
        ],
      });
    const [plain, penalised] = [make(0), make(0.25)];
    plain.setWeights(penalised.getWeights());
    const batch = {
      images: tf.reshape(tf.cast(tf.tensor(train.images), 'float32'), [4, 32, 32, 3]) as tf.Tensor4D,
      labels: tf.tensor1d([1, 2, 3, 4], 'int32'),
    };
    await expectNoLeak(() => {
      const losses = [plain, penalised].map((model) => tf.tidy(() => crossEntropyLoss(model, 0)(batch).dataSync()));
      const kernel = penalised.layers[1]!.weights[0]!.read().dataSync() as Float32Array;
      const penalty = 0.25 * kernel.reduce((sum, w) => sum + w * w, 0);
      losses[1]!.forEach((loss, i) => expect(loss).toBeCloseTo(losses[0]![i]! + penalty, 3));
    });
    tf.dispose(Object.values(batch));
    plain.dispose();
    penalised.dispose();
  });
});
