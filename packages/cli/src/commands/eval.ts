import { COMMON_CORRUPTIONS, CORRUPTIONS, type Corruption, type Dataset, type Severity } from '@polder/data';
import type { Command } from 'commander';
import { z } from 'zod';
import type { CorruptionEvaluation, EvaluationResult } from '@polder/trainer';
import { checkSettings } from '../check-settings.js';
import { flagOrigin } from '../command-settings.js';
import { print, printJson, say, table } from '../console.js';
import { UsageError } from '../failure.js';
import { addSettingFlags } from '../flags.js';
import type { OpenedTarget } from '../open-target.js';
import { percent } from '../progress.js';
import { settingGroups, type GivenSettings } from '../settings.js';
import { withStopSignals } from '../stop-signals.js';

const ofTraining = Object.assign({}, ...Object.values(settingGroups)) as Readonly<Record<string, z.ZodType>>;
const positive = z.int().min(1);

const groups = {
  'What:': {
    checkpoint: z.string().min(1).describe('weights of a run: last (default), best, another name, or a file'),
    split: z.enum(['test', 'train']).describe('examples to evaluate on (default test)'),
    pixels: z
      .enum(['normalized', 'unit'])
      .describe("for a model file: normalised by the set's constants (default), or 0…1"),
  },
  'Data:': {
    data: (ofTraining['data'] as z.ZodEnum).describe("data set (default: the run's)"),
    dataDir: ofTraining['dataDir']!,
    limit: positive.describe('only the first so many examples (default: as many as the run tested on)'),
  },
  'Corruptions:': {
    corruptions: z
      .array(z.enum(['all', 'common', ...CORRUPTIONS]))
      .min(1)
      .describe('also under corruptions: common (15), all (19), or names, comma-separated'),
    severities: z.array(z.int().min(1).max(5)).min(1).describe('of 1 to 5, comma-separated (default all)'),
    corruptedDir: z.string().min(1).describe('folder with CIFAR-10-C (.npy) instead of corruptions made here'),
    seed: z.int().min(0).describe('seed of corruptions made here (default 0)'),
  },
  'Machine:': {
    batch: positive.describe('examples at a time on the device; changes no result (default 256)'),
    backend: ofTraining['backend']!,
  },
};

interface Given {
  readonly checkpoint?: string;
  readonly ema?: boolean;
  readonly split?: 'test' | 'train';
  readonly pixels?: 'normalized' | 'unit';
  readonly data?: string;
  readonly dataDir?: string;
  readonly limit?: number;
  readonly corruptions?: readonly string[];
  readonly severities?: readonly number[];
  readonly corruptedDir?: string;
  readonly seed?: number;
  readonly batch?: number;
  readonly backend?: string;
}

const settings = Object.assign({}, ...Object.values(groups)) as Readonly<Record<string, z.ZodType>>;
const schema = z.strictObject(settings).partial() as z.ZodType<Given>;

/** `polder eval`: how good trained weights are. */
export function addEval(program: Command): void {
  const command = program
    .command('eval')
    .description('evaluate trained weights: Top-1, Top-5 and loss, on the test set and on corrupted ones')
    .argument('<target>', "a run folder, a file in a run's checkpoints, or the model.json of any tf.LayersModel")
    .option('--ema', 'the averaged weights that a run with --model-ema ended with')
    .option('--json', 'print the result as JSON on stdout');
  addSettingFlags(command, groups);
  command.action(
    async (target: string, { json, ema, ...flags }: { readonly json?: boolean; readonly ema?: boolean }) => {
      const given = checkSettings(schema, flags, flagOrigin(Object.keys(settings)));
      await evaluateTarget(target, { ...given, ...(ema === true && { ema }) }, corruptionsOf(given), json === true);
    },
  );
}

function corruptionsOf({ corruptions, severities, corruptedDir }: Given): readonly Corruption[] {
  if (corruptions === undefined) {
    if (corruptedDir !== undefined) return COMMON_CORRUPTIONS;
    if (severities !== undefined) throw new UsageError('--severities has no effect without --corruptions.');
    return [];
  }
  const group = corruptions.find((name) => name === 'all' || name === 'common');
  if (group !== undefined && corruptions.length > 1)
    throw new UsageError(`--corruptions: "${group}" stands alone, got "${corruptions.join(',')}".`);
  if (group === undefined) return corruptions as readonly Corruption[];
  return group === 'all' ? CORRUPTIONS : COMMON_CORRUPTIONS;
}

