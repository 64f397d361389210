/** What the comparisons have to reach, and whether they do. */
import type { Cell, Result } from './result.js';

export interface Goal {
  readonly work: string;
  readonly peer: string;
  /** How many times faster than the peer we have to be. */
  readonly least: number;
  readonly select: (cell: Cell) => boolean;
}

export interface GoalResult {
  readonly work: string;
  readonly peer: string;
  readonly least: number;
  /** The worst of the cells that the goal covers; absent where none was measured. */
  readonly worst?: Cell;
  readonly cells: number;
  readonly met: boolean | null;
}

interface Row {
  readonly workload: string;
  readonly variant: string;
  readonly peer: string;
  readonly batch?: number;
  readonly threads?: number;
}

function goal(least: number, row: Row, work: string): Goal {
  const keys = Object.entries(row) as [keyof Row, string | number][];
  return {
    work,
    peer: row.peer,
    least,
    select: (cell) => keys.every(([key, value]) => cell[key] === value),
  };
}

function models(
  workload: string,
  variant: string,
  batches: readonly number[],
  least: readonly number[],
): Goal[] {
  return batches.map((batch, i) =>
    goal(
      least[i] ?? 1,
      { workload, variant, peer: 'onnxruntime-node', batch },
      `${workload}, ${variant}, batch ${batch}`,
    ),
  );
}

function bag(workload: string, variant: string, least: number, threads?: number): Goal {
  const row = { workload, variant, peer: 'torch', ...(threads === undefined ? {} : { threads }) };
  return goal(least, row, threads === undefined ? workload : `${workload}, ${threads} threads`);
}

const BATCHES = [1, 16, 128, 512];

export const GOALS: readonly Goal[] = [
  bag('bag-f32-64', 'f32', 1.5),
  bag('bag-f32-128', 'f32', 1.5),
  bag('bag-int8-64', 'int8', 1.8),
  bag('bag-int8-128', 'int8', 1.8),
  bag('bag-int4-128', 'int4', 2.5, 2),
  ...[1, 16].map((batch) =>
    goal(
      batch === 1 ? 25 : 8,
      { workload: 'lookup26', variant: 'f32', peer: 'torch', batch },
      `26 single-id tables, batch ${batch}`,
    ),
  ),
  ...['terabyte64', 'kaggle'].flatMap((name) => [
    ...models(name, 'f32', BATCHES, [2, 1.5, 1.4, 1.4]),
    ...models(name, 'bf16', BATCHES, [3.5, 2.5, 2.4, 2.4]),
  ]),
  ...models('dcnv2', 'bf16', [16, 128], [2.5, 2.2]),
  ...['rm1', 'rm2'].flatMap((name) => models(name, 'f32+int8', [128], [3])),
  ...['terabyte64', 'kaggle'].map((workload) =>
    goal(
      1.7,
      { workload, variant: 'f32', peer: 'ourselves on 1 thread', batch: 512, threads: 2 },
      `${workload}, f32, batch 512, 2 threads`,
    ),
  ),
];

/** A goal is met when every cell that it covers reaches it: all accesses, all threads. */
export function judge(result: Pick<Result, 'cells'>, goals = GOALS): GoalResult[] {
  return goals.map(({ work, peer, least, select }) => {
    const cells = result.cells.filter(select);
    const [worst] = [...cells].sort((a, b) => a.ratio.median - b.ratio.median);
    return {
      work,
      peer,
      least,
      cells: cells.length,
      met: worst === undefined ? null : worst.ratio.median >= least,
      ...(worst === undefined ? {} : { worst }),
    };
  });
}
