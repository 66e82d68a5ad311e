import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { buildAddon, checkAddon, requireCompiler } from './addon.js';
import { explainFileError, noSpace, ProvisionError } from './errors.js';
import {
  addonPath,
  listProvisioned,
  packageFolder,
  tensorflowCache,
  type Manifest,
  type Provisioned,
} from './folders.js';
import { withLock } from './lock.js';
import { fetchPackage } from './npm-package.js';
import { buildOwnOps, OWN_OPS_LIBRARY } from './own-ops.js';
import {
  folderName,
  NPM_PACKAGES,
  SPACE_NEEDED,
  TENSORFLOW_VERSION,
  TFJS_NODE_VERSION,
  WHEELS,
  type Variant,
} from './pinned.js';
import { downloadWheel } from './python-wheel.js';
import { writeShims } from './shims.js';
import { badWheel, openWheel, unpack } from './wheel.js';

export type ProvisionStage = 'wait' | 'download' | 'unpack' | 'package' | 'build' | 'check' | 'done';

export interface ProvisionProgress {
  readonly stage: ProvisionStage;
  /** One line for people. */
  readonly message: string;
  /** Bytes of this stage, where they are known. */
  readonly done?: number;
  readonly total?: number;
}

export interface ProvisionOptions {
  /** Where native TensorFlows are kept; see the README for the default. */
  readonly cacheDir?: string;
  /** A wheel on disk, instead of one that pip downloads. */
  readonly from?: string;
  /** `cpu` unless given. */
  readonly variant?: Variant;
  readonly onProgress?: (progress: ProvisionProgress) => void;
  readonly signal?: AbortSignal;
}

const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];

// What the addon and our own ops reach of the wheel's 270 MB of headers.
const HEADERS =
  /^tensorflow\/include\/(Eigen|unsupported\/Eigen|absl|google\/protobuf|ml_dtypes|tsl|xla\/tsl|tensorflow\/(c|core))\//;

/**
 * Installs a current libtensorflow for tfjs: has pip fetch TensorFlow's wheel, takes its two libraries, builds the addon
 * of @tensorflow/tfjs-node against them, tries it, and puts the result in a folder of the cache, which appears in one
 * rename. Returns at once when it is there. An attempt that failed or was stopped goes on where it was; of two processes,
 * one waits for the other.
 *
 * Throws {@link ProvisionError} whose `obstacle` says what is in the way: another platform than Linux x64, no pip, npm or
 * g++, no network, no space, a bad wheel, a failed build, or `signal`.
 */
export async function provisionTensorflow(options: ProvisionOptions = {}): Promise<Provisioned> {
  const { cacheDir, variant = 'cpu', signal, onProgress = () => undefined } = options;
  requirePlatform();
  const root = tensorflowCache(cacheDir);
  const final = join(root, folderName(variant));
  try {
    const there = await findInstalled(variant, cacheDir);
    if (there !== undefined) return there;
    await mkdir(root, { recursive: true });
    const lock = join(root, `.lock-${folderName(variant)}`);
    const onWait = (holder: number): void =>
      onProgress({ stage: 'wait', message: `process ${holder} is installing it: waiting` });
    await withLock(lock, { signal, onWait }, async () => {
      if ((await findInstalled(variant, cacheDir)) === undefined) await install(final, root, variant, options);
    });
    const installed = await findInstalled(variant, cacheDir);
    if (installed === undefined)
      throw new ProvisionError('disk', `${final} vanished as soon as it was installed`, 'Run it again.');
    onProgress({ stage: 'done', message: `TensorFlow ${installed.tensorflow} is in ${installed.folder}` });
    return installed;
  } catch (error) {
    if (signal?.aborted === true && !(error instanceof ProvisionError))
      throw new ProvisionError('aborted', 'it was stopped', 'Run it again: it goes on where it stopped.', {
        cause: error,
      });
    throw explainFileError(error, root);
  }
}

