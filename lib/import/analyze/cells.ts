/** Element-wise arithmetic on cells. Each function returns null for what has no meaning here. */

import { OnnxType } from '../onnx/types.js';
import { isSingle, sameCount, sameElements, singleRun } from './bags.js';
import { castNumber, isFloat, isInteger } from './constants.js';
import type { Bag, Cell, IdCell, MaskCell, RowCell } from './domain.js';

/** A count plus this much, or at least this much, divides like the count. */
const MAX_EPSILON = 1e-6;

type Combine = (x: Cell, y: Cell) => Cell | null;

function rows(cell: RowCell, change: (bag: Bag) => Bag | null): RowCell | null {
  const parts = cell.parts.map(change);
  return parts.includes(null) ? null : { type: 'row', parts: parts as Bag[] };
}

function sameId(a: IdCell, b: IdCell): boolean {
  return a.input === b.input && a.start === b.start && a.step === b.step;
}

/** Zero where the mask is: an id that is padding contributes nothing. */
function maskBag(bag: Bag, mask: MaskCell): Bag | null {
  if (!mask.keep || !isSingle(bag) || !sameElements(bag.run, singleRun(mask.id))) return null;
  if (bag.run.step !== mask.id.step || (bag.padding !== null && bag.padding !== mask.padding))
    return null;
  return { ...bag, padding: mask.padding };
}

function multiplyRow(row: RowCell, by: Cell): RowCell | null {
  switch (by.type) {
    case 'number':
      return by.value === 1 ? row : rows(row, (bag) => meanByFactor(bag, by.value));
    case 'mask':
      return rows(row, (bag) => maskBag(bag, by));
    case 'real':
      return rows(row, (bag) => {
        if (!isSingle(bag) || bag.weights !== null || bag.share !== null) return null;
        return { ...bag, weights: { input: by.input, start: by.start, step: by.step } };
      });
    case 'share':
      return rows(row, (bag) => {
        const masked = maskBag(bag, by.mask);
        return masked === null || bag.share !== null || bag.weights !== null
          ? null
          : { ...masked, share: by.count };
      });
    default:
      return null;
  }
}

/** A sum over n ids times 1/n is their mean. */
function meanByFactor(bag: Bag, factor: number): Bag | null {
  const { count } = bag.run;
  if (
    bag.pooling !== 'sum' ||
    typeof count !== 'number' ||
    bag.run.ragged !== null ||
    bag.padding !== null
  )
    return null;
  return Math.abs(factor * count - 1) < MAX_EPSILON ? { ...bag, pooling: 'mean' } : null;
}

export const multiply: Combine = (x, y) => {
  if (x.type === 'row') return multiplyRow(x, y);
  if (y.type === 'row') return multiplyRow(y, x);
  if (x.type === 'number' && y.type === 'number')
    return { type: 'number', value: x.value * y.value };
  if (x.type === 'number' && x.value === 1) return y;
  if (y.type === 'number' && y.value === 1) return x;
  if (
    x.type === 'mask' &&
    y.type === 'mask' &&
    x.keep &&
    y.keep &&
    x.padding === y.padding &&
    sameId(x.id, y.id)
  )
    return x;
  return null;
};

export const add: Combine = (x, y) => {
  if (x.type === 'number' && y.type !== 'number') return add(y, x);
  if (y.type !== 'number') return null;
  if (x.type === 'number') return { type: 'number', value: x.value + y.value };
  if (y.value === 0) return x;
  if (x.type === 'id' && !x.clamped) return { ...x, add: x.add + y.value };
  if (x.type === 'count' && !x.safe && y.value > 0 && y.value <= MAX_EPSILON)
    return { ...x, safe: true };
  return null;
};

export const subtract: Combine = (x, y) => {
  if (y.type === 'number') return add(x, { type: 'number', value: -y.value });
  return x.type === 'number' && x.value === 1 && y.type === 'mask' ? { ...y, keep: !y.keep } : null;
};

export const divide: Combine = (x, y) => {
  if (y.type === 'number') {
    if (y.value === 1) return x;
    return x.type === 'row' && y.value !== 0
      ? multiplyRow(x, { type: 'number', value: 1 / y.value })
      : null;
  }
  if (y.type !== 'count' || !y.safe) return null;
  if (x.type === 'mask') return x.keep ? { type: 'share', mask: x, count: y } : null;
  if (x.type !== 'row') return null;
  return rows(x, (bag) => {
    const whole = bag.padding !== null && sameCount(y, bag.run, bag.padding);
    if (!whole || bag.weights !== null || bag.share !== null) return null;
    // The mean of one id that may be padding is the id's row, or zeros.
    if (isSingle(bag)) return bag;
    return bag.pooling === 'sum' ? { ...bag, pooling: 'mean' } : null;
  });
};

