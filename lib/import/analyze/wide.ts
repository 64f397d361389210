/** Constants of any size as flat arrays, and the operators that move their elements. */
import { halfValue } from '../half.js';
import { readTensorBytes } from '../onnx/tensor-bytes.js';
import { type OnnxNode, type OnnxTensor, OnnxType } from '../onnx/types.js';
import { intAttribute, intsAttribute } from './attributes.js';
import { decodeTensor, elementCount, isFloat } from './constants.js';
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
import { alloc, computeWide, MAX_WIDE, ownStrides, type Wide, walk } from './wide-math.js';

type Inputs = readonly (Wide | null)[];

const INTEGERS: ReadonlySet<number> = new Set([OnnxType.int64, OnnxType.int32, OnnxType.bool]);

/** Null when the type has no numbers here, or there are too many of them. */
export function readWide(tensor: OnnxTensor): Wide | null {
  const { dataType, dims } = tensor;
  const count = elementCount(dims);
  if (count > MAX_WIDE) return null;
  if (!isFloat(dataType)) {
    const small = INTEGERS.has(dataType) ? decodeTensor(tensor) : null;
    return small === null ? null : fromConst(small);
  }
  const width = dataType === OnnxType.double ? 8 : dataType === OnnxType.float ? 4 : 2;
  const bytes = readTensorBytes(tensor, count * width);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data = alloc(dataType, count);
  const read = READERS[dataType] as (view: DataView, i: number) => number;
  for (let i = 0; i < count; i++) data[i] = read(view, i);
  return { dataType, dims, data };
}

const scratch = new DataView(new ArrayBuffer(4));
const READERS: Readonly<Record<number, (view: DataView, i: number) => number>> = {
  [OnnxType.float]: (view, i) => view.getFloat32(4 * i, true),
  [OnnxType.double]: (view, i) => view.getFloat64(8 * i, true),
  [OnnxType.float16]: (view, i) => halfValue(view.getUint16(2 * i, true)),
  [OnnxType.bfloat16]: (view, i) => {
    scratch.setUint32(0, view.getUint16(2 * i, true) << 16);
    return scratch.getFloat32(0);
  },
};

export function fromConst({ dataType, dims, data }: ConstTensor): Wide {
  const out = alloc(dataType, data.length);
  out.set(data);
  return { dataType, dims, data: out };
}

/** As float32, or float64 where it is that; null for what is no float. */
export function wideTensor(name: string, { dataType, dims, data }: Wide): OnnxTensor | null {
  if (!isFloat(dataType)) return null;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const stored = data instanceof Float64Array ? OnnxType.double : OnnxType.float;
  return { name, dataType: stored, dims, source: { kind: 'inline', bytes } };
}

/** One output of a node whose inputs are all given; null: not followed. */
export function foldWide(node: OnnxNode, inputs: Inputs, output: number): Wide | null {
  const [a] = inputs;
  if (a == null) return null;
  const consts = inputs.map((tensor): ConstTensor | null =>
    tensor == null || tensor.data.length > 64 ? null : { ...tensor, data: [...tensor.data] },
  );
  const moved = move(node, a, inputs, consts, output);
  if (moved !== null) return moved;
  // Arithmetic in half precision rounds in ways that are not followed here.
  if (isFloat(a.dataType) && a.dataType !== OnnxType.float && a.dataType !== OnnxType.double)
    return null;
  return computeWide(node, a, inputs, consts);
}

