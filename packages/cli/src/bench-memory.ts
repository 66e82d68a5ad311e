import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';

/** What `peakBytes` counts on a backend, in one line. */
export function peakBytesOf(backend: string): string {
  return backend === 'wasm'
    ? 'bytes allocated in the WebAssembly heap at their highest in a step: network, batch, slots, activations, scratch'
    : backend === 'tensorflow'
      ? 'highest resident set of a process that runs this policy alone, warm-up included, less its resident set before the network was made'
      : 'bytes of live tensors by tfjs’s count at their highest in a step (an alias counts as a copy)';
}

/** Counts the bytes in use on the current backend, from when it is made. */
export interface ByteMeter {
  live(): number;
  /** The highest number since the last call. */
  takePeak(): number;
  stop(): void;
}

/** The meter of the current backend, where its memory can be counted from inside. */
export function openByteMeter(): ByteMeter | undefined {
  if (tf.getBackend() === 'tensorflow') return undefined;
  return tf.getBackend() === 'wasm' ? heapMeter() : tensorMeter();
}

/** What to run in a process of its own. */
export interface LonePolicy {
  readonly model: string;
  readonly batch: number;
  readonly policy: string;
  readonly backend: string;
  readonly threads?: number;
}

/**
 * The highest resident set of a process that trains with one policy alone, less what it had before it made the network;
 * undefined where the system does not tell (it takes /proc).
 */
export function residentPeak(policy: LonePolicy): Promise<number | undefined> {
  const child = fork(new URL('./bench-memory-process.js', import.meta.url), [JSON.stringify(policy)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let [said, peak] = ['', undefined as number | undefined];
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.on('message', (message: { readonly peakBytes: number | null }) => (peak = message.peakBytes ?? undefined));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(peak);
      else reject(new Error(`The process that measures the memory of ${policy.policy} failed.\n${said}`));
    });
  });
}

/** A line of Linux's /proc/self/status in bytes, such as VmHWM, the highest resident set. */
export function statusBytes(name: 'VmHWM' | 'VmRSS'): number | undefined {
  try {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
    return match === null ? undefined : Number(match[1]) * 1024;
  } catch {
    return undefined;
  }
}

interface WasmHeap {
  _malloc: (bytes: number) => number;
  _free: (address: number) => void;
}

/** The allocator of tfjs's wasm module, which our kernels' scratch comes from too. What XNNPACK keeps is not seen. */
function heapMeter(): ByteMeter {
  const heap = (tf.backend() as unknown as { readonly wasm: WasmHeap }).wasm;
  // On their first call emscripten's functions put others in their own place.
  heap._free(heap._malloc(8));
  const [malloc, free] = [heap._malloc, heap._free];
  const sizes = new Map<number, number>();
  let [live, peak] = [0, 0];
  heap._malloc = (bytes) => {
    const address = malloc(bytes);
    sizes.set(address >>> 0, bytes);
    live += bytes;
    peak = Math.max(peak, live);
    return address;
  };
  heap._free = (address) => {
    live -= sizes.get(address >>> 0) ?? 0;
    sizes.delete(address >>> 0);
    free(address);
  };
  return {
    live: () => live,
    takePeak: () => {
      const highest = peak;
      peak = live;
      return highest;
    },
    stop: () => Object.assign(heap, { _malloc: malloc, _free: free }),
  };
}

/** tfjs's own count after every kernel. */
function tensorMeter(): ByteMeter {
  const engine = tf.engine() as unknown as { runKernel?: (...args: unknown[]) => unknown };
  const runKernel = engine.runKernel!.bind(engine);
  const live = (): number => tf.memory().numBytes;
  let peak = live();
  engine.runKernel = (...args) => {
    const result = runKernel(...args);
    peak = Math.max(peak, tf.engine().state.numBytes);
    return result;
  };
  return {
    live,
    takePeak: () => {
      const highest = peak;
      peak = live();
      return highest;
    },
    // The prototype's method was hidden, not replaced.
    stop: () => delete engine.runKernel,
  };
}
