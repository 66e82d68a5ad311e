import * as tf from '@tensorflow/tfjs-core';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { BACKEND, TensorflowUnavailableError, type TensorflowBackend } from './backend.js';
import { ownOpLanes } from './kernels/own-ops.js';
import type { Precision } from './kernels/precision.js';
import { registerTensorflowKernels } from './kernels/register.js';
import { listProvisioned, packageFolder, type Provisioned } from './provision/folders.js';
import { PROGRAM_PACKAGES, PROGRAM_SYMBOL } from './provision/shims.js';

export interface StartTensorflowOptions {
  /** Where native TensorFlows are kept; see the README for the default. */
  readonly cacheDir?: string;
  /** Of convolutions and matrix products, see {@link registerTensorflowKernels}; 'float32' unless given. */
  readonly precision?: Precision;
}

/** A running native TensorFlow. */
export interface StartedTensorflow {
  /** `provisioned` by `provisionTensorflow`, an installed package, or `imported` by the program before. */
  readonly source: 'provisioned' | 'imported' | '@tensorflow/tfjs-node-gpu' | '@tensorflow/tfjs-node';
  /** Version of libtensorflow. */
  readonly tensorflow: string;
  readonly gpu: boolean;
  /** One line: which it is and why it was taken. */
  readonly reason: string;
}

const INSTALLED = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;
const FIX = 'Run `polder backend install tensorflow`, or take the wasm backend.';

/**
 * Starts native TensorFlow, makes it tfjs's current backend ('tensorflow') and registers the kernels of
 * {@link registerTensorflowKernels}. Takes, in this order, the one that the program has imported, an installed
 * `@tensorflow/tfjs-node-gpu` or `@tensorflow/tfjs-node` that loads, and the one that `provisionTensorflow` installed.
 *
 * Throws {@link PrecisionError} where 'bf16' cannot be multiplied, and {@link TensorflowUnavailableError}, which says what was tried and how to get one.
 */
export async function startTensorflow({
  cacheDir,
  precision,
}: StartTensorflowOptions = {}): Promise<StartedTensorflow> {
  repairUtil();
  // Its notes on start-up and on every graph loaded are not the user's concern; warnings are.
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '1';
  const failures: string[] = [];
  const source =
    tf.findBackendFactory(BACKEND) === null
      ? (loadInstalled(failures) ?? (await loadProvisioned(cacheDir, failures)))
      : 'imported';
  if (source === undefined) throw new TensorflowUnavailableError(failures.join('; '), FIX);
  if (!(await tf.setBackend(BACKEND))) throw new TensorflowUnavailableError('the backend does not initialise', FIX);
  registerTensorflowKernels(precision === undefined ? {} : { precision });
  const backend = tf.backend() as TensorflowBackend;
  const { TF_Version: version } = backend.binding;
  const where = backend.isUsingGpuDevice ? 'GPU' : 'CPU';
  const lacking = source === 'provisioned' && !backend.isUsingGpuDevice && ownOpLanes(backend) === 0;
  const slower = lacking ? ', without our own ops, slower' : '';
  const skipped = failures.length === 0 ? '' : ` (${failures.join('; ')})`;
  return {
    source,
    tensorflow: version,
    gpu: backend.isUsingGpuDevice,
    reason: `tensorflow: libtensorflow ${version} on the ${where}, ${source}${slower}${skipped}`,
  };
}

function loadInstalled(failures: string[]): (typeof INSTALLED)[number] | undefined {
  // As seen from here, and as seen from the program's folder: the two differ when this package is linked.
  const requires = [createRequire(import.meta.url), createRequire(join(process.cwd(), 'package.json'))];
  for (const name of INSTALLED) {
    const require = requires.find((candidate) => resolves(candidate, name));
    if (require === undefined) continue;
    try {
      require(name);
      return name;
    } catch (error) {
      failures.push(`${name} is installed but does not load: ${firstLine(error)}`);
    }
  }
  if (failures.length === 0) failures.push('neither @tensorflow/tfjs-node-gpu nor @tensorflow/tfjs-node is installed');
  return undefined;
}

async function loadProvisioned(cacheDir: string | undefined, failures: string[]): Promise<'provisioned' | undefined> {
  const all = await listProvisioned(cacheDir === undefined ? {} : { cacheDir });
  const current = all.filter((entry) => entry.current);
  const choice: Provisioned | undefined = current.find((entry) => entry.variant === 'gpu') ?? current[0];
  if (choice === undefined) {
    failures.push(all.length === 0 ? 'none is provisioned' : 'the one provisioned is of another release');
    return undefined;
  }
  const require = createRequire(import.meta.url);
  try {
    const own = Object.fromEntries(PROGRAM_PACKAGES.map((name) => [name, require(name) as unknown]));
    (globalThis as Record<symbol, unknown>)[Symbol.for(PROGRAM_SYMBOL)] = own;
    require(packageFolder(choice.folder));
    return 'provisioned';
  } catch (error) {
    failures.push(`the one in ${choice.folder} does not load: ${firstLine(error)}`);
    return undefined;
  }
}

/** tfjs-node 4.22 calls functions that Node 23 took out of `util`. */
function repairUtil(): void {
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
  util['isNullOrUndefined'] ??= (value: unknown): boolean => value === null || value === undefined;
  util['isArray'] ??= Array.isArray;
}

function resolves(require: NodeJS.Require, name: string): boolean {
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] as string;
}
