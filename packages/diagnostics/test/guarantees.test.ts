import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  averageSharpness,
  curvatureReport,
  EmptyDataError,
  frobeniusNorm,
  gradientNoise,
  GradientsNotRegisteredError,
  hessianDensity,
  hessianDiagonal,
  hessianSpectrum,
  hessianTrace,
  hvp,
  interpolate,
  InvalidTargetError,
  lambdaMax,
  localLipschitz,
  lossAndGradient,
  lossSurface,
  mSharpness,
  NonDeterministicLossError,
  NonFiniteError,
  SecondOrderUnsupportedError,
  UnequalBatchesError,
  worstCaseSharpness,
  type Batch,
  type LossTarget,
  type ModelTarget,
  type Progress,
  type RunOptions,
  type VariablesTarget,
} from '../src/index.js';
import { repairedKernels } from '../src/second-order/scope.js';
import { backends, leavingNoTensors, read, values } from './support.js';

await tf.setBackend('cpu');

const makeModel = (): tf.LayersModel =>
  tf.sequential({
    layers: [
      tf.layers.conv2d({ filters: 3, kernelSize: 3, padding: 'same', inputShape: [6, 6, 2], activation: 'relu' }),
      tf.layers.batchNormalization(),
      tf.layers.maxPooling2d({ poolSize: 2 }),
      tf.layers.flatten(),
      tf.layers.dense({ units: 3 }),
    ],
  });

const measurements: Readonly<Record<string, (t: LossTarget, o: RunOptions) => Promise<unknown>>> = {
  hessianTrace,
  hessianSpectrum,
  lambdaMax,
  power: (t, o) => lambdaMax(t, { ...o, method: 'power' }),
  hessianDensity: (t, o) => hessianDensity(t, { ...o, steps: 8 }),
  hessianDiagonal: async (t, o) => {
    const { value, standardError } = await hessianDiagonal(t, { ...o, maxProbes: 4 });
    tf.dispose([...value, ...standardError]);
  },
  frobeniusNorm,
  mSharpness: (t, o) => mSharpness(t, { ...o, rho: 0.05, m: 2, steps: 2 }),
  worstCaseSharpness: (t, o) => worstCaseSharpness(t, { ...o, rho: 0.05, steps: 3 }),
  averageSharpness: (t, o) => averageSharpness(t, { ...o, rho: 0.01, pairs: 2 }),
  lossSurface: (t, o) => lossSurface(t, { ...o, points: 3 }),
  curvatureReport,
};

/** Those that ask more of a target than the tests of failures give: predictions, per-example losses, two batches. */
const ofModels: Readonly<Record<string, (t: ModelTarget, o: RunOptions) => Promise<unknown>>> = {
  'gauss-newton': (t, o) => hessianTrace(t, { ...o, operator: 'gauss-newton' }),
  'empirical-fisher': (t, o) => hessianTrace(t, { ...o, operator: 'empirical-fisher' }),
  'hutch++': (t, o) => hessianTrace(t, { ...o, method: 'hutch++' }),
  xtrace: (t, o) => hessianTrace(t, { ...o, method: 'xtrace' }),
  gradientNoise: (t, o) => gradientNoise({ ...t, data: [t.data as Batch, t.data as Batch] }, o),
  'interpolate, localLipschitz, lossAndGradient': async (t, o) => {
    const weights = t.model.trainableWeights.map((w) => w.read());
    const elsewhere = weights.map((w, i) => values(w.shape, i));
    await interpolate(t, elsewhere, weights, { ...o, points: 3 });
    await localLipschitz(t, elsewhere, o);
    tf.dispose([...(await lossAndGradient(t, o)).gradient, ...elsewhere]);
  },
};

