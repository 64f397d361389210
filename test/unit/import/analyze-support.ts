/**
 * An independent reading of what analyze() gives: bags evaluated by the letter of
 * docs/bundle-format.md, the dense graph run by ONNX Runtime, and random inputs for fixtures.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { InferenceSession, Tensor } from 'onnxruntime-node';

import type { AnalyzedModel } from '../../../lib/import/analyze/index.js';
import type { ManifestBag, RaggedInput } from '../../../lib/import/manifest.js';
import { readTensor } from '../../../lib/import/onnx/tensor-data.js';
import type { OnnxTensor } from '../../../lib/import/onnx/types.js';
import { writeOnnxModel } from '../../../lib/import/onnx/write.js';
import { type Array_, count, type Feeds } from './fixture-feeds.js';
import { idOf, isCut } from './id-steps.js';

export const MODELS = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'models');

export type Generator =
  | { kind: 'ids'; low: number; high: number | number[] }
  | { kind: 'padded-ids'; low: number; high: number; pad: number; empty?: boolean }
  | { kind: 'normal' | 'uniform' }
  | { kind: 'offsets' | 'bag-lengths'; of: string }
  | { kind: 'mask'; ids: string }
  | { kind: 'lengths'; high: number }
  | { kind: 'mixed'; dense: number; high: number[] };

export interface FixtureInput {
  name: string;
  dtype: 'int64' | 'int32' | 'float32' | 'bool';
  shape: (number | string)[];
  generator: Generator;
}

export interface ExpectedPool {
  rows: number;
  dim: number;
  pooling: 'sum' | 'mean';
  padding?: number;
  weighted?: boolean;
  ragged?: boolean;
  bags?: number;
}

export interface Fixture {
  name: string;
  file: string;
  family: string;
  batch: number | null;
  inputs: FixtureInput[];
  symbols: Record<string, number>;
  outputs: string[];
  expect: {
    tables: number;
    pooled: ExpectedPool[];
    unpooled: number;
    dense_tables: { rows: number; dim: number; reason: string }[];
    note?: string;
  };
}

export async function readFixtures(): Promise<Fixture[]> {
  return JSON.parse(await readFile(join(MODELS, 'manifest.json'), 'utf8')) as Fixture[];
}

function toTensor({ dtype, dims, data }: Array_): Tensor {
  if (dtype === 'int64') return new Tensor('int64', BigInt64Array.from(data, BigInt), dims);
  if (dtype === 'int32') return new Tensor('int32', Int32Array.from(data), dims);
  if (dtype === 'bool') return new Tensor('bool', Uint8Array.from(data), dims);
  return new Tensor('float32', Float32Array.from(data), dims);
}

function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

async function floats(tensor: OnnxTensor): Promise<number[]> {
  const bytes = await readTensor(tensor);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count(tensor.dims) }, (_, i) => {
    if (tensor.dataType === 10) return half(view.getUint16(i * 2, true));
    return tensor.dataType === 11
      ? Math.fround(view.getFloat64(i * 8, true))
      : view.getFloat32(i * 4, true);
  });
}

export type Outputs = Record<string, { dims: readonly number[]; data: number[] }>;

async function run(session: InferenceSession, feeds: Record<string, Tensor>): Promise<Outputs> {
  const results = await session.run(feeds);
  return Object.fromEntries(
    Object.entries(results).map(([name, tensor]) => [
      name,
      { dims: tensor.dims, data: Array.from(tensor.data as ArrayLike<number | bigint>, Number) },
    ]),
  );
}

const OPTIONS: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  logSeverityLevel: 3,
};

export async function runOriginal(path: string, feeds: Feeds): Promise<Outputs> {
  const session = await InferenceSession.create(path, OPTIONS);
  const given = session.inputNames;
  const tensors = Object.fromEntries(given.map((name) => [name, toTensor(feeds[name] as Array_)]));
  const outputs = await run(session, tensors);
  await session.release();
  return outputs;
}

/** Scores the analysed model, bag by bag and then the dense graph, once for each batch of feeds. */
export async function runLowered(
  lowered: AnalyzedModel,
  batches: readonly { batch: number; feeds: Feeds }[],
): Promise<Outputs[]> {
  const tables = await readTables(lowered);
  const directory = await mkdtemp(join(tmpdir(), 'gyrfalcon-analyze-'));
  try {
    const path = join(directory, 'dense.onnx');
    await writeOnnxModel(lowered.dense, path);
    const session = await InferenceSession.create(path, OPTIONS);
    const out: Outputs[] = [];
    for (const { batch, feeds } of batches) {
      const given: Record<string, Tensor> = {};
      for (const [name, array] of denseArrays(lowered, batch, feeds, tables))
        given[name] = toTensor(array);
      out.push(await run(session, given));
    }
    await session.release();
    return out;
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** The feeds as a bundle has them: the batch in front of each, rows of stacks by themselves. */
function rowByRow(lowered: AnalyzedModel, feeds: Feeds): Feeds {
  const moved = Object.entries(lowered.batchAxes).map(([name, axis]): [string, Array_] => {
    const { dtype, dims, data } = feeds[name] as Array_;
    const rows = dims[axis] as number;
    const inner = count(dims.slice(axis + 1));
    const out: number[] = [];
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < data.length; i++)
        if (Math.floor(i / inner) % rows === row) out.push(data[i] as number);
    }
    return [name, { dtype, dims: [rows, ...dims.filter((_, i) => i !== axis)], data: out }];
  });
  const rows = Object.entries(lowered.stacks).flatMap(([stack, names]) => {
    const { dtype, dims, data } = feeds[stack] as Array_;
    const width = dims[1] as number;
    return names.flatMap((name, row): [string, Array_][] => {
      const part = data.slice(row * width, (row + 1) * width);
      return name === null ? [] : [[name, { dtype, dims: [width], data: part }]];
    });
  });
  return { ...feeds, ...Object.fromEntries([...moved, ...rows]) };
}

