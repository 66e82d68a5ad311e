import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { StartedBackend } from '@polder/backends';
import type { Policy } from '@polder/core';
import { DivergedError } from '@polder/trainer';
import { checkRunFolder, claimFreshFolder, writeJson } from '@polder/trainer/node';
import { runBase, writeRunReport } from './command-settings.js';
import { say } from './console.js';
import type { Network } from './network.js';
import { createProgressView } from './progress.js';
import { resolveComparison } from './resolve-comparison.js';
import type { RunSettings } from './resolve.js';
import type { GivenComparison } from './settings.js';
import { withStopSignals } from './stop-signals.js';
import { trainRun, type RunOutcome } from './train-run.js';
import { openBackend, openData, type OpenedData } from './workbench.js';

/** One policy's part of a comparison. */
export interface ComparedRun {
  /** Unique in the comparison: the policy's id, numbered where it comes twice; the name of the run's folder. */
  readonly label: string;
  readonly result: RunOutcome | { readonly status: 'diverged'; readonly message: string; readonly runDir: string };
}

/** A finished comparison. */
export interface Comparison {
  readonly runs: readonly ComparedRun[];
  readonly runDir: string;
  readonly report: string;
  readonly dataSource: string;
  readonly backend: string;
}

/** What a comparison will run. */
interface PlannedRun {
  /** As in {@link ComparedRun}. */
  readonly label: string;
  readonly network: Network;
  readonly policy: Policy;
  readonly settings: RunSettings;
}

/** A comparison before its first step: nothing is written yet. */
export interface PlannedComparison {
  readonly runs: readonly PlannedRun[];
  readonly backend: StartedBackend;
  readonly data: OpenedData;
}

/** Resolves a comparison, starts its backend and loads its data. Throws UsageError and what those throw. */
export async function planComparison(given: GivenComparison): Promise<PlannedComparison> {
  checkRunFolder(given.runDir ?? runBase('.probe'));
  const resolved = await resolveComparison(given);
  const { policies: _policies, ...shared } = given;
  const backend = await openBackend(shared.backend ?? 'auto', undefined, shared.precision);
  say(`backend  ${backend.reason}`);
  const data = await openData(shared);
  say(`data     ${data.source}`);
  const planned = resolved.map(({ label, network, chosen, settings }): PlannedRun => ({
    label,
    network,
    policy: chosen.policy,
    settings: { ...settings, data: data.name, backend: backend.backend },
  }));
  say(
    `policies ${resolved.map(({ label }) => label).join(', ')}: ${lengthOf(planned[0]?.settings)}, the same seed and batches`,
  );
  for (const { label, own } of resolved)
    if (Object.keys(own).length > 0) say(`         ${label} alone: ${JSON.stringify(own)}`);
  return { runs: planned, backend, data };
}

/**
 * Runs every policy under the same settings, seed and batches, each into a folder of its own below one folder, with one
 * report. A policy that diverges is kept as such; whatever else goes wrong ends the comparison.
 */
export async function compareRuns(given: GivenComparison, name: string): Promise<Comparison> {
  const { runs: planned, backend, data } = await planComparison(given);
  const labels = planned.map(({ label }) => label);
  return withStopSignals(async (signal) => {
    let folder: string | undefined;
    const open = (): string => (folder ??= openFolder(given.runDir, name, given));
    const runs: ComparedRun[] = [];
    const width = Math.max(...labels.map((label) => label.length));
    for (const { label, network, policy, settings } of planned) {
      const claimFolder = (): string => join(open(), label);
      const view = createProgressView(label.padEnd(width));
      try {
        runs.push({
          label,
          result: await trainRun({ settings, network, policy, backend, data, claimFolder, view, signal }),
        });
      } catch (error) {
        if (!(error instanceof DivergedError)) throw error;
        say(error.message);
        runs.push({ label, result: { status: 'diverged', message: error.message, runDir: claimFolder() } });
      }
    }
    const runDir = open();
    writeJson(join(runDir, 'comparison.json'), { runs: runs.map(({ label, result }) => ({ label, ...result })) });
    const report = await writeRunReport(
      runDir,
      `${planned[0]?.network.label ?? ''}: ${labels.join(', ')}`,
      runs.map(({ result }) => result.runDir),
      `${data.source}; ${backend.reason}; ${lengthOf(planned[0]?.settings)}, the same seed and batches`,
    );
    return { runs, runDir, report, dataSource: data.source, backend: backend.backend };
  });
}

function openFolder(givenDir: string | undefined, name: string, given: GivenComparison): string {
  const folder = givenDir ?? claimFreshFolder(runBase(name));
  mkdirSync(folder, { recursive: true });
  writeJson(join(folder, 'config.json'), given);
  return folder;
}

function lengthOf(settings: RunSettings | undefined): string {
  if (settings?.passBudget !== undefined) return `${settings.passBudget} gradient passes each`;
  return settings?.fairPasses === true
    ? `the gradient passes of ${settings.epochs} epochs of plain descent each`
    : `${settings?.epochs} epochs each`;
}
