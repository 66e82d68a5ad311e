import type { Monitor } from '@polder/trainer';
import { z } from 'zod';

/** Data sets by name; `auto` is CIFAR-10 where it is found, else the offline shapes. */
const datasetChoices: readonly string[] = ['auto', 'cifar10', 'cifar100', 'mnist', 'fashion', 'shapes'];

/**
 * What a user may set for a training run, before defaults. A key is a setting's name in a configuration file and, in
 * kebab case, its flag.
 */
export interface GivenSettings {
  readonly data?: string;
  readonly dataDir?: string;
  readonly limitTrain?: number;
  readonly limitTest?: number;
  readonly augment?: boolean;
  readonly mixup?: number;
  readonly cutmix?: number;
  readonly mixupProb?: number;
  readonly mixupSwitchProb?: number;
  readonly mixupOffEpoch?: number;
  readonly model?: string;
  readonly shortcut?: 'projection' | 'pad';
  readonly policy?: string;
  readonly rho?: number;
  readonly policyOptions?: Readonly<Record<string, number | boolean | string>>;
  readonly optimizer?: 'sgd' | 'adam' | 'adamw';
  readonly lr?: number;
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
  readonly sched?: 'cosine' | 'step' | 'constant';
  readonly warmupEpochs?: number;
  readonly minLr?: number;
  readonly decayEpochs?: readonly number[];
  readonly decayRate?: number;
  readonly smoothing?: number;
  readonly clipGrad?: number;
  readonly microBatches?: number;
  readonly perturbation?: 'global' | 'micro-batch';
  readonly modelEma?: boolean;
  readonly modelEmaDecay?: number;
  readonly modelEmaWarmup?: boolean;
  readonly batch?: number;
  readonly epochs?: number;
  readonly passBudget?: number;
  readonly fairPasses?: boolean;
  readonly patience?: number;
  readonly minDelta?: number;
  readonly monitor?: Monitor;
  readonly onNonfinite?: 'stop' | 'skip';
  readonly maxSkipped?: number;
  readonly seed?: number;
  readonly logEvery?: number;
  readonly evalEvery?: number;
  readonly trainEval?: number;
  readonly gapRho?: number;
  readonly gapExamples?: number;
  readonly curvatureEvery?: number;
  readonly curvatureExamples?: number;
  readonly curvatureAlso?: readonly ('gradientVariance' | 'lipschitz')[];
  readonly checkpointEvery?: number;
  readonly checkpointMinutes?: number;
  readonly keepBest?: number;
  readonly evalMetric?: Monitor;
  readonly backend?: string;
  readonly precision?: 'float32' | 'bf16';
  readonly name?: string;
  readonly runDir?: string;
  readonly tensorboard?: boolean;
  readonly csv?: boolean;
}

/** A comparison as given: settings for all runs, and the policies, each with settings of its own if need be. */
export interface GivenComparison extends Omit<GivenSettings, 'policy'> {
  readonly policies?: readonly (string | PolicyEntry)[];
}

/** One policy of a comparison with settings that hold for it alone. */
type PolicyEntry = Omit<GivenSettings, 'runDir' | 'name'> & { readonly policy: string };

/** Schemas by heading of the help, then by key. */
export type SettingGroups = Readonly<Record<string, Readonly<Record<string, z.ZodType>>>>;

const monitorChoices: readonly Monitor[] = [
  'testTop1',
  'testTop5',
  'testLoss',
  'trainTop1',
  'trainLoss',
  'emaTestTop1',
  'emaTestTop5',
  'emaTestLoss',
];

const positive = z.int().min(1);
const nonNegative = z.number().min(0);
const fraction = z.number().min(0).max(1);

