/** Evaluates operators on small constants: those that appear in index, mask and shape arithmetic. */
import { type OnnxNode, OnnxType } from '../onnx/types.js';
import { intAttribute, intsAttribute } from './attributes.js';
import {
  castNumber,
  constTensor,
  decodeTensor,
  elementCount,
  isFloat,
  MAX_INTEGERS,
} from './constants.js';
import type { ConstTensor } from './domain.js';
import {
  axesOf,
  insertAxes,
  normaliseAxis,
  reshapeDims,
  sliceArguments,
  sliceRange,
  splitSizes,
} from './operands.js';

type Inputs = readonly (ConstTensor | null)[];

function strides(dims: readonly number[]): number[] {
  return dims.map((_, i) => elementCount(dims.slice(i + 1)));
}

function broadcastDims(shapes: readonly (readonly number[])[]): number[] | null {
  const rank = Math.max(...shapes.map((dims) => dims.length));
  const out: number[] = [];
  for (let i = 0; i < rank; i++) {
    let size = 1;
    for (const dims of shapes) {
      const mine = dims[i - (rank - dims.length)] ?? 1;
      if (mine !== 1 && size !== 1 && mine !== size) return null;
      if (mine !== 1) size = mine;
    }
    out.push(size);
  }
  return elementCount(out) > MAX_INTEGERS ? null : out;
}

/** For each element of `dims`, the tensor's element that broadcasting puts there. */
export function broadcastTo(tensor: ConstTensor, dims: readonly number[]): number[] {
  const missing = dims.length - tensor.dims.length;
  const own = strides(tensor.dims);
  let offsets = [0];
  for (const [i, size] of dims.entries()) {
    const mine = tensor.dims[i - missing] ?? 1;
    const stride = mine === 1 ? 0 : (own[i - missing] as number);
    offsets = offsets.flatMap((at) => Array.from({ length: size }, (_, n) => at + n * stride));
  }
  return offsets.map((at) => tensor.data[at] as number);
}

const BINARY: Readonly<Record<string, (a: number, b: number, integer: boolean) => number>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b, integer) => (integer ? Math.trunc(a / b) : a / b),
  Mod: (a, b) => a - Math.floor(a / b) * b,
  Max: (a, b) => Math.max(a, b),
  Min: (a, b) => Math.min(a, b),
  Pow: (a, b) => a ** b,
};
const COMPARE: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  Equal: (a, b) => a === b,
  Greater: (a, b) => a > b,
  Less: (a, b) => a < b,
  GreaterOrEqual: (a, b) => a >= b,
  LessOrEqual: (a, b) => a <= b,
  And: (a, b) => a !== 0 && b !== 0,
  Or: (a, b) => a !== 0 || b !== 0,
  Xor: (a, b) => (a !== 0) !== (b !== 0),
};
const UNARY: Readonly<Record<string, (a: number) => number>> = {
  Neg: (a) => -a,
  Abs: Math.abs,
  Floor: Math.floor,
  Ceil: Math.ceil,
  Sqrt: Math.sqrt,
  Reciprocal: (a) => 1 / a,
  Not: (a) => (a === 0 ? 1 : 0),
  Sign: Math.sign,
};
const REDUCE: Readonly<Record<string, (a: number, b: number) => number>> = {
  ReduceSum: (a, b) => a + b,
  ReduceProd: (a, b) => a * b,
  ReduceMax: Math.max,
  ReduceMin: Math.min,
};

/** Int64 arithmetic is followed only while it is exact in a double. */
function checked(dataType: number, dims: readonly number[], data: number[]): ConstTensor | null {
  if (dataType === OnnxType.float) return constTensor(dataType, dims, data.map(Math.fround));
  if (isFloat(dataType)) return constTensor(dataType, dims, data);
  if (data.some((value) => !Number.isSafeInteger(value) && value !== 2 ** 63)) return null;
  return constTensor(dataType, dims, data);
}

function gatherAlong(
  data: ConstTensor,
  axis: number,
  indices: readonly number[],
  dims: readonly number[],
): ConstTensor | null {
  const size = data.dims[axis] as number;
  const inner = elementCount(data.dims.slice(axis + 1));
  const outer = elementCount(data.dims.slice(0, axis));
  if (outer * indices.length * inner > MAX_INTEGERS) return null;
  const out: number[] = [];
  for (let o = 0; o < outer; o++) {
    for (const raw of indices) {
      const index = raw < 0 ? raw + size : raw;
      if (index < 0 || index >= size) return null;
      const from = (o * size + index) * inner;
      for (let i = 0; i < inner; i++) out.push(data.data[from + i] as number);
    }
  }
  return constTensor(
    data.dataType,
    [...data.dims.slice(0, axis), ...dims, ...data.dims.slice(axis + 1)],
    out,
  );
}

