/** Operators that only move elements: reshapes, transposes, slices, selections, concatenations. */
import type { OnnxNode } from '../onnx/types.js';
import { intAttribute, intsAttribute } from './attributes.js';
import { expand } from './broadcast.js';
import type { Bounds, Cell, ConstTensor, Grid, LengthList, OffsetSource, Value } from './domain.js';
import { axisSize, concat, makeGrid, pick, reshape, select, shapeOf, transpose } from './grid.js';
import {
  axesOf,
  insertAxes,
  normaliseAxis,
  sliceArguments,
  sliceRange,
  splitSizes,
} from './operands.js';
import { isPlaced } from './places.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';
import { reshapeTargets, sizesOf } from './shapes.js';
import { gridValue, type Ints, toGrid, toInts } from './values.js';

type Inputs = readonly (Value | null)[];

/** Null when the operator is none of these or the result is not a grid. */
export function evaluateViews(node: OnnxNode, inputs: Inputs): readonly Value[] | null {
  const [data] = inputs;
  const bounds = evaluateBounds(node, inputs);
  if (bounds !== null) return [bounds];
  if (node.opType === 'Concat') {
    if (!inputs.some((value) => value?.kind === 'grid')) return null;
    const grids = inputs.map(toGrid);
    const axis = normaliseAxis(intAttribute(node, 'axis', 0), grids[0]?.axes.length ?? 0);
    if (axis === null || grids.includes(null)) return null;
    return one(concat(grids as Grid[], axis), data?.dataType ?? 0);
  }
  if (node.opType === 'Expand' && data?.kind === 'const') {
    const [grid, sizes] = [toGrid(data), sizesOf(inputs[1] ?? null)];
    return grid === null || sizes === null ? null : one(expand(grid, sizes), data.dataType);
  }
  if (node.opType === 'Unsqueeze' && data?.kind === 'range') {
    const consts = inputs.map((value) => (value?.kind === 'const' ? value.tensor : null));
    const grid = toGrid(data);
    return grid === null ? null : one(view(node, grid, inputs, consts), data.dataType);
  }
  if (data?.kind !== 'grid') return null;
  const consts = inputs.map((value) => (value?.kind === 'const' ? value.tensor : null));
  if (node.opType === 'Split') return split(node, data.grid, consts, data.dataType);
  return one(view(node, data.grid, inputs, consts), data.dataType);
}

function one(grid: Grid | null, dataType: number): readonly Value[] | null {
  const value = gridValue(grid, dataType);
  return value === null ? null : [value];
}

function view(
  node: OnnxNode,
  grid: Grid,
  inputs: Inputs,
  consts: readonly (ConstTensor | null)[],
): Grid | null {
  const shape = shapeOf(grid);
  const rank = shape.length;
  switch (node.opType) {
    case 'Identity':
      return grid;
    case 'Dropout':
      // Its third input switches training on.
      return (node.inputs[2] ?? '') === '' || consts[2]?.data[0] === 0 ? grid : null;
    case 'Reshape': {
      const targets = reshapeTargets(
        shape,
        inputs[1] ?? null,
        intAttribute(node, 'allowzero', 0) === 1,
      );
      return targets === null ? null : reshape(grid, targets);
    }
    case 'Flatten': {
      const axis = intAttribute(node, 'axis', 1);
      const at = axis < 0 ? axis + rank : axis;
      return reshape(grid, [p.product(shape.slice(0, at)), p.product(shape.slice(at))]);
    }
    case 'Squeeze': {
      const axes = axesOf(node, consts, 1);
      if (axes === undefined) return null;
      const drop = axes?.map((axis) => normaliseAxis(axis, rank));
      return reshape(
        grid,
        shape.filter((size, i) => (drop === undefined ? !p.isOne(size) : !drop.includes(i))),
      );
    }
    case 'Unsqueeze': {
      const axes = axesOf(node, consts, 1);
      if (axes == null) return null;
      const sizes = insertAxes(shape, axes, rank + axes.length, p.ONE);
      return sizes === null ? null : reshape(grid, sizes);
    }
    case 'Transpose': {
      const order = intsAttribute(node, 'perm') ?? shape.map((_, i) => rank - 1 - i);
      return transpose(grid, order);
    }
    case 'Expand': {
      const sizes = sizesOf(inputs[1] ?? null);
      return sizes === null ? null : expand(grid, sizes);
    }
    case 'Tile': {
      const times = consts[1]?.data;
      if (times === undefined || times.length !== rank) return null;
      // Only what becomes a copy: an axis of one position.
      if (times.some((n, i) => n !== 1 && !p.isOne(shape[i] as Poly))) return null;
      return expand(
        grid,
        shape.map((size, i) => (times[i] === 1 ? size : p.poly(times[i] as number))),
      );
    }
    case 'Slice':
      return slice(node, grid, consts);
    case 'Gather': {
      const axis = normaliseAxis(intAttribute(node, 'axis', 0), rank);
      return axis === null ? null : selectByIndex(grid, axis, consts[1] ?? null);
    }
    case 'GatherND': {
      const index = consts[1];
      if (
        index == null ||
        index.dims[index.dims.length - 1] !== 1 ||
        intAttribute(node, 'batch_dims', 0) !== 0
      )
        return null;
      return selectByIndex(grid, 0, { ...index, dims: index.dims.slice(0, -1) });
    }
    default:
      return null;
  }
}

