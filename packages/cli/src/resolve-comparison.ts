import { checkSharedOptions, choosePolicy, shareOf, type ChosenPolicy } from './policies.js';
import { findNetwork, type Network } from './network.js';
import { resolveSettings, type RunSettings } from './resolve.js';
import type { GivenComparison, GivenSettings } from './settings.js';

/** One policy of a comparison with its settings, but for what only data and backend decide. */
export interface ResolvedRun {
  /** Unique in the comparison: the policy's id, numbered where it comes twice; the name of the run's folder. */
  readonly label: string;
  /** What was given for this policy alone. */
  readonly own: GivenSettings;
  readonly chosen: ChosenPolicy;
  readonly network: Network;
  readonly settings: RunSettings;
}

/** Resolves every policy of a comparison; starts and loads nothing. Throws UsageError, and what a policy's options throw. */
export async function resolveComparison(given: GivenComparison): Promise<readonly ResolvedRun[]> {
  const { policies: entries = ['none', 'sam'], name: _name, runDir: _runDir, ...shared } = given;
  const own = entries.map((entry) => (typeof entry === 'string' ? { policy: entry } : entry));
  checkSharedOptions(
    shared,
    own.map(({ policy }) => policy),
  );
  const wanted = own.map((settings): GivenSettings => ({ ...shareOf(shared, settings.policy), ...settings }));
  const chosen = wanted.map((settings) => choosePolicy(settings));
  const resolved = wanted.map((settings, i) => resolveSettings(settings, chosen[i] as ChosenPolicy));
  const networks = await Promise.all(wanted.map((settings) => findNetwork(settings)));
  const labels = uniqueLabels(chosen.map(({ policy }) => policy.name));
  return resolved.map((settings, i): ResolvedRun => {
    const { policy: _policy, ...alone } = own[i]!;
    return {
      label: labels[i] as string,
      own: alone,
      chosen: chosen[i] as ChosenPolicy,
      network: networks[i] as Network,
      settings,
    };
  });
}

function uniqueLabels(names: readonly string[]): readonly string[] {
  return names.map((name, i) => {
    const nth = names.slice(0, i).filter((earlier) => earlier === name).length + 1;
    return nth === 1 ? name : `${name}-${nth}`;
  });
}