function transposeTensor(data: ConstTensor, order: readonly number[]): ConstTensor {
  const own = strides(data.dims);
  let offsets = [0];
  for (const axis of order) {
    const size = data.dims[axis] as number;
    offsets = offsets.flatMap((at) =>
      Array.from({ length: size }, (_, n) => at + n * (own[axis] as number)),
    );
  }
  return constTensor(
    data.dataType,
    order.map((axis) => data.dims[axis] as number),
    offsets.map((at) => data.data[at] as number),
  );
}

/** Null when the operator or its operands are not followed. All given inputs must be constants. */
export function fold(node: OnnxNode, inputs: Inputs): (ConstTensor | null)[] | null {
  if (node.opType === 'Split') return splitTensor(node, inputs);
  const result = foldOne(node, inputs);
  return result === null ? null : [result];
}

function splitTensor(node: OnnxNode, inputs: Inputs): (ConstTensor | null)[] | null {
  const data = inputs[0];
  if (data == null) return null;
  const axis = normaliseAxis(intAttribute(node, 'axis', 0), data.dims.length);
  const size = axis === null ? 0 : (data.dims[axis] as number);
  const sizes = splitSizes(node, inputs[1]?.data ?? null, size);
  if (axis === null || sizes === null) return null;
  let at = 0;
  return sizes.map((n) => {
    const indices = Array.from({ length: n }, (_, i) => at + i);
    at += n;
    return gatherAlong(data, axis, indices, [n]);
  });
}

function foldOne(node: OnnxNode, inputs: Inputs): ConstTensor | null {
  const { opType } = node;
  const [a, b, c] = inputs;
  if (a == null) return null;
  const binary = BINARY[opType];
  const compare = COMPARE[opType];
  if (binary !== undefined || compare !== undefined) {
    if ((opType === 'Max' || opType === 'Min') && inputs.length === 1) return a;
    if (b == null || inputs.length !== 2) return null;
    const dims = broadcastDims([a.dims, b.dims]);
    if (dims === null || (opType === 'Mod' && intAttribute(node, 'fmod', 0) !== 0)) return null;
    const right = broadcastTo(b, dims);
    const left = broadcastTo(a, dims);
    if (compare !== undefined) {
      return constTensor(
        OnnxType.bool,
        dims,
        left.map((x, i) => (compare(x, right[i] as number) ? 1 : 0)),
      );
    }
    const integer = !isFloat(a.dataType);
    if (integer && (opType === 'Div' || opType === 'Mod') && right.includes(0)) return null;
    return checked(
      a.dataType,
      dims,
      left.map((x, i) =>
        (binary as (x: number, y: number, n: boolean) => number)(x, right[i] as number, integer),
      ),
    );
  }
  const unary = UNARY[opType];
  if (unary !== undefined) return checked(a.dataType, a.dims, a.data.map(unary));
  const reduce = REDUCE[opType];
  if (reduce !== undefined) return reduceTensor(node, inputs, a, reduce);
  switch (opType) {
    case 'Identity':
      return a;
    case 'Cast':
    case 'CastLike': {
      const to = opType === 'Cast' ? intAttribute(node, 'to', 0) : (b?.dataType ?? 0);
      const data = a.data.map((value) => castNumber(value, a.dataType, to));
      return data.some((value) => value === null)
        ? null
        : constTensor(to, a.dims, data as number[]);
    }
    case 'Shape': {
      const begin = intAttribute(node, 'start', 0);
      const end = intAttribute(node, 'end', a.dims.length);
      const dims = a.dims.slice(begin, end);
      return constTensor(OnnxType.int64, [dims.length], dims);
    }
    case 'Size':
      return constTensor(OnnxType.int64, [], [elementCount(a.dims)]);
    case 'Gather': {
      const axis = normaliseAxis(intAttribute(node, 'axis', 0), a.dims.length);
      return axis === null || b == null ? null : gatherAlong(a, axis, b.data, b.dims);
    }
    case 'Slice': {
      let out: ConstTensor | null = a;
      for (const { axis, start, end, step } of sliceArguments(node, inputs, a.dims.length) ?? []) {
        if (out === null) return null;
        const indices = sliceRange(start, end, step, out.dims[axis] as number);
        out = gatherAlong(out, axis, indices, [indices.length]);
      }
      return sliceArguments(node, inputs, a.dims.length) === null ? null : out;
    }
    case 'Concat': {
      const axis = normaliseAxis(intAttribute(node, 'axis', 0), a.dims.length);
      return axis === null ? null : concatTensors(inputs, axis);
    }
    case 'Unsqueeze': {
      const axes = axesOf(node, inputs, 1);
      if (axes == null) return null;
      const rank = a.dims.length + axes.length;
      const dims = insertAxes(a.dims, axes, rank, 1);
      return dims === null ? null : constTensor(a.dataType, dims, a.data);
    }
    case 'Squeeze': {
      const axes = axesOf(node, inputs, 1);
      if (axes === undefined) return null;
      const drop = axes?.map((axis) => normaliseAxis(axis, a.dims.length));
      const dims = a.dims.filter((size, i) =>
        drop === undefined ? size !== 1 : !drop.includes(i),
      );
      return elementCount(dims) === a.data.length ? constTensor(a.dataType, dims, a.data) : null;
    }
    case 'Reshape': {
      const dims =
        b == null ? null : reshapeDims(a.dims, b.data, intAttribute(node, 'allowzero', 0) === 1);
      return dims === null ? null : constTensor(a.dataType, dims, a.data);
    }
    case 'Flatten': {
      const axis = intAttribute(node, 'axis', 1);
      const at = axis < 0 ? axis + a.dims.length : axis;
      return constTensor(
        a.dataType,
        [elementCount(a.dims.slice(0, at)), elementCount(a.dims.slice(at))],
        a.data,
      );
    }
    case 'Transpose': {
      const order = intsAttribute(node, 'perm') ?? a.dims.map((_, i) => a.dims.length - 1 - i);
      return transposeTensor(a, order);
    }
    case 'Expand': {
      const dims = b == null ? null : broadcastDims([a.dims, b.data]);
      return dims === null ? null : constTensor(a.dataType, dims, broadcastTo(a, dims));
    }
    case 'Range': {
      const [start, limit, step] = [a.data[0], b?.data[0], c?.data[0]];
      if (start === undefined || limit === undefined || step === undefined || step === 0)
        return null;
      const n = Math.max(0, Math.ceil((limit - start) / step));
      if (n > MAX_INTEGERS) return null;
      return checked(
        a.dataType,
        [n],
        Array.from({ length: n }, (_, i) => start + i * step),
      );
    }
    case 'Where': {
      if (b == null || c == null) return null;
      const dims = broadcastDims([a.dims, b.dims, c.dims]);
      if (dims === null) return null;
      const [test, yes, no] = [broadcastTo(a, dims), broadcastTo(b, dims), broadcastTo(c, dims)];
      return constTensor(
        b.dataType,
        dims,
        test.map((x, i) => (x !== 0 ? yes[i] : no[i]) as number),
      );
    }
    case 'Tile': {
      let out: ConstTensor | null = a;
      for (const [axis, times] of (b?.data ?? []).entries()) {
        const size = a.dims[axis] ?? 1;
        const indices = Array.from({ length: size * times }, (_, i) => i % size);
        out = out === null ? null : gatherAlong(out, axis, indices, [indices.length]);
      }
      return b == null ? null : out;
    }
    case 'ConstantOfShape': {
      const value = node.attributes.get('value');
      const one =
        value?.type === 'tensor' ? decodeTensor(value.value) : constTensor(OnnxType.float, [], [0]);
      if (one === null || elementCount(a.data) > MAX_INTEGERS) return null;
      return constTensor(
        one.dataType,
        a.data,
        new Array<number>(elementCount(a.data)).fill(one.data[0] as number),
      );
    }
    default:
      return null;
  }
}

