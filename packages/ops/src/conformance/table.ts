import type * as tf from '@tensorflow/tfjs-core';
import { batchNormTraining } from '../batch-norm.js';
import { conv2d, conv2dTranspose, depthwiseConv2d } from '../conv.js';
import { softmaxCrossEntropy } from '../cross-entropy.js';
import { embedding } from '../embedding.js';
import { gelu } from '../gelu.js';
import { layerNorm } from '../layer-norm.js';
import { avgPool, globalAveragePool, maxPool } from '../pool.js';
import { checkRow, input, list, normals, type OpCase, type Row, type Tensors, type Values } from './case.js';
import * as reference from './reference.js';
import type { WindowOptions } from './reference.js';

// One row per op and shape, forward and gradient, against float64 loops: never against another backend.

/** The table's rows, for the current backend and whatever kernels it has. */
export function opsTable(): readonly OpCase[] {
  const rows = [...convolutions(), ...depthwise(), ...transposed(), ...pools(), ...norms(), ...losses(), ...others()];
  return rows.map((row) => ({ name: row.name, run: () => checkRow(row) }));
}

// ---- rows

type ConvRow = readonly [
  x: readonly [number, number, number, number],
  filter: readonly [number, number, number, number],
  o: WindowOptions & { readonly groups?: number },
];

const CONVOLUTIONS: readonly ConvRow[] = [
  [[2, 8, 8, 16], [3, 3, 16, 16], { padding: 'same' }],
  [[3, 9, 7, 16], [3, 3, 16, 32], { padding: 1, strides: 2 }],
  [[2, 8, 8, 8], [3, 3, 8, 16], { padding: 'same', strides: 2 }],
  [[1, 7, 5, 5], [3, 3, 5, 7], { padding: 'same' }],
  [[2, 16, 16, 3], [3, 3, 3, 16], { padding: 1 }],
  [[3, 13, 16, 6], [3, 3, 6, 9], { padding: 1 }],
  [[1, 16, 12, 4], [5, 5, 4, 8], { padding: 2 }],
  [[2, 14, 16, 8], [3, 3, 8, 8], { padding: 2, dilations: 2 }],
  [[3, 5, 5, 8], [1, 1, 8, 24], {}],
  [[1, 6, 6, 16], [1, 1, 16, 32], { strides: 2 }],
  [[2, 3, 5, 6], [1, 1, 6, 10], {}],
  [
    [2, 9, 8, 4],
    [2, 3, 4, 6],
    {
      strides: [2, 3],
      dilations: [2, 1],
      padding: [
        [1, 0],
        [2, 1],
      ],
    },
  ],
  [[2, 10, 10, 4], [2, 2, 4, 8], { strides: 3 }],
  [[1, 8, 8, 4], [4, 4, 4, 8], { padding: 'same' }],
  [[2, 8, 8, 3], [4, 4, 3, 12], { strides: 4 }],
  [[1, 3, 3, 4], [3, 3, 4, 8], {}],
  [[2, 3, 3, 4], [3, 3, 4, 8], {}],
  [[7, 2, 2, 9], [3, 3, 9, 5], { padding: 'same', strides: 2 }],
  [[2, 15, 15, 3], [7, 7, 3, 8], { strides: 2, padding: 3 }],
  [[1, 4, 4, 4], [3, 3, 4, 4], { padding: 3 }],
  [[40, 8, 8, 8], [3, 3, 8, 8], { padding: 1 }],
  [[70, 4, 4, 12], [3, 3, 12, 20], { padding: 1 }],
  [[3, 32, 32, 16], [3, 3, 16, 16], { padding: 1 }],
  [[3, 7, 9, 16], [3, 3, 16, 40], { padding: 1 }],
  [[1, 9, 6, 40], [3, 3, 40, 32], {}],
  [[2, 6, 5, 32], [3, 3, 32, 32], { padding: 2 }],
  [[9, 8, 8, 64], [3, 3, 64, 64], { padding: 1 }],
  [[2, 6, 5, 6], [3, 3, 3, 4], { padding: 1, groups: 2 }],
  [[1, 5, 5, 12], [3, 3, 3, 8], { padding: 'same', strides: 2, groups: 4 }],
  [[0, 5, 5, 4], [3, 3, 4, 8], { padding: 1 }],
  [[2, 2, 2, 4], [3, 3, 4, 8], {}],
];

