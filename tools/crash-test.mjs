// Kills training runs with SIGKILL at random moments, resumes them, and compares what they end with, byte by byte, with
// the same runs left alone. Real `polder train` and `polder resume`, on the wasm and cpu backends.
// usage: node tools/crash-test.mjs [--kills 20] [--seed N] [--epochs 15] [--break] [--json] [--keep]
//   --epochs  of each run, 16 steps each
//   --break   spoils checkpoints before the runs resume: the test must then report a failure, and exit with 1
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeNet } from './crash-test/net.mjs';
import { build, mustRun, start, startAndKill } from './crash-test/process.mjs';
import { auditCheckpoints, linesOf, resultOf, sabotage } from './crash-test/run-files.mjs';

const { values: options } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Date.now() % 1e6) },
    epochs: { type: 'string', default: '15' },
    break: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
const kills = Number(options.kills);
const seed = Number(options.seed);
const epochs = Number(options.epochs);
if (![kills, seed, epochs].every(Number.isInteger) || kills < 1 || epochs < 3) {
  process.stderr.write(
    'usage: node tools/crash-test.mjs [--kills 20] [--seed N] [--epochs 15] [--break] [--json] [--keep]\n',
  );
  process.exit(2);
}

const stepsPerEpoch = 16;
const steps = stepsPerEpoch * epochs;
const size = ['--data', 'shapes', '--limit-train', '128', '--limit-test', '32', '--batch', '8'];
const common = [...size, '--epochs', `${epochs}`, '--log-every', '1', '--gap-examples', '32'];
const cases = ['wasm', 'cpu'].flatMap((backend) =>
  [
    ['sam', '--policy', 'sam', '--lr', '0.05', '--smoothing', '0.1'],
    ['ssam', '--policy', 'ssam', '--lr', '0.05', '--model-ema', '--mixup', '0.2'],
    ['sasam', '--policy', 'sasam'],
    ['samar', '--policy', 'samar', '--lr', '0.05', '--micro-batches', '2'],
    ['sam on adam', '--policy', 'sam', '--optimizer', 'adam', '--clip-grad', '5'],
  ].map(([name, ...args]) => ({ name, backend, args: [...args, '--backend', backend] })),
);

// A generator of one's own, so that a seed gives the same aims again.
let state = seed >>> 0;
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const between = (low, high) => low + Math.floor(random() * (high - low + 1));

/** Where a run's kills are aimed at: ascending steps, each at a step, at an epoch's end or at a save. */
function aimsFor(count, isFirstCase) {
  return Array.from({ length: count }, (_, i) => {
    const width = Math.floor((steps - 12) / count);
    const drawn = i * width + between(2, width - 1);
    // There must be checkpoints to spoil.
    const step = options.break ? Math.max(drawn, 24) : drawn;
    const at = isFirstCase && i === 0 && !options.break ? 'start' : ['step', 'epoch', 'save'][between(0, 2)];
    const delay = between(0, at === 'save' ? 4 : 25);
    if (at !== 'epoch') return { at, step, delay, stepsPerEpoch };
    const boundary = Math.max(1, Math.floor(step / stepsPerEpoch)) * stepsPerEpoch;
    return { at: 'step', step: boundary, delay: between(0, 6), stepsPerEpoch };
  });
}

const work = mkdtempSync(join(tmpdir(), 'polder-crash-'));
const say = (text) => options.json || process.stdout.write(`${text}\n`);
const note = (text) => options.json && process.stderr.write(`${text}\n`);
const failures = [];
const fail = (run, what) => failures.push({ run, what });

