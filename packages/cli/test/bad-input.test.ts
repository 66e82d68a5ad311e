import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { polderHere } from './in-process.js';
import { buildFirst, inTemporaryFolder, polder } from './polder.js';

// So that no test below pays for it.
beforeAll(buildFirst, 300_000);

const small = ['--data', 'shapes', '--limit-train', '32', '--limit-test', '8', '--model', 'mlp'];

/** Files by name, or folders of files. */
interface Files {
  readonly [name: string]: string | Uint8Array | Files;
}

function write(folder: string, files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    if (typeof content === 'string' || content instanceof Uint8Array) writeFileSync(path, content);
    else {
      mkdirSync(path);
      write(path, content);
    }
  }
}

interface BadInput {
  readonly title: string;
  readonly args: readonly string[];
  readonly code: number;
  readonly says: readonly (string | RegExp)[];
  readonly files?: Files;
}

const records = (count: number, label = 3): Uint8Array => {
  const bytes = new Uint8Array(count * 3073).fill(100);
  for (let i = 0; i < count; i += 1) bytes[i * 3073] = label;
  return bytes;
};

const cifar = (first: Uint8Array): Files => ({
  d: {
    'data_batch_1.bin': first,
    ...Object.fromEntries([2, 3, 4, 5].map((n) => [`data_batch_${n}.bin`, records(2)])),
    'test_batch.bin': records(2),
  },
});
const onCifar = ['train', '--data', 'cifar10', '--data-dir', 'd', '--model', 'mlp'];

