import { spawn } from 'node:child_process';
import { beforeAll, expect, it } from 'vitest';
import { buildFirst } from './polder.js';

beforeAll(buildFirst, 300_000);

/** Trains ResNet-8 with SSAM for four steps in a process of its own, and hashes rows and weights. */
// Not as a module: the worker threads of tfjs would take their code for one too.
const program = `(async () => {
  const [{ startBackend }, { policyById }, { sgd, cosine }, { createModel }, { flip, paddedCrop, shapes }, trainer, { createHash }] =
    await Promise.all(['@polder/backends', '@polder/experiments', '@polder/core', '@polder/models', '@polder/data', '@polder/trainer', 'node:crypto']
      .map((name) => import(name)));
  const threads = Number(process.argv[1]);
  const started = await startBackend('wasm', { threads });
  if (started.threads !== threads) throw new Error('runs on ' + started.threads + ' threads');
  const { train, test } = shapes({ train: 64, test: 16, seed: 0 });
  const model = createModel('resnet8', { classes: 10, inputShape: [32, 32, 3], seed: 3 });
  const hash = createHash('sha256');
  await trainer.fit({
    model, train, test, batchSize: 32, epochs: 2, seed: 3, augment: [flip(), paddedCrop(4)],
    policy: policyById('ssam', { rho: 0.05 }), learningRate: cosine({ initial: 0.1, steps: 4 }), logEvery: 1,
    optimizer: (learningRate) => sgd({ learningRate, momentum: 0.9, weightDecay: 5e-4 }),
    samGap: { examples: 16 },
    onMetrics: (row) => hash.update(JSON.stringify(row)),
  });
  const metadata = { model: 'resnet8', classes: 10, inputShape: [32, 32, 3], seed: 3, step: 4 };
  hash.update(await trainer.encodeCheckpoint(model, metadata));
  console.log(hash.digest('hex'));
  process.exit(0);
})();`;

function train(threads: number): Promise<string> {
  const args = ['--eval', program, '--', `${threads}`];
  const child = spawn(process.execPath, args, { cwd: import.meta.dirname });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((done, failed) => {
    child.once('close', (code) => (code === 0 ? done(stdout.trim()) : failed(new Error(stderr))));
  });
}

it(
  'the same seed gives the same bytes on wasm, in every process and on any number of threads',
  { timeout: 300_000 },
  async () => {
    const first = await train(1);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await train(2)).toBe(first);
    expect(await train(3)).toBe(first);
  },
);
