import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lacks } from '@polder/testkit';
import { chromium, type Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createViteServer } from 'vitest/node';

const EXECUTABLES = [
  process.env['POLDER_CHROMIUM'],
  chromium.executablePath(),
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
];
const executablePath = EXECUTABLES.find((path) => path !== undefined && existsSync(path));

// WebGPU on SwiftShader, which comes with the browser.
const args = ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

describe.skipIf(lacks('chromium', executablePath !== undefined))('WebGPU in Chromium, from a bundler', () => {
  let browser: Browser;
  let cacheDir: string;

  beforeAll(async () => {
    cacheDir = await mkdtemp(join(tmpdir(), 'polder-vite-'));
    browser = await chromium.launch({ executablePath: executablePath!, args });
  });

  afterAll(async () => {
    await browser.close();
    await rm(cacheDir, { recursive: true, force: true });
  });

  it('conforms in all ops, replays steps bit for bit, and throws what the GPU refuses', async () => {
    const server = await createViteServer({
      configFile: false,
      root: join(import.meta.dirname, 'page'),
      cacheDir,
      logLevel: 'error',
      resolve: { conditions: ['@polder/source', 'browser', 'import', 'module', 'default'] },
      // Found late, it would make the server reload the page.
      optimizeDeps: { include: ['@tensorflow/tfjs-backend-webgpu'] },
      server: { port: 0, hmr: false, fs: { strict: false } },
    });
    await server.listen();
    try {
      const page = await browser.newPage();
      const failed = new Promise<never>((_, reject) => page.on('pageerror', reject));
      await page.goto(server.resolvedUrls!.local[0]!);
      const done = page.waitForFunction('globalThis.result', undefined, { timeout: 580_000 });
      const result = (await (await Promise.race([done, failed])).jsonValue()) as Record<string, unknown>;
      expect(result).toMatchObject({ failures: [], captured: ['replay', 'eager'], sameBits: true });
      expect(result['rows']).toBeGreaterThan(20);
      expect(result['adapter']).toMatch(/swiftshader/i);
      expect(result['refused']).toMatch(/^WebgpuUnavailableError: .*allowSoftware/);
      expect(result['workError']).toMatch(/^WebgpuWorkError: .*nothing/);
      expect(result['readError']).toMatch(/^WebgpuReadError: /);
      expect(result['lostError']).toMatch(/^WebgpuDeviceLostError: .*startWebgpu\(\)/);
    } finally {
      await server.close();
    }
  }, 600_000);
});
