/** Bytes of the JavaScript heap that a call takes. Needs --expose-gc and a new space that holds it all. */
import { getHeapStatistics } from 'node:v8';

const ROUNDS = 9;
/** Bytes of the figures that a measurement itself leaves on the heap, at most. */
const OWN_BYTES = 4096;

/** @returns undefined without --expose-gc */
export async function heapBytes(call: () => unknown, calls: number): Promise<number | undefined> {
  const { gc } = globalThis;
  if (gc === undefined) return undefined;
  const found: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < calls; i++) {
      const pending = call();
      if (pending instanceof Promise) await pending;
    }
    gc();
    const before = getHeapStatistics().used_heap_size;
    for (let i = 0; i < calls; i++) {
      const pending = call();
      if (pending instanceof Promise) await pending;
    }
    const bytes = getHeapStatistics().used_heap_size - before;
    found.push(Math.max(0, bytes - OWN_BYTES) / calls);
  }
  // Compilers that are at work allocate too, now and then; calls do so every time.
  return Math.min(...found);
}
