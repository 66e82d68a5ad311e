/** Thrown when a network is asked for with an option that it cannot have: says what was expected and what came. */
export class ModelOptionError extends Error {
  readonly option: string;
  readonly expected: string;
  readonly received: string;
  constructor(option: string, expected: string, received: unknown) {
    const shown = Array.isArray(received) ? `[${received.join(', ')}]` : String(received);
    super(`The option "${option}" of a model must be ${expected}, but it is ${shown}.`);
    this.name = 'ModelOptionError';
    this.option = option;
    this.expected = expected;
    this.received = shown;
  }
}

/** Thrown for a model id that is none of {@link UnknownModelError.ids}. */
export class UnknownModelError extends Error {
  readonly id: string;
  readonly ids: readonly string[];
  /** The id that differs from what came in the fewest letters, where one is close. */
  readonly suggestion: string | undefined;
  constructor(id: string, ids: readonly string[]) {
    const suggestion = nearest(id, ids);
    const hint = suggestion === undefined ? '' : ` Did you mean "${suggestion}"?`;
    super(`There is no model "${id}".${hint} Models: ${ids.join(', ')}.`);
    this.name = 'UnknownModelError';
    this.id = id;
    this.ids = ids;
    this.suggestion = suggestion;
  }
}

/** Throws {@link ModelOptionError} unless `condition` holds. */
export function requireOption(
  condition: boolean,
  option: string,
  expected: string,
  received: unknown,
): asserts condition {
  if (!condition) throw new ModelOptionError(option, expected, received);
}

/** Throws {@link ModelOptionError} unless `value` is an integer of at least `least`. */
export function requireCount(option: string, value: number, least = 1): void {
  requireOption(Number.isInteger(value) && value >= least, option, `an integer of at least ${least}`, value);
}

function nearest(word: string, candidates: readonly string[]): string | undefined {
  const normalised = word.toLowerCase().replaceAll(/[\s_]/g, '-');
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(normalised, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(2, word.length / 3) ? best.candidate : undefined;
}

/** Levenshtein's distance, one row of its table at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

/** What is wrong with weights, by PyTorch's names. */
export interface WeightsProblems {
  /** In the model, not in the file. */
  readonly missing?: readonly string[];
  /** In the file, not in the model. */
  readonly unexpected?: readonly string[];
  /** Of another shape or element type, with both. */
  readonly misfits?: readonly string[];
  /** Layers that have no counterpart in PyTorch's layout. */
  readonly unsupported?: readonly string[];
}

/** Thrown when weights and a model do not belong together; no weight has been changed. */
export class WeightsError extends Error {
  readonly model: string;
  readonly problems: WeightsProblems;
  constructor(model: string, problems: WeightsProblems) {
    const lines = Object.entries(problems as Readonly<Record<string, readonly string[]>>).flatMap(([kind, names]) =>
      names.length === 0 ? [] : [`${names.length} ${kind}: ${shortened(names)}`],
    );
    super(
      `These weights do not fit the model "${model}": ${lines.join('; ')}. ` +
        'Take weights of the same network, depth, width, shortcut and classes, in F32.',
    );
    this.name = 'WeightsError';
    this.model = model;
    this.problems = problems;
  }
}

function shortened(names: readonly string[]): string {
  return names.length <= 3 ? names.join(', ') : `${names.slice(0, 3).join(', ')}, …`;
}

/** Thrown for a network that cannot be written in TensorFlow.js's own layers. */
export class PlainLayersError extends Error {
  readonly model: string;
  /** Those that have no counterpart. */
  readonly layers: readonly string[];
  constructor(model: string, layers: readonly string[]) {
    const shown = layers.slice(0, 3).join(', ') + (layers.length > 3 ? ` and ${layers.length - 3} more` : '');
    super(
      `"${model}" cannot be written in TensorFlow.js's own layers: ${shown} ${layers.length === 1 ? 'has' : 'have'} no ` +
        'counterpart there. Save it as it is, and import @polder/models where it is loaded.',
    );
    this.name = 'PlainLayersError';
    this.model = model;
    this.layers = layers;
  }
}
