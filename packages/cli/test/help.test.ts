import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { colorsFor } from '../src/console.js';
import { commandsOf, examples } from '../src/examples.js';
import { createProgram } from '../src/main.js';
import { polderHere, temporaryFolder } from './in-process.js';
import { buildFirst } from './polder.js';

const { path: cwd, dispose } = temporaryFolder();
afterAll(dispose);
const here = (...args: readonly string[]): ReturnType<typeof polderHere> => polderHere(args, cwd);

describe('help', () => {
  const commands = commandsOf(createProgram()).filter(([path]) => path !== 'help');

  it.each(commands.map(([path]) => path))('%s has examples, and its help shows them', async (path) => {
    expect(Object.keys(examples)).toContain(path);
    for (const args of [
      ['help', ...path.split(' ')],
      [...path.split(' '), '--help'],
    ]) {
      const { code, stdout, stderr } = await here(...args);
      expect(code).toBe(0);
      expect(stderr).toBe('');
      expect(stdout).toContain(`Usage: polder ${path.split(' ')[0]}`);
      expect(stdout).toContain('Examples:');
      for (const [line] of examples[path]!) expect(stdout).toContain(line);
    }
  });

  it('offers --json with every command that gives a result', () => {
    const silent = new Set(['completion', 'help']);
    const without = commandsOf(createProgram())
      .filter(([path, { commands }]) => commands.length === 0 && !silent.has(path))
      .flatMap(([path, { options }]) => (options.some(({ long }) => long === '--json') ? [] : [path]));
    expect(without).toEqual([]);
  });

  it('has examples of commands and flags that there are', () => {
    const known = new Map(commands);
    expect(Object.keys(examples).filter((path) => !known.has(path))).toEqual([]);
    for (const [path, lines] of Object.entries(examples)) {
      for (const [line] of lines) {
        const [program, ...words] = line.split(/\s+(?:>.*)?/);
        expect(program).toBe('polder');
        const named = [`${words[0]} ${words[1]}`, words[0]!].find((name) => known.has(name))!;
        expect(named.split(' ')[0]).toBe(path.split(' ')[0]);
        // A group's flags are those of its default command.
        const flags = [known.get(named)!, ...known.get(named)!.commands].flatMap(({ options }) =>
          options.map(({ long }) => long),
        );
        for (const word of words.filter((text) => text.startsWith('--')))
          expect({ line, flags }).toEqual({ line, flags: expect.arrayContaining([word]) as unknown });
      }
    }
  });

  it('says where there is no such command', async () => {
    expect(await here('help', 'trian')).toMatchObject({ code: 2, stdout: '' });
    expect((await here('help', 'trian')).stderr).toContain('Did you mean "train"?');
    expect((await here('help', 'data', 'corupt')).stderr).toContain('Did you mean "corrupt"?');
  });
});

describe('errors with --json', () => {
  it.each([
    [['train', '--batch', '0', '--json'], 2, { name: 'UsageError', message: '--batch: expected at least 1, got 0.' }],
    [
      ['trian', '--json'],
      2,
      { name: 'UsageError', message: expect.stringContaining("unknown command 'trian'") as string },
    ],
    [
      ['train', '--polcy', 'x', '--json'],
      2,
      { name: 'UsageError', message: expect.stringContaining('--policy') as string },
    ],
    [
      ['train', '--model', 'resnet21', '--json'],
      2,
      { name: 'UnknownModelError', id: 'resnet21', suggestion: 'resnet20' },
    ],
    [
      ['train', '--data', 'cifar10', '--data-dir', 'd', '--model', 'mlp', '--backend', 'cpu', '--json'],
      3,
      { name: 'DataMissingError' },
    ],
    [['train', '--model', 'gone.json', '--json'], 3, { name: 'ModelFileError', file: 'gone.json' }],
  ] as const)('%j are one object on stdout, and a line on stderr', async (args, exitCode, error) => {
    const { code, stdout, stderr } = await here(...args);
    expect(code).toBe(exitCode);
    expect(JSON.parse(stdout)).toMatchObject({ error: { ...error, exitCode } });
    expect(stderr).toMatch(/error: /);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it('are on stderr alone without it, or where it stands behind "--"', async () => {
    expect((await here('train', '--batch', '0')).stdout).toBe('');
    expect((await here('compare', '--', '--json')).stdout).toBe('');
  });
});

describe('colours', () => {
  const colored = (env: Readonly<Record<string, string>>, isTTY: boolean): boolean => {
    const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
    for (const name of ['NO_COLOR', 'FORCE_COLOR', 'TERM']) delete process.env[name];
    Object.assign(process.env, env);
    try {
      return colorsFor({ isTTY } as NodeJS.WriteStream).isColorSupported;
    } finally {
      for (const [name, value] of Object.entries({ NO_COLOR, FORCE_COLOR, TERM })) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  };

  it.each([
    [{}, true, true],
    [{}, false, false],
    [{ TERM: 'dumb' }, true, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ FORCE_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '0' }, true, false],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, true, false],
  ])('%j, on a terminal: %j → %j', (env, isTTY, expected) => {
    expect(colored(env, isTTY)).toBe(expected);
  });
});

describe('pipes', () => {
  beforeAll(buildFirst, 300_000);

  const bin = fileURLToPath(new URL('../bin/polder.js', import.meta.url));
  const shell = (line: string): Promise<{ readonly code: number | null; readonly stderr: string }> =>
    new Promise((done, failed) => {
      const child = spawn('bash', [
        '-c',
        `set -o pipefail; polder() { "${process.execPath}" "${bin}" "$@"; }; ${line}`,
      ]);
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      child.once('error', failed);
      child.once('close', (code) => done({ code, stderr }));
    });

  it.each(['polder train --help | head -1', 'polder completion fish | head -c 10', 'polder models --json 2>&1 | true'])(
    'that are closed early end the command without a word: %s',
    { skip: process.platform === 'win32', timeout: 120_000 },
    async (line) => {
      const { code, stderr } = await shell(line);
      expect(stderr).not.toMatch(/EPIPE|error|\n\s+at /);
      expect(code).toBe(0);
    },
  );
});
