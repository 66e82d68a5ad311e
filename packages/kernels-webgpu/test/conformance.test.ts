import { noWebgpu } from './start.js';
import { opsTable } from '@polder/ops/conformance';
import { describe, it } from 'vitest';

describe.skipIf(noWebgpu)('ops on webgpu', () => {
  for (const row of opsTable()) it(row.name, row.run);
});
