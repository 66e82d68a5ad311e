import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lastLines, runProcess } from './run-process.js';

/** Our ops as a library, beside TensorFlow's own. */
export const OWN_OPS_LIBRARY = 'libpolder_ops.so';

const NATIVE = fileURLToPath(new URL('../../native/', import.meta.url));

/** The inner loops, once for each instruction set; the library chooses when it loads. */
const INSTRUCTION_SETS: Readonly<Record<string, readonly string[]>> = {
  avx512: ['-mavx512f', '-mavx512vl', '-mavx512dq', '-mavx2', '-mfma'],
  avx2: ['-mavx2', '-mfma'],
};
const LOOPS = ['convolution-loops.cc', 'batch-norm-loops.cc', 'row-loops.cc'];

/** What registers ops with TensorFlow, and so includes its headers. */
const OPS = ['lanes.cc', 'convolution.cc', 'batch-norm.cc', 'trees.cc', 'transformer.cc'];

export interface OwnOpsSources {
  /** TensorFlow's headers, with those of Eigen, Abseil and protobuf that came with them. */
  readonly include: string;
  /** Holds libtensorflow_cc.so.2 and libtensorflow_framework.so.2. */
  readonly libraries: string;
}

/**
 * Compiles our own TensorFlow ops beside the libraries, under {@link OWN_OPS_LIBRARY}; `work` is for object files. Returns
 * undefined, or why the compiler could not: then TensorFlow's ops have to do.
 */
export async function buildOwnOps(
  { include, libraries }: OwnOpsSources,
  work: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<string | undefined> {
  await mkdir(work, { recursive: true });
  const common = ['-std=c++17', '-O3', '-fPIC', '-fvisibility=hidden', '-w'];
  // Tensors are aligned to 64 bytes, and Eigen has to know. Updates of weights give the bits of separate operations.
  const headers = [`-I${include}`, '-DEIGEN_MAX_ALIGN_BYTES=64', '-ffp-contract=off'];
  // First what may fail on its headers.
  const units = [
    ...[...OPS, 'dispatch.cc'].map((file) => ({ file, object: `${file}.o`, flags: headers })),
    ...Object.entries(INSTRUCTION_SETS).flatMap(([name, flags]) =>
      LOOPS.map((file) => ({ file, object: `${name}-${file}.o`, flags: [...flags, `-DTARGET=${name}`] })),
    ),
  ];
  const compile = async ({ file, object, flags }: (typeof units)[number]): Promise<string | undefined> =>
    run([...common, ...flags, '-c', join(NATIVE, file), '-o', join(work, object)], signal);
  // Two at a time: each takes half a gigabyte.
  for (let i = 0; i < units.length; i += 2) {
    const failures = await Promise.all(units.slice(i, i + 2).map(compile));
    const failure = failures.find((why) => why !== undefined);
    if (failure !== undefined) return failure;
  }
  const target = join(libraries, OWN_OPS_LIBRARY);
  const objects = units.map(({ object }) => join(work, object));
  const linked = ['-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2', '-Wl,-rpath,$ORIGIN,--no-undefined'];
  const failure = await run(['-shared', ...objects, `-L${libraries}`, ...linked, '-o', `${target}.part`], signal);
  if (failure === undefined) await rename(`${target}.part`, target);
  return failure;
}

async function run(args: readonly string[], signal: AbortSignal | undefined): Promise<string | undefined> {
  const result = await runProcess('g++', args, { signal });
  return result?.code === 0 ? undefined : result === undefined ? 'there is no g++' : lastLines(result);
}
