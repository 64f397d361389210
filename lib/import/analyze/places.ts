/** Ids that depend on their place in a bag: positions that are masked, counted or reversed. */
import type { IdStep } from '../manifest.js';
import { sameMap } from './bags.js';
import type { Cell, Grid, IdCell, MaskCell, NumberCell, PositionCell, TestCell } from './domain.js';
import { alongAxis, makeGrid } from './grid.js';
import { sameId, withSteps } from './ids.js';

export type Place = NumberCell | PositionCell;

export function isPlace(cell: Cell): cell is Place {
  return cell.type === 'number' || cell.type === 'position';
}

function linear(cell: Place): { add: number; mul: number } {
  return cell.type === 'number' ? { add: cell.value, mul: 0 } : cell;
}

/** A position, or a number where it does not move. */
function place(add: number, mul: number): Place | null {
  if (!Number.isSafeInteger(add) || !Number.isSafeInteger(mul)) return null;
  return mul === 0 ? { type: 'number', value: add } : { type: 'position', add, mul };
}

/** x + sign · y. */
export function addPlaces(x: Place, y: Place, sign: 1 | -1): Place | null {
  const [a, b] = [linear(x), linear(y)];
  return place(a.add + sign * b.add, a.mul + sign * b.mul);
}

/** x · y of which one is a number. */
export function multiplyPlaces(x: PositionCell, by: number): Place | null {
  return place(x.add * by, x.mul * by);
}

/** An id plus a position. */
export function addPlace(id: IdCell, position: PositionCell, sign: 1 | -1): IdCell | null {
  const by = place(sign * position.add, sign * position.mul);
  return by?.type === 'position'
    ? withSteps(id, { op: 'add', value: by.add, place: by.mul })
    : null;
}

/** A position or a number less an id. */
export function subtractFrom(from: Place, id: IdCell): IdCell | null {
  const { add, mul } = linear(from);
  if (!Number.isSafeInteger(add) || !Number.isSafeInteger(mul)) return null;
  const negative = withSteps(id, { op: 'mul', value: -1 });
  const place = mul === 0 ? {} : { place: mul };
  return withSteps(negative, { op: 'add', value: add, ...place });
}

/** 0 where a condition does not hold, another number where it does. */
function nonZero({ id, test }: MaskCell | TestCell): IdCell | null {
  const ahead = test.if === 'ge' ? 1 : test.if === 'le' ? -1 : 0;
  if (test.value !== 'position' && !Number.isSafeInteger(test.value)) return null;
  const moved: IdStep =
    test.value === 'position'
      ? { op: 'add', value: ahead, place: -1 }
      : { op: 'add', value: ahead - test.value };
  const less =
    test.value !== 'position' && test.value === ahead ? withSteps(id) : withSteps(id, moved);
  switch (test.if) {
    case 'ne':
      return less;
    case 'eq':
      return withSteps(
        less,
        { op: 'replace', if: 'ne', value: 0, with: 1 },
        { op: 'add', value: -1 },
      );
    case 'gt':
    case 'ge':
      return withSteps(less, { op: 'clamp', min: 0 });
    case 'lt':
    case 'le':
      return withSteps(less, { op: 'clamp', max: 0 });
  }
}

/** 1 where a condition holds, else 0. */
export function indicator(test: MaskCell | TestCell): IdCell | null {
  const id = nonZero(test);
  return id === null ? null : withSteps(id, { op: 'replace', if: 'ne', value: 0, with: 1 });
}

/** test ? yes : no, of positions and whole numbers. */
export function choosePlace(test: MaskCell | TestCell, yes: Place, no: Place): IdCell | null {
  const id = nonZero(test);
  const more = addPlaces(yes, no, -1);
  if (id === null || more === null) return null;
  const { add, mul } = linear(more);
  const at = mul === 0 ? {} : { place: mul };
  const chosen = withSteps(id, { op: 'replace', if: 'ne', value: 0, with: add, ...at });
  return no.type === 'number' && no.value === 0
    ? chosen
    : no.type === 'number'
      ? { ...chosen, add: no.value }
      : addPlace(chosen, no, 1);
}

/** Running sums along an axis: each id becomes the sum of those up to it. */
export function runningSum(grid: Grid, axis: number): Grid | null {
  const factors = grid.axes[axis] ?? [];
  const [factor] = factors;
  if (factors.length !== 1 || (factor?.kind !== 'fixed' && factor?.kind !== 'symbol')) return null;
  const isFree = factor.kind === 'symbol';
  const sums = new Map<Cell, Cell>();
  for (const line of isFree ? grid.cells.map((cell) => [cell]) : alongAxis(grid, axis)) {
    const ids = line.map((cell) =>
      cell.type === 'mask' || cell.type === 'test'
        ? indicator(cell)
        : cell.type === 'id'
          ? withSteps(cell)
          : null,
    );
    const summed = isFree ? sumFree(ids[0] ?? null) : sumLine(ids);
    if (summed === null) return null;
    for (const [i, cell] of line.entries()) sums.set(cell, summed[i] as Cell);
  }
  if (sums.size !== grid.cells.length) return null;
  return makeGrid(
    grid.axes,
    grid.cells.map((cell) => sums.get(cell) as Cell),
  );
}

