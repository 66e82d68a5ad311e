import { mixing } from '@polder/data';
import { earlyStopping, weightAverage, type FitOptions, type TrainingPart } from '@polder/trainer';
import type { RunSettings } from './resolve.js';

/** What of a run's settings becomes options of `fit` beyond the step itself: mixing, averages, stopping rules. */
export function trainingFeatures(settings: RunSettings): Pick<FitOptions, 'mix' | 'nonFinite'> & {
  readonly parts: readonly TrainingPart[];
} {
  const { modelEma, modelEmaDecay, modelEmaWarmup, patience, minDelta, monitor, onNonfinite, maxSkipped } = settings;
  const mix = mixOf(settings);
  return {
    ...(mix && { mix }),
    nonFinite: { onNonFinite: onNonfinite, ...(maxSkipped !== undefined && { maxSkipped }) },
    parts: [
      ...(modelEma === true
        ? [
            weightAverage({
              ...(modelEmaDecay !== undefined && { decay: modelEmaDecay }),
              ...(modelEmaWarmup !== undefined && { warmup: modelEmaWarmup }),
            }),
          ]
        : []),
      ...(patience === undefined
        ? []
        : [earlyStopping({ patience, ...(minDelta !== undefined && { minDelta }), ...(monitor && { monitor }) })]),
    ],
  };
}

function mixOf({ mixup = 0, cutmix = 0, mixupProb, mixupSwitchProb, mixupOffEpoch }: RunSettings): FitOptions['mix'] {
  if (mixup === 0 && cutmix === 0) return undefined;
  const mix = mixing({
    ...(mixup > 0 && { mixup }),
    ...(cutmix > 0 && { cutmix }),
    ...(mixupProb !== undefined && { probability: mixupProb }),
    ...(mixupSwitchProb !== undefined && { switchProbability: mixupSwitchProb }),
  });
  return (epoch) => (mixupOffEpoch === undefined || epoch < mixupOffEpoch ? mix : undefined);
}