function convolutions(): readonly Row[] {
  return CONVOLUTIONS.map(([xShape, filterShape, o]) => {
    const window = reference.windowOf([xShape[1], xShape[2]], [filterShape[0], filterShape[1]], o);
    const kind = { groups: o.groups ?? 1 };
    return {
      name: `conv2d ${list(xShape)} ∗ ${list(filterShape)} ${JSON.stringify(o)}`,
      inputs: { x: input(xShape, 1), filter: input(filterShape, 2) },
      op: ({ x, filter }) => [conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, o)],
      ...bilinear(xShape, filterShape, window, kind, xShape[0] * window.outH * window.outW * filterShape[3]),
    };
  });
}

function depthwise(): readonly Row[] {
  const rows: readonly ConvRow[] = [
    [[2, 6, 7, 8], [3, 3, 8, 1], { padding: 'same' }],
    [[1, 7, 5, 5], [3, 3, 5, 2], { padding: 1, strides: 2 }],
    [[3, 8, 8, 16], [5, 5, 16, 1], { padding: 2, strides: 2 }],
    [[2, 9, 9, 3], [3, 3, 3, 1], { padding: 2, dilations: 2 }],
    [
      [1, 9, 8, 4],
      [3, 2, 4, 3],
      {
        padding: [
          [1, 0],
          [0, 2],
        ],
        strides: [2, 1],
      },
    ],
    [[0, 5, 5, 4], [3, 3, 4, 1], { padding: 1 }],
  ];
  return rows.map(([xShape, filterShape, o]) => {
    const window = reference.windowOf([xShape[1], xShape[2]], [filterShape[0], filterShape[1]], o);
    const outC = filterShape[2] * filterShape[3];
    return {
      name: `depthwiseConv2d ${list(xShape)} ∗ ${list(filterShape)} ${JSON.stringify(o)}`,
      inputs: { x: input(xShape, 3), filter: input(filterShape, 4) },
      op: ({ x, filter }) => [depthwiseConv2d(x as tf.Tensor4D, filter as tf.Tensor4D, o)],
      ...bilinear(xShape, filterShape, window, { depthwise: true }, xShape[0] * window.outH * window.outW * outC),
    };
  });
}

function transposed(): readonly Row[] {
  // The result's shape (the image of the convolution that is transposed), and that convolution's filter.
  const rows: readonly ConvRow[] = [
    [[2, 6, 7, 8], [3, 3, 8, 5], { padding: 'same' }],
    [[1, 8, 8, 6], [4, 4, 6, 8], { padding: 1, strides: 2 }],
    [[3, 7, 9, 4], [3, 3, 4, 9], { padding: 'same', strides: 2 }],
    [[2, 6, 6, 8], [2, 2, 8, 4], { strides: 2 }],
    [
      [2, 8, 7, 3],
      [3, 2, 3, 4],
      {
        strides: [1, 3],
        padding: [
          [2, 1],
          [0, 1],
        ],
      },
    ],
    [[1, 8, 8, 4], [3, 3, 4, 4], { dilations: 2, padding: 2 }],
  ];
  return rows.map(([imageShape, filterShape, o]) => {
    const window = reference.windowOf([imageShape[1], imageShape[2]], [filterShape[0], filterShape[1]], o);
    const xShape = [imageShape[0], window.outH, window.outW, filterShape[3]] as const;
    const size = imageShape.reduce((a, b) => a * b);
    const each = (visit: (y: number, x: number, w: number) => void): void =>
      reference.eachProduct(imageShape, filterShape, window, {}, (out, image, w) => visit(image, out, w));
    return {
      name: `conv2dTranspose ${list(xShape)} to ${list(imageShape)} by ${list(filterShape)} ${JSON.stringify(o)}`,
      inputs: { x: input(xShape, 5), filter: input(filterShape, 6) },
      op: ({ x, filter }) => [conv2dTranspose(x as tf.Tensor4D, filter as tf.Tensor4D, imageShape, o)],
      ...sumsOfProducts(each, size),
    };
  });
}

function bilinear(
  xShape: ConvRow[0],
  filterShape: ConvRow[1],
  window: reference.Window,
  kind: { readonly groups?: number; readonly depthwise?: boolean },
  size: number,
): Pick<Row, 'forward' | 'backward'> {
  return sumsOfProducts((visit) => reference.eachProduct(xShape, filterShape, window, kind, visit), size);
}

