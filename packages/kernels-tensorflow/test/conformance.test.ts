import { opsTable } from '@polder/ops/conformance';
import { beforeAll, describe, it } from 'vitest';
import { noTensorflow, start } from './start.js';

beforeAll(start);

describe.skipIf(noTensorflow)('ops on tensorflow', () => {
  for (const row of opsTable()) it(row.name, row.run);
});
