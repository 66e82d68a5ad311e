import '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { opsTable } from '@polder/ops/conformance';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, it } from 'vitest';
import { registerWasmKernels } from '../src/index.js';

beforeAll(async () => {
  await tf.setBackend('wasm');
  registerWasmKernels();
});

describe('ops on wasm', () => {
  for (const row of opsTable()) it(row.name, row.run);
});