function concatTensors(inputs: Inputs, axis: number): ConstTensor | null {
  const [first] = inputs;
  if (first == null) return null;
  const outer = elementCount(first.dims.slice(0, axis));
  const data: number[] = [];
  let size = 0;
  for (const tensor of inputs) {
    if (tensor == null || tensor.dims.length !== first.dims.length) return null;
    if (tensor.dims.some((n, i) => i !== axis && n !== first.dims[i])) return null;
    size += tensor.dims[axis] as number;
  }
  for (let o = 0; o < outer; o++) {
    for (const tensor of inputs as readonly ConstTensor[]) {
      const width = tensor.data.length / outer;
      data.push(...tensor.data.slice(o * width, (o + 1) * width));
    }
  }
  return constTensor(
    first.dataType,
    first.dims.map((n, i) => (i === axis ? size : n)),
    data,
  );
}

function reduceTensor(
  node: OnnxNode,
  inputs: Inputs,
  a: ConstTensor,
  combine: (x: number, y: number) => number,
): ConstTensor | null {
  const axes = axesOf(node, inputs, 1);
  if (axes === undefined || (axes === null && intAttribute(node, 'noop_with_empty_axes', 0) === 1))
    return null;
  const rank = a.dims.length;
  const drop =
    axes === null || axes.length === 0
      ? a.dims.map((_, i) => i)
      : axes.map((axis) => (axis < 0 ? axis + rank : axis));
  const keep = a.dims.map((_, i) => i).filter((i) => !drop.includes(i));
  const moved = transposeTensor(a, [...keep, ...drop]);
  const n = elementCount(drop.map((i) => a.dims[i] as number));
  if (n === 0) return null;
  const data = Array.from({ length: moved.data.length / n }, (_, i) =>
    moved.data.slice(i * n, (i + 1) * n).reduce((x, y) => combine(x, y)),
  );
  const keepDims = intAttribute(node, 'keepdims', 1) === 1;
  const dims = keepDims
    ? a.dims.map((size, i) => (drop.includes(i) ? 1 : size))
    : keep.map((i) => a.dims[i] as number);
  return checked(a.dataType, dims, data);
}
