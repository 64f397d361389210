/** Operators that broadcast: operands of different shapes, combined cell by cell. */
import type { Axis, Cell, Factor, Grid } from './domain.js';
import { axisSize, copy, fixedSizes, MAX_CELLS, makeGrid, sameAxis, sameFactor } from './grid.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';

/** Broadcasts to a shape: axes of size 1 become copies. */
export function expand(grid: Grid, shape: readonly Poly[]): Grid | null {
  const rank = Math.max(shape.length, grid.axes.length);
  const axes: Axis[] = [];
  for (let i = 0; i < rank; i++) {
    const axis = grid.axes[i - (rank - grid.axes.length)];
    const target = shape[i - (rank - shape.length)] ?? p.ONE;
    if (axis === undefined || (axis.length === 0 && !p.isOne(target))) axes.push([copy(target)]);
    else if (p.equal(axisSize(axis), target) || p.isOne(target)) axes.push(axis);
    else return null;
  }
  return makeGrid(axes, grid.cells);
}

/** Which axis two operands give together; null when they cannot be told to be of one size. */
function unify(a: Axis, b: Axis): Axis | null {
  if (a.length === 0) return b;
  if (b.length === 0 || sameAxis(a, b)) return a;
  if (!p.equal(axisSize(a), axisSize(b))) return null;
  if (a.every((factor) => factor.kind === 'copy')) return b;
  if (b.every((factor) => factor.kind === 'copy')) return a;
  const split = align(a, b);
  if (split === null) return null;
  const out: Factor[] = [];
  for (const [x, y] of split) {
    if (sameFactor(x, y) || y.kind === 'copy') out.push(x);
    else if (x.kind === 'copy') out.push(y);
    else return null;
  }
  return out;
}

/** Pairs the factors of two axes, cutting copies where the other axis has a border. */
function align(a: Axis, b: Axis): [Factor, Factor][] | null {
  const left = [...a];
  const right = [...b];
  const out: [Factor, Factor][] = [];
  while (left.length > 0 && right.length > 0) {
    const x = left.shift() as Factor;
    const y = right.shift() as Factor;
    if (p.equal(x.size, y.size)) out.push([x, y]);
    else if (x.kind === 'copy') {
      const rest = p.divide(x.size, y.size);
      if (rest === null) return null;
      out.push([copy(y.size), y]);
      left.unshift(copy(rest));
    } else if (y.kind === 'copy') {
      const rest = p.divide(y.size, x.size);
      if (rest === null) return null;
      out.push([x, copy(x.size)]);
      right.unshift(copy(rest));
    } else return null;
  }
  return left.length === 0 && right.length === 0 ? out : null;
}

/** For every fixed factor of `axes`, which fixed factor of the operand it is, or -1 where that is copied. */
function operandCells(grid: Grid, axes: readonly Axis[]): readonly Cell[] | null {
  const missing = axes.length - grid.axes.length;
  const strides: number[] = [];
  const sizes: number[] = [];
  const own = fixedSizes(grid.axes.flat());
  const ownStrides = own.map((_, i) => own.slice(i + 1).reduce((x, y) => x * y, 1));
  let next = 0;
  for (const [i, axis] of axes.entries()) {
    const mine = grid.axes[i - missing] ?? [];
    const pairs =
      mine.length === 0 || mine.every((factor) => factor.kind === 'copy')
        ? null
        : align(axis, mine);
    if (pairs === null && mine.some((factor) => factor.kind !== 'copy')) return null;
    for (const [at, factor] of axis.entries()) {
      const partner = pairs?.[at]?.[1];
      if (factor.kind !== 'fixed') continue;
      sizes.push(factor.n);
      strides.push(partner?.kind === 'fixed' ? (ownStrides[next++] as number) : 0);
    }
  }
  if (next !== own.length) return null;
  let offsets = [0];
  for (const [i, size] of sizes.entries()) {
    offsets = offsets.flatMap((at) =>
      Array.from({ length: size }, (_, n) => at + n * (strides[i] as number)),
    );
    if (offsets.length > MAX_CELLS) return null;
  }
  return offsets.map((at) => grid.cells[at] as Cell);
}

/** Combines two grids cell by cell under broadcasting; null when a pair has no combination. */
export function zip(a: Grid, b: Grid, combine: (x: Cell, y: Cell) => Cell | null): Grid | null {
  const rank = Math.max(a.axes.length, b.axes.length);
  const axes: Axis[] = [];
  for (let i = 0; i < rank; i++) {
    const axis = unify(
      a.axes[i - (rank - a.axes.length)] ?? [],
      b.axes[i - (rank - b.axes.length)] ?? [],
    );
    if (axis === null) return null;
    axes.push(axis);
  }
  const left = operandCells(a, axes);
  const right = operandCells(b, axes);
  if (left === null || right === null) return null;
  const cells: Cell[] = [];
  for (const [i, x] of left.entries()) {
    const cell = combine(x, right[i] as Cell);
    if (cell === null) return null;
    cells.push(cell);
  }
  return makeGrid(axes, cells);
}

export function map(grid: Grid, change: (cell: Cell) => Cell | null): Grid | null {
  const cells = grid.cells.map(change);
  return cells.some((cell) => cell === null) ? null : { axes: grid.axes, cells: cells as Cell[] };
}
