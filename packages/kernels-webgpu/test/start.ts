import '@tensorflow/tfjs';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lacks } from '@polder/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { startWebgpu, WebgpuUnavailableError } from '../src/index.js';

// Dawn on SwiftShader, the software Vulkan that comes with Chromium: the same shaders and the same validation as on a
// GPU, anywhere. Import this file first: it must have run before Dawn looks for drivers.

const FOLDERS = [process.env['POLDER_SWIFTSHADER'], '/usr/lib/chromium', '/usr/lib/chromium-browser'];
const folder = FOLDERS.find((path) => path !== undefined && existsSync(join(path, 'libvk_swiftshader.so')));

if (folder !== undefined) {
  // The driver that Debian ships beside Chromium says where it lies relative to itself: fine for every loader.
  const driver = join(folder, 'vk_swiftshader_icd.json');
  process.env['VK_DRIVER_FILES'] = existsSync(driver) ? driver : writeDriver(join(folder, 'libvk_swiftshader.so'));
  process.env['VK_ICD_FILENAMES'] = process.env['VK_DRIVER_FILES'];
  process.env['XDG_RUNTIME_DIR'] ??= tmpdir();
}

function writeDriver(library: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'polder-vulkan-')), 'swiftshader.json');
  writeFileSync(
    path,
    JSON.stringify({ file_format_version: '1.0.0', ICD: { library_path: library, api_version: '1.0.5' } }),
  );
  return path;
}

/** Why there is no WebGPU here, or undefined. */
const obstacle = await startWebgpu({ allowSoftware: true }).then(
  () => undefined,
  (error: unknown) => {
    if (error instanceof WebgpuUnavailableError) return error;
    throw error;
  },
);
// Small operations would run on the host otherwise, and test nothing of ours.
if (obstacle === undefined) tf.env().set('WEBGPU_CPU_FORWARD', false);

/** For `describe.skipIf`: true where WebGPU does not start and need not, see `lacks`. It runs, and is current, otherwise. */
export const noWebgpu: boolean = lacks('webgpu', obstacle === undefined);
