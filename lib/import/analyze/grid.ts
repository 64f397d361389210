/** Structural operations on grids: they move cells and never look into them, except for rows. */
import type { Axis, Cell, Factor, Grid, RowCell } from './domain.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';

/** Grids with more cells than this are not followed. */
export const MAX_CELLS = 1 << 18;

export function fixed(n: number): Factor {
  return { kind: 'fixed', size: p.poly(n), n };
}

export function dim(n: number): Factor {
  return { kind: 'dim', size: p.poly(n), n };
}

export function copy(size: Poly): Factor {
  return { kind: 'copy', size };
}

export function axisSize(axis: Axis): Poly {
  return p.product(axis.map((factor) => factor.size));
}

export function shapeOf(grid: Grid): Poly[] {
  return grid.axes.map(axisSize);
}

export function sameFactor(a: Factor, b: Factor): boolean {
  if (a.kind !== b.kind || !p.equal(a.size, b.size)) return false;
  return a.kind !== 'symbol' || (b.kind === 'symbol' && a.name === b.name);
}

export function sameAxis(a: Axis, b: Axis): boolean {
  return a.length === b.length && a.every((factor, i) => sameFactor(factor, b[i] as Factor));
}

export function hasFactor(grid: Grid, kind: Factor['kind']): boolean {
  return grid.axes.some((axis) => axis.some((factor) => factor.kind === kind));
}

/** Sizes of the factors that cells are listed along. */
export function fixedSizes(factors: readonly Factor[]): number[] {
  return factors.flatMap((factor) => (factor.kind === 'fixed' ? [factor.n] : []));
}

/** Cells of `sizes`, permuted so that the new axis i is the old axis order[i]. */
function permuteCells<T>(
  cells: readonly T[],
  sizes: readonly number[],
  order: readonly number[],
): T[] {
  const strides = sizes.map((_, i) => sizes.slice(i + 1).reduce((x, y) => x * y, 1));
  let offsets = [0];
  for (const axis of order) {
    const size = sizes[axis] as number;
    const stride = strides[axis] as number;
    offsets = offsets.flatMap((at) => Array.from({ length: size }, (_, i) => at + i * stride));
  }
  return offsets.map((at) => cells[at] as T);
}

/**
 * The normal form: no factors of size 1 except batch, symbol and dim; neighbours of one kind merged; fixed factors that
 * stand before the dim of their own axis absorbed into the rows (a row of n·D numbers).
 */
function normalise(axes: readonly Axis[], cells: readonly Cell[]): Grid {
  const merged = axes.map((axis) => {
    const out: Factor[] = [];
    for (const factor of axis) {
      const last = out[out.length - 1];
      if ((factor.kind === 'fixed' || factor.kind === 'copy') && p.isOne(factor.size)) continue;
      if (factor.kind === 'fixed' && last?.kind === 'fixed')
        out[out.length - 1] = fixed(last.n * factor.n);
      else if (factor.kind === 'copy' && last?.kind === 'copy') {
        out[out.length - 1] = copy(p.multiply(last.size, factor.size));
      } else out.push(factor);
    }
    return out;
  });
  for (const axis of merged) {
    const at = axis.findIndex((factor) => factor.kind === 'dim');
    const before = axis[at - 1];
    const vector = axis[at];
    if (before?.kind !== 'fixed' || vector?.kind !== 'dim') continue;
    const factors = merged.flat().filter((factor) => factor.kind === 'fixed');
    const moved = factors.indexOf(before);
    const sizes = fixedSizes(factors);
    const order = [...sizes.keys()].filter((i) => i !== moved);
    const ordered = permuteCells(cells, sizes, [...order, moved]);
    const joined: Cell[] = [];
    for (let i = 0; i < ordered.length; i += before.n) {
      joined.push({
        type: 'row',
        parts: ordered.slice(i, i + before.n).flatMap((cell) => (cell as RowCell).parts),
      });
    }
    axis.splice(at - 1, 2, dim(before.n * vector.n));
    return normalise(merged, joined);
  }
  return { axes: merged, cells };
}

export function makeGrid(axes: readonly Axis[], cells: readonly Cell[]): Grid {
  return normalise(axes, cells);
}

/** Splits the rows of a grid into n equal ones; null when a bag would be cut through. */
function splitRows(cells: readonly Cell[], n: number, size: number): RowCell[][] | null {
  const width = size / n;
  const out: RowCell[][] = [];
  for (const cell of cells) {
    if (cell.type !== 'row') return null;
    const pieces: RowCell[] = [];
    let parts: RowCell['parts'][number][] = [];
    let filled = 0;
    for (const part of cell.parts) {
      parts.push(part);
      filled += part.table.dim;
      if (filled > width) return null;
      if (filled === width) {
        pieces.push({ type: 'row', parts });
        parts = [];
        filled = 0;
      }
    }
    out.push(pieces);
  }
  return out;
}

