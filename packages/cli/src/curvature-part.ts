import * as tf from '@tensorflow/tfjs';
import { batches, slice, type Dataset } from '@polder/data';
import { followCurvature, NonFiniteError, type CurvatureMemory, type ModelTarget } from '@polder/diagnostics';
import { toTensors, type Measures, type TrainingPart } from '@polder/trainer';

/** Gradient evaluations that a measurement may cost; standard errors say what they bought. */
const maxGradEvals = 250;

/** What to measure along a training, and when. */
export interface CurvatureOptions {
  /** Gives logits. */
  readonly model: tf.LayersModel;
  readonly train: Dataset;
  /** Epochs between measurements. */
  readonly every: number;
  /** Training examples, from the first on. */
  readonly examples: number;
  /** Examples of a minibatch, of which at least two are made. */
  readonly batchSize: number;
  readonly seed: number;
  readonly also: readonly ('gradientVariance' | 'lipschitz')[];
  readonly signal: AbortSignal;
}

/**
 * Follows the curvature of the mean cross-entropy along a training: on fixed examples as they are, in inference mode,
 * without weight decay. Its rows have `lambdaMax` and `lambdaMin` of the Hessian with residual bounds, `trace` with its
 * standard error, the gradient's norm, and what `also` names. Starts from the last top eigenvector, which checkpoints
 * keep, so that a resumed run measures what the whole one does.
 */
export function curvaturePart(options: CurvatureOptions): TrainingPart {
  const { model, every, seed, also, signal } = options;
  let measuredAt = 0;
  let memory: CurvatureMemory = {};
  const free = (): void => {
    tf.dispose([...(memory.top ?? []), ...(memory.weights ?? [])]);
    memory = {};
  };
  return {
    name: 'curvature',
    restore({ tensors = {}, data }) {
      free();
      measuredAt = data as number;
      const own = (kind: string): readonly tf.Tensor[] =>
        Object.entries(tensors)
          .flatMap(([name, tensor]) =>
            name.startsWith(kind) ? [[Number(name.slice(kind.length)), tensor] as const] : [],
          )
          .sort(([a], [b]) => a - b)
          .map(([, tensor]) => tf.keep(tf.clone(tensor)));
      const [top, weights] = [own('top/'), own('weights/')];
      memory = { ...(top.length > 0 && { top }), ...(weights.length > 0 && { weights }) };
    },
    async afterEpoch({ step, epoch }) {
      // Asked again where a run resumes; what was measured is not measured again.
      if (step <= measuredAt || Math.ceil(epoch) % every !== 0) return undefined;
      // A target of its own each time: what the estimators keep about one must not outlive a process either.
      const target: ModelTarget = { model, loss: 'sparseSoftmaxCrossEntropy', data: () => minibatches(options) };
      const measures = await measured(target);
      measuredAt = step;
      return measures;
    },
    state: () => ({
      tensors: Object.fromEntries([...named('top/', memory.top), ...named('weights/', memory.weights)]),
      data: measuredAt,
    }),
    dispose: free,
  };

  async function measured(target: ModelTarget): Promise<Measures> {
    const wanted = { gradientNoise: also.includes('gradientVariance'), lipschitz: also.includes('lipschitz') };
    try {
      const { memory: next, ...followed } = await followCurvature(
        target,
        { seed, signal, k: 1, maxGradEvals, ...wanted },
        memory,
      );
      free();
      memory = next;
      return measuresOf(followed);
    } catch (error) {
      // The loss has gone bad, and whatever ends the training for it has more to say.
      if (!(error instanceof NonFiniteError)) throw error;
      return { lambdaMax: null, trace: null };
    }
  }
}

type Followed = Omit<Awaited<ReturnType<typeof followCurvature>>, 'memory'>;

function measuresOf({ report, gradientNoise, lipschitz }: Followed): Measures {
  const { lambdaMax, lambdaMin, trace, gradientNorm, eigenvalues } = report;
  const residualOf = (wanted: number): number | null =>
    eigenvalues.find(({ value }) => value === wanted)?.residual ?? null;
  return {
    lambdaMax,
    lambdaMaxResidual: residualOf(lambdaMax),
    lambdaMin,
    lambdaMinResidual: residualOf(lambdaMin),
    // Without a probe, and not exact either, what is left is the part that the Krylov basis holds: no estimate.
    trace: trace.samples.length > 0 || trace.converged ? trace.value : null,
    traceError: trace.samples.length > 1 || trace.converged ? trace.standardError : null,
    fullGradNorm: gradientNorm,
    ...(gradientNoise && { gradientVariance: gradientNoise.variance }),
    // Between the last measurement and this one; the first has none before it.
    ...(typeof lipschitz === 'number' && { lipschitz }),
  };
}

function* minibatches({ train, examples, batchSize }: CurvatureOptions): Generator<{ xs: tf.Tensor; ys: tf.Tensor }> {
  const probe = slice(train, 0, Math.min(examples, train.length));
  const size = Math.max(1, Math.min(batchSize, Math.floor(probe.length / 2)));
  for (const batch of batches(probe, { batchSize: size, seed: 0, epoch: 0, shuffle: false })) {
    const { images, labels } = toTensors(batch, probe);
    try {
      yield { xs: images, ys: labels };
    } finally {
      tf.dispose([images, labels]);
    }
  }
}

function named(kind: string, tensors: readonly tf.Tensor[] = []): readonly (readonly [string, tf.Tensor])[] {
  return tensors.map((tensor, i) => [`${kind}${i}`, tensor] as const);
}
