/** Arithmetic on constants of any size. */
import { type OnnxNode, OnnxType } from '../onnx/types.js';
import { intAttribute } from './attributes.js';
import { elementCount, isFloat } from './constants.js';
import type { ConstTensor } from './domain.js';
import { axesOf, normaliseAxis } from './operands.js';

/** Elements of a constant that is computed, and of every constant on the way to it. */
export const MAX_WIDE = 1 << 26;

/** Row-major. Halves are held as floats, integers and booleans as doubles. */
export interface Wide {
  readonly dataType: number;
  readonly dims: readonly number[];
  readonly data: Float32Array | Float64Array;
}

type Inputs = readonly (Wide | null)[];

export function alloc(dataType: number, count: number): Float32Array | Float64Array {
  const narrow = isFloat(dataType) && dataType !== OnnxType.double;
  return narrow ? new Float32Array(count) : new Float64Array(count);
}

/** Calls `use` with the place in each operand of every element of `dims`, in order. */
export function walk(
  dims: readonly number[],
  strides: readonly (readonly number[])[],
  use: (out: number, at: readonly number[]) => void,
): void {
  const count = elementCount(dims);
  const index = dims.map(() => 0);
  const at = strides.map(() => 0);
  for (let out = 0; out < count; out++) {
    use(out, at);
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const next = (index[axis] as number) + 1;
      const size = dims[axis] as number;
      const turns = next === size;
      index[axis] = turns ? 0 : next;
      for (const [i, own] of strides.entries()) {
        const stride = own[axis] as number;
        at[i] = (at[i] as number) + (turns ? -stride * (size - 1) : stride);
      }
      if (!turns) break;
    }
  }
}

export function ownStrides(dims: readonly number[]): number[] {
  return dims.map((_, i) => elementCount(dims.slice(i + 1)));
}

function broadcast(tensors: readonly Wide[]): { dims: number[]; strides: number[][] } | null {
  const rank = Math.max(...tensors.map(({ dims }) => dims.length));
  const size = (dims: readonly number[], i: number): number => dims[i - (rank - dims.length)] ?? 1;
  const dims = Array.from({ length: rank }, (_, i) =>
    Math.max(...tensors.map((tensor) => size(tensor.dims, i))),
  );
  const fits = tensors.every((tensor) =>
    dims.every((n, i) => size(tensor.dims, i) === n || size(tensor.dims, i) === 1),
  );
  if (!fits || elementCount(dims) > MAX_WIDE) return null;
  const strides = tensors.map((tensor) => {
    const own = ownStrides(tensor.dims);
    return dims.map((_, i) =>
      size(tensor.dims, i) === 1 ? 0 : (own[i - (rank - tensor.dims.length)] as number),
    );
  });
  return { dims, strides };
}

const BINARY: Readonly<Record<string, (x: number, y: number) => number>> = {
  Add: (x, y) => x + y,
  Sub: (x, y) => x - y,
  Mul: (x, y) => x * y,
  Div: (x, y) => x / y,
  Max: Math.max,
  Min: Math.min,
  Pow: (x, y) => x ** y,
};
const COMPARE: Readonly<Record<string, (x: number, y: number) => number>> = {
  Equal: (x, y) => Number(x === y),
  Greater: (x, y) => Number(x > y),
  Less: (x, y) => Number(x < y),
};
const UNARY: Readonly<Record<string, (x: number) => number>> = {
  Neg: (x) => -x,
  Abs: Math.abs,
  Sqrt: Math.sqrt,
  Reciprocal: (x) => 1 / x,
  Tanh: Math.tanh,
  Sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  Relu: (x) => (x < 0 ? 0 : x),
};