type Tables = ReadonlyMap<string, { dim: number; rows: number; data: number[] }>;

export async function readTables(lowered: AnalyzedModel): Promise<Tables> {
  const tables = new Map<string, { dim: number; rows: number; data: number[] }>();
  for (const table of lowered.tables) {
    tables.set(table.name, { dim: table.dim, rows: table.rows, data: await floats(table.tensor) });
  }
  return tables;
}

/** The dense graph's inputs: slots with their bags evaluated, and the inputs it reads itself. */
export function denseArrays(
  lowered: AnalyzedModel,
  batch: number,
  original: Feeds,
  tables: Tables,
): Map<string, Array_> {
  const feeds = rowByRow(lowered, original);
  const slots = fillSlots(lowered, batch, feeds, tables);
  const arrays = new Map<string, Array_>();
  for (const name of lowered.denseInputs) {
    const slot = slots.get(name);
    if (slot !== undefined) {
      arrays.set(name, { dtype: 'float32', dims: slot.dims, data: [...slot.data] });
      continue;
    }
    const input = lowered.inputs.find((other) => other.name === name);
    if (input?.kind !== 'tensor') throw new Error(`dense input ${name} is no tensor input`);
    const feed = feeds[name] as Array_;
    const dtype = input.dtype === 'i32' ? 'int32' : input.dtype === 'i64' ? 'int64' : feed.dtype;
    arrays.set(name, { ...feed, dtype });
  }
  return arrays;
}

function fillSlots(
  lowered: AnalyzedModel,
  batch: number,
  feeds: Feeds,
  tables: Tables,
): Map<string, { data: Float32Array; dims: number[] }> {
  const symbols: Record<string, number> = { batch };
  for (const input of lowered.inputs) {
    if (input.kind !== 'tensor') continue;
    input.shape.forEach((extent, i) => {
      if (typeof extent === 'string')
        symbols[extent] = (feeds[input.name] as Array_).dims[i] as number;
    });
  }
  const size = (extent: number | string): number =>
    typeof extent === 'number' ? extent : (symbols[extent] as number);
  const slots = new Map<string, { data: Float32Array; dims: number[]; filled: Uint8Array }>();
  for (const { name, shape } of lowered.slots) {
    const dims = shape.map(size);
    slots.set(name, {
      dims,
      data: new Float32Array(count(dims)),
      filled: new Uint8Array(count(dims)),
    });
  }
  for (const bag of lowered.bags) {
    const slot = slots.get(bag.slot);
    const table = tables.get(bag.table);
    if (slot === undefined || table === undefined)
      throw new Error(`bag of unknown ${bag.slot} or ${bag.table}`);
    const stride = slot.data.length / batch;
    for (let row = 0; row < batch; row++) {
      const numbers = bagOf(bag, row, lowered, feeds, table, size);
      numbers.forEach((value, i) => {
        const at = row * stride + bag.offset + i;
        if (bag.offset + i >= stride || slot.filled[at] === 1)
          throw new Error(`slot ${bag.slot} is written twice at ${at}`);
        slot.filled[at] = 1;
        slot.data[at] = value;
      });
    }
  }
  for (const [name, slot] of slots)
    if (slot.filled.includes(0)) throw new Error(`slot ${name} has gaps`);
  return slots;
}

