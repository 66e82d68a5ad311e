// PyTorch's training steps beside Polder's on this machine: all processes stay, take turns, and the minimum of each counts.
// usage: npm run bench:peers -- [--model resnet20|resnet18|vit] [--batch N] [--backends tensorflow,wasm] [--threads N]
//        [--rounds N] [--steps N] [--json | --markdown]
// PYTHON names the Python to ask for torch (python3 unless set).
import { spawn, spawnSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'resnet20' },
    batch: { type: 'string' },
    backends: { type: 'string', default: 'tensorflow,wasm' },
    threads: { type: 'string', default: String(availableParallelism()) },
    rounds: { type: 'string', default: '12' },
    steps: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
  },
});
const { model, threads } = values;
const models = ['resnet20', 'resnet18', 'vit'];
if (!models.includes(model)) fail(`--model: expected ${models.join(', ')}, got "${model}".`, 2);
const batch = values.batch ?? (model === 'vit' ? '64' : '128');
const counts = { batch, threads, rounds: values.rounds, steps: values.steps };
for (const [name, text] of Object.entries(counts))
  if (!(Number.isInteger(Number(text)) && Number(text) >= 1))
    fail(`--${name}: expected a whole number above 0, got "${text}".`, 2);
const python = process.env.PYTHON ?? 'python3';
requireTorch();
buildPolder();
const [load] = loadavg();
if (load > availableParallelism() / 2)
  console.error(
    `This machine is busy (load ${load.toFixed(1)}): PyTorch suffers from that most, and no ratio below counts.`,
  );

const args = [model, batch, threads];
const processes = [];
const torch = await open('PyTorch', python, [join(here, 'torch_steps.py'), ...args]);
if (torch === undefined) fail('The PyTorch program did not start, see above.', 1);
for (const backend of values.backends.split(',')) {
  const ours = await open(`Polder, ${backend}`, process.execPath, [join(here, 'polder-steps.mjs'), ...args, backend]);
  if (ours === undefined) console.error(`${backend} is left out: it did not start, see above.`);
  else if (ours.about.parameters !== torch.about.parameters)
    fail(`The networks differ: ${ours.about.parameters} parameters, and PyTorch's ${torch.about.parameters}.`, 1);
}
if (processes.length === 1) fail('None of the backends started.', 1);

/** Milliseconds of every step, by "policy layout", of each process. */
const rows = processes.flatMap((peer) =>
  (peer.about.layouts ?? ['']).flatMap((layout) =>
    ['none', 'sam'].map((policy) => ({ peer, policy, layout: layout === '' ? '-' : layout, times: [] })),
  ),
);
for (let round = 0; round < Number(values.rounds); round += 1) {
  for (const row of rows) {
    row.times.push(...(await row.peer.ask(`${row.policy} ${row.layout} ${values.steps}`)));
    // Threads that spin for a while after their work must not take the next one's cores.
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  console.error(`round ${round + 1} of ${values.rounds}`);
}
for (const peer of processes) peer.close();

const best = rows.map(({ times }) => Math.min(...times));
const torchBest = (policy) => Math.min(...best.filter((_, i) => rows[i].peer === torch && rows[i].policy === policy));
const results = rows.map(({ peer, policy, layout, times }, i) => ({
  program: peer.name,
  policy,
  layout: layout === '-' ? null : layout,
  capture: peer.about.capture?.[policy === 'none' ? 0 : 1] ?? null,
  msPerStepMin: best[i],
  msPerStepMedian: times.toSorted((a, b) => a - b)[times.length >> 1],
  imagesPerSecond: (Number(batch) * 1000) / best[i],
  /** How many times as fast as PyTorch's best layout. */
  ratioToTorch: torchBest(policy) / best[i],
}));
if (values.json)
  console.log(
    JSON.stringify(
      {
        model,
        batch: Number(batch),
        threads: Number(threads),
        parameters: torch.about.parameters,
        torch: torch.about.torch,
        node: process.version,
        processor: cpus()[0]?.model.trim(),
        results,
      },
      null,
      2,
    ),
  );
else printTable();

function printTable() {
  const heads = ['program', 'policy', 'layout', 'ms/step (min)', 'ms/step (median)', 'img/s', 'times PyTorch'];
  const cells = results.map((row) => [
    row.program,
    row.policy,
    row.layout ?? row.capture?.split(':')[0] ?? '',
    row.msPerStepMin.toFixed(1),
    row.msPerStepMedian.toFixed(1),
    row.imagesPerSecond.toFixed(0),
    row.ratioToTorch.toFixed(3),
  ]);
  const title = `${model}, batch ${batch}, ${torch.about.parameters} parameters, ${threads} threads; PyTorch ${torch.about.torch}, Node ${process.version}, ${cpus()[0]?.model.trim()}`;
  console.log(title);
  if (values.markdown) console.log(['', heads, heads.map(() => '---'), ...cells].map(markdownLine).join('\n'));
  else {
    const widths = heads.map((head, i) => Math.max(head.length, ...cells.map((row) => row[i].length)));
    for (const row of [heads, ...cells])
      console.log(row.map((cell, i) => (i < 3 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '));
  }
}

function markdownLine(row) {
  return row === '' ? '' : `| ${row.join(' | ')} |`;
}

/** Starts a process that takes steps when asked; undefined when it ends before it has said what it is. */
async function open(name, command, commandArgs) {
  console.error(`starting ${name}`);
  const child = spawn(command, commandArgs, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    return done ? undefined : JSON.parse(value);
  };
  const about = await next();
  if (about === undefined) return undefined;
  const peer = {
    name,
    about,
    async ask(line) {
      child.stdin.write(`${line}\n`);
      return (await next()) ?? fail(`${name} ended, see above.`, 1);
    },
    close: () => child.stdin.end(),
  };
  processes.push(peer);
  return peer;
}

function requireTorch() {
  const { status, error, stderr } = spawnSync(python, ['-c', 'import torch'], { encoding: 'utf8' });
  if (error !== undefined)
    fail(`There is no ${python}. Install Python 3 with torch, or name one: PYTHON=/path/to/python.`, 1);
  if (status !== 0)
    fail(
      `${python} has no torch (${stderr.trim().split('\n').at(-1)}).\n` +
        'pip install torch, or name a Python that has it: PYTHON=/path/to/python npm run bench:peers',
      1,
    );
}

/** The command brings the built packages up to date. */
function buildPolder() {
  const { status } = spawnSync(process.execPath, [join(here, '../../packages/cli/bin/polder.js'), '--version'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) fail('Polder could not be built, see above.', 1);
}

function fail(message, code) {
  console.error(message);
  process.exit(code);
}