function slice(node: OnnxNode, grid: Grid, consts: readonly (ConstTensor | null)[]): Grid | null {
  const slices = sliceArguments(node, consts, grid.axes.length);
  let result: Grid | null = grid;
  for (const { axis, start, end, step } of slices ?? []) {
    if (result === null) return null;
    const size = p.constant(axisSize(result.axes[axis] as Grid['axes'][number]));
    if (size !== null) result = select(result, axis, sliceRange(start, end, step, size));
    else if (step === 1 && end === 1 && start === 0) result = endOf(result, axis, 0);
    else if (step === 1 && start === -1 && end >= 2 ** 31 - 1) result = endOf(result, axis, -1);
    else if (start !== 0 || step !== 1 || end < 2 ** 31 - 1) return null;
  }
  return slices === null ? null : result;
}

/** The first (0) or the last (-1) position of a free dimension, as an axis of size 1; ids only. */
function endOf(grid: Grid, axis: number, at: 0 | -1): Grid | null {
  const factors = grid.axes[axis] ?? [];
  if (factors.length !== 1 || factors[0]?.kind !== 'symbol') return null;
  const cells: Cell[] = [];
  for (const cell of grid.cells) {
    // The row of the input is as long as the dimension times the step.
    if (cell.type !== 'id' || !cell.isBatched || cell.start < 0 || cell.start >= cell.step)
      return null;
    if (isPlaced(cell.map)) return null;
    cells.push({ ...cell, start: cell.start + at * cell.step, step: 0 });
  }
  return makeGrid(
    grid.axes.map((own, i) => (i === axis ? [] : own)),
    cells,
  );
}

function selectByIndex(grid: Grid, axis: number, index: ConstTensor | null): Grid | null {
  if (index === null) return null;
  const shape = shapeOf(grid);
  const size = p.constant(shape[axis] as Poly);
  if (size === null) {
    const [at] = index.data;
    const one = index.data.length === 1 && (at === 0 || at === -1) ? endOf(grid, axis, at) : null;
    return one === null || index.dims.length === 1
      ? one
      : reshape(one, [
          ...shape.slice(0, axis),
          ...index.dims.map(p.poly),
          ...shape.slice(axis + 1),
        ]);
  }
  const positions = index.data.map((i) => (i < 0 ? i + size : i));
  if (index.dims.length === 0) return pick(grid, axis, positions[0] as number);
  const chosen = select(grid, axis, positions);
  if (chosen === null || index.dims.length === 1) return chosen;
  return reshape(chosen, [
    ...shape.slice(0, axis),
    ...index.dims.map(p.poly),
    ...shape.slice(axis + 1),
  ]);
}

function split(
  node: OnnxNode,
  grid: Grid,
  consts: readonly (ConstTensor | null)[],
  dataType: number,
): readonly Value[] | null {
  const axis = normaliseAxis(intAttribute(node, 'axis', 0), grid.axes.length);
  const size = axis === null ? null : p.constant(shapeOf(grid)[axis] as Poly);
  if (axis === null || size === null || ((node.inputs[1] ?? '') !== '' && consts[1] == null))
    return null;
  const sizes = splitSizes(node, consts[1]?.data ?? null, size);
  let at = 0;
  const parts = sizes?.map((n) => {
    const part = select(
      grid,
      axis,
      Array.from({ length: n }, (_, i) => at + i),
    );
    at += n;
    return gridValue(part, dataType);
  });
  return parts === undefined || parts.includes(null) ? null : (parts as Value[]);
}

