/** Random requests that fit a manifest: what every input of some batch rows may hold. */
import { mapId } from './id-map.js';
import type { Extent, Manifest, ManifestBag, RaggedInput, TensorInput } from './manifest.js';

/** How daring the ids are; a model that refuses one is asked again with the next. */
export const SAMPLE_MODES = ['padded', 'inside', 'narrow'] as const;
export type SampleMode = (typeof SAMPLE_MODES)[number];

export interface TensorSample {
  kind: 'tensor';
  /** Row-major, as many as the product of `dims`. */
  values: Float64Array;
  dims: number[];
}

export interface RaggedSample {
  kind: 'ragged';
  indices: Float64Array;
  /** [rows + 1] */
  offsets: Int32Array;
  /** One per index. */
  weights?: Float32Array;
}

export interface Sample {
  rows: number;
  symbols: Record<string, number>;
  inputs: Map<string, TensorSample | RaggedSample>;
}

const PADDING_SHARE = 0.2;
/** Of the numbers that mapped positions try, before one that is surely taken. */
const TRIES = 64;
/** Beyond any table of a test, and exact as f32 and i32. */
const MAX_NUMBER = 2 ** 24;
const MAX_RAGGED_HOTNESS = 6;

/** Numbers from a seed, the same everywhere. */
export class Random {
  private spare: number | undefined;

  constructor(private state: number) {}

