export { startBackend, type TestBackend } from './backend.js';
export { expectClose, flatten, maxDeviation, type Numbers } from './close.js';
export { expectNoLeak } from './leak.js';
export { lacks, type Requirement } from './requirement.js';
