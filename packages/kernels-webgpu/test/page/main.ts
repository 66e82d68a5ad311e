import * as tf from '@tensorflow/tfjs';
import { sam, sgd, trainStep } from '@polder/core';
import * as ops from '@polder/ops';
import { opsTable } from '@polder/ops/conformance';
import { currentBackend } from '../../src/backend.js';
import { startWebgpu } from '../../src/index.js';

// What chromium.test.ts reads when the page is done.
interface PageResult {
  readonly refused: string;
  readonly adapter: string;
  readonly rows: number;
  readonly failures: readonly string[];
  readonly captured: readonly string[];
  readonly sameBits: boolean;
  readonly workError: string;
  readonly readError: string;
  readonly lostError: string;
}

const named = (error: unknown): string => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));
const errorOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
  } catch (error) {
    return named(error);
  }
  return 'no error';
};

/** Weights after some steps of SAM, and how the last step was run. */
async function train(capture: boolean): Promise<{ readonly weights: readonly number[]; readonly mode: string }> {
  const initial = tf.tensor4d(
    Float32Array.from({ length: 3 * 3 * 2 * 4 }, (_, i) => Math.sin(i)),
    [3, 3, 2, 4],
  );
  const filter = tf.variable(initial);
  const step = trainStep({
    variables: [filter],
    policy: sam({ rho: 0.1 }),
    optimizer: sgd({ learningRate: 0.1, momentum: 0.9 }),
    capture,
    loss: (x: tf.Tensor4D) =>
      tf.mean(tf.square(ops.conv2d(x, filter as unknown as tf.Tensor4D, { padding: 1 }))) as tf.Scalar,
  });
  for (let i = 0; i < 6; i++) {
    const x = tf.tensor4d(
      Float32Array.from({ length: 2 * 5 * 5 * 2 }, (_, j) => Math.cos(i + 3 * j)),
      [2, 5, 5, 2],
    );
    const { loss, finite, metrics } = step(x);
    tf.dispose([x, loss, finite, metrics]);
  }
  const weights = [...(await filter.data())];
  const { mode } = step.execution;
  step.dispose();
  tf.dispose([initial, filter]);
  return { weights, mode };
}

async function run(): Promise<PageResult> {
  const refused = await errorOf(() => startWebgpu());
  const { reason } = await startWebgpu({ allowSoftware: true });
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  const failures: string[] = [];
  // The shaders are those of Node, where all rows run: here some of every op, to save the time of compiling them.
  const rows = opsTable().filter((_, i) => i % 5 === 0);
  for (const row of rows) {
    try {
      await row.run();
    } catch (error) {
      failures.push(`${row.name}: ${named(error)}`);
    }
  }
  const [captured, eager] = [await train(true), await train(false)];
  const broken = {
    variableNames: [],
    outputShape: [4],
    workgroupSize: [64, 1, 1] as [number, number, number],
    dispatch: [1, 1, 1] as [number, number, number],
    dispatchLayout: { x: [0] },
    shaderKey: 'brokenForPage',
    getUserCode: () => 'fn main(index : i32) { result[index] = nothing[index]; }',
  };
  const bad = tf.engine().makeTensorFromTensorInfo(currentBackend().runWebGPUProgram(broken, [], 'float32'));
  const workError = await errorOf(() => bad.data());
  const good = tf.square(tf.tensor1d([1, 2, 3]));
  const readError = await errorOf(() => good.dataSync());
  if ([...(await good.data())].join() !== '1,4,9') failures.push('a read after an error');
  const last = tf.square(tf.tensor1d([1, 2, 3]));
  const pending = last.data();
  currentBackend().device.destroy();
  const lostError = await errorOf(() => pending);
  return {
    refused,
    adapter: reason,
    rows: rows.length,
    failures,
    captured: [captured.mode, eager.mode],
    sameBits: captured.weights.every((w, i) => Object.is(w, eager.weights[i])),
    workError,
    readError,
    lostError,
  };
}

run().then(
  (result) => Object.assign(globalThis, { result }),
  (error: unknown) => Object.assign(globalThis, { result: { failures: [named(error)] } }),
);
