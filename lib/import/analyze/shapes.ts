/** Shape arithmetic: integers that come from Shape, followed as polynomials of the free dimensions. */
import { type OnnxNode, OnnxType } from '../onnx/types.js';
import { intAttribute } from './attributes.js';
import { decodeTensor, isFloat, isInteger } from './constants.js';
import type { Value } from './domain.js';
import { copy, makeGrid } from './grid.js';
import { axesOf, insertAxes, normaliseAxis, sliceArguments, sliceRange } from './operands.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';
import { constant, gridValue, INT64, type Ints, intsValue, toInts, valueShape } from './values.js';

type Inputs = readonly (Value | null)[];

/** Null when the operator is not shape arithmetic or its result is not known. */
export function evaluateShapes(node: OnnxNode, inputs: Inputs): readonly Value[] | null {
  const result = evaluate(node, inputs);
  return result === null ? null : [result];
}

function evaluate(node: OnnxNode, inputs: Inputs): Value | null {
  switch (node.opType) {
    case 'Shape': {
      const shape = valueShape(inputs[0] ?? null);
      if (shape === null) return null;
      const bound = (at: number): number =>
        Math.min(Math.max(at < 0 ? at + shape.length : at, 0), shape.length);
      const part = shape.slice(
        bound(intAttribute(node, 'start', 0)),
        bound(intAttribute(node, 'end', shape.length)),
      );
      return part.includes(null)
        ? unknownEntries(node, part)
        : intsValue(INT64, [part.length], part as Poly[]);
    }
    case 'Size': {
      const shape = valueShape(inputs[0] ?? null);
      if (shape === null || shape.includes(null)) return null;
      return intsValue(INT64, [], [p.product(shape as Poly[])]);
    }
    case 'ConstantOfShape': {
      const shape = toInts(inputs[0] ?? null);
      const attribute = node.attributes.get('value');
      const filler = attribute?.type === 'tensor' ? decodeTensor(attribute.value) : null;
      if (shape === null || (attribute !== undefined && filler === null)) return null;
      const axes = shape.values.map((size) => [copy(size)]);
      const cell = { type: 'number', value: filler?.data[0] ?? 0 } as const;
      return gridValue(makeGrid(axes, [cell]), filler?.dataType ?? OnnxType.float);
    }
    case 'Range':
      return range(inputs);
    default:
      break;
  }
  if (!inputs.some((value) => value?.kind === 'ints')) return null;
  const ints = inputs.map(toInts);
  return entries(node, inputs, ints) ?? arithmetic(node, inputs, ints);
}

/** A dimension that is not known gets a symbol of its own, so that the others can be used. */
function unknownEntries(node: OnnxNode, shape: readonly (Poly | null)[]): Value {
  const values = shape.map((size, i) => size ?? p.symbol(`?${node.outputs[0]}.${i}`));
  return intsValue(INT64, [shape.length], values);
}

function range(inputs: Inputs): Value | null {
  const [start, limit, step] = inputs.map((value) => toInts(value)?.values[0]);
  if (start === undefined || limit === undefined || step === undefined) return null;
  const length = p.divide(p.add(limit, start, -1), step);
  return length === null
    ? null
    : { kind: 'range', dataType: inputs[0]?.dataType ?? INT64, start, step, length };
}

/** Operators that move entries of a vector. */
function entries(node: OnnxNode, inputs: Inputs, ints: readonly (Ints | null)[]): Value | null {
  const [data] = ints;
  const dataType = inputs[0]?.dataType ?? INT64;
  if (data == null) return null;
  const consts = inputs.map((value) => (value?.kind === 'const' ? value.tensor : null));
  switch (node.opType) {
    case 'Identity':
      return inputs[0] as Value;
    case 'Cast': {
      const to = intAttribute(node, 'to', 0);
      return isInteger(to) || isFloat(to) ? intsValue(to, data.dims, data.values) : null;
    }
    case 'CastLike': {
      const to = inputs[1]?.dataType ?? 0;
      return isInteger(to) || isFloat(to) ? intsValue(to, data.dims, data.values) : null;
    }
    case 'Gather': {
      const index = consts[1];
      if (index == null || index.dims.length > 1) return null;
      const picked = index.data.map((i) => data.values[i < 0 ? i + data.values.length : i]);
      return picked.includes(undefined) ? null : intsValue(dataType, index.dims, picked as Poly[]);
    }
    case 'Slice': {
      const [slice, ...more] = sliceArguments(node, consts, 1) ?? [];
      if (slice === undefined || more.length > 0) return null;
      const at = sliceRange(slice.start, slice.end, slice.step, data.values.length);
      return intsValue(
        dataType,
        [at.length],
        at.map((i) => data.values[i] as Poly),
      );
    }
    case 'Concat': {
      if (ints.some((part) => part === null || part.dims.length !== 1)) return null;
      const values = (ints as Ints[]).flatMap((part) => part.values);
      return intsValue(dataType, [values.length], values);
    }
    case 'Unsqueeze': {
      const axes = axesOf(node, consts, 1);
      const dims =
        axes == null ? null : insertAxes(data.dims, axes, data.dims.length + axes.length, 1);
      return dims === null || dims.length > 1 ? null : intsValue(dataType, dims, data.values);
    }
    case 'Squeeze':
      return data.values.length === 1 ? intsValue(dataType, [], data.values) : (inputs[0] as Value);
    case 'Reshape': {
      const rank = consts[1]?.data.length;
      if (rank === undefined || rank > 1) return null;
      return intsValue(dataType, rank === 0 ? [] : [data.values.length], data.values);
    }
    case 'ReduceProd':
    case 'ReduceSum': {
      const combine = node.opType === 'ReduceProd' ? p.multiply : p.add;
      const keep = intAttribute(node, 'keepdims', 1) === 1;
      const total = data.values.reduce(
        (a, b) => combine(a, b),
        p.poly(node.opType === 'ReduceProd' ? 1 : 0),
      );
      return intsValue(dataType, keep ? data.dims.map(() => 1) : [], [total]);
    }
    default:
      return null;
  }
}

