// Polder's training steps for bench-peers.mjs: a process that stays, on one backend.
// usage: node polder-steps.mjs MODEL BATCH THREADS BACKEND; the protocol is that of torch_steps.py, the layout is ignored.
import { createInterface } from 'node:readline';
import { openWorkload } from '../../packages/cli/dist/bench-variant.js';
import { openBackend } from '../../packages/cli/dist/workbench.js';

const [model, batch, threads, backend] = process.argv.slice(2);
const started = await openBackend(backend, Number(threads));
const workload = openWorkload(model, Number(batch));
const variants = new Map();
for (const policy of ['none', 'sam']) {
  const variant = workload.variant(policy);
  await variant.warmUp();
  variants.set(policy, variant);
}
console.log(
  JSON.stringify({
    reason: started.reason,
    threads: started.threads,
    parameters: workload.parameters,
    capture: [...variants.values()].map((variant) => variant.capture()),
  }),
);
for await (const line of createInterface({ input: process.stdin })) {
  const [policy, , count] = line.split(' ');
  const times = [];
  for (let i = 0; i < Number(count); i += 1) times.push((await variants.get(policy).step()).ms);
  console.log(JSON.stringify(times));
}
process.exit();
