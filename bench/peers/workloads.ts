/** The reference workloads: what is looked up, and the network behind it. */

export interface TableShape {
  readonly rows: number;
  /** Ids of one row of a request. */
  readonly hotness: number;
}

/** How embeddings and the bottom network's output become the top network's input. */
export type Interaction =
  /** Pairwise dot products, lower triangle, after the bottom's output. */
  | 'dot'
  /** Side by side. */
  | 'concat'
  /** Side by side, then low-rank cross layers. */
  | 'cross'
  /** Nothing but the lookups. */
  | 'none';

export interface Workload {
  readonly name: string;
  readonly dim: number;
  readonly tables: readonly TableShape[];
  /** Widths, the dense features' first; empty without dense features. */
  readonly bottom: readonly number[];
  /** Widths behind the interaction. */
  readonly top: readonly number[];
  readonly interaction: Interaction;
  readonly cross?: { readonly layers: number; readonly rank: number };
}

/** Criteo's tables, as the Kaggle challenge has them. */
const CRITEO = [
  1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194, 27, 14992,
  5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
];
const DCN_HOTNESS = [
  3, 2, 1, 2, 6, 1, 1, 1, 1, 7, 3, 8, 1, 6, 9, 5, 1, 1, 1, 12, 100, 27, 10, 3, 1, 1,
];
const TEN_MILLION = 10_000_000;

const single = (rows: readonly number[]): TableShape[] =>
  rows.map((size) => ({ rows: Math.min(size, TEN_MILLION), hotness: 1 }));
const alike = (count: number, rows: number, hotness: number): TableShape[] =>
  Array.from({ length: count }, () => ({ rows, hotness }));

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'kaggle',
    dim: 16,
    tables: CRITEO.map((rows) => ({ rows, hotness: 1 })),
    bottom: [13, 512, 256, 64, 16],
    top: [512, 256, 1],
    interaction: 'dot',
  },
  {
    name: 'terabyte64',
    dim: 64,
    tables: single(CRITEO),
    bottom: [13, 512, 256, 64],
    top: [512, 512, 256, 1],
    interaction: 'dot',
  },
  {
    name: 'dcnv2',
    dim: 128,
    tables: CRITEO.map((rows, i) => ({
      rows: Math.min(rows, TEN_MILLION),
      hotness: DCN_HOTNESS[i] ?? 1,
    })),
    bottom: [13, 512, 256, 128],
    top: [1024, 1024, 512, 256, 1],
    interaction: 'cross',
    cross: { layers: 3, rank: 512 },
  },
  // Ids are per table, as in the paper that the three come from (Gupta et al., DeepRecSys, 2020).
  {
    name: 'rm1',
    dim: 32,
    tables: alike(8, 4_000_000, 80),
    bottom: [128, 64, 32],
    top: [256, 64, 1],
    interaction: 'concat',
  },
  {
    name: 'rm2',
    dim: 64,
    tables: alike(32, 500_000, 120),
    bottom: [256, 128, 64],
    top: [128, 64, 1],
    interaction: 'concat',
  },
  {
    name: 'rm3',
    dim: 32,
    tables: alike(10, 2_000_000, 20),
    bottom: [2560, 1024, 256, 32],
    top: [512, 256, 1],
    interaction: 'concat',
  },
  {
    name: 'lookup26',
    dim: 64,
    tables: single(CRITEO),
    bottom: [],
    top: [],
    interaction: 'none',
  },
];

/** One table, bags of a fixed number of ids. */
export interface BagWorkload {
  readonly name: string;
  readonly storage: 'f32' | 'int8' | 'int4';
  readonly dim: number;
  readonly hotness: number;
}

export const BAGS: readonly BagWorkload[] = [
  { name: 'bag-f32-64', storage: 'f32', dim: 64, hotness: 20 },
  { name: 'bag-f32-128', storage: 'f32', dim: 128, hotness: 20 },
  { name: 'bag-int8-64', storage: 'int8', dim: 64, hotness: 20 },
  { name: 'bag-int8-128', storage: 'int8', dim: 128, hotness: 20 },
  { name: 'bag-int4-128', storage: 'int4', dim: 128, hotness: 20 },
];

export function rowBytes(storage: string, dim: number): number {
  switch (storage) {
    case 'int8':
      return dim + 8;
    case 'int4':
      return Math.ceil(dim / 2) + 4;
    case 'f16':
    case 'bf16':
      return 2 * dim;
    default:
      return 4 * dim;
  }
}

export function idsPerRow(workload: Pick<Workload, 'tables'>): number {
  return workload.tables.reduce((sum, { hotness }) => sum + hotness, 0);
}

/** f32 bytes of all tables. */
export function tableBytes(workload: Workload): number {
  return workload.tables.reduce((sum, { rows }) => sum + rows * workload.dim * 4, 0);
}

/**
 * The same workload with tables of at most so many rows that all fit `bytes`; small ones stay.
 * @returns also the largest number of rows, where it was lowered
 */
export function capTables(
  workload: Workload,
  bytes: number,
): { workload: Workload; cap: number | null } {
  if (tableBytes(workload) <= bytes) return { workload, cap: null };
  const capped = (cap: number): Workload => ({
    ...workload,
    tables: workload.tables.map(({ rows, hotness }) => ({ rows: Math.min(rows, cap), hotness })),
  });
  let low = 1;
  let high = Math.max(...workload.tables.map(({ rows }) => rows));
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (tableBytes(capped(middle)) <= bytes) low = middle;
    else high = middle - 1;
  }
  return { workload: capped(low), cap: low };
}
