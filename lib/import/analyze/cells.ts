/** Element-wise arithmetic on cells. Each function returns null for what has no meaning here. */

import { OnnxType } from '../onnx/types.js';
import { isSingle, sameCount, sameElements, sameMap, singleRun } from './bags.js';
import { castNumber, isFloat, isInteger } from './constants.js';
import type { Bag, Cell, Comparison, MaskCell, RowCell, TestCell } from './domain.js';
import { isExact, negated, replaceWhere, sameId, withSteps } from './ids.js';
import { elementId } from './inputs.js';
import {
  addPlace,
  addPlaces,
  choosePlace,
  isPlace,
  maskSum,
  multiplyPlaces,
  replaceBefore,
  subtractFrom,
} from './places.js';

/** A count plus this much, or at least this much, divides like the count. */
const MAX_EPSILON = 1e-6;

export type Combine = (x: Cell, y: Cell) => Cell | null;

function rows(cell: RowCell, change: (bag: Bag) => Bag | null): RowCell | null {
  const parts = cell.parts.map(change);
  return parts.includes(null) ? null : { type: 'row', parts: parts as Bag[] };
}

/** Zero where the mask is: an id that is padding contributes nothing. */
function maskBag(bag: Bag, mask: MaskCell): Bag | null {
  if (!mask.keep || !isSingle(bag) || !sameElements(bag.run, singleRun(mask.id))) return null;
  if (bag.run.step !== mask.id.step) return null;
  const { map } = mask.id;
  // Numbers that are mapped to ids may lie on either side of a padding.
  if (!sameMap(map, bag.run.map) && (map.length > 0 || !isExact(mask))) return null;
  if (bag.padding !== null && (bag.padding !== mask.padding || !sameMap(bag.paddingMap, map)))
    return null;
  return { ...bag, padding: mask.padding, paddingMap: map };
}

/** Zero from a length on, which is another input's element. */
function cutBag(bag: Bag, { id, test }: MaskCell | TestCell): Bag | null {
  if (!isSingle(bag) || bag.length !== null || bag.share !== null) return null;
  if (!id.isBatched || !bag.run.isBatched) return null;
  if (id.map.length > 0 || id.add !== 0 || id.clamped || id.step !== 0) return null;
  if (test.value === 'position') {
    if (test.if !== 'gt' || bag.run.step === 0) return null;
    return { ...bag, length: { input: id.input, element: id.start, first: 0 } };
  }
  const first = test.if === 'gt' ? test.value : test.if === 'ge' ? test.value - 1 : -1;
  if (!Number.isInteger(first) || first < 0) return null;
  return { ...bag, length: { input: id.input, element: id.start, first } };
}