/** All that a measurement must leave as it was: registry, kernels, engine methods, flag. */
const fingerprint = (): unknown => ({
  gradients: repairedKernels.map((name) => tf.getGradient(name)),
  kernels: tf
    .getKernelsForBackend(tf.getBackend())
    .map(({ kernelName, kernelFunc }) => ({ kernelName, kernelFunc }))
    .toSorted((a, b) => (a.kernelName < b.kernelName ? -1 : 1)),
  methods: ['customGrad', 'runKernel'].map((name) => Object.hasOwn(tf.engine(), name)),
  flag: (() => {
    try {
      return tf.env().getBool('POLDER_REFERENCE_OPS');
    } catch {
      return false;
    }
  })(),
});

for (const backend of backends) {
  describe(`on ${backend}`, () => {
    let model: tf.LayersModel;
    let data: { xs: tf.Tensor; ys: tf.Tensor };
    beforeAll(async () => {
      await tf.setBackend(backend);
      model = makeModel();
      data = { xs: values([4, 6, 6, 2]), ys: tf.tensor1d([0, 1, 2, 0], 'int32') };
    });

    for (const [name, measure] of Object.entries(ofModels)) {
      test(`${name} leaves weights, statistics, registry and tensors as they were`, async () => {
        const before = await read(model.getWeights());
        const state = fingerprint();
        const target: ModelTarget = { model, loss: 'sparseSoftmaxCrossEntropy', data, batchNorm: 'batch' };
        await leavingNoTensors(async () => measure(target, { maxGradEvals: 30 }));
        expect(await read(model.getWeights())).toEqual(before);
        expect(fingerprint()).toEqual(state);
      });
    }

    for (const [name, measure] of Object.entries(measurements)) {
      for (const batchNorm of ['inference', 'batch'] as const) {
        test(`${name} with batch norm ${batchNorm} leaves weights, statistics, registry and tensors as they were`, async () => {
          const before = await read(model.getWeights());
          const state = fingerprint();
          const target: LossTarget = { model, loss: 'sparseSoftmaxCrossEntropy', data, batchNorm };
          await leavingNoTensors(async () => measure(target, { maxGradEvals: 40 }));
          expect(await read(model.getWeights())).toEqual(before);
          expect(fingerprint()).toEqual(state);
        });
      }

      test(`${name}: the same after an abort, at any point`, async () => {
        const before = await read(model.getWeights());
        const state = fingerprint();
        // Sharpness of groups reads its data once.
        for (const after of name === 'mSharpness' ? [0] : [1, 3]) {
          const controller = new AbortController();
          let evaluations = 0;
          const target: LossTarget = {
            model,
            loss: 'sparseSoftmaxCrossEntropy',
            batchNorm: 'batch',
            data: function* data_() {
              evaluations++;
              if (evaluations > after) controller.abort();
              yield data;
            },
          };
          const run = leavingNoTensors(async () => measure(target, { signal: controller.signal, maxGradEvals: 1000 }));
          await expect(run).rejects.toMatchObject({ name: 'AbortError' });
          expect(await read(model.getWeights())).toEqual(before);
          expect(fingerprint()).toEqual(state);
        }
      });

      test(`${name}: the same after the loss throws, at any point`, async () => {
        const before = await read(model.getWeights());
        const state = fingerprint();
        for (const after of [0, 4]) {
          let calls = 0;
          const target: VariablesTarget = {
            variables: model.trainableWeights.map((w) => w.read() as tf.Variable),
            loss: ({ xs, ys }) => {
              const z = model.apply(xs as tf.Tensor, { training: true }) as tf.Tensor;
              if (calls++ >= after) throw new RangeError('the loss of the test');
              return tf.losses.softmaxCrossEntropy(tf.oneHot(ys as tf.Tensor1D, 3), z);
            },
            data,
          };
          const run = leavingNoTensors(async () => measure(target, { maxGradEvals: 1000 }));
          await expect(run).rejects.toThrow('the loss of the test');
          expect(await read(model.getWeights())).toEqual(before);
          expect(fingerprint()).toEqual(state);
        }
      });
    }
  });
}

