import { table } from './console.js';
import type { ChosenPolicy } from './policies.js';
import type { RunSettings } from './resolve.js';
import { settingKeys, type GivenSettings } from './settings.js';

/** Settings that came from one place, and how to name it. */
export interface SettingsLayer {
  readonly settings: GivenSettings;
  /** Of a key: `--batch`, `ours.yaml:3`, `preset quickstart`. */
  readonly origin: (key: string) => string;
}

/** One setting, its value and where that comes from; `value` is null where nothing is set. */
export interface ExplainedSetting {
  readonly setting: string;
  readonly value: unknown;
  readonly origin: string;
}

/**
 * Every setting with its value and its origin: the first of the layers that has it, else a default, which the policy or
 * the optimizer may decide.
 */
export function explainSettings(
  resolved: RunSettings,
  layers: readonly SettingsLayer[],
  { policy }: ChosenPolicy,
): readonly ExplainedSetting[] {
  const given = (has: (settings: GivenSettings) => unknown, key: string): string | undefined =>
    layers.find(({ settings }) => has(settings) !== undefined)?.origin(key);
  return settingKeys.flatMap((key): ExplainedSetting[] => {
    if (key === 'policyOptions') {
      return Object.entries(resolved.policyOptions ?? {}).map(([name, value]) => ({
        setting: `policyOptions.${name}`,
        value,
        origin: given(({ policyOptions }) => policyOptions?.[name], key) ?? `policy ${policy.name}`,
      }));
    }
    const value = (resolved as unknown as Readonly<Record<string, unknown>>)[key];
    const origin = given((settings) => settings[key as keyof GivenSettings], key);
    // A setting that is shared in a comparison, and which this policy does not have.
    const unused = origin !== undefined && value === undefined ? `${origin}, not used by ${policy.name}` : origin;
    return [{ setting: key, value: value ?? null, origin: unused ?? defaultOrigin(key, value, resolved, policy) }];
  });
}

/** For a terminal. */
export function explanationText(explained: readonly ExplainedSetting[]): string {
  const shown = (value: unknown): string =>
    value === null ? '–' : typeof value === 'string' ? value : JSON.stringify(value);
  return table(
    ['setting', 'value', 'origin'],
    explained.map(({ setting, value, origin }) => [setting, shown(value), origin]),
  );
}

const OF_THE_RATE: ReadonlySet<string> = new Set(['lr', 'momentum', 'sched']);
const OF_THE_OPTIMIZER: ReadonlySet<string> = new Set(['lr', 'momentum', 'weightDecay']);

function defaultOrigin(
  key: string,
  value: unknown,
  { optimizer }: RunSettings,
  { name, setsLearningRate }: ChosenPolicy['policy'],
): string {
  if (OF_THE_RATE.has(key) && setsLearningRate === true) return `policy ${name} sets the learning rate`;
  if (value === undefined) return 'not set';
  if (key === 'rho') return `policy ${name}`;
  return OF_THE_OPTIMIZER.has(key) ? `default of ${optimizer}` : 'default';
}