async function evaluateTarget(
  path: string,
  given: Given,
  corruptions: readonly Corruption[],
  json: boolean,
): Promise<void> {
  const { checkpointNamed, findTarget, openTarget } = await import('../open-target.js');
  const target = findTarget(path, checkpointNamed(given.checkpoint, given.ema));
  if (target.kind === 'run' && given.pixels !== undefined)
    throw new UsageError('--pixels is for a model file: a run knows its own.');
  const [{ openBackend, openData }, { checkClassifier, evaluate, evaluateCorruptions }] = await Promise.all([
    import('../workbench.js'),
    import('@polder/trainer'),
  ]);
  const backend = await openBackend(given.backend ?? 'auto');
  say(`backend  ${backend.reason}`);
  const load = async (of: GivenSettings): Promise<{ readonly examples: Dataset; readonly source: string }> => {
    const opened = await openData(dataSettings(given, of));
    say(`data     ${opened.source}`);
    return { examples: given.split === 'train' ? opened.train : opened.test, source: opened.source };
  };
  // A model file must fit the data; a run says which data it is of.
  let loaded = target.kind === 'file' ? await load({}) : undefined;
  const shapeOf = ({ classes, shape }: Dataset): { classes: number; inputShape: readonly number[]; seed: number } => ({
    classes: classes.length,
    inputShape: shape,
    seed: 0,
  });
  const opened = await openTarget(target, () => Promise.resolve(shapeOf(loaded!.examples)));
  try {
    loaded ??= await load(opened.settings);
    const examples = withPixels(loaded.examples, given.pixels);
    checkClassifier(opened.model, { shape: examples.shape, classes: examples.classes.length }, opened.title);
    const result = await withStopSignals(async (signal) => {
      const options = { batchSize: given.batch ?? 256, signal };
      const clean = await evaluate(opened.model, examples, options);
      if (corruptions.length === 0) return { clean };
      const corrupted = await evaluateCorruptions(opened.model, examples, {
        ...options,
        corruptions,
        ...(given.severities !== undefined && { severities: given.severities as readonly Severity[] }),
        ...(given.seed !== undefined && { seed: given.seed }),
        ...(given.corruptedDir !== undefined && { open: opener(given.corruptedDir, examples) }),
        onProgress: ({ corruption, severity, done, total }) => {
          say(`${`${done + 1}/${total}`.padStart(5)}  ${corruption} ${severity}`);
        },
      });
      return { clean, corrupted };
    });
    show(opened, { ...result, source: loaded.source, backend: backend.backend, split: given.split ?? 'test' }, json);
  } finally {
    opened.model.dispose();
  }
}

/** The data that were asked for, else those of the run. */
function dataSettings({ data, dataDir, limit, split = 'test' }: Given, run: GivenSettings): GivenSettings {
  const set = data ?? run.data;
  const folder = dataDir ?? run.dataDir;
  // The limits of a run are those of its data.
  const [limitTrain, limitTest] = set === run.data ? [run.limitTrain, run.limitTest] : [];
  const train = split === 'train' ? (limit ?? limitTrain) : 1;
  const test = split === 'test' ? (limit ?? limitTest) : 1;
  return {
    ...(set !== undefined && { data: set }),
    ...(folder !== undefined && { dataDir: folder }),
    ...(train !== undefined && { limitTrain: train }),
    ...(test !== undefined && { limitTest: test }),
  };
}

/** Pictures as the network was trained on them. */
function withPixels(examples: Dataset, pixels: Given['pixels']): Dataset {
  if (pixels !== 'unit') return examples;
  const { mean, std } = examples.normalization;
  return { ...examples, normalization: { mean: mean.map(() => 0), std: std.map(() => 1) } };
}

/** Reads the corrupted sets of a folder, as many examples of each as there are clean ones. */
function opener(folder: string, clean: Dataset): (corruption: Corruption, severity: Severity) => Promise<Dataset> {
  return async (corruption, severity) => {
    const [{ slice }, { loadCorrupted }] = await Promise.all([import('@polder/data'), import('@polder/data/node')]);
    const set = await loadCorrupted(folder, corruption, severity);
    return { ...slice(set, 0, Math.min(clean.length, set.length)), normalization: clean.normalization };
  };
}

interface Shown {
  readonly clean: EvaluationResult;
  readonly corrupted?: CorruptionEvaluation;
  readonly source: string;
  readonly backend: string;
  readonly split: 'test' | 'train';
}

function show({ title, step, checkpoint }: OpenedTarget, result: Shown, json: boolean): void {
  const { clean, corrupted, source, backend, split } = result;
  if (json) {
    printJson({
      target: title,
      checkpoint,
      ...(step !== undefined && { step }),
      dataSource: source,
      backend,
      split,
      ...clean,
      ...(corrupted !== undefined && { corruptions: corrupted }),
    });
    return;
  }
  print(`${title}${step === undefined ? '' : `, step ${step}`}: ${clean.examples} ${split} examples`);
  print(`Top-1 ${percent(clean.top1)}   Top-5 ${percent(clean.top5)}   loss ${clean.loss.toFixed(4)}`);
  if (corrupted === undefined) return;
  print('\nTop-1 by corruption and severity');
  print(
    table(
      ['corruption', ...corrupted.severities.map(String), 'mean'],
      corrupted.rows.map(({ corruption, results, meanTop1 }) => [
        corruption,
        ...results.map(({ top1 }) => percent(top1)),
        percent(meanTop1),
      ]),
    ),
  );
  print(`mean Top-1 under corruption ${percent(corrupted.meanTop1)}`);
}
