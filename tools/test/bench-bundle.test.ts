import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { useSoftwareVulkan } from '@polder/kernels-webgpu';
import { lacks } from '@polder/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

useSoftwareVulkan();
const driver = process.env['VK_DRIVER_FILES'];
const loader = spawnSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' }).stdout?.includes('libvulkan.so.1') ?? false;

describe.skipIf(lacks('webgpu', loader && driver !== undefined))('npm run bench:bundle', () => {
  const folder = join(mkdtempSync(join(tmpdir(), 'polder-bundle-')), 'bundle');

  beforeAll(() => {
    const { status, stderr } = spawnSync(process.execPath, ['tools/bench-bundle.mjs', folder], {
      cwd: root,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
  }, 300_000);

  afterAll(() => rmSync(join(folder, '..'), { recursive: true, force: true }));

  it('makes a folder with all that a bare machine needs', () => {
    const names = [
      'README.txt',
      'bench.mjs',
      'dawn.node',
      'libgcc_s.so.1',
      'libstdc++.so.6',
      'libvulkan.so.1',
      'node',
      'run.sh',
    ];
    expect(names.filter((name) => !existsSync(join(folder, name)))).toEqual([]);
  });

  // A whole run on SwiftShader takes a minute of compiling shaders: `run.sh --depth 8 --batch 2 --rounds 1 --allow-software`.
  it('runs from elsewhere with an empty environment, finds the adapter, and refuses one that is software', () => {
    const { status, stderr } = spawnSync(join(folder, 'run.sh'), ['--batch', '2'], {
      cwd: '/',
      encoding: 'utf8',
      env: { VK_DRIVER_FILES: driver! },
    });
    expect(stderr).toMatch(/a program on the processor \(.*swiftshader.*\)/i);
    expect(status).toBe(2);
  }, 300_000);

  it('says so when there is no adapter at all', () => {
    const { status, stderr } = spawnSync(join(folder, 'run.sh'), [], {
      cwd: '/',
      encoding: 'utf8',
      env: { VK_DRIVER_FILES: '/nonexistent' },
    });
    expect(stderr).toMatch(/no adapter was found.*VK_DRIVER_FILES/s);
    expect(status).toBe(2);
  }, 300_000);
});