/** The same elements in row-major order under another shape; null when an axis would be cut in its middle. */
export function reshape(grid: Grid, targets: readonly Poly[]): Grid | null {
  const queue: Factor[] = grid.axes.flat();
  const placed: Factor[] = [];
  let cells = grid.cells;
  const axes: Factor[][] = [];
  const take = (axis: Factor[], factor: Factor): void => {
    axis.push(factor);
    placed.push(factor);
  };
  for (const target of targets) {
    const axis: Factor[] = [];
    axes.push(axis);
    let need = target;
    while (!p.isOne(need)) {
      const factor = queue.shift();
      if (factor === undefined) return null;
      const rest = p.divide(need, factor.size);
      if (rest !== null) {
        take(axis, factor);
        need = rest;
        continue;
      }
      const outer = p.constant(need);
      const size = p.constant(factor.size);
      if (outer === null || size === null || outer < 1 || size % outer !== 0) return null;
      if (factor.kind === 'fixed') {
        take(axis, fixed(outer));
        queue.unshift(fixed(size / outer));
      } else if (factor.kind === 'copy') {
        take(axis, copy(need));
        queue.unshift(copy(p.poly(size / outer)));
      } else if (factor.kind === 'dim') {
        const pieces = splitRows(cells, outer, size);
        if (pieces === null) return null;
        const before = fixedSizes(placed);
        const after = fixedSizes(queue);
        const sizes = [...before, ...after];
        // Cells with the new factor innermost, then moved to its place.
        const order = [...sizes.keys()];
        order.splice(before.length, 0, sizes.length);
        cells = permuteCells(pieces.flat(), [...sizes, outer], order);
        take(axis, fixed(outer));
        queue.unshift(dim(size / outer));
      } else return null;
      need = p.ONE;
    }
    const next = queue[0];
    if (p.isOne(target) && next !== undefined && p.isOne(next.size))
      take(axis, queue.shift() as Factor);
  }
  if (queue.some((factor) => !p.isOne(factor.size))) return null;
  if (queue.length > 0) {
    const last = axes[axes.length - 1];
    if (last === undefined) {
      // A scalar has no axis that could hold a factor.
      if (queue.some((factor) => factor.kind !== 'fixed' && factor.kind !== 'copy')) return null;
    } else last.push(...queue);
  }
  return normalise(axes, cells);
}

export function transpose(grid: Grid, order: readonly number[]): Grid {
  const sources: number[] = [];
  let next = 0;
  const numbers = grid.axes.map((axis) =>
    axis.flatMap((factor) => (factor.kind === 'fixed' ? [next++] : [])),
  );
  for (const axis of order) sources.push(...(numbers[axis] as number[]));
  const cells = permuteCells(grid.cells, fixedSizes(grid.axes.flat()), sources);
  return normalise(
    order.map((axis) => grid.axes[axis] as Axis),
    cells,
  );
}

/** The given positions of one axis, which stays as an axis; null when it has none that can be told apart. */
export function select(grid: Grid, axis: number, indices: readonly number[]): Grid | null {
  const factors = grid.axes[axis];
  if (factors === undefined) return null;
  const size = p.constant(axisSize(factors));
  if (size === null || indices.some((i) => i < 0 || i >= size) || indices.length === 0) return null;
  if (indices.length === size && indices.every((index, i) => index === i)) return grid;
  const axes = [...grid.axes];
  const [factor] = factors;
  if (factors.length !== 1 || factor === undefined) return null;
  if (factor.kind === 'copy') {
    axes[axis] = [copy(p.poly(indices.length))];
    return normalise(axes, grid.cells);
  }
  if (factor.kind === 'dim') {
    const cells = grid.cells.map((cell) => sliceRow(cell, indices));
    if (cells.some((cell) => cell === null)) return null;
    axes[axis] = [dim(indices.length)];
    return normalise(axes, cells as Cell[]);
  }
  if (factor.kind !== 'fixed') return null;
  const inner = fixedSizes(grid.axes.slice(axis + 1).flat()).reduce((x, y) => x * y, 1);
  const cells: Cell[] = [];
  for (let at = 0; at < grid.cells.length; at += size * inner) {
    for (const index of indices) {
      for (let i = 0; i < inner; i++) cells.push(grid.cells[at + index * inner + i] as Cell);
    }
  }
  axes[axis] = [fixed(indices.length)];
  return normalise(axes, cells);
}

