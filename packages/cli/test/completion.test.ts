import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { polderHere, temporaryFolder } from './in-process.js';

const { path: cwd, dispose } = temporaryFolder();
afterAll(dispose);

const has = (shell: string): boolean => spawnSync(shell, ['-c', 'exit 0']).status === 0;
const missing = (shell: string): { readonly skip: boolean; readonly timeout: number } => ({
  skip: !has(shell),
  timeout: 120_000,
});

const scripts = new Map<string, string>();
beforeAll(async () => {
  for (const name of ['sam-run', 'ssam-run']) {
    mkdirSync(join(cwd, 'runs', name), { recursive: true });
    writeFileSync(join(cwd, 'runs', name, 'metrics.jsonl'), '');
  }
  writeFileSync(join(cwd, 'ours.yaml'), '');
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout } = await polderHere(['completion', shell], cwd);
    scripts.set(shell, join(cwd, `polder.${shell}`));
    writeFileSync(scripts.get(shell)!, stdout);
  }
}, 120_000);

/** Runs a program of a shell in the folder; its lines. */
function run(shell: string, program: string): Promise<readonly string[]> {
  const child = spawn(shell, ['-c', program], { cwd, env: { ...process.env, HOME: cwd, TERM: 'xterm' } });
  let out = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (out += text));
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', () => done(out.split('\n').filter((line) => line !== '')));
  });
}

/** What is typed, and some of what is offered, or all of it. */
const cases: readonly {
  readonly typed: readonly string[];
  readonly offers: readonly string[];
  readonly all?: boolean;
}[] = [
  { typed: ['rep'], offers: ['report', 'reproduce'], all: true },
  { typed: ['train', '--pol'], offers: ['--policy', '--policy-option'], all: true },
  { typed: ['train', '--policy', 'ssa'], offers: ['ssam'], all: true },
  { typed: ['train', '--model', 'resnet2'], offers: ['resnet20'], all: true },
  { typed: ['train', '--sched', 'co'], offers: ['cosine', 'constant'], all: true },
  { typed: ['train', '--data', ''], offers: ['cifar10', 'shapes'] },
  { typed: ['train', '--epochs', ''], offers: [], all: true },
  { typed: ['train', '--config', 'our'], offers: ['ours.yaml'], all: true },
  { typed: ['compare', '--policies', 'none,vas'], offers: ['none,vasso'], all: true },
  { typed: ['data', 'cor'], offers: ['corrupt'], all: true },
  { typed: ['data', 'corrupt', '--corruptions', 'fog,gl'], offers: ['fog,glass_blur'], all: true },
  { typed: ['data', 'get', 'cifar10'], offers: ['cifar10', 'cifar100', 'cifar10c'] },
  { typed: ['reproduce', 's'], offers: ['ssam/saddle'] },
  { typed: ['help', 'ex'], offers: ['export'], all: true },
  { typed: ['completion', ''], offers: ['bash', 'zsh', 'fish'], all: true },
];

describe('bash completion', missing('bash'), () => {
  const complete = (words: readonly string[]): Promise<readonly string[]> => {
    const typed = ['polder', ...words].map((word) => `'${word}'`).join(' ');
    return run(
      'bash',
      `source polder.bash; COMP_WORDS=(${typed}); COMP_CWORD=${words.length}; _polder; printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
  };

  it.each(cases)('offers $offers for $typed', async ({ typed, offers, all }) => {
    const offered = await complete(typed);
    expect([...offered].sort()).toEqual(all === true ? [...offers].sort() : expect.arrayContaining([...offers]));
  });

  it('offers run folders, and values behind "="', async () => {
    expect(await complete(['report', ''])).toEqual(['runs/sam-run', 'runs/ssam-run']);
    expect(await complete(['eval', 'runs/ss'])).toEqual(['runs/ssam-run']);
    // bash breaks words there.
    expect(await complete(['train', '--policy', '=', 'ssa'])).toEqual(['ssam']);
  });
});

describe('fish completion', missing('fish'), () => {
  const complete = async (words: readonly string[]): Promise<readonly string[]> => {
    const lines = await run('fish', `source polder.fish; complete -C '${['polder', ...words].join(' ')}'`);
    return lines.map((line) => line.split('\t')[0]!);
  };

  it('offers the same', async () => {
    for (const { typed, offers, all } of cases) {
      const offered = await complete(typed);
      expect([...offered].sort()).toEqual(all === true ? [...offers].sort() : expect.arrayContaining([...offers]));
    }
    expect(await complete(['report', ''])).toEqual(['runs/sam-run/', 'runs/ssam-run/']);
    expect(await complete(['train', '--policy=ssa'])).toEqual(['--policy=ssam']);
  });
});

describe('zsh completion', missing('zsh'), () => {
  it('completes what is typed at a prompt', async () => {
    // A zsh at a terminal of its own, which is typed at; what it shows is waited for.
    const typed = [
      ['polder train --poli', 'polder train --policy'],
      ['polder train --policy ssa', 'polder train --policy ssam'],
      ['polder compare --policies none,vas', 'polder compare --policies none,vasso'],
      ['polder data cor', 'polder data corrupt'],
      ['polder train --sched=cos', 'polder train --sched=cosine'],
      ['polder train --config our', 'polder train --config ours.yaml'],
    ];
    const program = `zmodload zsh/zpty
      zpty -b z zsh -f -i
      zpty -w z 'PS1=; autoload -Uz compinit; compinit -u -d ./zdump; source ./polder.zsh; bindkey "^I" complete-word; echo READ""Y'
      zpty -r z out '*READY*'
      ${typed.map(([line, shown]) => `zpty -n -w z ${quoted(line!)}$'\\t'; zpty -r z out ${quoted(`*${shown}*`)} && print -r -- ${quoted(shown!)}; zpty -n -w z $'\\C-u'`).join('\n')}
      zpty -d z`;
    expect(await run('zsh', program)).toEqual(typed.map(([, shown]) => shown));
  });
});

function quoted(text: string): string {
  return `'${text}'`;
}

describe('polder completion', () => {
  it('knows three shells', async () => {
    const { code, stdout, stderr } = await polderHere(['completion', 'fihs'], cwd);
    expect(stderr).toContain('Did you mean "fish"? Shells: bash, zsh, fish.');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});
