/** The operators that look rows up, scale them and pool them. */
import { type OnnxNode, OnnxType } from '../onnx/types.js';
import { floatAttribute, intAttribute, stringAttribute } from './attributes.js';
import { lookupBag } from './bags.js';
import { map, zip } from './broadcast.js';
import * as cells from './cells.js';
import * as conditions from './conditions.js';
import { encodeTensor, isInteger } from './constants.js';
import { contractEinsum, contractMatMul } from './contraction.js';
import type { Axis, Cell, Grid, Matrix, Value } from './domain.js';
import { dim, makeGrid, reshape, sameAxis, shapeOf } from './grid.js';
import * as idRules from './ids.js';
import { normaliseAxis } from './operands.js';
import { indicator, runningSum } from './places.js';
import * as p from './poly.js';
import { reduce } from './reduce.js';
import { reduceAxes } from './shapes.js';
import { gridValue, matrixOf, scalarOf, toGrid, toInts } from './values.js';

type Inputs = readonly (Value | null)[];

/** Null when the operator is none of these or its result is not a grid. */
export function evaluateLookups(node: OnnxNode, inputs: Inputs): readonly Value[] | null {
  const result = evaluate(node, inputs);
  return result === null ? null : [result];
}

function evaluate(node: OnnxNode, inputs: Inputs): Value | null {
  const { opType } = node;
  if (opType === 'Gather' || opType === 'GatherND') return lookup(node, inputs);
  if (!inputs.some((value) => value?.kind === 'grid')) return null;
  const [a, b] = inputs;
  const dataType = a?.dataType ?? 0;
  const combine = BINARY[opType];
  if (combine !== undefined && inputs.length === 2) {
    return zipped(
      a ?? null,
      b ?? null,
      combine,
      RESULT_BOOL.has(opType) ? OnnxType.bool : dataType,
    );
  }
  switch (opType) {
    case 'Div':
      return quotient(a ?? null, b ?? null, dataType);
    case 'Not':
    case 'Sign': {
      const grid = toGrid(a ?? null);
      return grid === null
        ? null
        : gridValue(map(grid, opType === 'Not' ? conditions.not : conditions.signOf), dataType);
    }
    case 'Cast':
    case 'CastLike': {
      const to = opType === 'Cast' ? intAttribute(node, 'to', 0) : (b?.dataType ?? 0);
      const grid = toGrid(a ?? null);
      return grid === null || to === 0
        ? null
        : gridValue(
            map(grid, (cell) => cells.castCell(cell, dataType, to)),
            to,
          );
    }
    case 'Max':
    case 'Min':
    case 'Clip':
      return clamp(node, inputs);
    case 'Mod': {
      const op = intAttribute(node, 'fmod', 0) === 1 ? 'rem' : 'mod';
      return isInteger(dataType)
        ? zipped(a ?? null, b ?? null, idRules.divideInteger(op), dataType)
        : null;
    }
    case 'Abs': {
      const grid = toGrid(a ?? null);
      return grid === null ? null : gridValue(map(grid, idRules.absolute), dataType);
    }
    case 'Where':
      return where(inputs);
    case 'CumSum': {
      const axis = normaliseAxis(
        scalarOf(b ?? null) ?? Number.NaN,
        toGrid(a ?? null)?.axes.length ?? 0,
      );
      const isPlain =
        intAttribute(node, 'exclusive', 0) === 0 && intAttribute(node, 'reverse', 0) === 0;
      if (a?.kind !== 'grid' || axis === null || !isPlain || !isInteger(dataType)) return null;
      return gridValue(runningSum(a.grid, axis), dataType);
    }
    case 'ReduceSum':
    case 'ReduceMean':
    case 'GlobalAveragePool':
      return reduced(node, inputs);
    case 'MatMul':
      return gridValue(contractMatMul(toGrid(a ?? null), toGrid(b ?? null)), dataType);
    case 'Einsum':
      return gridValue(
        contractEinsum(stringAttribute(node, 'equation') ?? '', inputs.map(toGrid)),
        dataType,
      );
    default:
      return null;
  }
}

