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
  readonly batch?: number;
  readonly epochs?: number;
  readonly passBudget?: number;
  readonly seed?: number;
  readonly logEvery?: number;
  readonly evalEvery?: number;
  readonly trainEval?: number;
  readonly gapRho?: number;
  readonly gapExamples?: number;
  readonly backend?: string;
  readonly name?: string;
  readonly runDir?: string;
}

/** A comparison as given: settings for all runs, and the policies, each with settings of its own if need be. */
export interface GivenComparison extends Omit<GivenSettings, 'policy'> {
  readonly policies?: readonly (string | PolicyEntry)[];
}

/** One policy of a comparison with settings that hold for it alone. */
type PolicyEntry = Omit<GivenSettings, 'runDir' | 'name'> & { readonly policy: string };

/** Schemas by heading of the help, then by key. */
export type SettingGroups = Readonly<Record<string, Readonly<Record<string, z.ZodType>>>>;

const positive = z.int().min(1);
const nonNegative = z.number().min(0);

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
  'Length:': {
    batch: positive.describe('batch size (default 128)'),
    epochs: positive.describe('epochs to train (default 10)'),
    passBudget: positive.describe('gradient passes to train, instead of epochs'),
    seed: z.int().min(0).describe('seed of weights, order and augmentation (default 0)'),
  },
  'Measuring:': {
    logEvery: positive.describe('steps between logged rows (default 10)'),
    evalEvery: positive.describe('epochs between evaluations (default 1)'),
    trainEval: positive.describe('training examples that an evaluation sees (default: as many as test examples)'),
    gapRho: nonNegative.describe('radius at which the SAM gap is measured, whatever the policy (default 0.05)'),
    gapExamples: positive.describe('training examples that the SAM gap is measured on (default 512)'),
  },
  'Machine and output:': {
    backend: z.string().min(1).describe('auto (default), wasm or cpu'),
    name: z
      .string()
      .regex(/^[\w][\w.-]*$/, 'expected letters, digits, ".", "_" and "-"')
      .describe('name of the run: its folder is runs/<name>'),
    runDir: z.string().min(1).describe('folder of the run; must be new or empty'),
  },
};

const shape: Readonly<Record<keyof GivenSettings, z.ZodType>> = Object.assign({}, ...Object.values(settingGroups));

/** The schema of `polder train`'s configuration files and flags. */
export const settingsSchema: z.ZodType<GivenSettings> = z.strictObject(shape).partial() as z.ZodType<GivenSettings>;

const { policy, ...shared } = shape;
const { runDir: _runDir, name: _name, ...perPolicy } = shared;

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