/** Every setting, checked. Names and meanings follow timm and Keras where they have one. */
export const settingGroups: SettingGroups = {
  'Data:': {
    data: z
      .enum(datasetChoices as [string])
      .describe('data set (default auto: CIFAR-10 if found, else the offline shapes)'),
    dataDir: z.string().min(1).describe('folder with the data (else POLDER_DATA, else the cache)'),
    limitTrain: positive.describe('use only the first so many training examples'),
    limitTest: positive.describe('use only the first so many test examples'),
    augment: z.boolean().describe('flip and padded crop of training images (default, but for mnist)'),
    mixup: nonNegative.describe("mixup: blend pictures by shares from Beta(α, α), this the α (default 0: don't)"),
    cutmix: nonNegative.describe("CutMix: paste boxes of such shares from other pictures (default 0: don't)"),
    mixupProb: fraction.describe('chance that a batch is mixed (default 1)'),
    mixupSwitchProb: fraction.describe('with both, chance of CutMix instead of mixup (default 0.5)'),
    mixupOffEpoch: positive.describe('no mixing from this epoch on, counted from 0'),
  },
  'Model:': {
    model: z
      .string()
      .min(1)
      .describe('network, see: polder models (default resnet20); or the model.json of any tf.LayersModel'),
    shortcut: z.enum(['projection', 'pad']).describe('shortcut of a CIFAR ResNet (default projection)'),
  },
  'Policy:': {
    policy: z.string().min(1).describe('none (default), sam, ssam, sasam, samar, …'),
    rho: nonNegative.describe("radius of the policy's perturbation (default: the policy's)"),
    policyOptions: z
      .record(z.string(), z.union([z.number(), z.boolean(), z.string()]))
      .describe("the policy's other options, name=value, repeatable"),
  },
  'Optimizer:': {
    optimizer: z.enum(['sgd', 'adam', 'adamw']).describe('base optimizer (default sgd)'),
    lr: nonNegative.describe('learning rate (default 0.1; adam, adamw 0.001)'),
    momentum: z
      .number()
      .min(0)
      .max(1)
      .describe('momentum of sgd (default 0.9; 0 where the policy sets the learning rate)'),
    nesterov: z.boolean().describe("Nesterov's momentum"),
    weightDecay: nonNegative.describe('weight decay (default 5e-4; adamw 0.01)'),
    sched: z
      .enum(['cosine', 'step', 'constant'])
      .describe('learning-rate schedule (default cosine; constant where the policy sets the learning rate)'),
    warmupEpochs: nonNegative.describe('epochs of linear warm-up (default 0)'),
    minLr: nonNegative.describe('where the cosine ends (default 0)'),
    decayEpochs: z.array(positive).min(1).describe('epochs after which the step schedule decays, comma-separated'),
    decayRate: z.number().positive().max(1).describe('factor of the step schedule (default 0.1)'),
    smoothing: z.number().min(0).lt(1).describe('label smoothing (default 0)'),
    clipGrad: z.number().positive().describe('clip the direction to this global norm'),
    microBatches: positive.describe('split each batch into so many parts, to save memory'),
    perturbation: z
      .enum(['global', 'micro-batch'])
      .describe('one perturbation a step (default global), or one per part (m-sharpness)'),
  },
  'Averaged weights:': {
    modelEma: z.boolean().describe('keep an exponential moving average of the weights, evaluated besides them'),
    modelEmaDecay: z.number().min(0).lt(1).describe('decay of the average, a step (default 0.9998)'),
    modelEmaWarmup: z
      .boolean()
      .describe('let the decay grow from 0, so that a short training is not averaged with its start'),
  },
  'Length:': {
    batch: positive.describe('batch size (default 128)'),
    epochs: positive.describe('epochs to train (default 10)'),
    passBudget: positive.describe('gradient passes to train, instead of epochs'),
    fairPasses: z
      .boolean()
      .describe('as many gradient passes as plain descent takes for the epochs, whatever the policy'),
    patience: positive.describe('stop after so many evaluations without a better one'),
    minDelta: nonNegative.describe('count as better only what is so by more than this (default 0)'),
    monitor: z
      .enum(monitorChoices as [Monitor])
      .describe(
        'what is to get better: testTop1, testTop5, testLoss, trainTop1, trainLoss, or emaTestTop1 and its like (default: as --eval-metric)',
      ),
    onNonfinite: z
      .enum(['stop', 'skip'])
      .describe('at a gradient that is not finite, whose step never counts: stop with exit code 4, or skip (default)'),
    maxSkipped: z
      .int()
      .min(0)
      .describe('stop all the same when more steps than this are skipped in a row (default 10)'),
    seed: z.int().min(0).describe('seed of weights, order and augmentation (default 0)'),
  },
  'Measuring:': {
    logEvery: positive.describe('steps between logged rows (default 10)'),
    evalEvery: positive.describe('epochs between evaluations (default 1)'),
    trainEval: positive.describe('training examples that an evaluation sees (default: as many as test examples)'),
    gapRho: nonNegative.describe('radius at which the SAM gap is measured, whatever the policy (default 0.05)'),
    gapExamples: positive.describe('training examples that the SAM gap is measured on (default 512)'),
    curvatureEvery: positive.describe('epochs between measurements of curvature: λ_max and trace of the Hessian'),
    curvatureExamples: positive.describe('training examples that curvature is measured on (default 128)'),
    curvatureAlso: z
      .array(z.enum(['gradientVariance', 'lipschitz']))
      .min(1)
      .describe(
        'measure with it, comma-separated: gradientVariance (of minibatches), lipschitz (of the gradient along the path)',
      ),
  },
  'Checkpoints:': {
    checkpointEvery: positive.describe('steps between checkpoints, from which polder resume goes on'),
    checkpointMinutes: z
      .number()
      .positive()
      .describe('minutes between checkpoints (default 5, unless steps are given)'),
    keepBest: z.int().min(0).describe('keep the weights of the so many best evaluations (default 1)'),
    evalMetric: z
      .enum(monitorChoices as [Monitor])
      .describe(
        'by what the best are told: testTop1 (default), testTop5, testLoss, trainTop1, trainLoss, or emaTestTop1 and its like',
      ),
  },
  'Machine and output:': {
    backend: z.string().min(1).describe('auto (default), webgpu, tensorflow, wasm or cpu'),
    precision: z
      .enum(['float32', 'bf16'])
      .describe(
        'of convolutions and matrix products, on tensorflow: float32 (default), or bf16, which suits transformers',
      ),
    name: z
      .string()
      .regex(/^[\w][\w.-]*$/, 'expected letters, digits, ".", "_" and "-"')
      .describe('name of the run: its folder is runs/<name>'),
    runDir: z.string().min(1).describe('folder of the run; must be new or empty'),
    tensorboard: z.boolean().describe('write event files for TensorBoard into <run>/tensorboard'),
    csv: z.boolean().describe('write <run>/metrics.csv besides metrics.jsonl'),
  },
};

const shape: Readonly<Record<keyof GivenSettings, z.ZodType>> = Object.assign({}, ...Object.values(settingGroups));

/** The schema of `polder train`'s configuration files and flags. */
export const settingsSchema: z.ZodType<GivenSettings> = z.strictObject(shape).partial() as z.ZodType<GivenSettings>;

const { policy, ...shared } = shape;
const { runDir: _runDir, name: _name, precision: _precision, ...perPolicy } = shared;

/** `policies` of a comparison: ids, or objects with settings of their own. */
export const policiesSchema: z.ZodType<NonNullable<GivenComparison['policies']>> = z
  .array(z.union([z.string().min(1), z.strictObject(perPolicy).partial().extend({ policy })]))
  .min(1)
  .describe('policies to compare, comma-separated') as z.ZodType<NonNullable<GivenComparison['policies']>>;

/** The schema of `polder compare`'s configuration files and flags. */
export const compareSchema: z.ZodType<GivenComparison> = z
  .strictObject({ ...shared, policies: policiesSchema })
  .partial() as z.ZodType<GivenComparison>;

/** The keys that configuration files may have. */
export const settingKeys: readonly string[] = Object.keys(shape);