function arithmetic(node: OnnxNode, inputs: Inputs, ints: readonly (Ints | null)[]): Value | null {
  const { opType } = node;
  if (opType === 'Where') return where(inputs, ints);
  const [a, b] = ints;
  if (a == null || b == null || inputs.length !== 2) return null;
  const dims = a.dims.length >= b.dims.length ? a.dims : b.dims;
  const n = Math.max(a.values.length, b.values.length);
  const at = (side: Ints, i: number): Poly => side.values[side.values.length === 1 ? 0 : i] as Poly;
  if (
    (a.values.length !== 1 && a.values.length !== n) ||
    (b.values.length !== 1 && b.values.length !== n)
  )
    return null;
  const pairs = Array.from({ length: n }, (_, i): [Poly, Poly] => [at(a, i), at(b, i)]);
  const compare = COMPARE[opType];
  if (compare !== undefined) {
    const data = pairs.map(([x, y]) => {
      const sign = p.sign(p.add(x, y, -1));
      return sign === null ? null : Number(compare(sign));
    });
    if (data.includes(null)) return null;
    return constant({ dataType: OnnxType.bool, dims, data: data as number[] });
  }
  const combine = COMBINE[opType];
  if (combine === undefined) return null;
  const values = pairs.map(([x, y]) => combine(x, y));
  return values.includes(null)
    ? null
    : intsValue(inputs[0]?.dataType ?? INT64, dims, values as Poly[]);
}

const COMPARE: Readonly<Record<string, (sign: number) => boolean>> = {
  Equal: (sign) => sign === 0,
  Greater: (sign) => sign > 0,
  Less: (sign) => sign < 0,
  GreaterOrEqual: (sign) => sign >= 0,
  LessOrEqual: (sign) => sign <= 0,
};

function larger(x: Poly, y: Poly): Poly | null {
  const sign = p.sign(p.add(x, y, -1));
  return sign === null ? null : sign >= 0 ? x : y;
}

const COMBINE: Readonly<Record<string, (x: Poly, y: Poly) => Poly | null>> = {
  Add: (x, y) => p.add(x, y),
  Sub: (x, y) => p.add(x, y, -1),
  Mul: p.multiply,
  Div: p.divide,
  Max: larger,
  Min: (x, y) => {
    const high = larger(x, y);
    return high === null ? null : high === x ? y : x;
  },
};

function where(inputs: Inputs, ints: readonly (Ints | null)[]): Value | null {
  const test = inputs[0]?.kind === 'const' ? inputs[0].tensor : null;
  const [, yes, no] = ints;
  if (test === null || yes == null || no == null || test.dims.length > 1) return null;
  const n = Math.max(test.data.length, yes.values.length, no.values.length);
  const values = Array.from({ length: n }, (_, i) => {
    const source = test.data[test.data.length === 1 ? 0 : i] !== 0 ? yes : no;
    return source.values[source.values.length === 1 ? 0 : i];
  });
  if (values.includes(undefined)) return null;
  return intsValue(
    inputs[1]?.dataType ?? INT64,
    n === 1 && test.dims.length === 0 ? [] : [n],
    values as Poly[],
  );
}

/** The sizes that a Reshape asks for; null when they are not known. */
export function reshapeTargets(
  old: readonly Poly[],
  value: Value | null,
  allowZero: boolean,
): Poly[] | null {
  const ints = toInts(value);
  if (ints === null) return null;
  const isUnknown = (size: Poly): boolean => p.asSymbol(size)?.startsWith('?') ?? false;
  const sizes: (Poly | null)[] = ints.values.map((size, i) => {
    const number = p.constant(size);
    if (number === 0 && !allowZero) return old[i] ?? null;
    return number === -1 || isUnknown(size) ? null : size;
  });
  const open = sizes.flatMap((size, i) => (size === null ? [i] : []));
  if (open.length > 1) return null;
  const [at] = open;
  if (at !== undefined) {
    const rest = p.divide(p.product(old), p.product(sizes.filter((size) => size !== null)));
    if (rest === null) return null;
    sizes[at] = rest;
  }
  return sizes as Poly[];
}

/** Entries of an Expand's or a Tile's second input. */
export function sizesOf(value: Value | null): readonly Poly[] | null {
  return toInts(value)?.values ?? null;
}

/** The axes of a reducing operator; null when they are not known. */
export function reduceAxes(node: OnnxNode, inputs: Inputs, rank: number): number[] | null {
  const consts = inputs.map((value) => (value?.kind === 'const' ? value.tensor : null));
  const axes = axesOf(node, consts, 1);
  if (axes === undefined) return null;
  if (axes === null || axes.length === 0) {
    if (intAttribute(node, 'noop_with_empty_axes', 0) === 1) return [];
    return Array.from({ length: rank }, (_, i) => i);
  }
  const normal = axes.map((axis) => normaliseAxis(axis, rank));
  return normal.includes(null) ? null : [...new Set(normal as number[])];
}
