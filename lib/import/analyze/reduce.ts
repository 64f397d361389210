/** Sums and means along axes: rows become pooled bags, masks become counts. */
import { joinRuns, poolBags, singleRun } from './bags.js';
import type { Axis, Bag, Cell, Factor, Grid, MaskCell, RowCell } from './domain.js';
import { alongAxis, axisSize, dim, makeGrid, reshape, shapeOf } from './grid.js';
import { isExact } from './ids.js';
import * as p from './poly.js';

/** Reduces axes (all normalised); null when the result has no meaning here. */
export function reduce(
  grid: Grid,
  axes: readonly number[],
  mode: 'sum' | 'mean',
  keepDims: boolean,
): Grid | null {
  let result: Grid | null = grid;
  for (const axis of [...axes].sort((a, b) => b - a)) {
    result = result === null ? null : reduceAxis(result, axis, mode);
  }
  if (result === null || keepDims) return result;
  return reshape(
    result,
    shapeOf(result).filter((_, axis) => !axes.includes(axis)),
  );
}

/** Leaves an axis of size 1. */
function reduceAxis(grid: Grid, axis: number, mode: 'sum' | 'mean'): Grid | null {
  const factors = grid.axes[axis] as Axis;
  const [factor] = factors;
  if (p.isOne(axisSize(factors))) return grid;
  if (factors.length !== 1 || factor === undefined) return null;
  if (factor.kind === 'dim') return reduceNumbers(grid, axis, factor.n, mode);
  if (factor.kind === 'copy') return mode === 'mean' ? withAxis(grid, axis, []) : null;
  if (factor.kind !== 'fixed' && factor.kind !== 'symbol') return null;
  const symbol = factor.kind === 'symbol' ? factor.name : null;
  const cells: Cell[] = [];
  for (const group of alongAxis(grid, axis)) {
    const cell = reduceCells(group, mode, symbol);
    if (cell === null) return null;
    cells.push(cell);
  }
  return makeGrid(
    grid.axes.map((a, i) => (i === axis ? [] : a)),
    cells,
  );
}

function withAxis(grid: Grid, axis: number, factors: readonly Factor[]): Grid {
  return makeGrid(
    grid.axes.map((a, i) => (i === axis ? factors : a)),
    grid.cells,
  );
}

/** The numbers of a row can be added when each comes from a table of one column. */
function reduceNumbers(grid: Grid, axis: number, n: number, mode: 'sum' | 'mean'): Grid | null {
  const shape = shapeOf(grid);
  const split = reshape(grid, [
    ...shape.slice(0, axis),
    p.poly(n),
    p.ONE,
    ...shape.slice(axis + 1),
  ]);
  const vector = split?.axes[axis + 1]?.[0];
  if (split === null || vector?.kind !== 'dim' || vector.n !== 1) return null;
  const summed = reduceAxis(split, axis, mode);
  if (summed === null) return null;
  return makeGrid(
    [...summed.axes.slice(0, axis), [dim(1)], ...summed.axes.slice(axis + 2)],
    summed.cells,
  );
}

function reduceCells(
  group: readonly Cell[],
  mode: 'sum' | 'mean',
  symbol: string | null,
): Cell | null {
  const [first] = group;
  if (first?.type === 'row') return poolRows(group as readonly RowCell[], mode, symbol);
  if (first?.type !== 'mask' || mode !== 'sum') return null;
  if (group.some((cell) => cell.type !== 'mask')) return null;
  const masks = group as readonly MaskCell[];
  if (masks.some((mask) => !mask.keep || mask.padding !== first.padding)) return null;
  const exact = masks.every(isExact);
  const ids = joinRuns(
    masks.map((mask) => singleRun(mask.id)),
    symbol,
  );
  return ids === null ? null : { type: 'count', ids, padding: first.padding, exact, safe: false };
}

function poolRows(
  group: readonly RowCell[],
  mode: 'sum' | 'mean',
  symbol: string | null,
): RowCell | null {
  const parts: Bag[] = [];
  for (const [i] of (group[0] as RowCell).parts.entries()) {
    const column = group.map((row) => row.parts[i]);
    const bag = column.includes(undefined) ? null : poolBags(column as Bag[], mode, symbol);
    if (bag === null) return null;
    parts.push(bag);
  }
  return { type: 'row', parts };
}
