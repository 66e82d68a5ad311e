import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { listProvisioned } from '@polder/kernels-tensorflow';
import { lacks } from '@polder/testkit';
import { describe, expect, it } from 'vitest';
import { inTemporaryFolder, polder, type Finished } from './polder.js';

interface Report {
  readonly version: number;
  readonly ok: boolean;
  readonly polder: string;
  readonly checks: readonly {
    readonly id: string;
    readonly status: string;
    readonly detail: string;
    readonly fix?: string;
    readonly data?: Readonly<Record<string, unknown>>;
  }[];
}

function checksOf({ stdout }: Finished): Readonly<Record<string, Report['checks'][number]>> {
  const { checks } = JSON.parse(stdout) as Report;
  return Object.fromEntries(checks.map((check) => [check.id, check]));
}

const provisioned = (await listProvisioned()).find((entry) => entry.current);

describe('polder doctor', { timeout: 180_000 }, () => {
  it('says what a bare machine lacks, and the fix for each line; every op passes on wasm', async () => {
    await inTemporaryFolder(async (folder) => {
      // Nothing but Node on the PATH: no compiler, no pip.
      symlinkSync(process.execPath, join(folder, 'node'));
      const finished = await polder(['doctor', '--json', '--grads', '--backend', 'wasm'], {
        cwd: folder,
        env: { PATH: folder, POLDER_CACHE: join(folder, 'cache'), VK_DRIVER_FILES: '/nonexistent.json' },
      });
      expect(finished.code).toBe(0);
      expect(finished.stderr).not.toContain('rror');
      expect(JSON.parse(finished.stdout)).toMatchObject({ version: 1, ok: true });
      const checks = checksOf(finished);
      expect(Object.keys(checks)).toEqual(
        'node backend training webgpu tensorflow tools wasm data disk memory grads'.split(' '),
      );
      expect(checks['backend']).toMatchObject({ status: 'ok', data: { name: 'wasm' } });
      expect(checks['training']!.detail).toMatch(/all there$/);
      expect(checks['tensorflow']).toMatchObject({
        status: 'warn',
        detail: expect.stringContaining('none is provisioned') as string,
      });
      expect(checks['tools']).toMatchObject({
        status: 'warn',
        data: { 'g++': false, pip: false },
        fix: expect.stringMatching(/apt install g\+\+ python3-pip.*polder backend install tensorflow/) as string,
      });
      expect(checks['data']).toMatchObject({ status: 'warn', fix: 'polder data get cifar10' });
      expect(checks['grads']!.detail).toMatch(/^\d{3,} passed, 0 failed$/);
      for (const { status, fix } of Object.values(checks)) if (status !== 'ok') expect(fix).toMatch(/\w/);
    });
  });

  it.skipIf(lacks('tensorflow', provisioned !== undefined))('finds native TensorFlow', async () => {
    const env = { POLDER_CACHE: join(provisioned?.folder ?? '', '../..') };
    const checks = checksOf(await polder(['doctor', '--json', '--backend', 'tensorflow'], { env }));
    expect(checks['tensorflow']).toMatchObject({
      status: 'ok',
      data: { version: '2.21.0', folder: provisioned?.folder },
    });
    expect(checks['backend']).toMatchObject({ status: 'ok', data: { name: 'tensorflow' } });
    expect(checks['tools']).toBeUndefined();
  });

  it('fails, and its exit code is 1, when the backend asked for cannot start', async () => {
    const { code, stdout } = await polder(['doctor', '--backend', 'wams']);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^fail {2}backend: wams: there is none of this name\n {6}→ Known are auto, webgpu/m);
  });
});