async function crash({ name, backend, args }, index, count) {
  const label = `${name}, ${backend}`;
  const folder = (kind) => join(work, `${kind}-${index}`);
  const train = ['train', ...common, '--seed', `${index}`, '--checkpoint-every', `${between(3, 11)}`, ...args];
  await mustRun([...train, '--model', net, '--run-dir', folder('whole')], work);
  const whole = resultOf(folder('whole'));
  // One row a step and one an evaluation: fewer, and nothing was trained.
  if (!whole.completed || whole.rows !== steps + epochs)
    throw new Error(`${label}: the run left alone has ${whole.rows} rows`);

  const run = folder('killed');
  const events = [];
  for (const [i, aim] of aimsFor(count, index === 0).entries()) {
    const before = resumesOf(run);
    const command = i === 0 ? [...train, '--model', net, '--run-dir', run] : ['resume', run];
    const killed = await startAndKill(command, work, run, aim);
    if (killed.signal !== 'SIGKILL') {
      fail(label, `kill ${i + 1} found the process ended already (${killed.code}): ${killed.stderr.slice(-300)}`);
      break;
    }
    const { count: checkpoints, unreadable } = auditCheckpoints(run);
    if (unreadable.length > 0) fail(label, `unreadable after kill ${i + 1}: ${unreadable.join(', ')}`);
    events.push({
      policy: name,
      backend,
      kill: i + 1,
      ...summaryOf(killed),
      checkpoints,
      unreadable: unreadable.length,
    });
    if (resumesOf(run) < before) fail(label, 'a resume was not recorded');
  }
  const how = ['flip', 'forge', 'drop'][index % 3];
  const spoilt = options.break ? sabotage(run, how) : 0;
  const last = await start(['resume', run], work).done;
  const ended = resultOf(run);
  const equal = { weights: ended.weights === whole.weights, metrics: ended.metrics === whole.metrics };
  if (last.code !== 0) fail(label, `polder resume ended with ${last.code}: ${last.stderr.trim().split('\n').at(-1)}`);
  else if (!ended.completed) fail(label, 'the resumed run is not complete');
  if (!equal.weights) fail(label, `final weights differ: ${ended.weights} instead of ${whole.weights}`);
  if (!equal.metrics) fail(label, 'metrics.jsonl differs');
  const passedOver = last.stderr.split('\n').filter((line) => line.startsWith('passed over')).length;
  const outcome = {
    expected: whole.weights,
    received: ended.weights,
    weightsEqual: equal.weights,
    metricsEqual: equal.metrics,
  };
  const result = events.map((event) => ({ ...event, ...outcome, ...(options.break && { spoilt: how }) }));
  for (const event of result) say(line(event));
  note(`${label}: ${events.length} kills, ${equal.weights && equal.metrics ? 'equal' : 'DIFFERENT'}`);
  return { label, events: result, weights: whole.weights, spoilt, passedOver, resumes: resumesOf(run) };
}

const summaryOf = ({ step, phase, signal }) => ({ step, phase, signal });
const resumesOf = (run) => linesOf(join(run, 'resumes.jsonl')).length;

function line({ policy, backend, kill, step, phase, signal, expected, received, weightsEqual, metricsEqual }) {
  const verdict = weightsEqual && metricsEqual ? 'equal' : 'DIFFERENT';
  const where = `${policy.padEnd(11)} ${backend.padEnd(4)} kill ${kill} at step ${String(step).padStart(3)} ${phase.padEnd(24)}`;
  return `${where} ${signal}  ${expected.slice(0, 12)} ${received.slice(0, 12)}  ${verdict}`;
}

let net;
let results = [];
try {
  build();
  net = await writeNet(join(work, 'net'));
  const shares = cases.map(
    (_, i) => Math.floor((kills * (i + 1)) / cases.length) - Math.floor((kills * i) / cases.length),
  );
  const jobs = cases.map((one, i) => [one, i, shares[i]]).filter(([, , count]) => count > 0);
  // Two at a time: one process waits for the disk while the other computes.
  const lanes = [[], []];
  jobs.forEach((job, i) => lanes[i % 2].push(job));
  const done = await Promise.all(
    lanes.map(async (lane) => {
      const out = [];
      for (const job of lane) out.push(await crash(...job));
      return out;
    }),
  );
  results = done.flat();
} catch (error) {
  fail('crash test', error.message);
} finally {
  if (!options.keep) rmSync(work, { recursive: true, force: true });
}

const events = results.flatMap((result) => result.events);
const equal = events.filter((event) => event.weightsEqual && event.metricsEqual).length;
const unreadable = events.reduce((sum, event) => sum + event.unreadable, 0);
// What would make a pass worthless: too few kills, runs that ended alike, no run that went on from a checkpoint.
if (events.length < kills) fail('crash test', `only ${events.length} of ${kills} kills hit a process`);
if (new Set(results.map(({ weights }) => weights)).size < results.length)
  fail('crash test', 'runs of different policies ended with the same weights');
if (!events.some(({ checkpoints }) => checkpoints > 0)) fail('crash test', 'no kill came after a checkpoint');
if (results.some(({ events: own, resumes }) => resumes !== own.length))
  fail('crash test', 'a run did not resume once for each kill');
if (options.break && results.some(({ spoilt }) => spoilt === 0)) fail('crash test', 'nothing was there to be spoilt');

const ok = failures.length === 0;
if (options.json) {
  process.stdout.write(
    `${JSON.stringify({ ok, seed, kills: events.length, equal, unreadable, failures, events }, null, 2)}\n`,
  );
} else {
  for (const { run, what } of failures) say(`FAIL ${run}: ${what}`);
  say(
    `seed ${seed}: ${events.length} kills, byte-equal ${equal}/${events.length}, ${unreadable} unreadable checkpoints`,
  );
}
process.exitCode = ok ? 0 : 1;
