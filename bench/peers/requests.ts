/** Rings of requests, no two alike, whose rows do not fit the caches together. */
import { FastRandom } from './random.js';
import type { TableShape } from './workloads.js';

export type Access = { readonly kind: 'uniform' } | { readonly kind: 'zipf'; exponent: number };

export interface RequestShape {
  /** Rows of one request. */
  readonly batch: number;
  /** Width of the dense features; 0 without. */
  readonly dense: number;
  readonly tables: readonly TableShape[];
}

export interface Ring {
  readonly batch: number;
  /** Requests. */
  readonly count: number;
  /** [count, batch, width] */
  readonly dense: Float32Array;
  readonly denseWidth: number;
  /** [count, batch, width]: the ids of table after table. */
  readonly ids: Int32Array;
  readonly idWidth: number;
}

const MAX_IDS = 16 << 20;
const MAX_DENSE = 16 << 20;
const MIN_COUNT = 4;
/** Frequent ids should not be neighbours; a prime that divides no size here. */
const SPREAD = 7919;

/** How many requests it takes until they have read `target` bytes of different rows. */
export function ringSize(shape: RequestShape, rowBytes: number, target: number): number {
  const ids = shape.batch * shape.tables.reduce((sum, { hotness }) => sum + hotness, 0);
  const most = Math.max(
    MIN_COUNT,
    Math.min(
      Math.floor(MAX_IDS / ids),
      shape.dense === 0 ? MAX_IDS : Math.floor(MAX_DENSE / (shape.batch * shape.dense)),
    ),
  );
  let count = MIN_COUNT;
  while (count < most && touched(shape, count) * rowBytes < target) {
    count = Math.min(most, Math.ceil(count * 1.5));
  }
  return count;
}

/** Rows that so many requests can read at most. */
function touched({ tables, batch }: RequestShape, count: number): number {
  return tables.reduce(
    (sum, { rows, hotness }) => sum + Math.min(rows, count * batch * hotness),
    0,
  );
}

export function makeRing(shape: RequestShape, count: number, access: Access, seed: number): Ring {
  const random = new FastRandom(seed);
  const { batch, tables, dense: denseWidth } = shape;
  const dense = new Float32Array(count * batch * denseWidth);
  random.fill(dense, Math.sqrt(3));
  const idWidth = tables.reduce((sum, { hotness }) => sum + hotness, 0);
  const ids = new Int32Array(count * batch * idWidth);
  const draws = tables.map(({ rows, hotness }) => ({ hotness, draw: drawIds(rows, access) }));
  let at = 0;
  for (let row = 0; row < count * batch; row++) {
    for (const { hotness, draw } of draws) {
      for (let k = 0; k < hotness; k++) ids[at++] = draw(random.unit());
    }
  }
  return { batch, count, dense, denseWidth, ids, idWidth };
}

/** From a number in [0, 1) to an id. Zipf: the continuous law's inverse, ranks spread over ids. */
export function drawIds(rows: number, access: Access): (unit: number) => number {
  if (access.kind === 'uniform' || rows === 1) return (unit) => Math.floor(unit * rows);
  const power = 1 - access.exponent;
  const flat = Math.abs(power) < 1e-9;
  const top = flat ? 0 : (rows + 1) ** power - 1;
  const spread = rows % SPREAD === 0 ? 1 : SPREAD;
  return (unit) => {
    const rank = flat ? (rows + 1) ** unit : (1 + unit * top) ** (1 / power);
    const index = Math.min(rows - 1, Math.max(0, Math.floor(rank) - 1));
    return (index * spread) % rows;
  };
}

/** Requests that read one row of every page of every table: first touches happen here. */
export function sweepRing(shape: RequestShape, rowBytes: number): Ring {
  const step = Math.max(1, Math.floor(4096 / rowBytes));
  const pages = shape.tables.map(({ rows, hotness }) => Math.ceil(rows / step / hotness));
  const count = Math.ceil(Math.max(...pages) / shape.batch);
  const idWidth = shape.tables.reduce((sum, { hotness }) => sum + hotness, 0);
  const ids = new Int32Array(count * shape.batch * idWidth);
  let at = 0;
  for (let row = 0; row < count * shape.batch; row++) {
    for (const { rows, hotness } of shape.tables) {
      for (let k = 0; k < hotness; k++) ids[at++] = ((row * hotness + k) * step) % rows;
    }
  }
  const dense = new Float32Array(count * shape.batch * shape.dense);
  return { batch: shape.batch, count, dense, denseWidth: shape.dense, ids, idWidth };
}
