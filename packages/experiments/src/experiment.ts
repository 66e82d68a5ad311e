import type { Figure, Table } from '@polder/report';

/** Options of {@link Experiment.run}. */
export interface ExperimentOptions {
  /** How many seeds, at least 1; the experiment has its own default. */
  readonly seeds?: number;
  /** The first seed; the others follow. Default 0. */
  readonly seed?: number;
  /** Settings that differ from {@link Experiment.settings}, by name. */
  readonly settings?: Settings;
  /** Stops at the next run of a seed: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called after every finished piece of work. */
  readonly onProgress?: (progress: Progress) => void;
}

/** A setting is a number or a list of numbers. */
export type Settings = Readonly<Record<string, number | readonly number[]>>;

/** How far an experiment is. */
export interface Progress {
  readonly done: number;
  readonly total: number;
  /** What was just finished, such as `sam ρ=0.1`. */
  readonly label: string;
}

/** A figure or table of a paper, to be run again. */
export interface Experiment {
  /** `method/name`, such as `ssam/saddle`. */
  readonly id: string;
  readonly title: string;
  readonly paper: Paper;
  /** The paper's claim in one sentence, as it is checked. */
  readonly claim: string;
  /** Every setting with its default. */
  readonly settings: Settings;
  /** The seeds and settings that a run with these options would have. Throws as {@link Experiment.run}. */
  plan(options?: ExperimentOptions): { readonly seeds: readonly number[]; readonly settings: Settings };
  /**
   * Runs it on tfjs's current backend and checks the claim. Leaves no tensor behind. Throws `ExperimentOptionError` for
   * an unknown or malformed setting.
   */
  run(options?: ExperimentOptions): Promise<ExperimentResult>;
}

/** Where a figure comes from. */
export interface Paper {
  readonly title: string;
  readonly authors: string;
  readonly source: string;
  /** The figure or table, in this project's numbering. */
  readonly figure: string;
}

/** What an experiment found. Plain JSON: NaN and Infinity are null. The same options give the same result. */
export interface ExperimentResult {
  readonly version: 1;
  readonly id: string;
  readonly title: string;
  readonly paper: Paper;
  readonly seeds: readonly number[];
  readonly settings: Settings;
  readonly claim: Verdict;
  readonly tables: readonly Table[];
  readonly figures: readonly Figure[];
  /** What the paper leaves open and how it was read here; where the result differs from the paper. */
  readonly notes: readonly string[];
}

/** Whether a claim held, and the numbers that decided. */
export interface Verdict {
  readonly text: string;
  readonly holds: boolean;
  /** `claim: … — holds`, or `claim: … — does not hold`. */
  readonly line: string;
  /** Each condition of the claim with its own verdict: the claim holds if all of them do. */
  readonly conditions: readonly Condition[];
  readonly numbers: Readonly<Record<string, number | null>>;
}

/** One condition of a claim. */
export interface Condition {
  readonly text: string;
  readonly holds: boolean;
}

/** The line that `polder reproduce` prints: `claim: … — holds`, or `claim: … — does not hold`. */
export function claimLine({ line }: Verdict): string {
  return line;
}

/** A verdict from its conditions. */
export function verdict(
  text: string,
  conditions: readonly Condition[],
  numbers: Readonly<Record<string, number>>,
): Verdict {
  const entries = Object.entries(numbers).map(([name, value]) => [name, finiteOrNull(value)] as const);
  const holds = conditions.every(({ holds }) => holds);
  const line = `claim: ${text} — ${holds ? 'holds' : 'does not hold'}`;
  return { text, holds, line, conditions, numbers: Object.fromEntries(entries) };
}

/** JSON has no NaN and no Infinity. */
export function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
