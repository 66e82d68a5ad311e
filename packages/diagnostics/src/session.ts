/** What every measurement accepts. A gradient evaluation is one gradient of the loss over the chosen data. */
export interface RunOptions {
  /** Of the package's own generator: the same numbers every run and on every backend. Default 0. */
  readonly seed?: number;
  /** Checked between gradient evaluations; rejects with the signal's reason, everything restored. */
  readonly signal?: AbortSignal;
  /** Called after every product. */
  readonly onProgress?: (progress: Progress) => void;
  /** Budget in gradient evaluations (a first exact product counts 2.5, a further one 1.75, a finite-difference one 2). Default 250. */
  readonly maxGradEvals?: number;
  /**
   * 'auto' (default): exact, or finite differences where the loss has no second derivative. 'exact' throws there.
   * Finite differences are a different number on ReLU and max-pool networks: they see the kinks.
   */
  readonly hvp?: 'auto' | 'exact' | 'finite-difference';
  /** Length of the step of finite differences, ‖εv‖. Default 1e-3·max(1, ‖w‖/10). */
  readonly fdStep?: number;
  /** Compare one exact product with differences of gradients, once per target. Default true. */
  readonly selfCheck?: boolean;
  readonly operator?: 'hessian' | 'gauss-newton' | 'empirical-fisher';
  /** For Krylov bases (4 bytes × steps × parameters). Above it, less precise methods take over and say so. Default 256. */
  readonly memoryLimitMB?: number;
  /** Lets timers, input and painting run at least this often, in milliseconds. Default 16. */
  readonly yieldEveryMs?: number;
}

export type Phase = 'self-check' | 'lanczos' | 'power' | 'probes' | 'solve' | 'ascent' | 'grid';

export interface Progress {
  readonly phase: Phase;
  readonly done: number;
  readonly of?: number;
  /** Gradient evaluations spent so far. */
  readonly gradEvals: number;
  readonly estimate?: number;
  readonly standardError?: number;
  readonly elapsedMs: number;
}

/** The running state of one measurement: what it has spent, and whether it may go on. */
export interface Session {
  /** Gradient evaluations spent. */
  readonly spent: () => number;
  /** Whether `cost` more gradient evaluations fit the budget. */
  readonly affords: (cost: number) => boolean;
  /** Counts `cost`, and lets the page breathe when it is time. Rejects when aborted. */
  readonly spend: (cost: number) => Promise<void>;
  /** Lets the page breathe when it is time. Rejects when aborted. */
  readonly pause: () => Promise<void>;
  readonly report: (progress: Omit<Progress, 'gradEvals' | 'elapsedMs'>) => void;
  readonly maxGradEvals: number;
}

const DEFAULT_BUDGET = 250;

export const createSession = (options: RunOptions): Session => {
  const { signal, onProgress, yieldEveryMs = 16, maxGradEvals = DEFAULT_BUDGET } = options;
  const begin = performance.now();
  let spent = 0;
  let lastYield = begin;
  const pause = async (): Promise<void> => {
    signal?.throwIfAborted();
    if (performance.now() - lastYield < yieldEveryMs) return;
    // A macrotask: promises alone never let the page paint or the abort button fire.
    await new Promise<void>((resolve) => void setTimeout(resolve, 0));
    lastYield = performance.now();
    signal?.throwIfAborted();
  };
  return {
    spent: () => spent,
    // Costs are multiples of ½; a half-unit of slack would let a whole product over the limit.
    affords: (cost) => spent + cost <= maxGradEvals + 1e-9,
    spend: async (cost) => {
      spent += cost;
      await pause();
    },
    pause,
    report: (progress) => onProgress?.({ ...progress, gradEvals: spent, elapsedMs: performance.now() - begin }),
    maxGradEvals,
  };
};
