import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { sgd } from '@polder/core';
import { startBackend } from '@polder/testkit';
import { readRunStatus, RunFolderError, RunWriteError, trainInFolder, type FolderOptions } from '@polder/trainer/node';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { namedNet } from './named-net.js';
import { spots } from './toy.js';

let base: string;
let stopChild: (() => void) | undefined;
beforeAll(() => startBackend('cpu'));
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'polder-safety-'));
});
afterEach(() => {
  stopChild?.();
  stopChild = undefined;
  rmSync(base, { recursive: true, force: true });
});

async function run(folder: string, overrides: Partial<FolderOptions> = {}): Promise<string> {
  const model = namedNet();
  try {
    await trainInFolder({
      folder,
      config: {},
      modelId: 'named',
      model,
      train: spots(96),
      test: spots(48),
      batchSize: 16,
      epochs: 4,
      seed: 3,
      learningRate: 0.1,
      optimizer: (learningRate) => sgd({ learningRate, momentum: 0.9 }),
      logEvery: 1,
      checkpointEvery: 4,
      ...overrides,
    });
    return readFileSync(join(folder, 'checkpoints/final.safetensors')).toString('base64');
  } finally {
    model.dispose();
  }
}

/** Calls `action` when a run has come to a step. */
const whenAt =
  (step: number, action: () => void): NonNullable<FolderOptions['onMetrics']> =>
  (row) => {
    if (row.step === step && 'loss' in row) action();
  };

describe('a run folder', () => {
  const claim = (fields: object): void => {
    const own = { pid: 1, host: hostname(), started: '1', boot: bootId(), namespace: pidNamespace(), ...fields };
    writeFileSync(join(base, 'run', '.lock-1-1'), JSON.stringify(own));
  };
  const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const pidNamespace = (): string =>
    execFileSync('readlink', [`/proc/${process.pid}/ns/pid`], { encoding: 'utf8' }).trim();
  const startOf = (pid: number): string =>
    readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[19]!;

  it('takes one training at a time, in one process too', async () => {
    const folder = join(base, 'run');
    let second: Promise<unknown> | undefined;
    const onMetrics = whenAt(6, () => (second = run(folder, { resume: {} }).catch((error: unknown) => error)));
    await run(folder, { onMetrics });
    expect(await second).toBeInstanceOf(RunFolderError);
    expect(await second).toMatchObject({ reason: 'locked', message: expect.stringMatching(/in use by/) as string });
    expect(readdirSync(folder).filter((name) => name.startsWith('.lock'))).toEqual([]);
  });

  it.skipIf(process.platform !== 'linux')('knows a claim that counts from one whose process is gone', async () => {
    const folder = join(base, 'run');
    await expect(run(folder, { onMetrics: whenAt(6, stop) })).rejects.toThrow('stop');
    const child = spawn('sleep', ['1000']);
    stopChild = () => child.kill('SIGKILL');
    const pid = child.pid!;
    const started = startOf(pid);
    const counting = [
      { pid, started },
      // Whether it lives cannot be seen from here.
      { host: 'another-machine' },
      { namespace: 'pid:[1]' },
    ];
    for (const fields of counting) {
      claim(fields);
      const refused = run(folder, { resume: {} });
      await expect(refused).rejects.toThrow(
        new RegExp(`in use by process ${fields.pid ?? 1} on .*delete .*\\.lock-1-1`),
      );
    }
    const gone = [
      // The number is another process's now.
      { pid, started: `${Number(started) - 1}` },
      { pid, started, boot: 'an earlier start of the machine' },
      { pid: 2 ** 22 + 1 },
    ];
    for (const fields of gone) {
      claim(fields);
      await expect(run(folder, { resume: {}, onMetrics: whenAt(6, stop) })).rejects.toThrow('stop');
      expect(readdirSync(folder).filter((name) => name.startsWith('.lock'))).toEqual([]);
    }
  });

  it.skipIf(process.platform === 'win32')('says so when it may not be written, before the first step', async () => {
    const folder = join(base, 'locked');
    mkdirSync(folder);
    chmodSync(folder, 0o500);
    const asNobody = async (): Promise<void> => {
      if (process.getuid?.() !== 0) return void (await run(join(folder, 'run')));
      // The superuser may write anywhere.
      chmodSync(base, 0o755);
      process.seteuid!(65534);
      try {
        await run(join(folder, 'run'));
      } finally {
        process.seteuid!(0);
      }
    };
    await expect(asNobody()).rejects.toThrow(RunFolderError);
    await expect(asNobody()).rejects.toThrow(/permission denied/);
    expect(readdirSync(folder)).toEqual([]);
  });

  function stop(): never {
    throw new Error('stop');
  }
});

describe.skipIf(!canMount())('a run on a file system that fails', () => {
  const disk = (): string => join(base, 'disk');
  const remount = (options: string): void => void execFileSync('mount', ['-o', `remount,${options}`, disk()]);
  beforeEach(() => {
    mkdirSync(disk());
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk()]);
  });
  afterEach(() => execFileSync('umount', [disk()]));

  it('full in the midst: a clear error, the last checkpoint intact, and resumed when there is room', async () => {
    const whole = await run(join(base, 'whole'));
    const folder = join(disk(), 'run');
    const failing = run(folder, { onMetrics: whenAt(10, () => fill(join(disk(), 'filler'))) });
    await expect(failing).rejects.toThrow(RunWriteError);
    await expect(failing).rejects.toThrow(/no space is left.*last checkpoint is intact \(.*state-000000008\.json\)/s);
    // Full still.
    await expect(run(folder, { resume: {} })).rejects.toThrow(/no space is left/);
    rmSync(join(disk(), 'filler'));
    expect(readRunStatus(folder)).toMatchObject({ status: 'broken off', step: 8, problems: [] });
    expect(await run(folder, { resume: {} })).toBe(whole);
  });

  it('read-only: refused before anything is changed', async () => {
    const folder = join(disk(), 'run');
    await expect(
      run(folder, {
        onMetrics: whenAt(10, () => {
          throw new Error('stop');
        }),
      }),
    ).rejects.toThrow('stop');
    remount('ro');
    await expect(run(folder, { resume: {} })).rejects.toThrow(/read-only/);
    await expect(run(join(disk(), 'other'))).rejects.toThrow(/read-only/);
    expect(readRunStatus(folder)).toMatchObject({ step: 8, problems: [] });
    remount('rw');
    await run(folder, { resume: {} });
  });
});

/** Takes all space that is left. */
function fill(file: string): void {
  for (let size = 2 ** 20; size >= 1; size = Math.floor(size / 2)) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(size), { flag: 'a' });
    } catch {
      // Full for a piece of this size.
    }
  }
}

function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const folder = mkdtempSync(join(tmpdir(), 'polder-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
