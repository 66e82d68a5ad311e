import { WebgpuUnavailableError } from './errors.js';

/** What a GPU says of itself; browsers keep some of it to themselves. */
export interface AdapterDescription {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** Rendered by the processor (SwiftShader, llvmpipe, WARP): exact, and slower than the wasm backend. */
  readonly software: boolean;
}

/** A fresh process or worker is at times told that there is no adapter, and has one a moment later. */
const ATTEMPTS = 5;
const PAUSE_MS = 300;

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b/i;

/**
 * `navigator.gpu`; in Node, that of npm's `webgpu` (Dawn), put where tfjs looks for it together with the constants that
 * tfjs uses as globals.
 */
export async function gpuOfThisEnvironment(): Promise<GPU> {
  const { gpu } = (globalThis as { navigator?: { readonly gpu?: GPU } }).navigator ?? {};
  if (gpu !== undefined) return gpu;
  if (!runsInNode())
    throw new WebgpuUnavailableError(
      'this browser has no navigator.gpu',
      'Take a browser with WebGPU in a secure context (https or localhost), or the wasm backend.',
    );
  return installDawn();
}

/** The fastest adapter, or an explanation of why there is none that may be taken. */
export async function requestAdapter(
  gpu: GPU,
  allowSoftware: boolean,
): Promise<{ readonly adapter: GPUAdapter; readonly description: AdapterDescription }> {
  for (let attempt = 1; ; attempt++) {
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (adapter !== null) {
      const description = describe(adapter);
      if (description.software && !allowSoftware)
        throw new WebgpuUnavailableError(
          `the only adapter is a program on the processor (${nameOf(description)})`,
          'Install the driver of your GPU, take the wasm backend (faster than this), or pass allowSoftware: true to test.',
        );
      return { adapter, description };
    }
    if (attempt === ATTEMPTS)
      throw new WebgpuUnavailableError(
        'no adapter was found',
        runsInNode()
          ? 'Dawn needs a Vulkan loader (libvulkan.so.1; Debian: apt install libvulkan1) and a driver of your GPU; VK_DRIVER_FILES names one that the loader does not find.'
          : 'Look at chrome://gpu; on Linux, Chromium may need --enable-unsafe-webgpu.',
      );
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** One line. */
export function nameOf({ vendor, architecture, device, description }: AdapterDescription): string {
  return (
    [vendor, architecture, description === '' ? device : description].filter((part) => part !== '').join(' ') ||
    'unnamed'
  );
}

function describe(adapter: GPUAdapter): AdapterDescription {
  const { vendor, architecture, device, description } = adapter.info;
  const names = [vendor, architecture, device, description].join(' ');
  const fallback = (adapter.info as { readonly isFallbackAdapter?: boolean }).isFallbackAdapter === true;
  return { vendor, architecture, device, description, software: fallback || SOFTWARE.test(names) };
}

function runsInNode(): boolean {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return process?.versions?.node !== undefined;
}

async function installDawn(): Promise<GPU> {
  const packageName: string = 'webgpu'; // not a literal: bundlers for the browser have nothing to resolve
  let dawn: { create(options: readonly string[]): GPU; readonly globals: object };
  try {
    dawn = (await import(/* @vite-ignore */ packageName)) as typeof dawn;
  } catch (error) {
    throw new WebgpuUnavailableError(
      `npm's package "webgpu" does not load (${error instanceof Error ? error.message.split('\n')[0] : String(error)})`,
      'Run npm install webgpu, or take the wasm backend.',
      { cause: error },
    );
  }
  Object.assign(globalThis, dawn.globals);
  const gpu = dawn.create([]);
  // Node ≥ 21 has a navigator, which is read-only: its replacement keeps what it knows.
  const { navigator } = globalThis as { navigator?: object };
  const ours = Object.create(navigator ?? null, { gpu: { value: gpu, enumerable: true } }) as object;
  Object.defineProperty(globalThis, 'navigator', { value: ours, configurable: true, writable: true });
  return gpu;
}
