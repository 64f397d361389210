/** Requests made beforehand: rows of one large random sample. */
import type { Batch } from '../batch.js';
import { GyrfalconError } from '../errors.js';
import type { Manifest } from '../import/manifest.js';
import { type TensorData, toTensorData } from '../import/tensor-values.js';
import { makeSample, type Random, sizeOf } from '../import/verify-sample.js';

const POOL_ROWS = 65_536;
const POOL_ELEMENTS = 2 ** 23;
/** For free sizes without a default. */
const DEFAULT_SIZE = 16;
const LEAST_REQUESTS = 4;
/** The values of one request. */
const MOST_VALUES = 2 ** 28;

interface Prepared {
  readonly name: string;
  readonly data: TensorData;
  /** Elements of one row; 0: the same for every request. */
  readonly width: number;
  readonly offsets?: Int32Array;
  readonly weights?: Float32Array | undefined;
}

export interface RequestPool {
  readonly count: number;
  /** Options of a batch that every request fits. */
  readonly batch: { symbols: Record<string, number>; indices: Record<string, number> };
  /** Copies request `index` into the batch. */
  fill(batch: Batch, index: number): void;
}

export function makePool(
  manifest: Manifest,
  rows: number,
  dims: Readonly<Record<string, number>>,
  random: Random,
): RequestPool {
  const symbols: Record<string, number> = {};
  for (const [name, size] of Object.entries(manifest.symbols)) {
    symbols[name] = dims[name] ?? size ?? DEFAULT_SIZE;
  }
  const elements = manifest.inputs.reduce((sum, input) => {
    if (input.kind === 'ragged') return sum + 1;
    return sum + input.shape.reduce<number>((size, e) => size * sizeOf(e, 1, symbols), 1);
  }, 1);
  if (elements * rows > MOST_VALUES) {
    throw new GyrfalconError(
      'LIMIT_EXCEEDED',
      `expected at most ${MOST_VALUES} input values in a request but received ${elements * rows}`,
    );
  }
  const fit = Math.floor(Math.min(POOL_ROWS, POOL_ELEMENTS / elements) / rows);
  const least = Math.min(LEAST_REQUESTS, Math.floor((4 * POOL_ELEMENTS) / (elements * rows)));
  const count = Math.max(1, least, fit);
  const sample = makeSample(manifest, count * rows, symbols, 'inside', random);
  const prepared: Prepared[] = manifest.inputs.map((input) => {
    const value = sample.inputs.get(input.name);
    if (value?.kind === 'ragged') {
      const { indices, offsets, weights } = value;
      const data = toTensorData(input.dtype, indices);
      return { name: input.name, data, width: 0, offsets, weights };
    }
    const data = toTensorData(input.dtype, value?.values ?? []);
    const perRow = input.kind === 'tensor' && input.shape[0] === 'batch';
    return { name: input.name, data, width: perRow ? data.length / (count * rows) : 0 };
  });
  const indices: Record<string, number> = {};
  for (const { name, offsets } of prepared) {
    if (offsets === undefined) continue;
    for (let row = 0; row < count * rows; row += rows) {
      const ids = (offsets[row + rows] ?? 0) - (offsets[row] ?? 0);
      indices[name] = Math.max(indices[name] ?? 1, ids);
    }
  }
  return {
    count,
    batch: { symbols, indices },
    fill: (batch, index) => {
      const first = (index % count) * rows;
      for (const input of prepared) put(batch, input, first, rows);
    },
  };
}

function put(batch: Batch, input: Prepared, first: number, rows: number): void {
  const { name, data, width, offsets, weights } = input;
  const target = batch.inputs[name];
  if (target === undefined) return;
  if (offsets === undefined) {
    target.set(width === 0 ? data : data.subarray(first * width, (first + rows) * width));
    return;
  }
  const from = offsets[first] ?? 0;
  const to = offsets[first + rows] ?? 0;
  target.indices.set(data.subarray(from, to));
  for (let row = 0; row <= rows; row++) target.offsets[row] = (offsets[first + row] ?? 0) - from;
  if (weights !== undefined) target.weights.set(weights.subarray(from, to));
}
