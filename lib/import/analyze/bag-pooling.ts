/** From the pooled rows of one bag of unknown number to those of all bags: [batch, dim]. */
import { poolBags, sameMap, samePadding } from './bags.js';
import { bagCount } from './bounds.js';
import * as cells from './cells.js';
import type { Bag, Bounds, Cell, Grid, Padding, PooledSegment, RowCell, Value } from './domain.js';
import { alongAxis, makeGrid, reshape, shapeOf } from './grid.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';
import { gridValue } from './values.js';

/** The pooled rows of all bags: [batch, dim]. */
export function finish(row: PooledSegment, batchSize: Poly): Value | null {
  const { segment, mode } = row;
  if (mode === 'last-mean') return null;
  if (mode === 'max') return { kind: 'max-pooled', dataType: row.dataType, segment };
  const grid = segment.padding === null ? segment.grid : padRows(segment.grid, segment.padding);
  if (grid === null || grid.axes.length !== 2) return null;
  const { source } = segment.bounds;
  const pooled =
    source.kind === 'range'
      ? poolFixed(grid, source.step, bagCount(segment.bounds), mode)
      : poolRagged(grid, segment.bounds, mode, batchSize);
  return gridValue(pooled, row.dataType);
}

function padRows(grid: Grid, padding: Padding): Grid | null {
  const own = padding.grid.cells;
  if (own.length !== grid.cells.length) return null;
  const list = grid.cells.map((cell, i): Cell | null => {
    const id = own[i];
    if (id?.type !== 'id') return null;
    return cells.multiply(cell, {
      type: 'mask',
      id,
      padding: padding.id - id.add,
      keep: true,
      test: { if: 'ne', value: padding.id },
    });
  });
  return list.includes(null) ? null : { axes: grid.axes, cells: list as Cell[] };
}

/** Offsets 0, n, 2n, …: every batch row is a bag of n ids. */
function poolFixed(grid: Grid, n: number, bags: Poly, mode: 'sum' | 'mean'): Grid | null {
  const [, width] = shapeOf(grid);
  const cube = reshape(grid, [bags, p.poly(n), width as Poly]);
  if (cube === null) return null;
  const list: Cell[] = [];
  for (const group of alongAxis(cube, 1)) {
    const parts: Bag[] = [];
    for (const [i] of (group[0] as RowCell).parts.entries()) {
      // A padded mean divides by what is left: pooled as a sum first, since a plain mean would not.
      const bag = poolBags(
        group.map((cell) => (cell as RowCell).parts[i] as Bag),
        'sum',
        null,
      );
      if (bag === null) return null;
      parts.push(bag.pooling === 'sum' ? { ...bag, pooling: mode } : bag);
    }
    list.push({ type: 'row', parts });
  }
  const [outer, , inner] = cube.axes;
  return outer === undefined || inner === undefined ? null : makeGrid([outer, inner], list);
}

/** Offsets from an input: ragged bags. */
function poolRagged(
  grid: Grid,
  bounds: Bounds,
  mode: 'sum' | 'mean',
  batchSize: Poly,
): Grid | null {
  const { source } = bounds;
  if (source.kind === 'range') return null;
  const areLengths = source.kind === 'lengths';
  const complete = bounds.complete && !areLengths;
  const parts = (grid.cells[0] as RowCell).parts.map((first, i): Bag | null => {
    const own = grid.cells.map((cell) => (cell as RowCell).parts[i] as Bag);
    const whole = own.every((bag, at) => follows(bag, first, at)) && first.run.start === 0;
    if (!whole || first.run.adds.length !== 1) return null;
    const run = {
      ...first.run,
      count: 1,
      step: 1,
      ragged: { offsets: source.name, complete, areLengths },
    };
    return { ...first, run, pooling: mode };
  });
  if (parts.includes(null) || !ownAxis(grid)) return null;
  const vector = grid.axes[1] ?? [];
  return makeGrid(
    [[{ kind: 'batch', size: batchSize }], vector],
    [{ type: 'row', parts: parts as Bag[] }],
  );
}

/** Whether axis 0 runs through one input and nothing else. */
function ownAxis(grid: Grid): boolean {
  const axis = grid.axes[0] ?? [];
  return (
    axis.length <= 1 &&
    axis.every(
      (factor) => factor.kind === 'batch' || factor.kind === 'symbol' || factor.kind === 'fixed',
    )
  );
}

function follows(bag: Bag, first: Bag, at: number): boolean {
  const { run, weights } = bag;
  return (
    bag.pooling === 'none' &&
    bag.share === null &&
    bag.length === null &&
    samePadding(bag, first) &&
    sameMap(run.map, first.run.map) &&
    run.input === first.run.input &&
    run.start === first.run.start + at &&
    run.adds[0] === first.run.adds[0] &&
    !run.clamped &&
    (weights === null
      ? first.weights === null
      : first.weights !== null && weights.input === first.weights.input && weights.start === at)
  );
}
