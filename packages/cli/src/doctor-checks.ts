import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { CATALOGUE } from '@polder/data';
import { cacheFolder, locateDataset } from '@polder/data/node';

/** One line of the doctor's report. */
export interface Check {
  /** Never changes: node, backend, training, webgpu, tensorflow, tools, wasm, data, disk, memory, grads. */
  readonly id: string;
  readonly title: string;
  /** `warn`: it works, and could be better; `fail`: it does not. */
  readonly status: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do about it, where there is something. */
  readonly fix?: string;
  /** The same for programs. */
  readonly data?: Readonly<Record<string, unknown>>;
}

const oldestNode = [20, 19] as const;

export function checkNode(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldest, oldestMinor] = oldestNode;
  const [model] = cpus();
  const cores = availableParallelism();
  const check = {
    id: 'node',
    title: 'Node.js',
    detail: `${process.version} on ${process.platform} ${process.arch}, ${cores} ${cores === 1 ? 'core' : 'cores'}${model === undefined ? '' : ` (${model.model.trim()})`}`,
    data: {
      version: process.version,
      platform: process.platform,
      arch: process.arch,
      cores,
      processor: model?.model.trim() ?? null,
    },
  };
  return major > oldest || (major === oldest && minor >= oldestMinor)
    ? { ...check, status: 'ok' }
    : { ...check, status: 'fail', fix: `Install Node.js ${oldest}.${oldestMinor} or later.` };
}

/** Whether native TensorFlow could be installed here. */
export async function checkTools(): Promise<Check> {
  const [id, title] = ['tools', 'for native TensorFlow'];
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    const detail = `the recipe is for Linux on x64, and this is ${process.platform} on ${process.arch}`;
    const fix = 'npm install @tensorflow/tfjs-node, which is used where it loads, or stay with wasm.';
    return { id, title, status: 'warn', detail, fix };
  }
  const pip = [['python3', '-m', 'pip'], ['python', '-m', 'pip'], ['pip3'], ['pip']];
  const found = {
    'g++': runs('g++', []),
    pip: pip.some(([command, ...args]) => runs(command!, args)),
    npm: runs('npm', []),
    tar: runs('tar', []),
  };
  const missing = Object.entries(found).flatMap(([name, there]) => (there ? [] : [name]));
  if (missing.length === 0) {
    const detail = `${Object.keys(found).join(', ')} are there`;
    return { id, title, status: 'ok', detail, fix: 'polder backend install tensorflow', data: found };
  }
  const packages = { 'g++': 'g++', pip: 'python3-pip', npm: 'npm', tar: 'tar' } as const;
  const wanted = missing.map((name) => packages[name as keyof typeof packages]).join(' ');
  const fix = `apt install ${wanted} (or what your system calls it), then polder backend install tensorflow`;
  return { id, title, status: 'warn', detail: `there is no ${missing.join(', no ')}`, fix, data: found };
}

function runs(command: string, args: readonly string[]): boolean {
  return spawnSync(command, [...args, '--version'], { stdio: 'ignore' }).status === 0;
}

export async function checkData(): Promise<Check> {
  const sets = await Promise.all(
    Object.values(CATALOGUE).map(async (entry) => {
      const { set, folder, found, complete } = await locateDataset(entry);
      return { name: set, complete, files: found.length, folder };
    }),
  );
  const complete = sets.filter((set) => set.complete).map(({ name }) => name);
  const partial = sets.filter((set) => !set.complete && set.files > 0).map(({ name }) => name);
  const parts = [
    complete.length === 0 ? 'none found' : complete.join(', '),
    ...(partial.length === 0 ? [] : [`incomplete: ${partial.join(', ')}`]),
  ];
  const check = { id: 'data', title: 'data sets', data: { sets } };
  const [offline, detail] = ['training takes the offline set that it draws itself', parts.join('; ')];
  return complete.includes('cifar10')
    ? { ...check, status: 'ok', detail }
    : { ...check, status: 'warn', detail: `${detail}; ${offline}`, fix: 'polder data get cifar10' };
}

export async function checkDisk(): Promise<Check> {
  const places = [
    { name: 'runs', folder: process.cwd() },
    { name: 'cache', folder: existing(cacheFolder()) },
  ];
  const free = await Promise.all(
    places.map(async (place) => {
      const { bavail, bsize } = await statfs(place.folder);
      return { ...place, freeBytes: bavail * bsize };
    }),
  );
  const least = Math.min(...free.map(({ freeBytes }) => freeBytes));
  const detail = free
    .map(({ name, folder, freeBytes }) => `${gigabytes(freeBytes)} free for ${name} (${folder})`)
    .join(', ');
  const check = { id: 'disk', title: 'disk', detail, data: { places: free } };
  if (least >= 2e9) return { ...check, status: 'ok' };
  return { ...check, status: least < 1e8 ? 'fail' : 'warn', fix: 'Free some space; a run keeps two checkpoints.' };
}

/** The folder, or the nearest one above it that exists. */
function existing(folder: string): string {
  return existsSync(folder) || dirname(folder) === folder ? folder : existing(dirname(folder));
}

export function checkMemory(): Check {
  // A container may have less than the machine.
  const limit = process.constrainedMemory();
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  const free = Math.min(freemem(), total);
  const check = {
    id: 'memory',
    title: 'memory',
    detail: `${gigabytes(total)}, ${gigabytes(free)} free`,
    data: { totalBytes: total, freeBytes: free },
  };
  return free >= 1.5e9
    ? { ...check, status: 'ok' }
    : {
        ...check,
        status: 'warn',
        fix: 'resnet20 at batch 128 takes about 0.6 GB: close programs, or take --micro-batches.',
      };
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
