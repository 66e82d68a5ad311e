import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { POLICIES, serveSide, SIDES, STEPS, type EngineId, type Opened, type PolicyId, type Side } from './side.js';

// The program of the folder that `npm run bench:bundle` makes: a training step of a residual network, through our kernels
// and replayed, through our kernels and tfjs, and on the stock backend, taking turns.

const { values } = parseArgs({
  options: {
    depth: { type: 'string', default: '20' },
    batch: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '15' },
    'allow-software': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    /** The program calls itself with it, once per side. */
    side: { type: 'string' },
  },
});
const [depth, batch, rounds] = [values.depth, values.batch, values.rounds].map(Number) as [number, number, number];
const allowSoftware = values['allow-software'];

interface Row {
  readonly policy: PolicyId;
  readonly engine: EngineId;
  readonly execution: string;
  readonly msPerStepMin: number;
  readonly imagesPerSecond: number;
  readonly fasterThanStock: number;
  readonly ratioToPlain: number;
}

async function main(): Promise<number> {
  const children = Object.fromEntries(
    (Object.keys(SIDES) as Side[]).map((side) => [
      side,
      fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), '--side', side]),
    ]),
  ) as Record<Side, ChildProcess>;
  try {
    return await compare(children);
  } finally {
    for (const child of Object.values(children)) child.kill();
  }
}

async function compare(children: Readonly<Record<Side, ChildProcess>>): Promise<number> {
  const ours = await ask<Opened>(children.ours, 'open');
  if (ours.unavailable || (ours.adapter === '' && !allowSoftware)) {
    say(ours.adapter || 'The adapter does not say what it is; it may be a program on the processor.');
    return 2;
  }
  say(`adapter  ${ours.adapter || 'unnamed'}`);
  say(`node     ${process.version}, ResNet-${depth}, batch ${batch}, minimum of ${rounds} rounds of ${STEPS} steps`);
  const stock = await ask<Opened>(children.stock, 'open');
  const variants = (['stock', 'ours'] as const).flatMap((side) =>
    (side === 'stock' ? stock : ours).variants.map((variant, number) => ({ ...variant, side, number })),
  );
  for (const { policy, engine, execution } of variants) say(`warm     ${policy} ${engine}: ${execution}`);
  const deviation = largestDeviation(variants);
  say(`losses   differ by ${deviation.toExponential(1)} at most, relative, from those of the stock backend`);

  const times = variants.map(() => Infinity);
  for (let round = 0; round < rounds; round++)
    for (const [i, { side, number }] of variants.entries())
      times[i] = Math.min(times[i]!, await ask<number>(children[side], number));
  await ask(children.ours, 'check'); // what the GPU refused would make every number meaningless
  const of = (policy: PolicyId, engine: EngineId): number =>
    times[variants.findIndex((v) => v.policy === policy && v.engine === engine)]!;
  const rows = variants.map(({ policy, engine, execution }, i): Row => ({
    policy,
    engine,
    execution,
    msPerStepMin: times[i]!,
    imagesPerSecond: (1000 * batch) / times[i]!,
    fasterThanStock: of(policy, 'stock') / times[i]!,
    ratioToPlain: times[i]! / of('none', engine),
  }));
  for (const row of rows) say(lineOf(row));
  if (values.json)
    process.stdout.write(`${JSON.stringify({ adapter: ours.adapter, depth, batch, rounds, deviation, rows })}\n`);
  return 0;
}

/** Sends a message to a side and waits for its answer. */
function ask<T>(child: ChildProcess, message: string | number): Promise<T> {
  return new Promise((resolve, reject) => {
    const exited = (code: number | null): void => reject(new Error(`a side ended with exit code ${code}`));
    child.once('exit', exited);
    child.once('message', (answer: { readonly value: T; readonly error?: string }) => {
      child.off('exit', exited);
      if (answer.error === undefined) resolve(answer.value);
      else reject(new Error(answer.error));
    });
    child.send(message);
  });
}

function largestDeviation(variants: Opened['variants']): number {
  return Math.max(
    ...POLICIES.flatMap((policy) => {
      const same = variants.filter((variant) => variant.policy === policy);
      const { losses } = same.find(({ engine }) => engine === 'stock')!;
      return same.flatMap((variant) => variant.losses.map((loss, i) => Math.abs(loss / losses[i]! - 1)));
    }),
  );
}

function lineOf({ policy, engine, msPerStepMin, imagesPerSecond, fasterThanStock, ratioToPlain }: Row): string {
  return [
    policy.padEnd(4),
    engine.padEnd(7),
    `${msPerStepMin.toFixed(2).padStart(10)} ms/step`,
    `${imagesPerSecond.toFixed(1).padStart(9)} images/s`,
    `${fasterThanStock.toFixed(2).padStart(6)} × stock`,
    `${ratioToPlain.toFixed(2).padStart(5)} × plain`,
  ].join(' ');
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

if (values.side !== undefined) await serveSide({ side: values.side as Side, depth, batch, allowSoftware });
else
  try {
    process.exitCode = await main();
  } catch (error) {
    say(String((error as Error).stack ?? error));
    process.exitCode = 1;
  }
