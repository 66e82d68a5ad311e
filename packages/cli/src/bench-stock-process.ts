import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';

// A process of its own, started by openStockSteps: its argument is the batch size. It answers every message with the
// milliseconds of one step, and sends those of the first unasked. Nothing of ours is registered here.

type Images = tf.Tensor4D;

const batch = Number(process.argv[2]);
tf.enableProdMode();
await tf.setBackend('wasm');

/**
 * ∂L/∂filter as a convolution: images and channels change places, so that the images are summed over, with the slopes as
 * the filter, dilated by the stride.
 */
tf.registerKernel({
  kernelName: 'Conv2DBackpropFilter',
  backendName: 'wasm',
  kernelFunc: ({ inputs, attrs }) => {
    const { strides, pad, filterShape } = attrs as unknown as {
      readonly strides: number | [number, number];
      readonly pad: 'same' | 'valid' | number;
      readonly filterShape: [number, number, number, number];
    };
    const [height, width, channels, filters] = filterShape;
    return tf.tidy(() => {
      const [x, dy] = [tensorOf(inputs['x']!), tensorOf(inputs['dy']!)];
      const { padInfo, strideHeight } = tf.backend_util.computeConv2DInfo(
        x.shape as [number, number, number, number],
        filterShape,
        strides,
        1,
        pad,
      );
      const padded = tf.pad(tf.transpose(x, [3, 1, 2, 0]), [
        [0, 0],
        [padInfo.top, padInfo.bottom],
        [padInfo.left, padInfo.right],
        [0, 0],
      ]) as Images;
      const slopes = tf.transpose(dy, [1, 2, 0, 3]) as Images;
      // A stride that does not reach the last row leaves rows over: only the filter's own are wanted.
      const all = tf.conv2d(padded, slopes, 1, 'valid', 'NHWC', strideHeight);
      return tf.transpose(tf.slice(all, [0, 0, 0, 0], [channels, height, width, filters]), [1, 2, 0, 3]);
    });
  },
});

/** A kernel's input as a tensor; its data stays the owner's. */
function tensorOf(info: tf.TensorInfo): tf.Tensor {
  if (info instanceof tf.Tensor) return info;
  (tf.backend() as unknown as { incRef(dataId: object): void }).incRef(info.dataId);
  return tf.engine().makeTensorFromTensorInfo(info);
}

const parameters: tf.Variable[] = [];

function parameter(value: tf.Tensor): tf.Variable {
  const variable = tf.variable(value);
  parameters.push(variable);
  return variable;
}

interface Layer {
  readonly filter: tf.Variable;
  readonly gamma: tf.Variable;
  readonly beta: tf.Variable;
  readonly strides: number;
}

function layer(size: number, from: number, to: number, strides: number): Layer {
  const deviation = Math.sqrt(2 / (size * size * from));
  return {
    filter: parameter(tf.randomNormal([size, size, from, to], 0, deviation)),
    gamma: parameter(tf.ones([to])),
    beta: parameter(tf.zeros([to])),
    strides,
  };
}

function run({ filter, gamma, beta, strides }: Layer, x: Images): Images {
  const y = tf.conv2d(x, filter as unknown as Images, strides, 'same');
  const { mean, variance } = tf.moments(y, [0, 1, 2]);
  return tf.batchNorm4d(
    y,
    mean as tf.Tensor1D,
    variance as tf.Tensor1D,
    beta as unknown as tf.Tensor1D,
    gamma as unknown as tf.Tensor1D,
    1e-5,
  );
}

const stem = layer(3, 3, 16, 1);
const widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64];
const blocks = widths.slice(1).map((to, i) => {
  const from = widths[i]!;
  const strides = from === to ? 1 : 2;
  return {
    a: layer(3, from, to, strides),
    b: layer(3, to, to, 1),
    shortcut: strides === 1 ? undefined : layer(1, from, to, strides),
  };
});
const classifier = parameter(tf.randomNormal([64, 10], 0, 0.1));
const bias = parameter(tf.zeros([10]));
const images = tf.randomNormal<tf.Rank.R4>([batch, 32, 32, 3]);
const labels = tf.oneHot(tf.randomUniform([batch], 0, 10, 'int32'), 10);

function loss(): tf.Scalar {
  const features = blocks.reduce(
    (x, { a, b, shortcut }) => {
      const inner = run(b, tf.relu(run(a, x)));
      return tf.relu(tf.add(inner, shortcut === undefined ? x : run(shortcut, x)));
    },
    tf.relu(run(stem, images)),
  );
  const logits = tf.add(tf.matMul(tf.mean<tf.Tensor2D>(features, [1, 2]), classifier as unknown as tf.Tensor2D), bias);
  return tf.losses.softmaxCrossEntropy(labels, logits);
}

function step(): number {
  const start = performance.now();
  const { value, grads } = tf.variableGrads(loss, parameters);
  value.dataSync();
  const ms = performance.now() - start;
  tf.dispose([value, grads]);
  return ms;
}

process.on('message', () => process.send!(step()));
process.send!(step());