/** The offsets of bags: a whole integer input, a range, or a constant, perhaps with the total behind. */
export function asBounds(value: Value | null): Bounds | null {
  if (value?.kind === 'bounds') return value.bounds;
  if (value?.kind === 'const') {
    const { dims, data } = value.tensor;
    // One entry that is not 0 is the total behind the single bag's start.
    if (dims.length !== 1 || data.length < 1 || (data.length === 1 && data[0] === 0)) return null;
    const step =
      data.length === 1 ? (data[0] as number) : (data[1] as number) - (data[0] as number);
    const shift = (data[0] as number) / step;
    if (step < 1 || !Number.isInteger(shift) || data.some((x, i) => x !== (i + shift) * step))
      return null;
    const length = p.poly(data.length + shift);
    return { source: { kind: 'range', step, length }, complete: true, shift, length };
  }
  if (value?.kind === 'range') {
    const step = p.constant(value.step);
    if (p.constant(value.start) !== 0 || step === null || step < 1) return null;
    return {
      source: { kind: 'range', step, length: value.length },
      complete: true,
      shift: 0,
      length: value.length,
    };
  }
  if (value?.kind === 'lengths') {
    const { input, count, isSummed, skip, drop } = value;
    const length = p.add(count, p.ONE);
    const source = { kind: 'lengths', name: input, length } as const;
    return isSummed && drop === 0 ? { source, complete: true, shift: skip, length } : null;
  }
  const whole = value?.kind === 'grid' ? wholeInput(value.grid, true) : null;
  if (whole === null) return null;
  const length = p.add(whole.length, p.poly(whole.start));
  return {
    source: { kind: 'input', name: whole.input, length },
    complete: true,
    shift: whole.start,
    length,
  };
}

/** A rank-1 grid that is an input, element by element; `tail` allows the first ones to be cut off. */
export function wholeInput(
  grid: Grid,
  tail = false,
): { input: string; start: number; add: number; length: Poly } | null {
  const [axis] = grid.axes;
  const [cell] = grid.cells;
  if (grid.axes.length !== 1 || axis === undefined || axis.length > 1) return null;
  if (cell?.type !== 'id' && cell?.type !== 'real') return null;
  const factor = axis[0]?.kind;
  if (factor === 'copy' || factor === 'dim') return null;
  if (cell.start < 0 || (!tail && cell.start !== 0)) return null;
  const shift = cell.type === 'id' ? cell.add : 0;
  for (const [i, other] of grid.cells.entries()) {
    if (other.type !== cell.type || other.input !== cell.input || other.start !== cell.start + i)
      return null;
    if (other.type !== 'id') continue;
    if (other.add !== shift || other.clamped || other.isFloat || other.map.length > 0) return null;
  }
  return { input: cell.input, start: cell.start, add: shift, length: axisSize(axis) };
}

/** The starts of bags, with the number of ids behind: what their lengths add up to. */
function withTotal(list: LengthList, { values }: Ints): Value | null {
  if (!list.isSummed || list.skip !== 0 || list.drop !== 1 || values.length !== 1) return null;
  const bounds = asBounds({ ...list, drop: 0 });
  return bounds === null ? null : { kind: 'bounds', dataType: list.dataType, bounds };
}

/** Concat(offsets, [total]) and offsets[1:]. */
function evaluateBounds(node: OnnxNode, inputs: Inputs): Value | null {
  const [data, second] = inputs;
  const dataType = data?.dataType ?? 0;
  if (node.opType === 'Concat' && inputs.length === 2) {
    const total = toInts(second ?? null);
    if (data?.kind === 'lengths') return total === null ? null : withTotal(data, total);
    const bounds = data?.kind === 'const' ? null : asBounds(data ?? null);
    if (bounds === null || total?.values.length !== 1 || bounds.shift !== 0 || !bounds.complete)
      return null;
    if (data?.kind === 'bounds') return null;
    const source: OffsetSource = bounds.source;
    if (
      source.kind === 'range' &&
      !p.equal(total.values[0] as Poly, p.multiply(p.poly(source.step), source.length))
    ) {
      return null;
    }
    const complete = source.kind === 'range';
    return {
      kind: 'bounds',
      dataType,
      bounds: { source, complete, shift: 0, length: p.add(bounds.length, p.ONE) },
    };
  }
  if (
    node.opType !== 'Slice' ||
    (data?.kind !== 'bounds' &&
      data?.kind !== 'grid' &&
      data?.kind !== 'range' &&
      data?.kind !== 'lengths')
  )
    return null;
  if (
    data.kind === 'grid' &&
    (data.grid.axes[0]?.[0]?.kind === 'fixed' || data.grid.cells[0]?.type !== 'id')
  )
    return null;
  const consts = inputs.map((value) => (value?.kind === 'const' ? value.tensor : null));
  const [slice, ...more] = sliceArguments(node, consts, 1) ?? [];
  const bounds = asBounds(data);
  if (bounds === null || slice === undefined || more.length > 0 || slice.step !== 1) return null;
  if (slice.start < 0 || slice.end < 2 ** 31 - 1) return null;
  // All of it: what it is stays open.
  if (slice.start === 0 && data.kind === 'grid') return null;
  return { kind: 'bounds', dataType, bounds: { ...bounds, shift: bounds.shift + slice.start } };
}