function sliceRow(cell: Cell, indices: readonly number[]): Cell | null {
  if (cell.type !== 'row' || indices.some((index, i) => index !== (indices[0] as number) + i))
    return null;
  const begin = indices[0] as number;
  const end = begin + indices.length;
  const parts: RowCell['parts'][number][] = [];
  let at = 0;
  for (const part of cell.parts) {
    const stop = at + part.table.dim;
    if (stop > begin && at < end) {
      if (at < begin || stop > end) return null;
      parts.push(part);
    }
    at = stop;
  }
  return { type: 'row', parts };
}

/** Takes one position of an axis and removes the axis. */
export function pick(grid: Grid, axis: number, index: number): Grid | null {
  const one = select(grid, axis, [index]);
  if (one === null) return null;
  return reshape(
    one,
    shapeOf(one).filter((_, i) => i !== axis),
  );
}

/** Turns copies and single positions of an axis into cells. */
function spread(grid: Grid, axis: number): Grid | null {
  const factors = grid.axes[axis] as Axis;
  const [factor] = factors;
  if (factor === undefined) return grid;
  if (factors.length !== 1) return null;
  if (factor.kind === 'fixed') return grid;
  const n = p.constant(factor.size);
  if (factor.kind !== 'copy' || n === null || n * grid.cells.length > MAX_CELLS) return null;
  const inner = fixedSizes(grid.axes.slice(axis + 1).flat()).reduce((x, y) => x * y, 1);
  const cells: Cell[] = [];
  for (let at = 0; at < grid.cells.length; at += inner) {
    for (let i = 0; i < n; i++) cells.push(...grid.cells.slice(at, at + inner));
  }
  const axes = [...grid.axes];
  axes[axis] = [fixed(n)];
  return { axes, cells };
}

/** Puts grids one after another along an axis; null when they do not fit or mix kinds of cells. */
export function concat(grids: readonly Grid[], axis: number): Grid | null {
  const [first] = grids;
  if (first === undefined) return null;
  const type = first.cells[0]?.type;
  if (grids.some((grid) => grid.axes.length !== first.axes.length || grid.cells[0]?.type !== type))
    return null;
  if (
    grids.some((grid) =>
      grid.axes.some((a, i) => i !== axis && !sameAxis(a, first.axes[i] as Axis)),
    )
  )
    return null;
  const isDim = (grid: Grid): boolean =>
    grid.axes[axis]?.some((factor) => factor.kind === 'dim') ?? false;
  const axes = [...first.axes];
  if (grids.every(isDim)) {
    if (grids.some((grid) => grid.axes[axis]?.length !== 1)) return null;
    const total = grids.reduce(
      (sum, grid) => sum + (p.constant(axisSize(grid.axes[axis] as Axis)) ?? 0),
      0,
    );
    axes[axis] = [dim(total)];
    const cells = first.cells.map(
      (_, i): Cell => ({
        type: 'row',
        parts: grids.flatMap((grid) => (grid.cells[i] as RowCell).parts),
      }),
    );
    return normalise(axes, cells);
  }
  if (grids.some(isDim)) return null;
  const spreads = grids.map((grid) => spread(grid, axis));
  const inner = fixedSizes(first.axes.slice(axis + 1).flat()).reduce((x, y) => x * y, 1);
  const outer = fixedSizes(first.axes.slice(0, axis).flat()).reduce((x, y) => x * y, 1);
  const cells: Cell[] = [];
  let total = 0;
  for (let o = 0; o < outer; o++) {
    for (const grid of spreads) {
      if (grid === null) return null;
      const width = grid.cells.length / outer;
      cells.push(...grid.cells.slice(o * width, (o + 1) * width));
      if (o === 0) total += width / inner;
    }
  }
  if (cells.length > MAX_CELLS) return null;
  axes[axis] = [fixed(total)];
  return normalise(axes, cells);
}

/** Moves one axis' cells innermost: for each remaining position the cells along it, in order. */
export function alongAxis(grid: Grid, axis: number): Cell[][] {
  const before = fixedSizes(grid.axes.slice(0, axis).flat());
  const mine = fixedSizes(grid.axes[axis] as Axis);
  const after = fixedSizes(grid.axes.slice(axis + 1).flat());
  const sizes = [...before, ...mine, ...after];
  const own = mine.map((_, i) => before.length + i);
  const order = [...[...sizes.keys()].filter((i) => !own.includes(i)), ...own];
  const cells = permuteCells(grid.cells, sizes, order);
  const n = mine.reduce((x, y) => x * y, 1);
  return Array.from({ length: cells.length / n }, (_, i) => cells.slice(i * n, (i + 1) * n));
}