const cases: readonly BadInput[] = [
  { title: 'an unknown command', args: ['trian'], code: 2, says: ["unknown command 'trian'", 'Did you mean train?'] },
  {
    title: 'an unknown flag',
    args: ['train', '--polcy', 'sam'],
    code: 2,
    says: ["'--polcy'", 'Did you mean --policy?'],
  },
  {
    title: 'a flag without its value',
    args: ['train', '--epochs'],
    code: 2,
    says: ["'--epochs <number>' argument missing"],
  },
  {
    title: 'an unknown model',
    args: ['train', '--model', 'resnet21'],
    code: 2,
    says: ['no model "resnet21"', 'Did you mean "resnet20"?', 'vit-small'],
  },
  {
    title: 'an unknown policy',
    args: ['train', '--policy', 'ssan'],
    code: 2,
    says: ['no policy "ssan"', 'Did you mean "ssam"?', 'samar'],
  },
  {
    title: 'an unknown policy among several',
    args: ['compare', '--policies', 'none,smar'],
    code: 2,
    says: ['Did you mean "samar"?'],
  },
  {
    title: 'an unknown preset',
    args: ['compare', '--preset', 'quikstart'],
    code: 2,
    says: ['Did you mean "quickstart"?'],
  },
  {
    title: 'an unknown data set',
    args: ['train', '--data', 'cifar'],
    code: 2,
    says: ['--data: expected one of auto, cifar10', 'got "cifar"'],
  },
  { title: 'a batch of 0', args: ['train', '--batch', '0'], code: 2, says: ['--batch: expected at least 1, got 0.'] },
  {
    title: 'a batch that is no number',
    args: ['train', '--batch', 'abc'],
    code: 2,
    says: ['--batch: expected a number, got "abc".'],
  },
  {
    title: 'half a batch',
    args: ['train', '--batch', '1.5'],
    code: 2,
    says: ['--batch: expected an integer, got 1.5.'],
  },
  {
    title: 'ρ below 0',
    args: ['train', '--policy', 'sam', '--rho', '-1'],
    code: 2,
    says: ['--rho: expected at least 0, got -1.'],
  },
  {
    title: 'ρ below 0 in an option',
    args: ['train', '--policy', 'sam', '--policy-option', 'rho=-1'],
    code: 2,
    says: ['rho', '-1'],
  },
  {
    title: 'an option that the policy lacks',
    args: ['train', '--policy', 'sam', '--policy-option', 'chi=2'],
    code: 2,
    says: ['chi', '"sam"'],
  },
  {
    title: 'an option that no policy has',
    args: ['compare', '--policy-option', 'lamda0=1'],
    code: 2,
    says: ['lamda0'],
  },
  {
    title: 'two lengths',
    args: ['train', '--epochs', '1', '--pass-budget', '5'],
    code: 2,
    says: ['exclude each other'],
  },
  {
    title: 'a learning rate for a policy that sets it',
    args: ['train', '--policy', 'sasam', '--lr', '1'],
    code: 2,
    says: ['--lr has no effect', 'eta0'],
  },
  {
    title: 'a schedule for a policy that sets the rate',
    args: ['train', ...small, '--policy', 'sasam', '--sched', 'cosine'],
    code: 2,
    says: ['"sasam"', 'schedule'],
  },
  {
    title: 'Adam under a policy that sets the rate',
    args: ['train', ...small, '--policy', 'sasgd', '--optimizer', 'adam'],
    code: 2,
    says: ['"sasgd"', 'sgd()'],
  },
  {
    title: 'momentum for Adam',
    args: ['train', '--optimizer', 'adam', '--momentum', '0.9'],
    code: 2,
    says: ['"momentum" has no effect'],
  },
  { title: 'a step schedule without its steps', args: ['train', '--sched', 'step'], code: 2, says: ['--decay-epochs'] },
  { title: 'an unknown backend', args: ['train', '--backend', 'cuda'], code: 2, says: ['Backend "cuda"', 'wasm'] },
  {
    title: 'a backend whose package nobody has imported',
    args: ['train', '--backend', 'webgl'],
    code: 2,
    says: ['"webgl"', 'has not been imported'],
  },
  {
    title: 'a typo in a configuration',
    args: ['train', '--config', 'c.yaml'],
    code: 2,
    files: { 'c.yaml': 'warmupEpoch: 3\n' },
    says: ['c.yaml: unknown setting "warmupEpoch". Did you mean "warmupEpochs"?'],
  },
  {
    title: 'wrong values in a configuration',
    args: ['train', '--config', 'c.json'],
    code: 2,
    files: { 'c.json': '{"batch": 0, "rho": -1, "lr": "fast"}' },
    says: ['batch: expected at least 1, got 0', 'rho: expected at least 0', 'lr: expected a number, got "fast"'],
  },
  {
    title: 'a wrong value for one policy',
    args: ['compare', '--config', 'c.yaml'],
    code: 2,
    files: { 'c.yaml': 'policies:\n  - none\n  - { policy: sam, rho: -2 }\n' },
    says: ['policies.1.rho: expected at least 0, got -2'],
  },
  {
    title: 'a configuration that is no YAML',
    args: ['train', '--config', 'c.yaml'],
    code: 2,
    files: { 'c.yaml': 'a: [1\n' },
    says: ['c.yaml: '],
  },
  {
    title: 'a key given twice',
    args: ['train', '--config', 'c.yaml'],
    code: 2,
    files: { 'c.yaml': 'batch: 1\nbatch: 2\n' },
    says: ['unique'],
  },
  {
    title: 'a configuration that is a list',
    args: ['train', '--config', 'c.yaml'],
    code: 2,
    files: { 'c.yaml': '- batch\n' },
    says: ['got a list'],
  },
  {
    title: 'a missing configuration',
    args: ['train', '--config', 'nope.yaml'],
    code: 2,
    says: ['nope.yaml: there is no such file'],
  },
  { title: 'missing data', args: onCifar, code: 3, says: ['data_batch_1.bin', '--data-dir or POLDER_DATA'] },
  {
    title: 'some files of a set',
    args: ['train', '--data-dir', 'd'],
    code: 3,
    files: { d: { 'data_batch_1.bin': records(2) } },
    says: ['data_batch_2.bin', 'test_batch.bin'],
  },
  {
    title: 'a truncated data file',
    args: onCifar,
    code: 3,
    files: cifar(records(2).subarray(0, 5000)),
    says: ['data_batch_1.bin', 'byte 3073', 'truncated'],
  },
  {
    title: 'a wrong label',
    args: onCifar,
    code: 3,
    files: cifar(records(2, 10)),
    says: ['data_batch_1.bin', 'byte 0', '10'],
  },
  {
    title: 'a run folder that holds a run',
    args: ['train', '--run-dir', 'r'],
    code: 2,
    files: { r: { 'config.json': '{}' } },
    says: ['holds a run already', 'another folder'],
  },
  {
    title: 'a run folder that holds something else',
    args: ['train', '--run-dir', 'r'],
    code: 2,
    files: { r: { 'notes.txt': '' } },
    says: ['is not empty (it holds notes.txt)'],
  },
  {
    title: 'a run folder in a file',
    args: ['train', '--run-dir', 'f/r'],
    code: 2,
    files: { f: '' },
    says: ['part of the path is a file', '--run-dir'],
  },
  {
    title: 'a comparison into a folder that holds a run',
    args: ['compare', '--run-dir', 'r'],
    code: 2,
    files: { r: { 'config.json': '{}' } },
    says: ['holds a run already'],
  },
  { title: 'golden files that are not there', args: ['verify', 'nowhere'], code: 2, says: ['nowhere is no folder'] },
  { title: 'a report about no run', args: ['report', '.'], code: 2, says: ['no run folder'] },
  { title: 'an unknown experiment', args: ['reproduce', 'ssam/sadle'], code: 2, says: ['Did you mean ssam/saddle?'] },
  {
    title: 'a data set that cannot be fetched',
    args: ['data', 'get', 'cifar11'],
    code: 2,
    says: ['Did you mean "cifar10"?'],
  },
  {
    title: 'an unknown corruption',
    args: ['data', 'corrupt', '--out', 'c', '--corruptions', 'fog,snoww'],
    code: 2,
    says: ['--corruptions', '"snoww"', 'snow'],
  },
  {
    title: 'all corruptions and one more',
    args: ['data', 'corrupt', '--out', 'c', '--corruptions', 'all,fog'],
    code: 2,
    says: ['"all" stands alone'],
  },
  {
    title: 'a severity of 6',
    args: ['data', 'corrupt', '--out', 'c', '--severities', '1,6'],
    code: 2,
    says: ['--severities', 'at most 5, got 6'],
  },
  { title: 'no place for corruptions', args: ['data', 'corrupt'], code: 2, says: ['--out is missing'] },
  {
    title: 'corruptions of data that is not there',
    args: ['data', 'corrupt', '--out', 'c', '--data-dir', 'd'],
    code: 3,
    says: ['data_batch_1.bin', '--data-dir or POLDER_DATA'],
  },
  {
    title: 'corruptions of a damaged file',
    args: ['data', 'corrupt', '--out', 'c', '--data-dir', 'd'],
    code: 3,
    files: cifar(records(2, 10)),
    says: ['data_batch_1.bin', 'byte 0'],
  },
  {
    title: 'corruptions into a file',
    args: ['data', 'corrupt', '--out', 'f', '--set', 'shapes', '--limit', '2', '--corruptions', 'contrast'],
    code: 3,
    files: { f: '' },
    says: ['f cannot be written: a file has that name'],
  },
  {
    title: 'an export of an unknown set',
    args: ['data', 'export', 'cifar', '--out', 'e'],
    code: 2,
    says: ['no data set "cifar"'],
  },
  { title: 'an unknown part of bench', args: ['bench', 'dta'], code: 2, says: ['too many arguments'] },
  {
    title: 'a bench of no time',
    args: ['bench', '--seconds', '0'],
    code: 2,
    says: ['--seconds: expected a number above 0'],
  },
  { title: 'a bench on half a thread', args: ['bench', '--threads', '0.5'], code: 2, says: ['from 1 to 8, got "0.5"'] },
  {
    title: 'a bench of an unknown network',
    args: ['bench', 'step', '--model', 'resnet21'],
    code: 2,
    says: ['resnet20'],
  },
  {
    title: 'the stock baseline beside another network',
    args: ['bench', 'step', '--baseline', 'stock', '--model', 'vit'],
    code: 2,
    says: ['--baseline stock is a resnet20'],
  },
  { title: 'a soak too short to tell', args: ['bench', 'soak', '--steps', '999'], code: 2, says: ['at least 1000'] },
  {
    title: 'golden Hessians that are not there',
    args: ['bench', 'diagnostics', '--goldens', 'nowhere'],
    code: 2,
    says: ['--goldens: nowhere is no folder'],
  },
  {
    title: 'a golden Hessian that is none',
    args: ['bench', 'diagnostics', '--goldens', 'g'],
    code: 2,
    files: { g: { 'a.json': '{}' } },
    says: ['golden-hessian'],
  },
];

