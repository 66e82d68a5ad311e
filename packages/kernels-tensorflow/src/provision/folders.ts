import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { folderName, type Variant } from './pinned.js';

/** A native TensorFlow in the cache. */
export interface Provisioned {
  readonly variant: Variant;
  /** Version of libtensorflow. */
  readonly tensorflow: string;
  /** Version of the tfjs package whose addon was built. */
  readonly tfjsNode: string;
  readonly folder: string;
  /** ISO 8601. */
  readonly installedAt: string;
  readonly bytes: number;
  /** False for another version, platform or layout than this release uses. */
  readonly current: boolean;
}

/** What `manifest.json` in a provisioned folder says; written last, so a folder that has one is complete. */
export interface Manifest extends Pick<Provisioned, 'variant' | 'tensorflow' | 'tfjsNode' | 'installedAt'> {
  /** Hex SHA-256 of the wheel that the libraries come from. */
  readonly wheelSha256: string;
  /** Why our own ops could not be built, where they could not. */
  readonly withoutOwnOps?: string;
}

/** The folder for native TensorFlows: `cacheDir`, or `tensorflow` in POLDER_CACHE or the platform's cache folder. */
export function tensorflowCache(cacheDir?: string): string {
  if (cacheDir !== undefined) return cacheDir;
  const { POLDER_CACHE: own, XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = process.env;
  if (own) return join(own, 'tensorflow');
  const platform =
    process.platform === 'darwin'
      ? join(homedir(), 'Library', 'Caches')
      : process.platform === 'win32'
        ? local || join(homedir(), 'AppData', 'Local')
        : xdg || join(homedir(), '.cache');
  return join(platform, 'polder', 'tensorflow');
}

/** The tfjs package of a provisioned folder. */
export function packageFolder(folder: string): string {
  return join(folder, 'package');
}

/** Where the addon is in a provisioned folder. */
export function addonPath(folder: string): string {
  return join(folder, 'lib', 'tfjs_binding.node');
}

/** All native TensorFlows in the cache, those of earlier releases included. */
export async function listProvisioned({ cacheDir }: { readonly cacheDir?: string } = {}): Promise<
  readonly Provisioned[]
> {
  const root = tensorflowCache(cacheDir);
  const names = await readdir(root).catch(() => []);
  const shown = names.filter((name) => !name.startsWith('.')).sort();
  const found = await Promise.all(shown.map((name) => describeFolder(join(root, name), name)));
  return found.filter((entry) => entry !== undefined);
}

async function describeFolder(folder: string, name: string): Promise<Provisioned | undefined> {
  const manifest = await readManifest(folder);
  if (manifest === undefined) return undefined;
  const { variant, tensorflow, tfjsNode, installedAt } = manifest;
  const current = name === folderName(variant);
  return { variant, tensorflow, tfjsNode, folder, installedAt, bytes: await sizeOf(folder), current };
}

async function readManifest(folder: string): Promise<Manifest | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as Manifest;
  } catch {
    return undefined;
  }
}

/** Removes a variant, or all of them, with what failed attempts left behind. Returns the bytes freed. */
export async function removeProvisioned({
  cacheDir,
  variant,
}: { readonly cacheDir?: string; readonly variant?: Variant } = {}): Promise<number> {
  const root = tensorflowCache(cacheDir);
  const names = (await readdir(root).catch(() => [])).filter(
    (name) => variant === undefined || name.includes(`-${variant}-`),
  );
  let freed = 0;
  for (const name of names) {
    freed += await sizeOf(join(root, name));
    await rm(join(root, name), { recursive: true, force: true });
  }
  return freed;
}

async function sizeOf(path: string): Promise<number> {
  const { size, isDirectory } = await stat(path).then(
    (s) => ({ size: s.size, isDirectory: s.isDirectory() }),
    () => ({ size: 0, isDirectory: false }),
  );
  if (!isDirectory) return size;
  const names = await readdir(path).catch(() => []);
  const sizes = await Promise.all(names.map((name) => sizeOf(join(path, name))));
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}