/** A sum over a free number of ids divided by that number. */
export function divideBySymbol(x: Cell, symbol: string): Cell | null {
  if (x.type !== 'row') return null;
  return rows(x, (bag) =>
    bag.pooling === 'sum' && bag.run.count === symbol && bag.padding === null
      ? { ...bag, pooling: 'mean' }
      : null,
  );
}

/** x op y for op of >, >=, <, <=, ==. */
export function compare(op: string): Combine {
  return (x, y) => {
    if (x.type === 'number' && y.type !== 'number') return compare(MIRRORED[op] ?? op)(y, x);
    if (y.type !== 'number') return null;
    if (x.type === 'number')
      return { type: 'number', value: Number(COMPARE[op]?.(x.value, y.value) ?? 0) };
    if (x.type === 'id') return compareId(op, x, y.value);
    if (x.type === 'mask') return compareMask(op, x, y.value);
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

/**
 * An id is a row number, so it is never negative, unless -1 stands for padding: "greater than 0"
 * tells padding 0 from the rest, "at least 0" tells padding -1.
 */
function compareId(op: string, id: IdCell, value: number): MaskCell | null {
  if (op === 'Equal') {
    return id.clamped ? null : { type: 'mask', id, padding: value - id.add, keep: false };
  }
  if (id.add !== 0 || id.clamped) return null;
  const above = op === 'Greater' || op === 'LessOrEqual' ? value : value - 1;
  if (above !== 0 && above !== -1) return null;
  return { type: 'mask', id, padding: above, keep: op === 'Greater' || op === 'GreaterOrEqual' };
}

function compareMask(op: string, mask: MaskCell, value: number): MaskCell | null {
  const test = COMPARE[op];
  if (test === undefined) return null;
  const [zero, one] = [test(0, value), test(1, value)];
  if (zero === one) return null;
  return one ? mask : { ...mask, keep: !mask.keep };
}

export function not(cell: Cell): Cell | null {
  if (cell.type === 'mask') return { ...cell, keep: !cell.keep };
  return cell.type === 'number' ? { type: 'number', value: cell.value === 0 ? 1 : 0 } : null;
}

export const both: Combine = (x, y) =>
  x.type === 'number' || y.type === 'number' || x.type === 'mask' ? multiply(x, y) : null;

/** Sign of an id that is never negative. */
export function signOf(cell: Cell): Cell | null {
  if (cell.type === 'id' && cell.add === 0 && !cell.clamped)
    return { type: 'mask', id: cell, padding: 0, keep: true };
  return cell.type === 'mask' ? cell : null;
}

/** max(x, low). */
export function atLeast(cell: Cell, low: number): Cell | null {
  if (cell.type === 'count' && low > 0 && low <= 1) return { ...cell, safe: true };
  if (cell.type === 'mask' && low <= 0) return cell;
  if (cell.type === 'id' && low === 0 && cell.add === 0) return { ...cell, clamped: true };
  return cell.type === 'number' ? { type: 'number', value: Math.max(cell.value, low) } : null;
}

/** test ? x : y. */
export function choose(test: Cell, x: Cell, y: Cell): Cell | null {
  if (test.type === 'mask') {
    if (x.type === 'row' && y.type === 'number' && y.value === 0) return multiplyRow(x, test);
    if (y.type === 'row' && x.type === 'number' && x.value === 0)
      return multiplyRow(y, { ...test, keep: !test.keep });
    if (x.type === 'number' && y.type === 'number') {
      if (x.value === 1 && y.value === 0) return test;
      if (x.value === 0 && y.value === 1) return { ...test, keep: !test.keep };
    }
    return null;
  }
  if (test.type === 'number') return test.value !== 0 ? x : y;
  if (test.type === 'empty' && x.type === 'number' && x.value > 0 && y.type === 'count') {
    const same = sameCount(test.count, y.ids, y.padding);
    return same ? { ...y, safe: true } : null;
  }
  return null;
}

/** The cell in another element type; null when its values could change. */
export function castCell(cell: Cell, from: number, to: number): Cell | null {
  switch (cell.type) {
    case 'number': {
      const value = castNumber(cell.value, from, to);
      return value === null ? null : { type: 'number', value };
    }
    case 'id':
      if (to === OnnxType.bool) return { type: 'mask', id: cell, padding: -cell.add, keep: true };
      if (isFloat(from)) return null;
      return to === OnnxType.int64 || to === OnnxType.int32 || isFloat(to) ? cell : null;
    case 'mask':
      return cell;
    case 'count':
      return isFloat(to) || isInteger(to) ? cell : null;
    case 'real':
    case 'share':
      return from === to ? cell : null;
    case 'row': {
      const half = from === OnnxType.float16 || from === OnnxType.bfloat16;
      const wide = to === OnnxType.float || to === OnnxType.double;
      return from === to || (wide && (half || isFloat(from))) ? cell : null;
    }
    case 'empty':
      return null;
  }
}