const listing = (folder: string): string[] => (readdirSync(folder, { recursive: true }) as string[]).sort();

describe('bad input', () => {
  it.each(cases)('$title: says what and how, and writes nothing', async ({ args, code, says, files = {} }) => {
    await inTemporaryFolder(async (cwd) => {
      write(cwd, files);
      const before = listing(cwd);
      const result = await polderHere(args, cwd);
      for (const text of says) expect(result.stderr).toMatch(typeof text === 'string' ? literal(text) : text);
      expect(result.stderr).not.toMatch(/\n\s+at /);
      expect(result.stderr.split('\n').length).toBeLessThan(24);
      expect(result.stdout).toBe('');
      expect(result.code).toBe(code);
      expect(listing(cwd)).toEqual(before);
    });
  });

  const literal = (text: string): RegExp => new RegExp(text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));

  it('says so when a place takes no folders', { skip: process.platform !== 'linux' }, async () => {
    const { code, stderr } = await polder(['train', '--run-dir', '/proc/polder']);
    expect(stderr).toMatch(/Cannot write to \/proc\/polder: .*--run-dir/);
    expect(code).toBe(2);
  });

  it('shows help with every setting, and exits with 0', async () => {
    const { code, stdout } = await polder(['train', '--help']);
    expect(code).toBe(0);
    for (const flag of [
      '--weight-decay',
      '--warmup-epochs',
      '--policy-option',
      '--no-augment',
      '--limit-train',
      '--json',
    ])
      expect(stdout).toContain(flag);
  });
});