async function install(final: string, root: string, variant: Variant, options: ProvisionOptions): Promise<void> {
  const { from, signal, onProgress = () => undefined } = options;
  const staging = join(root, `.staging-${folderName(variant)}`);
  const result = join(staging, 'result');
  const source = join(staging, 'source');
  await mkdir(result, { recursive: true });
  await requireSpace(root, variant);

  const name = `${WHEELS[variant]} ${TENSORFLOW_VERSION}`;
  onProgress({ stage: 'download', message: from === undefined ? `pip downloads ${name}` : `using ${from}` });
  const onBytes = (done: number, total: number): void =>
    onProgress({ stage: 'download', message: `downloading ${name}`, done, total });
  const wheelPath = from ?? (await downloadWheel(variant, join(staging, 'wheel'), { signal, onBytes }));

  const wheelSha256 = await unpackWheel(wheelPath, variant, { result, source }, signal, onProgress);

  onProgress({
    stage: 'package',
    message: `fetching @tensorflow/tfjs-node ${TFJS_NODE_VERSION} (its scripts do not run)`,
  });
  const tfjs = packageFolder(result);
  await fetchPackage(NPM_PACKAGES.tfjsNode, tfjs, { signal });
  await fetchPackage(NPM_PACKAGES.googleProtobuf, join(tfjs, 'node_modules', 'google-protobuf'), { signal });
  await fetchPackage(NPM_PACKAGES.progress, join(tfjs, 'node_modules', 'progress'), { signal });
  await fetchPackage(NPM_PACKAGES.nodeApiHeaders, join(source, 'node-api'), { signal });
  await writeShims(tfjs);

  const include = join(source, 'include');
  const libraries = join(result, 'lib');
  const addon = addonPath(result);
  const build = async (besides: readonly string[]): Promise<void> => {
    onProgress({ stage: 'build', message: 'building the addon with g++' });
    const sources = { binding: join(tfjs, 'binding'), includes: [include, join(source, 'node-api', 'include')] };
    await buildAddon({ ...sources, libraries, besides }, addon, join(source, 'binding'), { signal });
    onProgress({ stage: 'check', message: 'multiplying two matrices with it' });
    await checkAddon(addon, { signal });
  };
  onProgress({ stage: 'build', message: 'compiling our own ops with g++' });
  await requireCompiler(signal);
  let without = await buildOwnOps({ include, libraries }, join(source, 'objects'), { signal });
  if (without === undefined)
    without = await build([OWN_OPS_LIBRARY]).then(
      () => undefined,
      (error: unknown) => {
        signal?.throwIfAborted();
        return String(error);
      },
    );
  if (without !== undefined) {
    onProgress({ stage: 'build', message: `without our own ops, slower: ${without.split('\n')[0]}` });
    await build([]);
  }

  const manifest: Manifest = {
    variant,
    tensorflow: TENSORFLOW_VERSION,
    tfjsNode: TFJS_NODE_VERSION,
    wheelSha256,
    ...(without !== undefined && { withoutOwnOps: without }),
    installedAt: new Date().toISOString(),
  };
  await writeFile(join(result, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  await rm(final, { recursive: true, force: true });
  await rename(result, final);
  await rm(staging, { recursive: true, force: true });
}

async function unpackWheel(
  path: string,
  variant: Variant,
  { result, source }: { readonly result: string; readonly source: string },
  signal: AbortSignal | undefined,
  onProgress: (progress: ProvisionProgress) => void,
): Promise<string> {
  const wheel = await openWheel(path);
  const expected = `${WHEELS[variant].replaceAll('-', '_')}-${TENSORFLOW_VERSION}`;
  if (wheel.name !== expected) throw badWheel(path, `it is ${wheel.name}, and ${expected} is wanted`);
  // Not only .h: Eigen has headers of other endings, and of none.
  const headers = [...wheel.entries.keys()].filter((name) => HEADERS.test(name) && !name.endsWith('/'));
  const files = [
    ...LIBRARIES.map((name) => [`tensorflow/${name}`, join(result, 'lib', name)] as const),
    ...headers.map((name) => [name, join(source, name.slice('tensorflow/'.length))] as const),
  ];
  const total = files.reduce((sum, [name]) => sum + (wheel.entries.get(name)?.size ?? 0), 0);
  let done = 0;
  for (const [name, target] of files) {
    const size = wheel.entries.get(name)?.size;
    const have = await sizeOnDisk(target);
    if (have !== undefined && have === size) {
      done += have;
      continue;
    }
    const onBytes = (bytes: number): void => {
      done += bytes;
      onProgress({ stage: 'unpack', message: 'unpacking libtensorflow', done, total });
    };
    await unpack(wheel, name, target, { signal, onBytes });
  }
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, { signal });
  return hash.digest('hex');
}

async function findInstalled(variant: Variant, cacheDir: string | undefined): Promise<Provisioned | undefined> {
  const all = await listProvisioned(cacheDir === undefined ? {} : { cacheDir });
  return all.find((entry) => entry.current && entry.variant === variant);
}

async function sizeOnDisk(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

async function requireSpace(folder: string, variant: Variant): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= SPACE_NEEDED[variant]) return;
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw noSpace(`${folder} has ${gigabytes(free)} free, and ${gigabytes(SPACE_NEEDED[variant])} are needed meanwhile`);
}

function requirePlatform(): void {
  if (process.platform === 'linux' && process.arch === 'x64') return;
  throw new ProvisionError(
    'platform',
    `this is ${process.platform} on ${process.arch}, and the recipe is for Linux on x64`,
    'Install @tensorflow/tfjs-node, which polder uses when it loads, or take the wasm backend.',
  );
}
