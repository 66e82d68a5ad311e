import type { Recording } from './recording.js';

/** Which buffer each slot that the run makes is in. Slots that are not needed at the same time share one. */
export interface Placement {
  /** Sizes of the buffers, in bytes. */
  readonly buffers: readonly number[];
  /** Buffer of each slot; undefined for slots that the run does not make. */
  readonly bufferOf: readonly (number | undefined)[];
}

/**
 * Places slots by the dispatches that use them first and last, each into the smallest buffer that is free and large
 * enough. A buffer is free again from the dispatch after the last one that uses it, since none may read and write the
 * same; what the result holds stays to the end.
 */
export function place({ dispatches, slots, outputs }: Recording): Placement {
  const last = new Map<number, number>();
  for (const [i, dispatch] of dispatches.entries()) for (const slot of dispatch.slots) last.set(slot, i);
  for (const { from } of outputs) if (typeof from === 'number') last.set(from, Infinity);

  const buffers: number[] = [];
  const free: number[] = [];
  const bufferOf: (number | undefined)[] = slots.map(() => undefined);
  const take = (bytes: number): number => {
    const fitting = free.filter((buffer) => buffers[buffer]! >= bytes);
    if (fitting.length === 0) return buffers.push(bytes) - 1;
    const best = fitting.reduce((a, b) => (buffers[b]! < buffers[a]! ? b : a));
    free.splice(free.indexOf(best), 1);
    return best;
  };
  for (const [i, dispatch] of dispatches.entries()) {
    for (const slot of dispatch.slots)
      if (slots[slot]!.origin.kind === 'made' && bufferOf[slot] === undefined)
        bufferOf[slot] = take(slots[slot]!.bytes);
    for (const slot of new Set(dispatch.slots)) {
      const buffer = bufferOf[slot];
      if (buffer !== undefined && last.get(slot) === i) free.push(buffer);
    }
  }
  return { buffers, bufferOf };
}