/** Null: not followed. */
export function computeWide(
  node: OnnxNode,
  a: Wide,
  inputs: Inputs,
  consts: readonly (ConstTensor | null)[],
): Wide | null {
  const { opType } = node;
  const [, b, c] = inputs;
  if (opType === 'Where') {
    if (b == null || c == null || b.dataType !== c.dataType) return null;
    return elementwise([a, b, c], b.dataType, (x, y, z) => (x !== 0 ? y : z));
  }
  if (opType === 'Not') return elementwise([a], OnnxType.bool, (x) => Number(x === 0));
  const compare = COMPARE[opType];
  if (compare !== undefined && b != null) return elementwise([a, b], OnnxType.bool, compare);
  if (opType === 'Expand') {
    const target = consts[1]?.data;
    if (target === undefined || elementCount(target) > MAX_WIDE) return null;
    const shape = { dataType: a.dataType, dims: target, data: new Float32Array(0) };
    return elementwise([a, shape], a.dataType, (x) => x);
  }
  // Integers are indices and sizes, which fold.ts follows; here they would not wrap.
  if (!isFloat(a.dataType)) return null;
  const binary = BINARY[opType];
  if (binary !== undefined && b != null && inputs.length === 2)
    return elementwise([a, b], a.dataType, binary);
  const unary = UNARY[opType];
  if (unary !== undefined) return elementwise([a], a.dataType, unary);
  if (opType === 'MatMul') return b == null ? null : product(a, b);
  if (opType === 'Clip') return clip(node, a, inputs);
  return opType === 'ReduceL2' || opType === 'ReduceSum' ? reduce(node, a, consts) : null;
}

function elementwise(
  tensors: readonly Wide[],
  dataType: number,
  combine: (x: number, y: number, z: number) => number,
): Wide | null {
  const shape = broadcast(tensors);
  if (shape === null) return null;
  const data = alloc(dataType, elementCount(shape.dims));
  const [a, b, c] = tensors.map((tensor) => tensor.data);
  walk(shape.dims, shape.strides, (out, [i, j, k]) => {
    data[out] = combine(
      a?.[i as number] as number,
      b?.[j as number] as number,
      c?.[k as number] as number,
    );
  });
  return { dataType, dims: shape.dims, data };
}

/** Of two matrices, as a table of low rank is stored. */
function product(a: Wide, b: Wide): Wide | null {
  const [rows = 0, n = 0] = a.dims;
  const [inner, width = 0] = b.dims;
  if (a.dims.length !== 2 || b.dims.length !== 2 || inner !== n || rows * width > MAX_WIDE)
    return null;
  // The work is bounded like the memory.
  if (rows * width * n > 16 * MAX_WIDE) return null;
  const data = alloc(a.dataType, rows * width);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < width; column++) {
      let sum = 0;
      for (let i = 0; i < n; i++)
        sum += (a.data[row * n + i] as number) * (b.data[i * width + column] as number);
      data[row * width + column] = sum;
    }
  }
  return { dataType: a.dataType, dims: [rows, width], data };
}

function clip(node: OnnxNode, a: Wide, inputs: Inputs): Wide | null {
  const bound = (at: number, name: string, none: number): number | null => {
    const attribute = node.attributes.get(name);
    if (attribute?.type === 'float') return attribute.value;
    return (node.inputs[at] ?? '') === '' ? none : (inputs[at]?.data[0] ?? null);
  };
  const [low, high] = [bound(1, 'min', -Infinity), bound(2, 'max', Infinity)];
  if (low === null || high === null) return null;
  return elementwise([a], a.dataType, (x) => Math.min(Math.max(x, low), high));
}

/** Along the last axis, as norms of rows are taken. */
function reduce(node: OnnxNode, a: Wide, consts: readonly (ConstTensor | null)[]): Wide | null {
  const axes = axesOf(node, consts, 1);
  const last = a.dims.length - 1;
  if (axes?.length !== 1 || normaliseAxis(axes[0] as number, a.dims.length) !== last) return null;
  const width = a.dims[last] as number;
  const kept = a.dims.slice(0, last);
  const data = alloc(a.dataType, elementCount(kept));
  const squares = node.opType === 'ReduceL2';
  for (let row = 0; row < data.length; row++) {
    let sum = 0;
    for (const x of a.data.subarray(row * width, (row + 1) * width)) sum += squares ? x * x : x;
    data[row] = squares ? Math.sqrt(sum) : sum;
  }
  const dims = intAttribute(node, 'keepdims', 1) === 1 ? [...kept, 1] : kept;
  return { dataType: a.dataType, dims, data };
}
