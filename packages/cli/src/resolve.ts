import { UsageError } from './failure.js';
import type { ChosenPolicy } from './policies.js';
import { resolveFeatures } from './resolve-features.js';
import type { GivenSettings } from './settings.js';

/** A run's settings with every default filled in: what `config.json` holds, and what `--config` reads back. */
export interface RunSettings extends GivenSettings {
  readonly data: string;
  readonly augment: boolean;
  readonly model: string;
  readonly policy: string;
  readonly optimizer: 'sgd' | 'adam' | 'adamw';
  readonly weightDecay: number;
  readonly sched: 'cosine' | 'step' | 'constant';
  readonly batch: number;
  readonly seed: number;
  readonly logEvery: number;
  readonly evalEvery: number;
  readonly gapRho: number;
  readonly gapExamples: number;
  readonly onNonfinite: 'stop' | 'skip';
  readonly backend: string;
}

const settingsOfSgd = ['momentum', 'nesterov'] as const;
const settingsOfSchedules = {
  cosine: ['minLr'],
  step: ['decayEpochs', 'decayRate'],
  constant: [],
} as const;

/**
 * Fills in the defaults, but for what only data and backend decide. Throws {@link UsageError} for settings that exclude
 * each other, and for settings that would have no effect: before anything is loaded.
 */
export function resolveSettings(given: GivenSettings, policy: ChosenPolicy): RunSettings {
  const policySetsLearningRate = policy.policy.setsLearningRate === true;
  const { rho: _rho, policyOptions: _options, ...rest } = given;
  if (given.epochs !== undefined && given.passBudget !== undefined)
    throw new UsageError('--epochs and --pass-budget exclude each other. Give one.');
  if (policySetsLearningRate && given.lr !== undefined)
    throw new UsageError(
      `--lr has no effect under --policy ${policy.policy.name}, which sets the learning rate of each step itself. ` +
        'Where it starts is --policy-option eta0=0.1.',
    );
  if (policySetsLearningRate) refuse(given, ['warmupEpochs'], `--policy ${policy.policy.name}`);
  const optimizer = given.optimizer ?? 'sgd';
  if (optimizer !== 'sgd') refuse(given, settingsOfSgd, `--optimizer ${optimizer}`);
  if (given.nesterov === true && given.momentum === 0) throw new UsageError('--nesterov needs a momentum above 0.');
  const sched = given.sched ?? (policySetsLearningRate ? 'constant' : 'cosine');
  const foreign = Object.entries(settingsOfSchedules).flatMap(([name, keys]) => (name === sched ? [] : keys));
  refuse(given, foreign, `--sched ${sched}`);
  if (sched === 'step' && given.decayEpochs === undefined)
    throw new UsageError('--sched step needs --decay-epochs, such as --decay-epochs 60,80.');
  if ((given.warmupEpochs ?? 0) > (given.epochs ?? Number.POSITIVE_INFINITY))
    throw new UsageError(`--warmup-epochs ${given.warmupEpochs}: expected at most --epochs (${given.epochs}).`);
  if (given.fairPasses === true && given.passBudget !== undefined)
    throw new UsageError('--fair-passes counts passes for --epochs; --pass-budget says how many itself. Give one.');
  if (given.keepBest === 0) refuse(given, ['evalMetric'], '--keep-best 0');
  if (given.evalMetric?.startsWith('ema') === true && given.modelEma !== true)
    throw new UsageError(`--eval-metric ${given.evalMetric} needs --model-ema.`);
  if (given.perturbation === 'micro-batch' && (given.microBatches ?? 1) === 1)
    throw new UsageError('--perturbation micro-batch needs --micro-batches of at least 2.');

  const features = resolveFeatures(given);

  return {
    ...rest,
    ...features,
    data: given.data ?? 'auto',
    augment: given.augment ?? given.data !== 'mnist',
    model: given.model ?? 'resnet20',
    policy: policy.policy.name,
    ...policy.options,
    optimizer,
    ...(!policySetsLearningRate && { lr: given.lr ?? (optimizer === 'sgd' ? 0.1 : 0.001) }),
    ...(optimizer === 'sgd' && { momentum: given.momentum ?? (policySetsLearningRate ? 0 : 0.9) }),
    weightDecay: given.weightDecay ?? (optimizer === 'adamw' ? 0.01 : 5e-4),
    sched,
    batch: given.batch ?? 128,
    ...(given.passBudget === undefined && { epochs: given.epochs ?? 10 }),
    seed: given.seed ?? 0,
    logEvery: given.logEvery ?? 10,
    evalEvery: given.evalEvery ?? 1,
    gapRho: given.gapRho ?? 0.05,
    gapExamples: given.gapExamples ?? 512,
    keepBest: given.keepBest ?? 1,
    ...(given.keepBest !== 0 && { evalMetric: given.evalMetric ?? 'testTop1' }),
    backend: given.backend ?? 'auto',
  };
}

function refuse(given: GivenSettings, keys: readonly (keyof GivenSettings)[], under: string): void {
  const key = keys.find((name) => given[name] !== undefined && given[name] !== false);
  if (key !== undefined) throw new UsageError(`"${key}" has no effect under ${under}. Leave it out.`);
}
