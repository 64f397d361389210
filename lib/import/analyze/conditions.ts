/** Comparisons of cells, and logic on what they give. Each function returns null for what has no meaning here. */
import type { IdTest } from '../manifest.js';
import { type Combine, multiply } from './cells.js';
import type { Cell, Comparison, IdCell, MaskCell, TestCell } from './domain.js';
import { negated, sameId, withSteps } from './ids.js';

/** x op y for op of >, >=, <, <=, ==. */
export function compare(op: string): Combine {
  return (x, y) => {
    const isPlain = x.type === 'number' || x.type === 'position';
    if (isPlain && y.type !== 'number' && y.type !== 'position')
      return compare(MIRRORED[op] ?? op)(y, x);
    if (x.type === 'id' && y.type === 'position') {
      if (y.add !== 0 || y.mul !== 1) return null;
      return { type: 'test', id: x, test: { if: TESTS[op] ?? 'eq', value: 'position' } };
    }
    if (y.type !== 'number') return null;
    if (x.type === 'number')
      return { type: 'number', value: Number(COMPARE[op]?.(x.value, y.value) ?? 0) };
    if (x.type === 'id') return compareId(op, x, y.value);
    if (x.type === 'mask' || x.type === 'test') return compareMask(op, x, y.value);
    if (x.type === 'count' && op === 'Equal' && y.value === 0) return { type: 'empty', count: x };
    return null;
  };
}

const MIRRORED: Readonly<Record<string, string>> = {
  Greater: 'Less',
  Less: 'Greater',
  GreaterOrEqual: 'LessOrEqual',
  LessOrEqual: 'GreaterOrEqual',
};
const COMPARE: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  Equal: (a, b) => a === b,
  Greater: (a, b) => a > b,
  Less: (a, b) => a < b,
  GreaterOrEqual: (a, b) => a >= b,
  LessOrEqual: (a, b) => a <= b,
};

const TESTS: Readonly<Record<string, IdTest>> = {
  Equal: 'eq',
  Greater: 'gt',
  Less: 'lt',
  GreaterOrEqual: 'ge',
  LessOrEqual: 'le',
};

/**
 * An id is a row number, so it is never negative, unless -1 stands for padding: "greater than 0"
 * tells padding 0 from the rest, "at least 0" tells padding -1.
 */
function compareId(op: string, given: IdCell, value: number): MaskCell | TestCell {
  const id = given.clamped ? withSteps(given) : given;
  const test: Comparison = { if: TESTS[op] ?? 'eq', value };
  if (op === 'Equal') return { type: 'mask', id, padding: value - id.add, keep: false, test };
  const above = op === 'Greater' || op === 'LessOrEqual' ? value : value - 1;
  if (id.add !== 0 || (above !== 0 && above !== -1)) return { type: 'test', id, test };
  const keep = op === 'Greater' || op === 'GreaterOrEqual';
  return { type: 'mask', id, padding: above, keep, test };
}

function compareMask(op: string, mask: MaskCell | TestCell, value: number): Cell | null {
  const test = COMPARE[op];
  if (test === undefined) return null;
  const [zero, one] = [test(0, value), test(1, value)];
  if (zero === one) return null;
  return one ? mask : negated(mask);
}

export function not(cell: Cell): Cell | null {
  if (cell.type === 'mask' || cell.type === 'test') return negated(cell);
  return cell.type === 'number' ? { type: 'number', value: cell.value === 0 ? 1 : 0 } : null;
}

export const both: Combine = (x, y) =>
  x.type === 'number' || y.type === 'number' || x.type === 'mask'
    ? (multiply(x, y) ?? borrow(x, y) ?? borrow(y, x))
    : null;

/** id < 0 and id mod n != 0. */
function borrow(x: Cell, y: Cell): Cell | null {
  if ((x.type !== 'mask' && x.type !== 'test') || y.type !== 'mask') return null;
  const last = y.id.map[y.id.map.length - 1];
  if (x.test.if !== 'lt' || x.test.value !== 0 || last?.op !== 'mod') return null;
  if (y.test.if !== 'ne' || y.test.value !== 0) return null;
  const same = sameId(y.id, withSteps(x.id, last));
  return same ? { type: 'borrow', id: x.id, by: last.by } : null;
}

/** Sign of an id that is never negative. */
export function signOf(cell: Cell): Cell | null {
  if (cell.type === 'id' && cell.add === 0 && !cell.clamped) {
    const test: Comparison = { if: 'gt', value: 0 };
    return { type: 'mask', id: cell, padding: 0, keep: true, test };
  }
  return cell.type === 'mask' ? cell : null;
}

/** One of two conditions but not both; one of them is known. */
export const either: Combine = (x, y) => {
  if (x.type === 'number') return y.type === 'number' ? null : either(y, x);
  if (y.type !== 'number' || (x.type !== 'mask' && x.type !== 'test')) return null;
  return y.value === 0 ? x : negated(x);
};
