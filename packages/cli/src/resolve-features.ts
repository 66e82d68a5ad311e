import { UsageError } from './failure.js';
import type { GivenSettings } from './settings.js';

type Key = keyof GivenSettings;

/** Settings of features that are off unless asked for: each with the settings that mean nothing while it is off. */
const features: readonly {
  readonly is: (given: GivenSettings) => boolean;
  readonly name: string;
  readonly keys: readonly Key[];
}[] = [
  {
    is: ({ mixup = 0, cutmix = 0 }) => mixup > 0 || cutmix > 0,
    name: '--mixup or --cutmix above 0',
    keys: ['mixupProb', 'mixupOffEpoch'],
  },
  {
    is: ({ mixup = 0, cutmix = 0 }) => mixup > 0 && cutmix > 0,
    name: 'both --mixup and --cutmix above 0',
    keys: ['mixupSwitchProb'],
  },
  { is: ({ modelEma }) => modelEma === true, name: '--model-ema', keys: ['modelEmaDecay', 'modelEmaWarmup'] },
  { is: ({ patience }) => patience !== undefined, name: '--patience', keys: ['minDelta', 'monitor'] },
  { is: ({ onNonfinite }) => onNonfinite !== 'stop', name: '--on-nonfinite skip', keys: ['maxSkipped'] },
  {
    is: ({ curvatureEvery }) => curvatureEvery !== undefined,
    name: '--curvature-every',
    keys: ['curvatureExamples', 'curvatureAlso'],
  },
];

/**
 * The defaults of features that are on, and what to do about steps that are not finite. Throws {@link UsageError} for a
 * setting that would have no effect because its feature is off.
 */
export function resolveFeatures(
  given: GivenSettings,
): Partial<GivenSettings> & { readonly onNonfinite: 'stop' | 'skip' } {
  for (const { is, name, keys } of features) {
    const key = is(given) ? undefined : keys.find((k) => given[k] !== undefined && given[k] !== false);
    if (key !== undefined) throw new UsageError(`"${key}" has no effect without ${name}. Leave it out, or set that.`);
  }
  const { mixup = 0, cutmix = 0, onNonfinite = 'skip', monitor = given.evalMetric ?? 'testTop1' } = given;
  if (given.patience !== undefined && monitor.startsWith('ema') && given.modelEma !== true)
    throw new UsageError(`--monitor ${monitor} needs --model-ema.`);
  return {
    ...((mixup > 0 || cutmix > 0) && { mixupProb: given.mixupProb ?? 1 }),
    ...(mixup > 0 && cutmix > 0 && { mixupSwitchProb: given.mixupSwitchProb ?? 0.5 }),
    ...(given.modelEma === true && {
      modelEmaDecay: given.modelEmaDecay ?? 0.9998,
      modelEmaWarmup: given.modelEmaWarmup ?? false,
    }),
    ...(given.patience !== undefined && { minDelta: given.minDelta ?? 0, monitor }),
    onNonfinite,
    ...(onNonfinite === 'skip' && { maxSkipped: given.maxSkipped ?? 10 }),
    ...(given.curvatureEvery !== undefined && { curvatureExamples: given.curvatureExamples ?? 128 }),
  };
}
