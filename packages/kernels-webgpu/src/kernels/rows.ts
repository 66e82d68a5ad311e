/** Threads that share a row of a matrix. */
export const ROW_THREADS = 64;

/** `total(lane, v)`: the sum of v over the workgroup's threads; `largest(lane, v)`: the largest. All threads must call. */
export const ROW_REDUCTIONS: string = `
var<workgroup> shared_ : array<f32, ${ROW_THREADS}>;
fn total(lane : i32, v : f32) -> f32 {
  shared_[lane] = v;
  for (var k = ${ROW_THREADS / 2}; k > 0; k = k >> 1) {
    workgroupBarrier();
    if (lane < k) { shared_[lane] = shared_[lane] + shared_[lane + k]; }
  }
  workgroupBarrier();
  let sum = shared_[0];
  workgroupBarrier();
  return sum;
}
fn largest(lane : i32, v : f32) -> f32 {
  shared_[lane] = v;
  for (var k = ${ROW_THREADS / 2}; k > 0; k = k >> 1) {
    workgroupBarrier();
    if (lane < k) { shared_[lane] = max(shared_[lane], shared_[lane + k]); }
  }
  workgroupBarrier();
  let top = shared_[0];
  workgroupBarrier();
  return top;
}`;
