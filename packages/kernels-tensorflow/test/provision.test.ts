import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  listProvisioned,
  provisionTensorflow,
  ProvisionError,
  removeProvisioned,
  startTensorflow,
} from '../src/index.js';
import { buildAddon, checkAddon } from '../src/provision/addon.js';
import { explainFileError, type ProvisionObstacle } from '../src/provision/errors.js';
import { tensorflowCache } from '../src/provision/folders.js';
import { withLock } from '../src/provision/lock.js';
import { folderName } from '../src/provision/pinned.js';
import { buildOwnOps, OWN_OPS_LIBRARY } from '../src/provision/own-ops.js';
import { runProcess } from '../src/provision/run-process.js';
import { openWheel, unpack } from '../src/provision/wheel.js';
import { wheelOf, zipOf } from './zip.js';

let folder: string;
const environment = { ...process.env };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polder-provision-'));
});

afterEach(async () => {
  process.env = { ...environment };
  await rm(folder, { recursive: true, force: true });
});

const noPip = ((): boolean => {
  try {
    execFileSync('python3', ['-m', 'pip', '--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
})();

async function expectObstacle(work: Promise<unknown>, obstacle: ProvisionObstacle, text: RegExp): Promise<void> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ProvisionError);
  expect((error as ProvisionError).obstacle).toBe(obstacle);
  expect((error as ProvisionError).message).toMatch(text);
  expect((error as ProvisionError).whatToDo).not.toBe('');
}

async function file(name: string, content: Uint8Array | string): Promise<string> {
  await writeFile(join(folder, name), content);
  return join(folder, name);
}

describe('a wheel', () => {
  const library = Buffer.from('a library '.repeat(20_000));

  it('is unpacked file by file, checked against its RECORD', async () => {
    const wheel = await openWheel(
      await file('x.whl', wheelOf('tensorflow_cpu-2.21.0', { 'tensorflow/a.so': library })),
    );
    expect(wheel.name).toBe('tensorflow_cpu-2.21.0');
    let bytes = 0;
    await unpack(wheel, 'tensorflow/a.so', join(folder, 'out', 'a.so'), { onBytes: (n) => (bytes += n) });
    expect(await readFile(join(folder, 'out', 'a.so'))).toEqual(library);
    expect(bytes).toBe(library.length);
  });

  it('that was tampered with leaves nothing behind under the file’s name', async () => {
    const good = wheelOf('tensorflow_cpu-2.21.0', { a: library });
    const record = zipOf({
      a: Buffer.from('another library'),
      'tensorflow_cpu-2.21.0.dist-info/RECORD': Buffer.from('a,sha256=AAAA,15\n'),
    });
    await expectObstacle(
      openWheel(await file('bad.whl', record)).then((wheel) => unpack(wheel, 'a', join(folder, 'a'))),
      'wheel',
      /another SHA-256/,
    );
    expect(existsSync(join(folder, 'a'))).toBe(false);
    const broken = Buffer.from(good);
    broken.fill(0xff, 40, 60);
    await expectObstacle(
      openWheel(await file('broken.whl', broken)).then((wheel) => unpack(wheel, 'a', join(folder, 'a'))),
      'wheel',
      /does not inflate|SHA-256/,
    );
  });

  it.each([
    ['a text', Buffer.from('no wheel at all'), /no zip file/],
    ['cut short', wheelOf('tensorflow_cpu-2.21.0', { a: library }).subarray(0, -40), /no zip file|cut short/],
    ['a zip without RECORD', zipOf({ a: library }), /no RECORD/],
    [
      'another package',
      wheelOf('numpy-2.0.0', { a: library }),
      /it is numpy-2\.0\.0, and tensorflow_cpu-2\.21\.0 is wanted/,
    ],
    ['another version', wheelOf('tensorflow_cpu-2.9.0', { a: library }), /tensorflow_cpu-2\.9\.0/],
    ['empty of libraries', wheelOf('tensorflow_cpu-2.21.0', { a: library }), /no tensorflow\/libtensorflow_cc/],
  ])('that is %s is refused by name', async (_, content, text) => {
    const from = await file('x.whl', content);
    await expectObstacle(provisionTensorflow({ cacheDir: join(folder, 'cache'), from }), 'wheel', text);
    expect(await listProvisioned({ cacheDir: join(folder, 'cache') })).toEqual([]);
  });

  it('of the other variant is refused', async () => {
    const from = await file('x.whl', wheelOf('tensorflow_cpu-2.21.0', { a: library }));
    await expectObstacle(
      provisionTensorflow({ cacheDir: folder, from, variant: 'gpu' }),
      'wheel',
      /tensorflow-2\.21\.0 is wanted/,
    );
  });

  it('that is not there is named', async () => {
    const from = join(folder, 'nowhere.whl');
    await expectObstacle(
      provisionTensorflow({ cacheDir: folder, from }),
      'wheel',
      /nowhere\.whl cannot be used: .*ENOENT/,
    );
  });
});

describe('what is missing is said', () => {
  it('no pip', async () => {
    process.env['PATH'] = folder;
    await expectObstacle(
      provisionTensorflow({ cacheDir: join(folder, 'c') }),
      'python',
      /no pip .*python3-pip.*--from/s,
    );
  });

  it('no g++', async () => {
    process.env['PATH'] = folder;
    const sources = { binding: folder, includes: [], libraries: folder };
    await expectObstacle(
      buildAddon(sources, join(folder, 'x.node'), folder),
      'compiler',
      /no g\+\+.*what was downloaded is kept/s,
    );
  });

  it.skipIf(noPip)('no network', async () => {
    Object.assign(process.env, {
      PIP_CONFIG_FILE: '/dev/null',
      PIP_INDEX_URL: 'http://127.0.0.1:9/simple',
      PIP_EXTRA_INDEX_URL: '',
      PIP_FIND_LINKS: '',
      PIP_RETRIES: '0',
    });
    await expectObstacle(provisionTensorflow({ cacheDir: join(folder, 'c') }), 'offline', /PIP_INDEX_URL.*--from/s);
  });

  it('headers that our own ops cannot be compiled against: no error, they are only faster', async () => {
    const why = await buildOwnOps({ include: folder, libraries: folder }, join(folder, 'objects'));
    expect(why).toMatch(/tensorflow.*\.h: No such file/s);
    expect(existsSync(join(folder, OWN_OPS_LIBRARY))).toBe(false);
  });

  it('a cache that cannot be written', async () => {
    const cacheDir = join(await file('file', ''), 'cache');
    await expect(provisionTensorflow({ cacheDir })).rejects.toThrow(/file/);
    expect((explainFileError(Object.assign(new Error('x'), { code: 'EROFS' }), '/c') as ProvisionError).obstacle).toBe(
      'disk',
    );
    expect((explainFileError(Object.assign(new Error('x'), { code: 'ENOSPC' }), '/c') as Error).message).toMatch(
      /full.*Free some/,
    );
  });

  it('an addon that does not load', async () => {
    await expectObstacle(checkAddon(await file('x.node', 'no library')), 'build', /the addon does not work/);
  });

  it('native TensorFlow itself, with the way to get it', async () => {
    await expect(startTensorflow({ cacheDir: folder })).rejects.toThrow(
      /not available: .*none is provisioned\. Run `polder backend install tensorflow`/,
    );
  });
});

describe('an installation', () => {
  it('stops at a signal, also while a program runs, and says that it can go on', async () => {
    const signal = AbortSignal.abort();
    await expectObstacle(provisionTensorflow({ cacheDir: folder, signal }), 'aborted', /goes on where it stopped/);
    const late = AbortSignal.timeout(50);
    await expectObstacle(runProcess('sleep', ['30'], { signal: late }), 'aborted', /stopped/);
  });

  it('is listed and removed', async () => {
    const own = join(folder, folderName('cpu'));
    await mkdir(own, { recursive: true });
    expect(await listProvisioned({ cacheDir: folder })).toEqual([]);
    const manifest = {
      variant: 'cpu',
      tensorflow: '2.21.0',
      tfjsNode: '4.22.0',
      installedAt: '2026-01-01T00:00:00.000Z',
    };
    await writeFile(join(own, 'manifest.json'), JSON.stringify(manifest));
    await mkdir(join(folder, '0.1-gpu-old'));
    await writeFile(join(folder, '0.1-gpu-old', 'manifest.json'), JSON.stringify({ ...manifest, variant: 'gpu' }));
    const all = await listProvisioned({ cacheDir: folder });
    expect(all.map(({ variant, current }) => [variant, current])).toEqual([
      ['gpu', false],
      ['cpu', true],
    ]);
    expect(all.find(({ current }) => current)).toMatchObject({ ...manifest, folder: own });
    // What is there is not installed again: no program is called.
    process.env['PATH'] = folder;
    expect((await provisionTensorflow({ cacheDir: folder })).folder).toBe(own);
    expect(await removeProvisioned({ cacheDir: folder, variant: 'gpu' })).toBeGreaterThan(0);
    expect((await listProvisioned({ cacheDir: folder })).map(({ variant }) => variant)).toEqual(['cpu']);
    await removeProvisioned({ cacheDir: folder });
    expect(await readdir(folder)).toEqual([]);
    expect(await removeProvisioned({ cacheDir: join(folder, 'nowhere') })).toBe(0);
  });

  it('waits for another one, and takes over the lock of a process that is gone', async () => {
    const lock = join(folder, '.lock');
    const events: string[] = [];
    const holders: number[] = [];
    const work = (name: string): Promise<void> =>
      withLock(lock, { onWait: (pid) => holders.push(pid) }, async () => {
        events.push(`${name} in`);
        await wait(100);
        events.push(`${name} out`);
      });
    await Promise.all([work('a'), wait(20).then(() => work('b'))]);
    expect(events).toEqual(['a in', 'a out', 'b in', 'b out']);
    expect(holders).toEqual([process.pid]);
    const pid = 2 ** 22 + 1; // above every process number
    await writeFile(lock, JSON.stringify({ pid, host: (await import('node:os')).hostname() }));
    await work('c');
    expect(events.slice(-2)).toEqual(['c in', 'c out']);
    expect(existsSync(lock)).toBe(false);
  });

  it('gives up waiting at a signal', async () => {
    const lock = await file('.lock', JSON.stringify({ pid: process.pid, host: (await import('node:os')).hostname() }));
    const waiting = withLock(lock, { signal: AbortSignal.timeout(50), onWait: () => undefined }, async () => undefined);
    await expectObstacle(waiting, 'aborted', /stopped/);
  });
});

describe('the cache folder', () => {
  it('is the one given, POLDER_CACHE’s, or the platform’s', () => {
    expect(tensorflowCache('/a')).toBe('/a');
    process.env['POLDER_CACHE'] = '/b';
    expect(tensorflowCache()).toBe('/b/tensorflow');
    delete process.env['POLDER_CACHE'];
    process.env['XDG_CACHE_HOME'] = '/c';
    if (process.platform === 'linux') expect(tensorflowCache()).toBe('/c/polder/tensorflow');
  });
});