function sumsOfProducts(
  each: (visit: (y: number, x: number, w: number) => void) => void,
  size: number,
): Required<Pick<Row, 'forward' | 'backward'>> {
  return {
    forward: ({ x, filter }) => {
      const y = new Float64Array(size);
      each((yi, xi, wi) => (y[yi] = y[yi]! + x![xi]! * filter![wi]!));
      return [y];
    },
    backward: ({ x, filter }, dy) => {
      const [dx, dw] = [new Float64Array(x!.length), new Float64Array(filter!.length)];
      each((yi, xi, wi) => {
        dx[xi] = dx[xi]! + dy[yi]! * filter![wi]!;
        dw[wi] = dw[wi]! + dy[yi]! * x![xi]!;
      });
      return { x: dx, filter: dw };
    },
  };
}

function pools(): readonly Row[] {
  const rows: readonly (readonly [ConvRow[0], readonly [number, number], WindowOptions])[] = [
    [[2, 6, 6, 4], [2, 2], {}],
    [[3, 7, 5, 5], [3, 3], { strides: 2, padding: 'same' }],
    [[1, 8, 7, 8], [3, 3], { strides: 1, padding: 1 }],
    [
      [2, 8, 8, 3],
      [3, 2],
      {
        strides: [2, 1],
        padding: [
          [1, 0],
          [0, 1],
        ],
      },
    ],
    [[1, 4, 4, 1], [4, 4], {}],
    [[0, 4, 4, 2], [2, 2], {}],
  ];
  return rows.flatMap(([shape, size, o]) => {
    const options = { strides: o.strides ?? size, padding: o.padding ?? 'valid' };
    const window = reference.windowOf([shape[1], shape[2]], size, options);
    const channels = shape[3];
    const outSize = shape[0] * window.outH * window.outW * channels;
    const eachInput = (visit: (y: number, x: number) => void): void =>
      reference.eachTap(shape, size, window, (out, pixel) => {
        for (let c = 0; c < channels; c++) visit(out * channels + c, pixel * channels + c);
      });
    const max = ({ x }: Values): Float64Array => {
      const y = new Float64Array(outSize).fill(-Infinity);
      eachInput((yi, xi) => (y[yi] = Math.max(y[yi]!, x![xi]!)));
      return y;
    };
    const mean = ({ x }: Values): Float64Array => {
      const [sum, count] = [new Float64Array(outSize), new Float64Array(outSize)];
      eachInput((yi, xi) => {
        sum[yi] = sum[yi]! + x![xi]!;
        count[yi] = count[yi]! + 1;
      });
      return sum.map((s, i) => s / count[i]!);
    };
    const inputs = { x: input(shape, 7) };
    const name = `${list(shape)} by ${list(size)} ${JSON.stringify(o)}`;
    return [
      {
        name: `maxPool ${name}`,
        inputs,
        op: ({ x }) => [maxPool(x as tf.Tensor4D, size, o)],
        forward: (v) => [max(v)],
      },
      {
        name: `avgPool ${name}`,
        inputs,
        op: ({ x }) => [avgPool(x as tf.Tensor4D, size, o)],
        forward: (v) => [mean(v)],
      },
    ] satisfies readonly Row[];
  });
}

function norms(): readonly Row[] {
  const shapes = [
    [2, 3, 4, 8],
    [3, 5, 5, 5],
    [1, 7, 3, 12],
    [6, 4],
    [2, 9, 31, 3],
    [3, 15, 15, 10],
  ];
  const variants = [{}, { relu: true }, { residual: true }, { relu: true, residual: true }];
  const batch = shapes.flatMap((shape) =>
    (shape.length === 4 && shape[1]! > 8 ? variants.slice(3) : variants).map((variant): Row => {
      const channels = shape.at(-1)!;
      const { relu = false, residual = false } = variant;
      const epsilon = 1e-3;
      return {
        name: `batchNormTraining ${list(shape)} ${JSON.stringify(variant)}`,
        inputs: {
          x: input(shape, 8, 3),
          gamma: input([channels], 9),
          beta: input([channels], 10),
          ...(residual ? { residual: input(shape, 11) } : {}),
        },
        op: (t) => {
          const other = residual ? { residual: t['residual']! } : {};
          const { y, mean, variance } = batchNormTraining(t['x']!, t['gamma']!, t['beta']!, {
            epsilon,
            relu,
            ...other,
          });
          return [y, mean, variance];
        },
        forward: (v) => {
          const other = residual ? { residual: v['residual']! } : {};
          const { y, mean, variance } = reference.batchNorm(v['x']!, v['gamma']!, v['beta']!, {
            epsilon,
            relu,
            ...other,
          });
          return [y, mean, variance];
        },
      };
    }),
  );
  const layer = [
    [4, 8],
    [2, 3, 5],
    [1, 1, 17],
    [3, 2, 2, 192],
    [0, 6],
  ].map((shape): Row => ({
    name: `layerNorm ${list(shape)}`,
    inputs: { x: input(shape, 12, 2), gamma: input([shape.at(-1)!], 13), beta: input([shape.at(-1)!], 14) },
    op: ({ x, gamma, beta }) => [layerNorm(x!, gamma!, beta!, { epsilon: 1e-4 })],
    forward: ({ x, gamma, beta }) => [reference.layerNorm(x!, gamma!, beta!, 1e-4)],
  }));
  return [...batch, ...layer];
}

