import * as tf from '@tensorflow/tfjs';
import { statusBytes, type LonePolicy } from './bench-memory.js';
import { openWorkload } from './bench-variant.js';
import { openBackend } from './workbench.js';

// A process of its own, started by residentPeak: its argument is a LonePolicy, its answer one message.

const { model, batch, policy, backend, threads } = JSON.parse(process.argv[2]!) as LonePolicy;
await openBackend(backend, threads);
// The backend's own first allocations, its thread pool's among them.
await tf.tidy(() => tf.sum(tf.matMul(tf.ones([256, 256]), tf.ones([256, 256])))).data();
const before = statusBytes('VmRSS');
const workload = openWorkload(model, batch);
const variant = workload.variant(policy);
await variant.warmUp();
for (let i = 0; i < 3; i += 1) await variant.step();
const peak = statusBytes('VmHWM');
process.send!({ peakBytes: before === undefined || peak === undefined ? null : peak - before }, () =>
  process.disconnect(),
);
