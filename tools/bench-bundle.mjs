// Makes a folder that benchmarks training on the GPU of any Linux machine without network or npm: Node, Dawn, the Vulkan
// loader, the C++ runtime, and the benchmark in one file. usage: npm run bench:bundle [-- FOLDER] (default bench-bundle)
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = resolve(process.argv[2] ?? 'bench-bundle');
if (process.platform !== 'linux')
  throw new Error(`The folder holds this system's programs, and is made for Linux only, not ${process.platform}.`);

const dawn = join(
  dirname(createRequire(join(root, 'packages/kernels-webgpu/package.json')).resolve('webgpu')),
  'dist',
  `linux-${process.arch}`,
);
/** Where the system's loader finds a library. */
const library = (name) => {
  const cache = execFileSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' });
  const line = cache.split('\n').find((entry) => entry.trim().startsWith(`${name} `));
  if (line === undefined) throw new Error(`${name} is not on this machine. Debian: apt install libvulkan1 libstdc++6.`);
  return realpathSync(line.split('=> ')[1]);
};

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const files = [
  [process.execPath, 'node'],
  [join(dawn, 'dawn.node'), 'dawn.node'],
  ...['libvulkan.so.1', 'libstdc++.so.6', 'libgcc_s.so.1'].map((name) => [library(name), name]),
];
for (const [from, name] of files) copyFileSync(from, join(folder, name));
for (const name of ['node', 'dawn.node']) {
  chmodSync(join(folder, name), 0o755);
  try {
    execFileSync('strip', [join(folder, name)]); // symbols are a fifth of the size; those of Node-API survive
  } catch {
    console.error(`strip is not here: ${name} keeps its symbols`);
  }
}
await build({
  entryPoints: [join(root, 'packages/kernels-webgpu/bench/main.ts')],
  outfile: join(folder, 'bench.mjs'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  minify: true,
  conditions: ['@polder/source'],
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
  legalComments: 'external',
  logLevel: 'warning',
});
writeFileSync(
  join(folder, 'run.sh'),
  `#!/bin/sh
# Benchmarks training on this machine's GPU; --help is in README.txt. Set VK_DRIVER_FILES to the .json of your driver if
# none is found.
D="$(cd "$(dirname "$0")" && pwd)"
export LD_LIBRARY_PATH="$D\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export XDG_RUNTIME_DIR="\${XDG_RUNTIME_DIR:-/tmp}"
exec "$D/node" "$D/bench.mjs" "$@"
`,
);
chmodSync(join(folder, 'run.sh'), 0o755);
writeFileSync(
  join(folder, 'README.txt'),
  `Polder's benchmark of training on a GPU through WebGPU (Dawn, Vulkan). Needs Linux ${process.arch}, glibc 2.34 or newer and a
Vulkan driver; nothing else, and no network.

  ./run.sh            ResNet-20, batch 128, plain SGD and SAM: the stock backend, our kernels, our kernels replayed
  ./run.sh --json     the same as JSON on standard output
  --depth N --batch N --rounds N --allow-software

It exits 2 when there is no GPU, or only a program that plays one (SwiftShader, llvmpipe), and prints why; 1 when the GPU
refused work, which would make the numbers meaningless.

In this folder: node (Node.js ${process.version}, MIT and the licences of what it bundles), dawn.node (Dawn, BSD 3-clause; npm's
webgpu, MIT), libvulkan.so.1 (Vulkan loader, Apache 2.0), libstdc++.so.6 and libgcc_s.so.1 (GCC, GPL with the runtime
exception), bench.mjs (Polder, MIT; TensorFlow.js, Apache 2.0; see bench.mjs.LEGAL.txt).
`,
);
const names = readdirSync(folder).toSorted();
const bytes = names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
console.log(`${folder}: ${(bytes / 1e6).toFixed(1)} MB in ${names.length} files (${names.join(', ')})`);
console.log(
  `Run it with ${join(folder, 'run.sh')}; pack it with tar -cJf bench-bundle.tar.xz -C ${dirname(folder)} ${folder.slice(dirname(folder).length + 1)}`,
);