function losses(): readonly Row[] {
  const shapes = [
    [1, 2],
    [2, 10],
    [3, 7],
    [33, 10],
    [0, 4],
  ] as const;
  return shapes.flatMap(([n, classes]) =>
    [0, 0.1].flatMap((labelSmoothing): readonly Row[] => {
      const logits = input([n, classes], 15, 0, 4);
      const numbers = Float64Array.from({ length: n }, (_, i) => (i * 7 + 3) % classes);
      const raw = normals(n * classes, 16).map(Math.abs);
      const soft = raw.map((v, i) => {
        const row = raw.subarray(i - (i % classes), i - (i % classes) + classes);
        return Math.fround(v / row.reduce((a, b) => a + b, 0));
      });
      const smooth = (targets: Float64Array): Float64Array =>
        targets.map((t) => (1 - labelSmoothing) * t + labelSmoothing / classes);
      const oneHot = (labels: Float64Array): Float64Array =>
        Float64Array.from({ length: n * classes }, (_, i) => (labels[Math.floor(i / classes)] === i % classes ? 1 : 0));
      const op = ({ logits, labels }: Tensors): readonly tf.Tensor[] => [
        softmaxCrossEntropy(logits as tf.Tensor2D, labels as tf.Tensor2D, { labelSmoothing }),
      ];
      return [
        {
          name: `softmaxCrossEntropy sparse [${n}, ${classes}] smoothing ${labelSmoothing}`,
          inputs: { logits, labels: { shape: [n], values: numbers, dtype: 'int32' } },
          op,
          forward: (v) => [reference.crossEntropy(v['logits']!, smooth(oneHot(v['labels']!)), classes)],
        },
        {
          name: `softmaxCrossEntropy soft [${n}, ${classes}] smoothing ${labelSmoothing}`,
          inputs: { logits, labels: { shape: [n, classes], values: soft } },
          op,
          forward: (v) => [reference.crossEntropy(v['logits']!, smooth(v['labels']!), classes)],
        },
      ];
    }),
  );
}

function others(): readonly Row[] {
  const geluRows = [[5], [3, 7], [0], [2, 3, 4, 5]].map((shape): Row => ({
    name: `gelu ${list(shape)}`,
    inputs: { x: input(shape, 17, 0, 3) },
    op: ({ x }) => [gelu(x!)],
    forward: ({ x }) => [reference.gelu(x!)],
  }));
  const pooled = [
    [2, 3, 5, 7],
    [1, 1, 1, 4],
    [3, 8, 8, 64],
  ].map((shape): Row => ({
    name: `globalAveragePool ${list(shape)}`,
    inputs: { x: input(shape, 18) },
    op: ({ x }) => [globalAveragePool(x as tf.Tensor4D)],
    forward: ({ x }) => {
      const [n, h, w, c] = shape as [number, number, number, number];
      const y = new Float64Array(n * c);
      x!.forEach((v, i) => {
        const at = Math.floor(i / (h * w * c)) * c + (i % c);
        y[at] = y[at]! + v / (h * w);
      });
      return [y];
    },
  }));
  const embeddings = [
    [[5, 4], [7]],
    [
      [3, 6],
      [2, 3],
    ],
    [[4, 1], [1]],
    [[4, 3], [0]],
  ].map(([table, indices]): Row => ({
    name: `embedding ${list(table!)} at ${list(indices!)}`,
    inputs: {
      table: input(table!, 19),
      indices: {
        shape: indices!,
        values: Float64Array.from({ length: indices!.reduce((a, b) => a * b, 1) }, (_, i) => (i * 2) % table![0]!),
        dtype: 'int32',
      },
    },
    op: (t) => [embedding(t['table'] as tf.Tensor2D, t['indices']!)],
    forward: (v) => [
      Float64Array.from({ length: v['indices']!.length * table![1]! }, (_, i) => {
        const row = v['indices']![Math.floor(i / table![1]!)]!;
        return v['table']![row * table![1]! + (i % table![1]!)]!;
      }),
    ],
  }));
  return [...geluRows, ...pooled, ...embeddings];
}
