import { estimateOf, isCheckpoint } from './estimate.js';
import { givenVector } from './flat.js';
import { deflate, type Deflation } from './deflation.js';
import { hutchPlusPlus, xTrace } from './sketched-trace.js';
import { randomStream, rademacher } from './linear-algebra/random.js';
import { tQuantile975 } from './linear-algebra/student-t.js';
import { dot, meanAndError } from './linear-algebra/vectors.js';
import { withOperator, type CurvatureOperator } from './operator.js';
import type { Parameter } from './parameters.js';
import type { Session } from './session.js';
import type { Target } from './target.js';
import type { LayerTrace, TraceEstimate, TraceOptions } from './trace-options.js';

/**
 * Trace of the Hessian (or Gauss-Newton, Fisher) of the mean loss over the data.
 *
 * @throws SecondOrderUnsupportedError, NonDeterministicLossError, NonFiniteError, InvalidTargetError; the signal's reason
 */
export const hessianTrace = async (target: Target, options: TraceOptions = {}): Promise<TraceEstimate> =>
  withOperator(target, options, (operator, session) => traceOf(operator, session, options));

/**
 * {@link hessianTrace} of an open operator. `ready`: a Krylov basis at hand (null: use none). `onImage` sees the product
 * with every probe, for further estimates from the same products.
 */
export const traceOf = async (
  operator: CurvatureOperator,
  session: Session,
  options: TraceOptions,
  ready?: Deflation | null,
  onImage?: (image: Float64Array) => void,
): Promise<TraceEstimate> => {
  const method = options.method ?? 'auto';
  const given = await Promise.all((options.probes ?? []).map((p) => givenVector('a probe', operator.parameters, p)));
  if (method === 'hutch++' || method === 'xtrace') {
    const sketch = await Promise.all(
      (options.sketch ?? []).map((p) => givenVector('a sketch', operator.parameters, p)),
    );
    const run = method === 'xtrace' ? xTrace : hutchPlusPlus;
    return run(operator, session, { ...options, given, sketch });
  }
  const auto = method === 'auto';
  const basis = ready === undefined && auto ? await deflate(operator, session, options) : (ready ?? null);
  return probe(operator, session, options, given, auto ? basis : null, onImage);
};

const DEFAULT_MIN_PROBES = 8;
const DEFAULT_MAX_PROBES = 1000;

const probe = async (
  operator: CurvatureOperator,
  session: Session,
  options: TraceOptions,
  given: readonly Float64Array[],
  deflation: Deflation | null,
  onImage: ((image: Float64Array) => void) | undefined,
): Promise<TraceEstimate> => {
  const minimum = options.minProbes ?? DEFAULT_MIN_PROBES;
  const maximum = given.length > 0 ? given.length : (options.maxProbes ?? DEFAULT_MAX_PROBES);
  const random = randomStream(options.seed ?? 0, 1);
  const subspace = deflation?.subspaceTrace ?? 0;
  const samples: number[] = [];
  const layers = operator.parameters.map(() => [] as number[]);
  let converged = deflation?.complete ?? false;
  while (!converged && samples.length < maximum && session.affords(operator.cost)) {
    const g = given[samples.length] ?? rademacher(operator.dimension, random);
    const rest = Float64Array.from(g);
    deflation?.project(rest);
    const h = await operator.multiply(rest);
    samples.push(dot(rest, h));
    onImage?.(h);
    if (options.perLayer === true) {
      // One-sided, gᵀ H (I − QQᵀ) g per block: unbiased for the block, which the two-sided form is not.
      for (const [i, p] of operator.parameters.entries()) layers[i]!.push(dot(block(g, p), block(h, p)));
    }
    const { mean, standardError } = meanAndError(samples);
    const last = samples.length;
    session.report({
      phase: 'probes',
      done: last,
      of: maximum,
      estimate: subspace + mean,
      ...(last > 1 ? { standardError } : {}),
    });
    if (given.length === 0 && isCheckpoint(last, minimum)) {
      const scale = Math.max(Math.abs(subspace + mean), deflation?.nuclearNorm ?? 0);
      const bound = Math.max(options.absTol ?? 0, (options.relTol ?? 0.05) * scale);
      if (tQuantile975(last - 1) * standardError <= bound) {
        converged = true;
        break;
      }
    }
  }
  const method = deflation === null ? 'hutchinson' : `krylov(${deflation.steps}) + hutchinson`;
  const total = estimateOf(subspace, samples, converged, method, operator, session);
  const perLayer = options.perLayer === true ? layerTraces(operator.parameters, layers, deflation) : undefined;
  return { ...total, subspaceTrace: subspace, ...(perLayer === undefined ? {} : { perLayer }) };
};

const layerTraces = (
  parameters: readonly Parameter[],
  samples: readonly (readonly number[])[],
  deflation: Deflation | null,
): readonly LayerTrace[] =>
  parameters.map((p, i) => {
    const { mean, standardError } =
      samples[i]!.length === 0 ? { mean: 0, standardError: 0 } : meanAndError(samples[i]!);
    return { name: p.name, shape: p.shape, value: (deflation?.blockTrace(p) ?? 0) + mean, standardError };
  });

const block = (v: Float64Array, { offset, size }: Parameter): Float64Array => v.subarray(offset, offset + size);