function move(
  node: OnnxNode,
  a: Wide,
  inputs: Inputs,
  consts: readonly (ConstTensor | null)[],
  output: number,
): Wide | null {
  const rank = a.dims.length;
  const shaped = (dims: readonly number[] | null): Wide | null =>
    dims === null || elementCount(dims) !== a.data.length ? null : { ...a, dims };
  switch (node.opType) {
    case 'Identity':
      return a;
    case 'Cast':
      return cast(a, intAttribute(node, 'to', 0));
    case 'CastLike':
      return cast(a, inputs[1]?.dataType ?? 0);
    case 'Reshape': {
      const target = consts[1]?.data;
      const zero = intAttribute(node, 'allowzero', 0) === 1;
      return target === undefined ? null : shaped(reshapeDims(a.dims, target, zero));
    }
    case 'Flatten': {
      const axis = intAttribute(node, 'axis', 1);
      const at = axis < 0 ? axis + rank : axis;
      return shaped([elementCount(a.dims.slice(0, at)), elementCount(a.dims.slice(at))]);
    }
    case 'Squeeze': {
      const axes = axesOf(node, consts, 1);
      if (axes === undefined) return null;
      const drop = axes?.map((axis) => normaliseAxis(axis, rank));
      return shaped(
        a.dims.filter((size, i) => (drop === undefined ? size !== 1 : !drop.includes(i))),
      );
    }
    case 'Unsqueeze': {
      const axes = axesOf(node, consts, 1);
      return axes == null ? null : shaped(insertAxes(a.dims, axes, rank + axes.length, 1));
    }
    case 'Transpose':
      return transpose(a, intsAttribute(node, 'perm') ?? a.dims.map((_, i) => rank - 1 - i));
    case 'Concat':
      return concat(inputs, normaliseAxis(intAttribute(node, 'axis', 0), rank));
    case 'Slice': {
      let out: Wide | null = a;
      const slices = sliceArguments(node, consts, rank);
      for (const { axis, start, end, step } of slices ?? []) {
        const size: number = out?.dims[axis] ?? 0;
        out = out === null ? null : along(out, axis, sliceRange(start, end, step, size));
      }
      return slices === null ? null : out;
    }
    case 'Gather': {
      const axis = normaliseAxis(intAttribute(node, 'axis', 0), rank);
      const index = inputs[1];
      if (axis === null || index == null || isFloat(index.dataType)) return null;
      const size = a.dims[axis] as number;
      const out = along(
        a,
        axis,
        Array.from(index.data, (i) => (i < 0 ? i + size : i)),
      );
      const dims = [...a.dims.slice(0, axis), ...index.dims, ...a.dims.slice(axis + 1)];
      return out === null ? null : { ...out, dims };
    }
    case 'GatherND': {
      const index = inputs[1];
      if (index == null || isFloat(index.dataType) || index.dims[index.dims.length - 1] !== 1)
        return null;
      if (intAttribute(node, 'batch_dims', 0) !== 0) return null;
      const size = a.dims[0] as number;
      const places = Array.from(index.data, (i) => (i < 0 ? i + size : i));
      const out = along(a, 0, places);
      const dims = [...index.dims.slice(0, -1), ...a.dims.slice(1)];
      return out === null ? null : { ...out, dims };
    }
    case 'Split': {
      const axis = normaliseAxis(intAttribute(node, 'axis', 0), rank);
      if (axis === null || ((node.inputs[1] ?? '') !== '' && consts[1] == null)) return null;
      const sizes = splitSizes(node, consts[1]?.data ?? null, a.dims[axis] as number);
      const begin = sizes?.slice(0, output).reduce((x, y) => x + y, 0) ?? 0;
      const n = sizes?.[output];
      return n === undefined
        ? null
        : along(
            a,
            axis,
            Array.from({ length: n }, (_, i) => begin + i),
          );
    }
    default:
      return null;
  }
}

function cast(a: Wide, to: number): Wide | null {
  if (to === a.dataType) return a;
  if (to !== OnnxType.float && to !== OnnxType.double) return null;
  const data = alloc(to, a.data.length);
  data.set(a.data);
  return { dataType: to, dims: a.dims, data };
}

/** Elements at these places of an axis; null when one does not exist or the result is too large. */
function along(a: Wide, axis: number, indices: readonly number[]): Wide | null {
  const size = a.dims[axis] as number;
  const inner = elementCount(a.dims.slice(axis + 1));
  const outer = elementCount(a.dims.slice(0, axis));
  if (outer * indices.length * inner > MAX_WIDE) return null;
  if (indices.some((i) => !Number.isInteger(i) || i < 0 || i >= size)) return null;
  const data = alloc(a.dataType, outer * indices.length * inner);
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (const index of indices) {
      const from = (o * size + index) * inner;
      data.set(a.data.subarray(from, from + inner), at);
      at += inner;
    }
  }
  const dims = a.dims.map((n, i) => (i === axis ? indices.length : n));
  return { dataType: a.dataType, dims, data };
}

function concat(inputs: Inputs, axis: number | null): Wide | null {
  const [first] = inputs;
  if (first == null || axis === null || inputs.includes(null)) return null;
  const parts = inputs as readonly Wide[];
  const fits = (part: Wide): boolean =>
    part.dataType === first.dataType &&
    part.dims.length === first.dims.length &&
    part.dims.every((n, i) => i === axis || n === first.dims[i]);
  const total = parts.reduce((sum, part) => sum + part.data.length, 0);
  if (!parts.every(fits) || total > MAX_WIDE) return null;
  const outer = elementCount(first.dims.slice(0, axis));
  const data = alloc(first.dataType, total);
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (const part of parts) {
      const width = part.data.length / outer;
      data.set(part.data.subarray(o * width, (o + 1) * width), at);
      at += width;
    }
  }
  const size = parts.reduce((sum, part) => sum + (part.dims[axis] as number), 0);
  const dims = first.dims.map((n, i) => (i === axis ? size : n));
  return { dataType: first.dataType, dims, data };
}

function transpose(a: Wide, order: readonly number[]): Wide {
  const own = ownStrides(a.dims);
  const dims = order.map((axis) => a.dims[axis] as number);
  const data = alloc(a.dataType, a.data.length);
  const strides = order.map((axis) => own[axis] as number);
  walk(dims, [strides], (out, [at]) => {
    data[out] = a.data[at as number] as number;
  });
  return { dataType: a.dataType, dims, data };
}
