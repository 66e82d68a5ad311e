import '@tensorflow/tfjs';
import * as ops from '@polder/ops';
import { opsTable } from '@polder/ops/conformance';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, it } from 'vitest';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

for (const reference of [false, true]) {
  describe(`ops on cpu, ${ops.REFERENCE_OPS_FLAG} = ${reference}`, () => {
    beforeAll(() => tf.env().set(ops.REFERENCE_OPS_FLAG, reference));
    afterAll(() => tf.env().set(ops.REFERENCE_OPS_FLAG, false));
    for (const row of opsTable()) it(row.name, row.run);
  });
}