function bagOf(
  bag: ManifestBag,
  row: number,
  lowered: AnalyzedModel,
  feeds: Feeds,
  table: { dim: number; rows: number; data: number[] },
  size: (extent: number | string) => number,
): number[] {
  const input = lowered.inputs.find((other) => other.name === bag.input);
  const ids = feeds[bag.input] as Array_;
  const entries: { id: number | undefined; weight: number; add: number }[] = [];
  const lengths = bag.length === undefined ? undefined : (feeds[bag.length.input] as Array_);
  const lengthWidth = count(lengths?.dims.slice(1) ?? []);
  const lengthRow = lengths?.data.slice(row * lengthWidth, (row + 1) * lengthWidth);
  const add = (i: number): number =>
    Array.isArray(bag.add) ? (bag.add[i] as number) : (bag.add ?? 0);
  if (input?.kind === 'ragged') {
    const offsets = offsetsOf(input, feeds);
    const weights =
      bag.weights === true ? (feeds[input.source?.weights ?? ''] as Array_).data : null;
    const end = offsets[row + 1] ?? ids.data.length;
    for (let at = offsets[row] as number; at < end; at++) {
      const id = idOf(bag, ids.data[at] as number);
      entries.push({ id, weight: weights?.[at] ?? 1, add: add(0) });
    }
  } else {
    const width = count(ids.dims.slice(1));
    const n = size(bag.count as number | string);
    for (let i = 0; i < n; i++) {
      const from = bag.start as number;
      const place = (from < 0 ? width + from : from) + i * (bag.step as number);
      if (place >= width) throw new Error(`bag of ${bag.input} reads behind its row`);
      let weight = 1;
      if (typeof bag.weights === 'object') {
        const weights = feeds[bag.weights.input] as Array_;
        weight = weights.data[
          row * count(weights.dims.slice(1)) + bag.weights.start + i * bag.weights.step
        ] as number;
      }
      const held = ids.data[row * width + place] as number;
      const id = isCut(bag, i, lengthRow)
        ? undefined
        : idOf(
            bag,
            held,
            i,
            (element) => ids.data[row * width + ((element + width) % width)] as number,
          );
      entries.push({ id, weight, add: add(i) });
    }
  }
  const vector = ({ id, weight, add: shift }: (typeof entries)[number]): number[] => {
    if (id === undefined) return new Array<number>(table.dim).fill(0);
    const at = id + shift;
    if (!(at >= 0 && at < table.rows))
      throw new Error(`id ${at} of ${bag.input} is outside ${bag.table}`);
    return table.data.slice(at * table.dim, (at + 1) * table.dim).map((value) => value * weight);
  };
  if (bag.pooling === 'none') return entries.flatMap(vector);
  const counted = entries.filter(({ id }) => id !== undefined);
  const sum = new Array<number>(table.dim).fill(0);
  for (const entry of counted)
    vector(entry).forEach((value, d) => {
      sum[d] = (sum[d] as number) + value;
    });
  const divisor = bag.pooling === 'mean' ? Math.max(1, counted.length) : 1;
  return sum.map((value) => value / divisor);
}

/** Starts of a ragged input's rows, perhaps with the end of the last. */
function offsetsOf({ source }: RaggedInput, feeds: Feeds): readonly number[] {
  const given = feeds[source?.offsets ?? source?.lengths ?? ''] as Array_;
  if (source?.lengths === undefined) return given.data;
  const ends = [0];
  for (const length of given.data) ends.push((ends.at(-1) as number) + length);
  return ends;
}

/** Largest difference, relative above 1; NaN equals NaN. */
export function maxDifference(a: Outputs, b: Outputs): number {
  let worst = 0;
  for (const [name, left] of Object.entries(a)) {
    const right = b[name];
    if (right === undefined) return Infinity;
    // A squeeze() of one row loses the original's batch axis, never the bundle's.
    const isScalar = left.dims.length === 0 && right.dims.join() === '1';
    if (right.dims.join() !== left.dims.join() && !isScalar) return Infinity;
    left.data.forEach((value, i) => {
      const other = right.data[i] as number;
      if (Number.isNaN(value) && Number.isNaN(other)) return;
      const difference = Math.abs(value - other) / Math.max(1, Math.abs(value));
      if (!(difference <= worst)) worst = difference;
    });
  }
  return worst;
}

/** What was found, in the words of a fixture's expectation. */
export function summarize(lowered: AnalyzedModel): {
  tables: number;
  pooled: ExpectedPool[];
  unpooled: number;
} {
  const shape = new Map(lowered.tables.map((table) => [table.name, table]));
  const pooled = lowered.bags.flatMap((bag): ExpectedPool[] => {
    const table = shape.get(bag.table);
    if (bag.pooling === 'none' || table === undefined) return [];
    const ragged = lowered.inputs.find((input) => input.name === bag.input)?.kind === 'ragged';
    return [
      {
        rows: table.rows,
        dim: table.dim,
        pooling: bag.pooling,
        ...(bag.padding === undefined ? {} : { padding: bag.padding }),
        ...(bag.weights === undefined ? {} : { weighted: true }),
        ...(ragged ? { ragged } : {}),
      },
    ];
  });
  return { tables: lowered.tables.length, pooled, unpooled: lowered.bags.length - pooled.length };
}