describe('errors name what is wrong', () => {
  const w = tf.variable(tf.tensor1d([0.3, -0.7, 1.1]), true, 'w_errors');
  const of = (loss: VariablesTarget['loss']): VariablesTarget => ({ loss, variables: [w] });
  beforeAll(async () => {
    await tf.setBackend('cpu');
  });

  test('an op without a second derivative: by name; finite differences take over unless exact is asked for', async () => {
    const target = of(() => tf.sum(tf.square(tf.prod(w))));
    await leavingNoTensors(async () => {
      const failure = hessianTrace(target, { hvp: 'exact' });
      await expect(failure).rejects.toBeInstanceOf(SecondOrderUnsupportedError);
      await expect(failure).rejects.toMatchObject({ suspects: ['Cumprod'] });
    });
    const fallback = await hessianTrace(target);
    expect(fallback.hvp).toBe('finite-difference');
    expect(fallback.notes.join()).toMatch(/Cumprod/);
    // (abc)²: the trace is 2(b²c² + a²c² + a²b²).
    const exact = 2 * ((0.7 * 1.1) ** 2 + (0.3 * 1.1) ** 2 + (0.3 * 0.7) ** 2);
    expect(Math.abs(fallback.value - exact)).toBeLessThan(0.01 * exact);
  });

  test('a custom gradient that hides its dependence is found by the self-check', async () => {
    const hidden = tf.customGrad((x, save) => {
      const y = tf.tanh(x as tf.Tensor);
      (save as tf.GradSaveFunc)([y]);
      return { value: y, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.mul(dy, tf.sub(1, tf.square(saved[0]!))) };
    });
    const target = of(() => tf.sum(tf.square(hidden(w))));
    const failure = hessianTrace(target, { hvp: 'exact' });
    await expect(failure).rejects.toBeInstanceOf(SecondOrderUnsupportedError);
    await expect(failure).rejects.toThrow(/tf\.customGrad/);
  });

  test('a custom gradient that is right passes the self-check', async () => {
    const sound = tf.customGrad((x) => ({
      value: tf.square(x as tf.Tensor),
      gradFunc: (dy: tf.Tensor) => tf.mul(dy, tf.mul(2, x as tf.Tensor)),
    }));
    const { value, hvp: kind } = await hessianTrace(of(() => tf.sum(sound(w))));
    expect(kind).toBe('exact');
    expect(value).toBeCloseTo(6, 4);
  });

  test('a random loss', async () => {
    const failure = hessianTrace(of(() => tf.sum(tf.mul(tf.square(w), tf.randomUniform([3])))));
    await expect(failure).rejects.toBeInstanceOf(NonDeterministicLossError);
  });

  test('no gradients registered, as with tfjs-core alone', async () => {
    const add = tf.getGradient('Add');
    tf.unregisterGradient('Add');
    try {
      await expect(hessianTrace(of(() => tf.sum(w)))).rejects.toBeInstanceOf(GradientsNotRegisteredError);
    } finally {
      tf.registerGradient(add);
    }
  });

  test('a loss or a product that is not finite', async () => {
    await expect(hessianTrace(of(() => tf.log(tf.sum(tf.mul(w, -1)))))).rejects.toBeInstanceOf(NonFiniteError);
    const steep = of(() => tf.sum(tf.exp(tf.mul(w, 60))));
    await expect(hessianTrace(steep, { selfCheck: false })).resolves.toMatchObject({ hvp: 'exact' });
  });

  test('curvature of 1e24 stays finite and right', async () => {
    const steep = of(() => tf.mul(0.5e24, tf.sum(tf.square(w))));
    const { value } = await hessianTrace(steep);
    expect(value / 3e24).toBeCloseTo(1, 5);
    const spectrum = await hessianSpectrum(steep);
    expect(spectrum.lambdaMax / 1e24).toBeCloseTo(1, 5);
  });

  test('batches of unequal size under batch statistics', async () => {
    const model = makeModel();
    const batch = (size: number): { xs: tf.Tensor; ys: tf.Tensor } => ({
      xs: values([size, 6, 6, 2]),
      ys: tf.zeros([size], 'int32'),
    });
    const target: LossTarget = {
      model,
      loss: 'sparseSoftmaxCrossEntropy',
      data: [batch(4), batch(2)],
      batchNorm: 'batch',
    };
    await expect(hessianTrace(target)).rejects.toBeInstanceOf(UnequalBatchesError);
    await expect(hessianTrace({ ...target, unequalBatches: 'average' }, { maxGradEvals: 40 })).resolves.toBeDefined();
  });

  test('no data, no parameters, no loss, wrong vectors, wrong options', async () => {
    const loss = (): tf.Tensor => tf.sum(tf.square(w));
    await expect(hessianTrace({ loss, variables: [w], data: [] })).rejects.toBeInstanceOf(EmptyDataError);
    await expect(hessianTrace({ loss, variables: [] })).rejects.toThrow(/at least one parameter/);
    await expect(hessianTrace({ model: makeModel(), data: { xs: w, ys: w } })).rejects.toThrow(/not compiled/);
    await expect(hvp({ loss, variables: [w] }, [tf.zeros([2])])).rejects.toThrow(/\[3\].*\[2\]/);
    await expect(mSharpness({ loss, variables: [w] }, { rho: -1, m: 1 })).rejects.toBeInstanceOf(InvalidTargetError);
    await expect(mSharpness({ loss, variables: [w] }, { rho: 1, m: 0 })).rejects.toThrow(/m:/);
    await expect(hessianTrace({ loss, variables: [w] }, { operator: 'gauss-newton' })).rejects.toThrow(/halves/);
    await expect(hessianTrace({ loss, variables: [w] }, { operator: 'empirical-fisher' })).rejects.toThrow(
      /per example/,
    );
    await expect(lossSurface({ multiply: (v: Float64Array) => v, size: 3 })).rejects.toThrow(/bare operator/);
  });
});

