// Kernels that reduce over the rows of a matrix give each row 1, 8 or 64 threads of a workgroup of 64.

const THREADS = 64;

/** How many threads share a row of this width: no barriers for short rows, no idle threads. */
export function lanesFor(width: number): 1 | 8 | 64 {
  return width <= 16 ? 1 : width <= 128 ? 8 : 64;
}

/** How the rows are laid out over workgroups. */
export function rowGroups(rows: number, lanes: number): number {
  return Math.ceil(rows / (THREADS / lanes));
}

export const ROW_THREADS: number = THREADS;

/**
 * The frame of such a kernel: `body` runs with its `row`, `lane` (0 … lanes − 1) and `end`, which is `width` or, where
 * there is no such row any more, 0, so that loops over columns do nothing; `live` says which. `total(thread, v)` is the sum
 * of vec4s over the row's threads and `largest(thread, v)` the largest number; all threads must call them.
 */
export function overRows(lanes: 1 | 8 | 64, body: string): string {
  const steps = lanes === 1 ? [] : Array.from({ length: Math.log2(lanes) }, (_, i) => lanes >> (i + 1));
  const reduce = (name: string, type: string, combine: (a: string, b: string) => string): string =>
    lanes === 1
      ? `fn ${name}(thread : i32, v : ${type}) -> ${type} { return v; }`
      : `
var<workgroup> of_${name} : array<${type}, ${THREADS}>;
fn ${name}(thread : i32, v : ${type}) -> ${type} {
  workgroupBarrier();
  of_${name}[thread] = v;
  ${steps
    .map(
      (k) => `workgroupBarrier();
  if (thread % ${lanes} < ${k}) { of_${name}[thread] = ${combine(`of_${name}[thread]`, `of_${name}[thread + ${k}]`)}; }`,
    )
    .join('\n  ')}
  workgroupBarrier();
  return of_${name}[thread - thread % ${lanes}];
}`;
  return `${reduce('total', 'vec4<f32>', (a, b) => `${a} + ${b}`)}
${reduce('largest', 'f32', (a, b) => `max(${a}, ${b})`)}
fn main(group : i32, thread : i32) {
  let row = group * ${THREADS / lanes} + thread / ${lanes};
  let lane = thread % ${lanes};
  let live = row < u.rows;
  let end = select(0, u.width, live);
  let base = row * u.width;
  ${body}
}`;
}
