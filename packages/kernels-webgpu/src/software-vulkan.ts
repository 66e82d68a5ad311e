/** Where Chromium lies, with the software Vulkan that comes with it. */
const FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];

/**
 * Tells Vulkan programs of this process to run on SwiftShader, which comes with Chromium: the same shaders and the same
 * validation as on a GPU, anywhere. Call it before Dawn (npm's `webgpu`) is loaded. `POLDER_SWIFTSHADER` may name the
 * folder of `libvk_swiftshader.so`. Does nothing where there is none, nor in a page.
 */
export function useSoftwareVulkan(): void {
  const { process } = globalThis as { process?: NodeProcess };
  if (process?.getBuiltinModule === undefined) return;
  const load = (name: string): unknown => process.getBuiltinModule(`node:${name}`);
  const [fs, os, path] = [load('fs') as Fs, load('os') as Os, load('path') as Path];
  const given = process.env['POLDER_SWIFTSHADER'];
  const folder = [...(given === undefined ? [] : [given]), ...FOLDERS].find((candidate) =>
    fs.existsSync(path.join(candidate, 'libvk_swiftshader.so')),
  );
  if (folder === undefined) return;
  const shipped = path.join(folder, 'vk_swiftshader_icd.json');
  const driver = fs.existsSync(shipped) ? shipped : describeDriver(fs, os, path, folder);
  process.env['VK_DRIVER_FILES'] = driver;
  process.env['VK_ICD_FILENAMES'] = driver; // its name in older loaders
  process.env['XDG_RUNTIME_DIR'] ??= os.tmpdir(); // the loader complains without one
}

/** Writes the file by which a loader finds the driver. */
function describeDriver(fs: Fs, os: Os, path: Path, folder: string): string {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'polder-vulkan-')), 'swiftshader.json');
  const library = path.join(folder, 'libvk_swiftshader.so');
  fs.writeFileSync(
    file,
    JSON.stringify({ file_format_version: '1.0.0', ICD: { library_path: library, api_version: '1.0.5' } }),
  );
  return file;
}

// Node's modules without imports, so that pages can load this package.

interface NodeProcess {
  readonly env: Record<string, string | undefined>;
  getBuiltinModule(name: string): unknown;
}
interface Fs {
  existsSync(path: string): boolean;
  mkdtempSync(prefix: string): string;
  writeFileSync(path: string, text: string): void;
}
interface Os {
  tmpdir(): string;
}
interface Path {
  join(...parts: string[]): string;
}
