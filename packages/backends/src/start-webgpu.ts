import { BackendUnavailableError, messageOf } from './errors.js';
import type { Started } from './activate.js';

/**
 * Starts WebGPU with our kernels: the browser's, or in Node that of npm's `webgpu` package. An adapter that computes on
 * the CPU (SwiftShader) is taken only where `allowSoftware` says so: wasm is many times faster. Where there is no GPU, that of
 * an installed Chromium is.
 */
export async function startWebgpuBackend(options: { readonly allowSoftware: boolean }): Promise<Started> {
  const { allowSoftware } = options;
  const hopeless = !mayHaveGpu();
  if (!allowSoftware && hopeless)
    throw new BackendUnavailableError(
      'webgpu',
      'this machine shows no GPU (no /dev/dri/render*, /dev/nvidia*, /dev/dxg)',
      'Install its driver, and give a container the device; or take tensorflow or wasm.',
    );
  const kernels = await import('@polder/kernels-webgpu').catch((error: unknown) => {
    throw new BackendUnavailableError(
      'webgpu',
      `@polder/kernels-webgpu cannot be loaded (${messageOf(error).split('\n')[0]})`,
      'npm install @polder/kernels-webgpu @tensorflow/tfjs-backend-webgpu@4.22.0',
      { cause: error },
    );
  });
  if (hopeless && !namesDriver()) kernels.useSoftwareVulkan();
  try {
    const { reason, adapter } = await kernels.startWebgpu(options);
    return { what: adapter.software ? `${reason}, a program on the processor: for tests` : reason, threads: 1 };
  } catch (error) {
    if (!(error instanceof kernels.WebgpuUnavailableError)) throw error;
    throw new BackendUnavailableError('webgpu', error.why, error.whatToDo, { cause: error });
  }
}

/** Whether somebody has told the Vulkan loader which driver to take. */
function namesDriver(): boolean {
  const { process } = globalThis as { process?: { env?: Readonly<Record<string, string | undefined>> } };
  return process?.env?.['VK_DRIVER_FILES'] !== undefined || process?.env?.['VK_ICD_FILENAMES'] !== undefined;
}

/** False where a GPU would have to show and none does: on Linux, so that nobody waits for a driver to say the same. */
function mayHaveGpu(): boolean {
  const { process } = globalThis as {
    process?: {
      platform?: string;
      getBuiltinModule?: (name: 'node:fs') => {
        readdirSync(path: string): string[];
        existsSync(path: string): boolean;
      };
    };
  };
  const files = process?.getBuiltinModule?.('node:fs');
  if (files === undefined || process?.platform !== 'linux') return true;
  const names = (folder: string): string[] => (files.existsSync(folder) ? files.readdirSync(folder) : []);
  return (
    names('/dev').some((name) => /^(nvidia\d|nvidiactl|dxg)/.test(name)) ||
    names('/dev/dri').some((name) => name.startsWith('render'))
  );
}
