export { opsTable } from './table.js';
export type { OpCase } from './case.js';