  /** In [0, 1); mulberry32. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number in [low, high). */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low));
  }

  /** Standard normal; Box and Muller. */
  normal(): number {
    if (this.spare !== undefined) {
      const value = this.spare;
      this.spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
    const angle = 2 * Math.PI * this.next();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/** `raggedTotals`: ragged inputs that must have a certain number of ids in all. */
export function makeSample(
  manifest: Manifest,
  rows: number,
  symbols: Record<string, number>,
  mode: SampleMode,
  random: Random,
  raggedTotals: ReadonlyMap<string, number> = new Map(),
): Sample {
  const inputs: Sample['inputs'] = new Map();
  const offsets = offsetsOfInputs(manifest, rows, raggedTotals, random);
  for (const input of manifest.inputs) {
    const bags = manifest.bags.filter((bag) => bag.input === input.name);
    inputs.set(
      input.name,
      input.kind === 'ragged'
        ? raggedSample(manifest, input, bags, offsets.get(input.name) as Int32Array, mode, random)
        : tensorSample(manifest, input, bags, rows, symbols, mode, random),
    );
  }
  return { rows, symbols, inputs };
}

/** The size of an extent in one request. */
export function sizeOf(extent: Extent, rows: number, symbols: Record<string, number>): number {
  if (typeof extent === 'number') return extent;
  return extent === 'batch' ? rows : (symbols[extent] ?? 1);
}

/** The ids that all bags on a position accept: [low, high), and paddings that all accept too. */
interface IdRange {
  low: number;
  high: number;
  bags: { low: number; high: number; bag: ManifestBag; at: number }[];
}

function tensorSample(
  manifest: Manifest,
  input: TensorInput,
  bags: readonly ManifestBag[],
  rows: number,
  symbols: Record<string, number>,
  mode: SampleMode,
  random: Random,
): TensorSample {
  const dims = input.shape.map((extent) => sizeOf(extent, rows, symbols));
  const values = new Float64Array(dims.reduce((product, size) => product * size, 1));
  const rowSize = input.shape[0] === 'batch' ? values.length / rows : values.length;
  const ranges = new Map<number, IdRange>();
  const lengths = lengthsOn(manifest, input, rows, symbols);
  for (const bag of bags) {
    const count = sizeOf(bag.count ?? 1, rows, symbols);
    for (let i = 0; i < count; i++) {
      const add = Array.isArray(bag.add) ? (bag.add[i] ?? 0) : (bag.add ?? 0);
      const from = bag.start ?? 0;
      const element = (from < 0 ? rowSize + from : from) + i * (bag.step ?? 1);
      narrow(ranges, element, tableRows(manifest, bag), add, bag, i);
    }
  }
  const plain = plainValue(input.dtype, mode, random);
  for (let i = 0; i < values.length; i++) {
    const range = ranges.get(i % rowSize);
    const longest = lengths.get(i % rowSize);
    if (range !== undefined) values[i] = randomId(range, mode, random);
    else values[i] = longest === undefined ? plain() : random.integer(0, longest + 1);
  }
  return { kind: 'tensor', values, dims };
}

/** By element: how many positions the lengths that an input holds can count. */
function lengthsOn(
  manifest: Manifest,
  input: TensorInput,
  rows: number,
  symbols: Record<string, number>,
): Map<number, number> {
  const lengths = new Map<number, number>();
  for (const { length, count } of manifest.bags) {
    if (length?.input !== input.name) continue;
    const end = (length.from ?? 0) + sizeOf(count ?? 1, rows, symbols);
    lengths.set(length.element, Math.max(end, lengths.get(length.element) ?? 0));
  }
  return lengths;
}

function raggedSample(
  manifest: Manifest,
  input: RaggedInput,
  bags: readonly ManifestBag[],
  offsets: Int32Array,
  mode: SampleMode,
  random: Random,
): RaggedSample {
  const ranges = new Map<number, IdRange>();
  for (const bag of bags) {
    const add = Array.isArray(bag.add) ? (bag.add[0] ?? 0) : (bag.add ?? 0);
    narrow(ranges, 0, tableRows(manifest, bag), add, bag, 0);
  }
  const range = ranges.get(0) ?? { low: 0, high: 1, bags: [] };
  const total = offsets[offsets.length - 1] as number;
  const indices = Float64Array.from({ length: total }, () => randomId(range, mode, random));
  const sample: RaggedSample = { kind: 'ragged', indices, offsets };
  if (input.weights) sample.weights = Float32Array.from({ length: total }, () => random.normal());
  return sample;
}

/** Offsets by ragged input. Inputs that shared one tensor of offsets or lengths in the original share them here. */
function offsetsOfInputs(
  manifest: Manifest,
  rows: number,
  totals: ReadonlyMap<string, number>,
  random: Random,
): Map<string, Int32Array> {
  const bySource = new Map<string, Int32Array>();
  const byInput = new Map<string, Int32Array>();
  for (const input of manifest.inputs) {
    if (input.kind !== 'ragged') continue;
    const source = input.source?.offsets ?? input.source?.lengths;
    const shared = source === undefined ? undefined : bySource.get(source);
    const offsets = shared ?? randomOffsets(rows, totals.get(input.name), random);
    if (source !== undefined) bySource.set(source, offsets);
    byInput.set(input.name, offsets);
  }
  return byInput;
}

/** [rows + 1], with empty rows among them; `total` ids in all, if given. */
function randomOffsets(rows: number, total: number | undefined, random: Random): Int32Array {
  const offsets = new Int32Array(rows + 1);
  if (total !== undefined) {
    for (let row = 1; row < rows; row++) offsets[row] = random.integer(0, total + 1);
    offsets[rows] = total;
    return offsets.sort();
  }
  for (let row = 0; row < rows; row++) {
    const hotness = random.integer(0, MAX_RAGGED_HOTNESS + 1);
    offsets[row + 1] = (offsets[row] as number) + hotness;
  }
  // Some graphs cannot run on no ids at all.
  if (offsets[rows] === 0) offsets[rows] = 1;
  return offsets;
}

function tableRows(manifest: Manifest, bag: ManifestBag): number {
  return manifest.tables.find((table) => table.name === bag.table)?.rows ?? 1;
}

function narrow(
  ranges: Map<number, IdRange>,
  position: number,
  rows: number,
  add: number,
  bag: ManifestBag,
  at: number,
): void {
  const high = rows - add;
  // Ids below 0 are only natural where nothing else reaches the table.
  const low = high > 0 ? Math.max(0, -add) : -add;
  const range = ranges.get(position) ?? { low, high, bags: [] };
  range.low = Math.max(range.low, low);
  range.high = Math.min(range.high, high);
  range.bags.push({ low, high, bag, at });
  ranges.set(position, range);
}

function randomId(range: IdRange, mode: SampleMode, random: Random): number {
  if (range.bags.some(({ bag }) => bag.map !== undefined)) return randomMapped(range, mode, random);
  if (mode === 'padded' && random.next() < PADDING_SHARE) {
    const { padding } = range.bags[random.integer(0, range.bags.length)]?.bag ?? {};
    const accepted = ({ low, high, bag }: IdRange['bags'][number]): boolean =>
      bag.padding === padding || (padding !== undefined && padding >= low && padding < high);
    if (padding !== undefined && range.bags.every(accepted)) return padding;
  }
  const high = mode === 'narrow' ? Math.min(range.high, range.low + 2) : range.high;
  return high <= range.low ? range.low : random.integer(range.low, high);
}

/** A number that all bags of a position map to a row, or leave out; small, large or negative. */
function randomMapped(range: IdRange, mode: SampleMode, random: Random): number {
  const accepted = (number: number): boolean =>
    range.bags.every(({ low, high, bag, at }) => {
      const id = mapId(bag.map ?? [], number, at);
      const compared = bag.paddingOf === 'id' ? id : number;
      if (compared === bag.padding) return mode === 'padded';
      return id >= low && id < high;
    });
  for (let i = 0; i < TRIES; i++) {
    const scale = [range.high, 4 * range.high, mode === 'narrow' ? 2 : MAX_NUMBER][i % 3] as number;
    const sign = mode === 'padded' && random.next() < PADDING_SHARE ? -1 : 1;
    const number = sign * random.integer(0, Math.min(Math.max(scale, 2), MAX_NUMBER));
    if (accepted(number)) return number;
  }
  return Math.max(0, range.low);
}

/** Values for positions that no bag reads: the dense graph's own inputs. */
function plainValue(dtype: TensorInput['dtype'], mode: SampleMode, random: Random): () => number {
  switch (dtype) {
    case 'f32':
    case 'f64':
      return () => random.normal();
    case 'f16':
    case 'bf16':
      // Eighths between -2 and 2 have the same value in both.
      return () => random.integer(-16, 17) / 8;
    case 'bool':
      return () => random.integer(0, 2);
    default:
      // Integers may be ids of a table that stayed in the graph, of any size.
      return () => (mode === 'narrow' ? 0 : random.integer(0, 2));
  }
}
