import * as tf from '@tensorflow/tfjs-core';

/** A kernel that training needs and the backend lacks. */
export interface MissingKernel {
  readonly kernel: string;
  readonly pass: 'forward' | 'backward';
  /** The layers that need it, as `name (class)`; for a gradient with the op that it is the gradient of. */
  readonly neededBy: readonly string[];
  /** What to do about it. */
  readonly advice: string;
}

/** Sees every kernel that runs, and for whom. */
export interface KernelWatch {
  /** Runs a forward pass: what it puts on the tape is remembered with its layer. */
  forward<T>(run: () => T): T;
  kernels(): readonly string[];
  missing(): readonly MissingKernel[];
  /** Puts everything back; may be called twice. */
  stop(): void;
}

interface TapeNode {
  gradient?: (dys: tf.Tensor[]) => Record<string, () => tf.Tensor>;
}

interface Engine {
  runKernelFunc: (options: { readonly kernelName?: string }) => unknown;
  runKernel: (name: string, inputs: tf.NamedTensorMap, attrs?: tf.NamedAttrMap) => unknown;
  readonly state: { activeTape?: TapeNode[] };
}

interface Layer {
  readonly name: string;
  readonly layers?: readonly object[];
  call: (...args: unknown[]) => unknown;
  getClassName?: () => string;
}

/**
 * Watches the kernels of the current backend while `model` runs. For one that is not there the cpu backend's stands in,
 * and the run goes on: the first thing missing would else hide the rest.
 */
export function watchKernels(model: { readonly layers: readonly object[] }): KernelWatch {
  const engine = tf.engine() as unknown as Engine;
  const backendName = tf.getBackend();
  const seen = new Set<string>();
  const lacking = new Map<string, { readonly pass: MissingKernel['pass']; readonly neededBy: Set<string> }>();
  const restores: (() => void)[] = [];
  // Innermost last: layers while the forward pass runs, a layer's op while its gradient does.
  const who: string[] = [];
  let pass: MissingKernel['pass'] = 'forward';
  let last = '';

  const within = <T>(name: string, run: () => T): T => {
    who.push(name);
    try {
      return run();
    } finally {
      who.pop();
    }
  };

  const runKernel = engine.runKernel.bind(engine);
  engine.runKernel = (name, inputs, attrs) => {
    seen.add(name);
    if (lacking.has(name)) lacking.get(name)!.neededBy.add(who.at(-1) ?? 'the loss');
    else if (tf.getKernel(name, backendName) == null && standIn(name, backendName)) {
      lacking.set(name, { pass, neededBy: new Set([who.at(-1) ?? 'the loss']) });
      restores.push(() => tf.unregisterKernel(name, backendName));
    }
    // Copies and views around an op say nothing of it.
    if (name !== 'Identity' && name !== 'Reshape') last = name;
    return runKernel(name, inputs, attrs);
  };
  // Custom gradients, such as the fused convolution's, come here alone.
  const runKernelFunc = engine.runKernelFunc.bind(engine);
  engine.runKernelFunc = (options) => {
    const before = engine.state.activeTape?.length ?? 0;
    const result = runKernelFunc(options);
    const added = engine.state.activeTape?.slice(before) ?? [];
    for (const node of added) label(node, `${who.at(-1) ?? 'the loss'}, gradient of ${options.kernelName ?? last}`);
    return result;
  };
  restores.push(() => {
    // The prototype's methods were hidden, not replaced.
    delete (engine as Partial<Engine>).runKernel;
    delete (engine as Partial<Engine>).runKernelFunc;
  });

  /** Has the gradient of a node run in the name of its layer and op. */
  const label = (node: TapeNode, name: string): void => {
    const { gradient } = node;
    if (gradient === undefined) return;
    node.gradient = (dys) => {
      const slopes = within(name, () => gradient(dys));
      return Object.fromEntries(Object.entries(slopes).map(([input, slope]) => [input, () => within(name, slope)]));
    };
  };

  for (const layer of layersOf(model)) {
    const { call } = layer;
    const name = layer.getClassName === undefined ? layer.name : `${layer.name} (${layer.getClassName()})`;
    layer.call = (...args) => within(name, () => call.apply(layer, args));
    restores.push(() => delete (layer as Partial<Layer>).call);
  }

  return {
    forward(run) {
      const result = run();
      pass = 'backward';
      return result;
    },
    kernels: () => [...seen].sort(),
    missing: () =>
      [...lacking].map(([kernel, { pass: when, neededBy }]) => ({
        kernel,
        pass: when,
        neededBy: [...neededBy],
        advice: adviceFor(backendName),
      })),
    stop() {
      for (const restore of restores.splice(0)) restore();
    },
  };
}

function layersOf({ layers }: { readonly layers: readonly object[] }): readonly Layer[] {
  return (layers as readonly Layer[]).flatMap((layer) =>
    layer.layers === undefined ? [layer] : layersOf({ layers: layer.layers }),
  );
}

/**
 * Registers the cpu backend's kernel on `backendName`, moving tensors there and back; false when cpu has none either. What
 * WebGPU holds cannot be read at once: there the stand-in computes with zeros, which serves for the shapes.
 */
function standIn(kernelName: string, backendName: string): boolean {
  const kernel = tf.getKernel(kernelName, 'cpu');
  const cpu = tf.findBackend('cpu') as tf.KernelBackend | null;
  if (kernel == null || cpu === null) return false;
  const readable = backendName !== 'webgpu';
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) => {
      const here = backend as tf.KernelBackend;
      const made: object[] = [];
      const copy = (info: tf.TensorInfo): tf.TensorInfo => {
        const values = readable
          ? here.readSync(info.dataId)
          : tf.util.makeZerosTypedArray(tf.util.sizeFromShape(info.shape), info.dtype);
        const dataId = cpu.write(values as tf.BackendValues, info.shape, info.dtype);
        made.push(dataId);
        return { dataId, shape: info.shape, dtype: info.dtype };
      };
      const copies = Array.isArray(inputs)
        ? inputs.map(copy)
        : Object.fromEntries(Object.entries(inputs).map(([name, info]) => [name, info && copy(info)]));
      const results = kernel.kernelFunc({
        inputs: copies as tf.NamedTensorInfoMap,
        backend: cpu,
        ...(attrs && { attrs }),
      });
      const back = (info: tf.TensorInfo): tf.TensorInfo => {
        made.push(info.dataId);
        return { ...info, dataId: here.write(cpu.readSync(info.dataId), info.shape, info.dtype) };
      };
      const moved = Array.isArray(results) ? results.map(back) : back(results);
      for (const dataId of new Set(made)) cpu.disposeData(dataId, true);
      return moved;
    },
  });
  return true;
}

function adviceFor(backendName: string): string {
  const ours = tf.getKernel('PolderBatchNorm', backendName) != null;
  return ours || backendName === 'cpu'
    ? `The ${backendName} backend has no such kernel, ours included: train on another backend, or without this layer.`
    : `Start the backend with startBackend('${backendName}') of @polder/backends, which registers what training needs, or take another one.`;
}
