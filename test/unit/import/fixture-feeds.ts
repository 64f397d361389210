/** Random inputs for fixtures, by the generators that test/models/README.md states. */
import type { Fixture, FixtureInput } from './analyze-support.js';

export interface Array_ {
  dtype: FixtureInput['dtype'];
  dims: number[];
  data: number[];
}
export type Feeds = Record<string, Array_>;

/** Random numbers in [0, 1) that a seed determines (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const count = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

function differences(starts: readonly number[]): number[] {
  return starts.slice(1).map((end, row) => end - (starts[row] as number));
}

/** Inputs by the generators of the fixtures' manifest, for a batch size. */
export function makeFeeds(fixture: Fixture, batch: number, seed: number): Feeds {
  const next = random(seed);
  const whole = (low: number, high: number): number => low + Math.floor(next() * (high - low));
  const sizes: Record<string, number> = { ...fixture.symbols, batch, 'batch+1': batch + 1 };
  const feeds: Feeds = {};
  for (const input of fixture.inputs) {
    if (input.generator.kind !== 'offsets' && input.generator.kind !== 'bag-lengths') continue;
    const { of } = input.generator;
    const target = fixture.inputs.find((other) => other.name === of);
    const extent = target?.shape[target.shape.length - 1];
    let starts = [0];
    for (let row = 0; row < batch; row++)
      starts.push((starts[row] as number) + (row === 0 ? 3 : whole(0, 5)));
    if (typeof extent === 'number') {
      starts = [
        0,
        ...Array.from({ length: batch - 1 }, () => whole(0, extent)).sort((a, b) => a - b),
        extent,
      ];
    } else sizes[extent as string] = starts[batch] as number;
    if (input.generator.kind === 'bag-lengths') starts = differences(starts);
    else if (input.shape[input.shape.length - 1] !== 'batch+1') starts = starts.slice(0, -1);
    const rows = input.shape.length === 2 ? (input.shape[0] as number) : 1;
    const data = Array.from({ length: rows }, () => starts).flat();
    feeds[input.name] = {
      dtype: input.dtype,
      dims: input.shape.length === 2 ? [rows, starts.length] : [starts.length],
      data,
    };
  }
  const order = [...fixture.inputs].sort(
    (a, b) => Number(a.generator.kind === 'mask') - Number(b.generator.kind === 'mask'),
  );
  for (const { name, dtype, shape, generator } of order) {
    if (feeds[name] !== undefined) continue;
    const dims = shape.map((extent) =>
      typeof extent === 'number' ? extent : (sizes[extent] as number),
    );
    const n = count(dims);
    const width = dims[dims.length - 1] ?? 1;
    const prefix = (): boolean[] => {
      const keep: boolean[] = [];
      for (let row = 0; row * width < n; row++) {
        const length =
          row === 1 && !(generator.kind === 'padded-ids' && generator.empty === false)
            ? 0
            : whole(1, width + 1);
        for (let i = 0; i < width; i++) keep.push(i < length);
      }
      return keep;
    };
    const at = (i: number): number => {
      switch (generator.kind) {
        case 'ids':
          return whole(
            generator.low,
            Array.isArray(generator.high) ? (generator.high[i % width] as number) : generator.high,
          );
        case 'padded-ids':
          return whole(generator.low, generator.high);
        case 'lengths':
          return whole(1, generator.high + 1);
        case 'mixed':
          return i % width < generator.dense
            ? next() * 2 - 1
            : whole(0, generator.high[(i % width) - generator.dense] as number);
        default:
          return (
            next() * (generator.kind === 'normal' ? 4 : 1) - (generator.kind === 'normal' ? 2 : 0)
          );
      }
    };
    let data = Array.from({ length: n }, (_, i) => at(i));
    if (generator.kind === 'padded-ids') {
      const keep = prefix();
      data = data.map((value, i) => (keep[i] ? value : generator.pad));
    }
    if (generator.kind === 'mask') {
      data = (
        generator.ids === 'lengths'
          ? prefix()
          : (feeds[generator.ids] as Array_).data.map((id) => id !== 0)
      ).map(Number);
    }
    feeds[name] = { dtype, dims, data: dtype === 'float32' ? data.map(Math.fround) : data };
  }
  return feeds;
}