const BINARY: Readonly<Record<string, (x: Cell, y: Cell) => Cell | null>> = {
  Mul: cells.multiply,
  Add: cells.add,
  Sub: cells.subtract,
  And: conditions.both,
  Xor: conditions.either,
  Equal: conditions.compare('Equal'),
  Greater: conditions.compare('Greater'),
  Less: conditions.compare('Less'),
  GreaterOrEqual: conditions.compare('GreaterOrEqual'),
  LessOrEqual: conditions.compare('LessOrEqual'),
};
const RESULT_BOOL: ReadonlySet<string> = new Set([
  'And',
  'Xor',
  'Equal',
  'Greater',
  'Less',
  'GreaterOrEqual',
  'LessOrEqual',
]);

function zipped(
  a: Value | null,
  b: Value | null,
  combine: (x: Cell, y: Cell) => Cell | null,
  dataType: number,
): Value | null {
  const [x, y] = [toGrid(a), toGrid(b)];
  return x === null || y === null ? null : gridValue(zip(x, y, combine), dataType);
}

/** Rows by ids: Gather along axis 0 of a matrix, or GatherND with single indices. */
function lookup(node: OnnxNode, inputs: Inputs): Value | null {
  const [data, ids] = inputs;
  const matrix = matrixOf(data ?? null) ?? foldedMatrix(node, data ?? null);
  if (matrix === null || ids?.kind !== 'grid' || !isInteger(ids.dataType)) return null;
  let grid: Grid | null = ids.grid;
  if (node.opType === 'Gather') {
    if (normaliseAxis(intAttribute(node, 'axis', 0), 2) !== 0) return null;
  } else {
    const shape = shapeOf(grid);
    const last = shape[shape.length - 1];
    if (last === undefined || !p.isOne(last) || intAttribute(node, 'batch_dims', 0) !== 0)
      return null;
    grid = reshape(grid, shape.slice(0, -1));
  }
  return gridValue(grid === null ? null : gatherRows(matrix, grid), data?.dataType ?? 0);
}

function gatherRows(matrix: Matrix, ids: Grid): Grid | null {
  const list: Cell[] = [];
  for (const cell of ids.cells) {
    const id = cell.type === 'mask' || cell.type === 'test' ? indicator(cell) : cell;
    if (id?.type !== 'id') return null;
    list.push({ type: 'row', parts: [lookupBag(matrix, id)] });
  }
  const axes: Axis[] = [...ids.axes, [dim(matrix.dim)]];
  return makeGrid(axes, list);
}

/** A matrix that the graph computes from constants, such as a transposed one. */
const folded = new WeakMap<object, Matrix>();
function foldedMatrix(node: OnnxNode, data: Value | null): Matrix | null {
  if (data?.kind !== 'const' || data.tensor.dims.length !== 2) return null;
  const known = folded.get(data.tensor);
  if (known !== undefined) return known;
  const [rows, width] = data.tensor.dims as [number, number];
  const name = node.inputs[0] ?? '';
  const tensor = encodeTensor(name, data.tensor);
  if (
    tensor === null ||
    isInteger(data.dataType) ||
    data.dataType === OnnxType.bool ||
    rows * width === 0
  )
    return null;
  const matrix = { name, tensor, rows, dim: width };
  folded.set(data.tensor, matrix);
  return matrix;
}

function quotient(a: Value | null, b: Value | null, dataType: number): Value | null {
  const size = toInts(b);
  const symbol =
    size?.values.length === 1 && size.values[0] !== undefined ? p.asSymbol(size.values[0]) : null;
  if (symbol !== null && a?.kind === 'grid') {
    return gridValue(
      map(a.grid, (cell) => cells.divideBySymbol(cell, symbol)),
      dataType,
    );
  }
  return zipped(a, b, isInteger(dataType) ? idRules.divideInteger('div') : cells.divide, dataType);
}

