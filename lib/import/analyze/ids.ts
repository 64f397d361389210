/** Ids and what is made of them, and conditions on them. */
import type { IdStep, IdTest } from '../manifest.js';
import { sameMap } from './bags.js';
import type { Cell, Comparison, IdCell, MaskCell, TestCell } from './domain.js';

/** Whether two cells are the same id: the same element, and the same made of it. */
export function sameId(a: IdCell, b: IdCell): boolean {
  const sameElement = a.input === b.input && a.start === b.start && a.step === b.step;
  return sameElement && sameMap(a.map, b.map) && a.add === b.add && a.clamped === b.clamped;
}

/** An id with everything that is done to it as steps. */
export function withSteps(id: IdCell, ...steps: readonly IdStep[]): IdCell {
  const map = [...id.map];
  if (id.clamped) map.push({ op: 'clamp', min: 0 });
  if (id.add !== 0) map.push({ op: 'add', value: id.add });
  return { ...id, map: [...map, ...steps], add: 0, clamped: false };
}

const OPPOSITE: Readonly<Record<IdTest, IdTest>> = {
  eq: 'ne',
  ne: 'eq',
  lt: 'ge',
  ge: 'lt',
  le: 'gt',
  gt: 'le',
};

/** The opposite condition. */
export function negated<T extends MaskCell | TestCell>(cell: T): T {
  const test: Comparison = { ...cell.test, if: OPPOSITE[cell.test.if] };
  return cell.type === 'mask' ? { ...cell, keep: !cell.keep, test } : { ...cell, test };
}

/** Whether the mask tells its padding from everything else, not only from what is above. */
export function isExact(mask: MaskCell): boolean {
  return mask.test.if === 'eq' || mask.test.if === 'ne';
}

/** The id, or a number where the comparison of that same id holds. */
export function replaceWhere(
  id: IdCell,
  { id: tested, test }: MaskCell | TestCell,
  by: number,
): IdCell | null {
  if (!sameId(id, tested) || test.value === 'position') return null;
  if (!Number.isSafeInteger(test.value) || !Number.isSafeInteger(by)) return null;
  return withSteps(id, { op: 'replace', if: test.if, value: test.value, with: by });
}

/**
 * An id divided by a positive number, or what remains: `mod` is never negative, `rem` has the sign
 * of the id, `div` is rounded toward zero.
 */
export function divideInteger(op: 'mod' | 'rem' | 'div'): (x: Cell, y: Cell) => Cell | null {
  return (x, y) => {
    if (x.type !== 'id' || y.type !== 'number') return null;
    if (!Number.isSafeInteger(y.value) || y.value < 1) return null;
    return withSteps(x, { op, by: y.value });
  };
}

export function absolute(cell: Cell): Cell | null {
  return cell.type === 'id' ? withSteps(cell, { op: 'abs' }) : null;
}
