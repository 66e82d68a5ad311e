import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { polderHere, temporaryFolder } from './in-process.js';

const { path: base, dispose } = temporaryFolder();
afterAll(dispose);

interface BadInput {
  readonly args: readonly string[];
  readonly code: number;
  readonly says: RegExp;
  readonly files?: Readonly<Record<string, string>>;
}

const run = { 'r/config.json': '{"model":"mlp","data":"shapes"}', 'r/metrics.jsonl': '' };
const cpu = ['--backend', 'cpu'];

const cases: readonly BadInput[] = [
  // A configuration.
  {
    args: ['train', '--config', 'c.yaml'],
    files: { 'c.yaml': 'batch: 8\nlr: [0.1\n' },
    code: 2,
    says: /c\.yaml: .*line 3, column 1/s,
  },
  {
    args: ['train', '--config', 'c.yaml'],
    files: { 'c.yaml': 'batch: 8\nbach: 9\n' },
    code: 2,
    says: /unknown setting "bach"\. Did you mean "batch"\?/,
  },
  {
    args: ['train', '--config', 'c.yaml', '--dry-run'],
    files: { 'c.yaml': 'batch: 1.5\n' },
    code: 2,
    says: /batch: expected an integer, got 1\.5/,
  },
  {
    args: ['train', '--config', 'c.yaml', '--explain-config'],
    files: { 'c.yaml': 'batch: .nan\n' },
    code: 2,
    says: /batch: expected a number, got NaN/,
  },
  {
    args: ['train', '--config', 'c.json'],
    files: { 'c.json': '{"__proto__": {"batch": 1}}' },
    code: 2,
    says: /unknown setting "__proto__"|__proto__/,
  },
  { args: ['train', '--config', '.'], code: 2, says: /it is a folder/ },
  { args: ['train', '--data', 'cifr10'], code: 2, says: /Did you mean "cifar10"\?/ },
  { args: ['train', '--sched', 'cosin'], code: 2, says: /Did you mean "cosine"\?/ },
  { args: ['compare', '--explain-config', '--policies', 'smar'], code: 2, says: /Did you mean "samar"\?/ },
  { args: ['reproduce', 'ssam/saddle', '--dry-run', '--seeds', '1.5'], code: 2, says: /--seeds: expected an integer/ },
  {
    args: ['reproduce', 'ssam/saddle', '--dry-run', '--set', 'epochs=x'],
    code: 2,
    says: /--set: expected name=number/,
  },
  // A model file.
  { args: ['train', '--model', 'm.json', ...cpu], code: 3, says: /m\.json: cannot be read \(ENOENT\)/ },
  { args: ['train', '--model', 'm.json', ...cpu], files: { 'm.json': '{"a"' }, code: 3, says: /m\.json: no JSON/ },
  {
    args: ['train', '--model', 'm.json', ...cpu],
    files: { 'm.json': '{"format":"graph-model"}' },
    code: 3,
    says: /graph model/,
  },
  {
    args: ['train', '--model', 'm.json', ...cpu],
    files: { 'm.json': '{"modelTopology":{},"weightsManifest":[{"paths":["w.bin"],"weights":[]}]}' },
    code: 3,
    says: /w\.bin: cannot be read \(ENOENT\)/,
  },
  {
    args: ['train', '--model', 'm.json', '--data', 'shapes', ...cpu],
    files: { 'm.json': '{"modelTopology":{"class_name":"Nope","config":{}},"weightsManifest":[]}' },
    code: 3,
    says: /cannot load it: Unknown layer: Nope/,
  },
  {
    args: ['train', '--model', './folder', ...cpu],
    files: { 'folder/x': '' },
    code: 3,
    says: /model\.json: cannot be read/,
  },
  // What is evaluated or exported.
  {
    args: ['eval', 'r', '--ema', '--checkpoint', 'best'],
    files: run,
    code: 2,
    says: /--ema and --checkpoint exclude each other/,
  },
  { args: ['export', 'r', '--ema'], files: run, code: 3, says: /final-ema\.safetensors: expected a checkpoint/ },
  ...['eval', 'export'].flatMap((command): BadInput[] => [
    { args: [command, 'nowhere'], code: 2, says: /there is no such file or folder/ },
    { args: [command, '.'], code: 2, says: /no run folder .*no model\.json/ },
    { args: [command, 'c'], files: { 'c/comparison.json': '{}' }, code: 2, says: /is a comparison/ },
    { args: [command, 'r'], files: run, code: 3, says: /final\.safetensors: expected a readable file, got ENOENT/ },
    {
      args: [command, 'r', '--checkpoint', 'best'],
      files: run,
      code: 3,
      says: /expected a checkpoint of the run, got no such file\. There are: none/,
    },
    {
      args: [command, 'r'],
      files: { ...run, 'r/checkpoints/final.safetensors': 'x' },
      code: 3,
      says: /final\.safetensors/,
    },
    {
      args: [command, 'r'],
      files: { 'r/metrics.jsonl': '', 'r/config.json': '[]' },
      code: 3,
      says: /config\.json: expected a JSON object/,
    },
    {
      args: [command, 'w.safetensors'],
      files: { 'w.safetensors': '' },
      code: 2,
      says: /is not in the checkpoints of a run/,
    },
    {
      args: [command, 'r/checkpoints/state-000000001.safetensors'],
      files: { ...run, 'r/checkpoints/state-000000001.safetensors': '' },
      code: 2,
      says: /is what a run goes on from/,
    },
    {
      args: [command, 'm.json', '--checkpoint', 'best'],
      files: { 'm.json': '{}' },
      code: 2,
      says: /--checkpoint is for a run/,
    },
  ]),
  { args: ['export', 'm.json', '--out', 'o'], files: { 'm.json': '{}' }, code: 3, says: /no modelTopology/ },
  {
    args: ['eval', 'm.json', '--data', 'shapes', '--limit', '4', ...cpu],
    files: { 'm.json': '{}' },
    code: 3,
    says: /no modelTopology/,
  },
  { args: ['eval', 'r', '--pixels', 'unit'], files: run, code: 2, says: /--pixels is for a model file/ },
  {
    args: ['eval', 'r', '--severities', '3'],
    files: run,
    code: 2,
    says: /--severities has no effect without --corruptions/,
  },
  { args: ['eval', 'r', '--corruptions', 'all,fog'], files: run, code: 2, says: /"all" stands alone/ },
  { args: ['eval', 'r', '--corruptions', 'fogg'], files: run, code: 2, says: /Did you mean "fog"\?/ },
  { args: ['eval', 'r', '--severities', '6', '--corruptions', 'fog'], files: run, code: 2, says: /at most 5, got 6/ },
  { args: ['eval', 'r', '--limit', '0'], files: run, code: 2, says: /--limit: expected at least 1/ },
  { args: ['eval'], code: 2, says: /missing required argument 'target'/ },
  // Others.
  { args: ['compare', 'r', '--dry-run'], files: run, code: 2, says: /--dry-run is for training/ },
  { args: ['report', 'r', '--out', 'no/such/a.html'], files: run, code: 2, says: /there is no folder/ },
  { args: ['completion'], code: 2, says: /missing required argument 'shell'/ },
];

const listing = (folder: string): string[] => (readdirSync(folder, { recursive: true }) as string[]).sort();

describe('bad input', () => {
  it.each(cases.map((bad, i) => ({ ...bad, line: bad.args.join(' '), folder: join(base, String(i)) })))(
    'polder $line: says what is wrong, and writes nothing',
    async ({ args, code, says, files = {}, folder }) => {
      mkdirSync(folder);
      for (const [name, content] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, name)), { recursive: true });
        writeFileSync(join(folder, name), content);
      }
      const before = listing(folder);
      const result = await polderHere(args, folder);
      expect(result.stderr).toMatch(says);
      expect(result.stderr).not.toMatch(/\n\s+at /);
      expect(result.stderr.split('\n').length).toBeLessThan(12);
      expect({ code: result.code, stdout: result.stdout }).toEqual({ code, stdout: '' });
      expect(listing(folder)).toEqual(before);
    },
  );
});