describe('manners', () => {
  const w = tf.variable(values([40]), true, 'w_manners');
  const target: VariablesTarget = { loss: () => tf.sum(tf.exp(tf.mul(w, tf.range(0, 4, 0.1)))), variables: [w] };
  beforeAll(async () => {
    await tf.setBackend('cpu');
  });

  test('progress counts products and gradient evaluations', async () => {
    const seen: Progress[] = [];
    const { gradEvals } = await hessianTrace(target, { onProgress: (p) => seen.push(p) });
    expect(seen.length).toBeGreaterThan(5);
    expect(seen.at(-1)!.gradEvals).toBe(gradEvals);
    expect(seen.map((p) => p.gradEvals)).toEqual(seen.map((p) => p.gradEvals).toSorted((a, b) => a - b));
    expect(new Set(seen.map(({ phase }) => phase))).toContain('lanczos');
  });

  test('timers run while it works', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await hessianTrace(target, { yieldEveryMs: 0, relTol: 0, maxGradEvals: 100, method: 'hutchinson' });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
  });

  test('training between two products is not disturbed: the repairs are not installed while it waits', async () => {
    const state = fingerprint();
    const states: unknown[] = [];
    await hessianTrace(target, { onProgress: () => states.push(fingerprint()), maxGradEvals: 40 });
    for (const during of states) expect(during).toEqual(state);
  });

  test('the self-check runs once per target', async () => {
    let calls = 0;
    const counted: VariablesTarget = {
      ...target,
      loss: () => {
        calls++;
        return tf.sum(tf.exp(w));
      },
    };
    const v = [values([40], 3)];
    const first = await hvp(counted, v);
    const afterFirst = calls;
    const second = await hvp(counted, v);
    expect(calls - afterFirst).toBe(1);
    expect(afterFirst).toBeGreaterThan(3);
    tf.dispose([...first, ...second]);
  });

  test('gives the same digits for the same seed', async () => {
    const once = async (): Promise<string> => JSON.stringify(await curvatureReport(target, { seed: 7 }));
    expect(await once()).toBe(await once());
  });
});