function clamp(node: OnnxNode, inputs: Inputs): Value | null {
  const [a, b] = inputs;
  let low: number | null = null;
  let high: number | null = null;
  const data = a?.kind === 'grid' ? a : b;
  if (node.opType === 'Clip') {
    low = bound(node, 'min', inputs[1], -Infinity);
    high = bound(node, 'max', inputs[2], Infinity);
  } else {
    if (inputs.length !== 2) return null;
    const other = scalarOf((a?.kind === 'grid' ? b : a) ?? null);
    [low, high] = node.opType === 'Max' ? [other, Infinity] : [-Infinity, other];
  }
  if (data?.kind !== 'grid' || low === null || high === null) return null;
  const [lowest, highest] = [low, high];
  return gridValue(
    map(data.grid, (cell) => {
      const raised = lowest > -3e38 ? cells.atLeast(cell, lowest) : cell;
      return raised === null || highest > 3e38 ? raised : cells.atMost(raised, highest);
    }),
    data.dataType,
  );
}

/** A bound of Clip, as an attribute or an input; null when it is not known. */
function bound(
  node: OnnxNode,
  name: 'min' | 'max',
  input: Value | null | undefined,
  none: number,
): number | null {
  const attribute = floatAttribute(node, name);
  if (attribute !== undefined && attribute !== null) return attribute;
  const at = name === 'min' ? 1 : 2;
  return (node.inputs[at] ?? '') === '' ? none : scalarOf(input ?? null);
}

/** One of the branches is a number; only masks of rows and repaired counts have a meaning. */
function where(inputs: Inputs): Value | null {
  const [test, x, y] = inputs.map(toGrid);
  if (test == null || x == null || y == null) return null;
  if (test.cells[0]?.type === 'borrow') return corrected(test, x, y, inputs[1]?.dataType ?? 0);
  const [ifTrue, ifFalse] = [scalarOf(inputs[1] ?? null), scalarOf(inputs[2] ?? null)];
  const number = (value: number): Cell => ({ type: 'number', value });
  // The constant's shape takes part in broadcasting.
  const both = ifFalse !== null ? zip(x, y, (left) => left) : zip(y, x, (left) => left);
  if (both === null || (ifTrue === null && ifFalse === null)) return null;
  const grid = zip(test, both, (cell, other) =>
    ifFalse !== null
      ? cells.choose(cell, other, number(ifFalse))
      : cells.choose(cell, number(ifTrue as number), other),
  );
  return gridValue(grid, inputs[1]?.dataType ?? 0);
}

/** Floor division as a choice between a quotient and one less. */
function corrected(test: Grid, x: Grid, y: Grid, dataType: number): Value | null {
  const sameShape = [x, y].every(
    (grid) =>
      grid.axes.length === test.axes.length &&
      grid.axes.every((axis, i) => sameAxis(axis, test.axes[i] as Axis)),
  );
  if (!sameShape) return null;
  const cell = test.cells.map((one, i) =>
    cells.choose(one, x.cells[i] as Cell, y.cells[i] as Cell),
  );
  return cell.includes(null) ? null : gridValue(makeGrid(test.axes, cell as Cell[]), dataType);
}

function reduced(node: OnnxNode, inputs: Inputs): Value | null {
  const [data] = inputs;
  if (data?.kind !== 'grid') return null;
  const rank = data.grid.axes.length;
  const global = node.opType === 'GlobalAveragePool';
  const axes = global
    ? Array.from({ length: rank - 2 }, (_, i) => i + 2)
    : reduceAxes(node, inputs, rank);
  if (axes === null) return null;
  const keep = global || intAttribute(node, 'keepdims', 1) === 1;
  const grid = reduce(data.grid, axes, node.opType === 'ReduceSum' ? 'sum' : 'mean', keep);
  return gridValue(grid, data.dataType);
}
