import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ProvisionError } from './errors.js';
import { lastLines, runProcess } from './run-process.js';

/** The file in a SavedModel's folder that our build of the addon takes session options from; others ignore it. */
export const SESSION_CONFIG = 'session_config.pb';

/** Repairs of tfjs-node's C++ and one addition, each text found exactly once. */
const REPAIRS: readonly { readonly file: string; readonly find: string; readonly replace: string }[] = [
  // Names made with new[] were freed with delete: undefined behaviour, fatal under other allocators.
  ...['tags_ptrs[i]', 'output_op_name_array[i]', 'input_op_name_array[i]'].map((name) => ({
    file: 'tfjs_backend.cc',
    find: `delete ${name};`,
    replace: `delete[] ${name};`,
  })),
  // A caller that asks for more outputs than the op has got null handles.
  {
    file: 'tfjs_backend.cc',
    find: 'for (int32_t i = 0; i < num_outputs; i++) {\n    TFE_TensorHandle *handle = result_handles[i];',
    replace: 'for (int32_t i = 0; i < size; i++) {\n    TFE_TensorHandle *handle = result_handles[i];',
  },
  // Worker threads shared this set without a lock.
  {
    file: 'tfjs_backend.cc',
    find: 'static std::set<std::string> ATTR_NAME_SET;',
    replace: 'static thread_local std::set<std::string> ATTR_NAME_SET;',
  },
  // A SavedModel may bring session options (a ConfigProto): TensorFlow's defaults rewrite arithmetic.
  {
    file: 'tfjs_backend.cc',
    find: '#include <algorithm>',
    replace: '#include <algorithm>\n#include <fstream>\n#include <iterator>',
  },
  {
    file: 'tfjs_backend.cc',
    find: '  TF_Graph *graph = TF_NewGraph();\n',
    replace: `  std::ifstream config_file(export_dir_string + "/${SESSION_CONFIG}", std::ios::binary);
  if (config_file) {
    std::string config((std::istreambuf_iterator<char>(config_file)), std::istreambuf_iterator<char>());
    TF_AutoStatus config_status;
    TF_SetConfig(session_options, config.data(), config.size(), config_status.status);
    ENSURE_TF_OK_RETVAL(env, config_status, nullptr);
  }
  TF_Graph *graph = TF_NewGraph();
`,
  },
];

export interface AddonSources {
  /** tfjs-node's `binding` folder. */
  readonly binding: string;
  /** TensorFlow's headers and Node-API's. */
  readonly includes: readonly string[];
  /** Holds libtensorflow_cc.so.2 and libtensorflow_framework.so.2; the addon looks for them beside itself. */
  readonly libraries: string;
  /** Libraries among them that the addon brings along. */
  readonly besides?: readonly string[];
}

/** Compiles tfjs-node's addon, which is Node-API only, to `target`; `work` is for repaired sources. */
export async function buildAddon(
  { binding, includes, libraries, besides = [] }: AddonSources,
  target: string,
  work: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  await requireCompiler(signal);
  await mkdir(work, { recursive: true });
  const files = ['tfjs_backend.cc', 'tfjs_binding.cc'];
  for (const file of files) {
    const source = await readFile(join(binding, file), 'utf8');
    await writeFile(join(work, file), repair(file, source));
  }
  const part = `${target}.part`;
  const flags = ['-std=c++17', '-O2', '-fPIC', '-shared', '-fvisibility=hidden', '-w', '-DNAPI_VERSION=8'];
  const folders = [binding, ...includes].map((folder) => `-I${folder}`);
  const sources = files.map((file) => join(work, file));
  const linked = ['-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2', '-Wl,-rpath,$ORIGIN'];
  // Their ops register themselves when they are loaded; nothing refers to them.
  if (besides.length > 0) linked.push('-Wl,--no-as-needed', ...besides.map((name) => `-l:${name}`));
  const result = await runProcess('g++', [...flags, ...folders, ...sources, `-L${libraries}`, ...linked, '-o', part], {
    signal,
  });
  if (result?.code !== 0)
    throw new ProvisionError(
      'build',
      `g++ could not build the addon\n${result === undefined ? '' : lastLines(result)}\n`,
      'g++ 9 or newer is needed; please report this with the lines above if yours is.',
    );
  await rename(part, target);
}

function repair(file: string, source: string): string {
  return REPAIRS.filter((r) => r.file === file).reduce((text, { find, replace }) => {
    const parts = text.split(find);
    if (parts.length !== 2)
      throw new ProvisionError(
        'build',
        `${file} is not the one that was expected (no "${find}")`,
        'Please report this.',
      );
    return parts.join(replace);
  }, source);
}

/** Throws when there is no g++. */
export async function requireCompiler(signal: AbortSignal | undefined): Promise<void> {
  const version = await runProcess('g++', ['--version'], { signal });
  if (version?.code === 0) return;
  throw new ProvisionError(
    'compiler',
    'there is no g++',
    'Install it (Debian and Ubuntu: apt install g++; Fedora: dnf install gcc-c++) and run this again: what was downloaded is kept.',
  );
}

// Without tfjs: multiplies two matrices through the addon alone.
const CHECK = `
  const b = require(process.argv[1]);
  const t = (values) => b.createTensor([2, 2], b.TF_FLOAT, Float32Array.from(values));
  const attrs = [
    { name: 'transpose_a', type: b.TF_ATTR_BOOL, value: false },
    { name: 'transpose_b', type: b.TF_ATTR_BOOL, value: true },
    { name: 'T', type: b.TF_ATTR_TYPE, value: b.TF_FLOAT },
  ];
  const [y] = b.executeOp('MatMul', attrs, [t([1, 2, 3, 4]), t([5, 6, 7, 8])], 1);
  console.log([...b.tensorDataSync(y.id)].join());
`;

/** Loads the addon in a process of its own and has it multiply two matrices. Throws when the answer is wrong. */
export async function checkAddon(
  addon: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const result = await runProcess(process.execPath, ['--eval', CHECK, addon], { signal, cwd: dirname(addon) });
  if (result?.code === 0 && result.stdout.trim().endsWith('17,23,39,53')) return;
  throw new ProvisionError(
    'build',
    `the addon does not work\n${result === undefined ? '' : lastLines(result)}\n`,
    'Please report this with the lines above; `polder doctor` shows what the machine is.',
  );
}
