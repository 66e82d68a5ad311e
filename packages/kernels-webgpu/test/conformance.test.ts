import { noWebgpu } from './start.js';
import * as ops from '@polder/ops';
import { opsTable } from '@polder/testkit';
import { describe, it } from 'vitest';

describe.skipIf(noWebgpu)('ops on webgpu', () => {
  for (const row of opsTable(ops)) it(row.name, row.run);
});