function multiplyRow(row: RowCell, by: Cell): RowCell | null {
  switch (by.type) {
    case 'number':
      return by.value === 1 ? row : rows(row, (bag) => meanByFactor(bag, by.value));
    case 'mask':
      return rows(row, (bag) => maskBag(bag, by) ?? cutBag(bag, by));
    case 'test':
      return rows(row, (bag) => cutBag(bag, by));
    case 'real':
      return rows(row, (bag) => {
        if (!isSingle(bag) || bag.weights !== null || bag.share !== null) return null;
        if (by.isBatched !== bag.run.isBatched) return null;
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
    bag.padding !== null ||
    bag.length !== null
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
    isExact(x) === isExact(y) &&
    sameId(x.id, y.id)
  )
    return x;
  if (isPlace(x) && !isPlace(y)) return multiply(y, x);
  if (x.type === 'position') return y.type === 'number' ? multiplyPlaces(x, y.value) : null;
  if (y.type === 'position' && x.type === 'number') return multiplyPlaces(y, x.value);
  if ((x.type === 'mask' || x.type === 'test') && isPlace(y))
    return choosePlace(x, y, { type: 'number', value: 0 });
  if (x.type !== 'id') return y.type === 'id' ? multiply(y, x) : null;
  if (y.type === 'number') {
    return Number.isSafeInteger(y.value) ? withSteps(x, { op: 'mul', value: y.value }) : null;
  }
  if (y.type !== 'mask' && y.type !== 'test') return null;
  return replaceWhere(x, negated(y), 0) ?? replaceBefore(x, negated(y), 0) ?? maskSum(x, y);
};

export const add: Combine = (x, y) => {
  if (x.type === 'number' && y.type !== 'number') return add(y, x);
  if (isPlace(x) && isPlace(y)) return addPlaces(x, y, 1);
  if (x.type === 'position' && y.type === 'id') return addPlace(y, x, 1);
  if (x.type === 'id' && y.type === 'position') return addPlace(x, y, 1);
  if (y.type !== 'number') return null;
  if (x.type === 'number') return { type: 'number', value: x.value + y.value };
  if (y.value === 0) return x;
  if (x.type === 'id') {
    const id = x.clamped ? withSteps(x) : x;
    return { ...id, add: id.add + y.value };
  }
  if (x.type === 'count' && !x.safe && y.value > 0 && y.value <= MAX_EPSILON)
    return { ...x, safe: true };
  return null;
};

export const subtract: Combine = (x, y) => {
  if (y.type === 'number') return add(x, { type: 'number', value: -y.value });
  if (x.type === 'id' && y.type === 'borrow') {
    const quotient = withSteps(y.id, { op: 'div', by: y.by });
    return sameId(x, quotient) ? withSteps(y.id, { op: 'floordiv', by: y.by }) : null;
  }
  if (x.type === 'id' && y.type === 'position') return addPlace(x, y, -1);
  if (isPlace(x) && isPlace(y)) return addPlaces(x, y, -1);
  if (isPlace(x) && y.type === 'id') return subtractFrom(x, y);
  const isOne = x.type === 'number' && x.value === 1;
  return isOne && (y.type === 'mask' || y.type === 'test') ? negated(y) : null;
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
    const whole = bag.padding !== null && sameCount(y, bag);
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
    bag.pooling === 'sum' && bag.run.count === symbol && bag.padding === null && bag.length === null
      ? { ...bag, pooling: 'mean' }
      : null,
  );
}

/** max(x, low). */
export function atLeast(cell: Cell, low: number): Cell | null {
  if (cell.type === 'count' && low > 0 && low <= 1) return { ...cell, safe: true };
  if ((cell.type === 'mask' || cell.type === 'test') && low <= 0) return cell;
  if (cell.type === 'id') {
    if (low === 0 && cell.add === 0 && cell.map.length === 0) return { ...cell, clamped: true };
    return Number.isSafeInteger(low) ? withSteps(cell, { op: 'clamp', min: low }) : null;
  }
  return cell.type === 'number' ? { type: 'number', value: Math.max(cell.value, low) } : null;
}

/** min(x, high). */
export function atMost(cell: Cell, high: number): Cell | null {
  if ((cell.type === 'mask' || cell.type === 'test') && high >= 1) return cell;
  if (cell.type === 'id')
    return Number.isSafeInteger(high) ? withSteps(cell, { op: 'clamp', max: high }) : null;
  return cell.type === 'number' ? { type: 'number', value: Math.min(cell.value, high) } : null;
}

/** test ? x : y. */
export function choose(test: Cell, x: Cell, y: Cell): Cell | null {
  if (test.type === 'borrow') {
    const one = add(y, { type: 'number', value: -1 });
    const less = x.type === 'id' && one?.type === 'id' && sameId(x, one);
    return less ? subtract(y, test) : null;
  }
  if (test.type === 'mask' || test.type === 'test') {
    if (x.type === 'row' && y.type === 'number' && y.value === 0) return multiplyRow(x, test);
    if (y.type === 'row' && x.type === 'number' && x.value === 0)
      return multiplyRow(y, negated(test));
    if (x.type === 'number' && y.type === 'number') {
      if (x.value === 1 && y.value === 0) return test;
      if (x.value === 0 && y.value === 1) return negated(test);
    }
    if (isPlace(x) && isPlace(y)) return choosePlace(test, x, y);
    if (x.type === 'id' && y.type === 'number')
      return replaceWhere(x, negated(test), y.value) ?? replaceBefore(x, negated(test), y.value);
    if (y.type === 'id' && x.type === 'number')
      return replaceWhere(y, test, x.value) ?? replaceBefore(y, test, x.value);
    return null;
  }
  if (test.type === 'number') return test.value !== 0 ? x : y;
  if (test.type === 'empty' && x.type === 'number' && x.value > 0 && y.type === 'count') {
    const same =
      test.count.padding === y.padding &&
      sameMap(test.count.ids.map, y.ids.map) &&
      sameElements(test.count.ids, y.ids);
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
      if (to === OnnxType.bool) {
        const test: Comparison = { if: 'ne', value: 0 };
        const id = cell.clamped ? withSteps(cell) : cell;
        return { type: 'mask', id, padding: -id.add, keep: true, test };
      }
      if (isFloat(from)) return null;
      return to === OnnxType.int64 || to === OnnxType.int32 || isFloat(to) ? cell : null;
    case 'mask':
    case 'test':
    case 'borrow':
      return cell;
    case 'position':
      return isInteger(to) || isFloat(to) ? cell : null;
    case 'count':
      return isFloat(to) || isInteger(to) ? cell : null;
    case 'real':
      if (to === OnnxType.int64 || to === OnnxType.int32)
        return elementId({ ...cell, isFloat: true });
      return from === to ? cell : null;
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