function sumFree(id: IdCell | null): IdCell[] | null {
  if (id === null || id.step < 1 || id.map.some(({ op }) => op === 'sum')) return null;
  return [withSteps(id, { op: 'sum', before: 0, step: id.step, zeros: false })];
}

function sumLine(ids: readonly (IdCell | null)[]): IdCell[] | null {
  const [first, second] = ids;
  if (first == null) return null;
  const step = second == null ? 1 : second.start - first.start;
  const follows = ids.every(
    (id, i) =>
      id !== null &&
      id.input === first.input &&
      id.start === first.start + i * step &&
      id.step === 0 &&
      sameMap(id.map, first.map),
  );
  if (!follows || step < 1 || first.map.some(({ op }) => op === 'sum')) return null;
  return (ids as IdCell[]).map((id, i) =>
    withSteps(id, { op: 'sum', before: i, step, zeros: false }),
  );
}

/** A running sum of a mask times that mask: 0 where the mask is. */
export function maskSum(sum: IdCell, mask: MaskCell | TestCell): IdCell | null {
  const at = sum.map.findIndex(({ op }) => op === 'sum');
  const step = sum.map[at];
  const own = indicator(mask);
  if (step?.op !== 'sum' || at !== sum.map.length - 1 || sum.add !== 0 || own === null) return null;
  const before = { ...sum, map: sum.map.slice(0, at) };
  if (!sameId(before, own)) return null;
  return { ...before, map: [...before.map, { ...step, zeros: true }] };
}

/** An id, or a number where a condition holds of what the id was before a number or a position was added. */
export function replaceBefore(
  id: IdCell,
  { id: tested, test }: MaskCell | TestCell,
  by: number,
): IdCell | null {
  const last = id.map[id.map.length - 1];
  const base = { ...id, add: tested.add };
  const moved = last?.op === 'add' && !sameId(base, tested);
  const before = moved ? { ...base, map: id.map.slice(0, -1) } : base;
  if (!sameId(before, tested) || !Number.isSafeInteger(by)) return null;
  const place = (moved ? (last.place ?? 0) : 0) + (test.value === 'position' ? 1 : 0);
  const value =
    (test.value === 'position' ? 0 : test.value) + (moved ? last.value : 0) + id.add - tested.add;
  if (place !== 0 || !Number.isSafeInteger(value)) return null;
  return withSteps(id, { op: 'replace', if: test.if, value, with: by });
}

type Difference = Readonly<Record<string, number>>;

/** By how much two steps differ from one position to the next; null: they are of two kinds. */
function difference(a: IdStep, b: IdStep, distance: number): Difference | null {
  if (a.op !== b.op) return null;
  const [x, y] = [a, b] as unknown as [Record<string, unknown>, Record<string, unknown>];
  const keys = new Set([...Object.keys(x), ...Object.keys(y)]);
  const changed = [...keys].filter((key) => x[key] !== y[key]);
  const [key] = changed;
  if (key === undefined) {
    // Each of two sums begins at its own first position.
    return a.op === 'sum' ? null : {};
  }
  if (changed.length > 1 || 'place' in x || 'place' in y) return null;
  const by = (y[key] as number) - (x[key] as number);
  const moves = (a.op === 'add' && key === 'value') || (a.op === 'replace' && key === 'with');
  if (moves) return { [key]: by };
  return a.op === 'sum' && key === 'before' && by === 1 && a.step === distance
    ? { before: 1 }
    : null;
}

/** How the steps at one position lead to those at the next, as text; null: they do not. */
export function mapDifference(
  a: readonly IdStep[],
  b: readonly IdStep[],
  distance: number,
): string | null {
  if (a.length !== b.length) return null;
  const all = a.map((step, i) => difference(step, b[i] as IdStep, distance));
  return all.includes(null) ? null : JSON.stringify(all);
}

/** Whether an id depends on where in a bag it is. */
export function isPlaced(map: readonly IdStep[]): boolean {
  return map.some((step) => step.op === 'sum' || 'place' in step);
}

/** One list of steps for positions at this distance; null: there is none. */
export function joinMaps(
  maps: readonly (readonly IdStep[])[],
  distance: number,
): readonly IdStep[] | null {
  const [first, second] = maps;
  if (first === undefined) return null;
  if (second === undefined) return first;
  const sums = first.some(({ op }) => op === 'sum');
  if (!sums && maps.every((map) => sameMap(map, first))) return first;
  const change = mapDifference(first, second, distance);
  if (change === null) return null;
  for (const [i, map] of maps.entries()) {
    if (i > 0 && mapDifference(maps[i - 1] as readonly IdStep[], map, distance) !== change)
      return null;
  }
  const all = JSON.parse(change) as Difference[];
  return first.map((step, i) => {
    const by = all[i]?.['value'] ?? all[i]?.['with'];
    return by === undefined ? step : ({ ...step, place: by } as IdStep);
  });
}
