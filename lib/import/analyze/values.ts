/** Constructors and readings of values that every rule needs. */
import { type OnnxTensor, OnnxType } from '../onnx/types.js';
import { decodeTensor, isFloat } from './constants.js';
import type { Axis, Cell, ConstTensor, Grid, LengthList, Matrix, Value } from './domain.js';
import { copy, fixed, makeGrid, shapeOf } from './grid.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';

export function constant(tensor: ConstTensor, matrix: Matrix | null = null): Value {
  return { kind: 'const', dataType: tensor.dataType, tensor, matrix };
}

/** A constant of the graph: by value when it is small, as a table when it could be one. */
export function initializerValue(name: string, tensor: OnnxTensor): Value {
  const [rows, dim] = tensor.dims;
  const isTable = tensor.dims.length === 2 && isFloat(tensor.dataType) && rows !== 0 && dim !== 0;
  const matrix: Matrix | null = isTable
    ? { name, tensor, rows: rows as number, dim: dim as number }
    : null;
  const small = decodeTensor(tensor);
  if (small !== null) return constant(small, matrix);
  if (matrix !== null) return { kind: 'matrix', dataType: tensor.dataType, matrix };
  return {
    kind: 'opaque',
    dataType: tensor.dataType,
    shape: tensor.dims.map((size) => p.poly(size)),
    reason: `constant '${name}'`,
  };
}

export function matrixOf(value: Value | null): Matrix | null {
  return value?.kind === 'matrix' || value?.kind === 'const' ? value.matrix : null;
}

export function gridValue(grid: Grid | null, dataType: number): Value | null {
  return grid === null ? null : { kind: 'grid', dataType, grid };
}

/** What a value holds as cells; constants become numbers, equal ones a copy. */
export function toGrid(value: Value | null): Grid | null {
  if (value?.kind === 'grid') return value.grid;
  if (value?.kind === 'ints') {
    const numbers = value.values.map((size) => p.constant(size));
    if (numbers.includes(null)) return null;
    return numberGrid({ dataType: value.dataType, dims: value.dims, data: numbers as number[] });
  }
  if (value?.kind === 'range') return positions(value);
  return value?.kind === 'const' ? numberGrid(value.tensor) : null;
}

/** Numbers like 0, 1, 2, … along a free dimension. */
function positions(range: Extract<Value, { kind: 'range' }>): Grid | null {
  const name = p.asSymbol(range.length);
  const [add, mul] = [p.constant(range.start), p.constant(range.step)];
  if (name === null || add === null || mul === null) return null;
  const axis = { kind: 'symbol', name, size: range.length } as const;
  return makeGrid([[axis]], [{ type: 'position', add, mul }]);
}

function numberGrid({ dims, data }: ConstTensor): Grid | null {
  if (data.length === 0) return null;
  const same = data.every((number) => number === data[0]);
  const axes = dims.map(
    (size): Axis => (size === 1 ? [] : [same ? copy(p.poly(size)) : fixed(size)]),
  );
  const list = same ? [data[0] as number] : data;
  return makeGrid(
    axes,
    list.map((number): Cell => ({ type: 'number', value: number })),
  );
}

/** The number that all elements of a constant have. */
export function scalarOf(value: Value | null): number | null {
  const grid = toGrid(value);
  const [cell] = grid?.cells ?? [];
  return grid?.cells.length === 1 && cell?.type === 'number' ? cell.value : null;
}

export interface Ints {
  readonly dims: readonly number[];
  readonly values: readonly Poly[];
}

/** Integers of rank 0 or 1, as shape arithmetic has them. */
export function toInts(value: Value | null): Ints | null {
  if (value?.kind === 'ints') return value;
  if (value?.kind !== 'const' || value.tensor.dims.length > 1) return null;
  if (value.tensor.data.some((number) => !Number.isInteger(number))) return null;
  return { dims: value.tensor.dims, values: value.tensor.data.map(p.poly) };
}

/** Becomes a constant when nothing in it is free. */
export function intsValue(
  dataType: number,
  dims: readonly number[],
  values: readonly Poly[],
): Value {
  const numbers = values.map(p.constant);
  if (!numbers.includes(null)) return constant({ dataType, dims, data: numbers as number[] });
  return { kind: 'ints', dataType, dims, values };
}

/** How many entries a list of lengths has. */
export function lengthListSize({ count, skip, drop }: LengthList): Poly {
  return p.add(count, p.poly(1 - skip - drop));
}

export function valueShape(value: Value | null): readonly (Poly | null)[] | null {
  switch (value?.kind) {
    case 'const':
      return value.tensor.dims.map(p.poly);
    case 'matrix':
      return value.matrix.tensor.dims.map(p.poly);
    case 'ints':
      return value.dims.map(p.poly);
    case 'range':
      return [value.length];
    case 'bounds':
      return [p.add(value.bounds.length, p.poly(value.bounds.shift), -1)];
    case 'lengths':
      return [lengthListSize(value)];
    case 'grid':
      return shapeOf(value.grid);
    case 'opaque':
      return value.shape;
    default:
      return null;
  }
}

export function cellType(value: Value | null): Cell['type'] | null {
  return value?.kind === 'grid' ? (value.grid.cells[0]?.type ?? null) : null;
}

export function isRows(value: Value | null): boolean {
  return cellType(value) === 'row';
}

export const INT64: number = OnnxType.int64;
