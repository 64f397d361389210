/**
 * Constants of the fused graph: f32 tensors whose numbers are read when they are asked for, so that
 * the weights of a large network are in memory one at a time. What is done to a weight on the way
 * (a transposition, a factor for each column) is a step around the reading.
 */
import { castNumber, elementCount, isFloat } from '../analyze/constants.js';
import type { ConstTensor } from '../analyze/domain.js';
import { halfValue } from '../half.js';
import { readTensorBytes } from '../onnx/tensor-bytes.js';
import { type OnnxTensor, OnnxType } from '../onnx/types.js';

export interface Constant {
  readonly dims: readonly number[];
  /** Row-major, as many as `dims` say. Not to be changed. */
  read(): Float32Array;
}

/** Constants up to this many elements are folded and compared by value. */
export const SMALL = 1 << 16;

export function count(constant: Constant): number {
  return elementCount(constant.dims);
}

export function ofValues(dims: readonly number[], values: ArrayLike<number>): Constant {
  const data = values instanceof Float32Array ? values : Float32Array.from(values);
  return { dims, read: () => data };
}

/** The single number of a constant with one element, or with one value throughout; else null. */
export function uniformValue(constant: Constant): number | null {
  if (count(constant) > SMALL || count(constant) === 0) return null;
  const data = constant.read();
  const first = data[0] as number;
  return data.every((value) => Object.is(value, first)) ? first : null;
}

/** Null for types that are not numbers here (strings, complex). */
export function ofTensor(tensor: OnnxTensor): Constant | null {
  const width = WIDTHS.get(tensor.dataType);
  if (width === undefined) return null;
  const n = elementCount(tensor.dims);
  const read = (): Float32Array => decode(tensor, readTensorBytes(tensor, n * width), n);
  if (n > SMALL) return { dims: tensor.dims, read };
  let data: Float32Array | undefined;
  return {
    dims: tensor.dims,
    read: () => {
      data ??= read();
      return data;
    },
  };
}

/** Integers that f32 cannot hold make it null. */
export function ofConstTensor(tensor: ConstTensor): Constant | null {
  if (!isFloat(tensor.dataType) && tensor.data.some((value) => Math.abs(value) > 2 ** 24))
    return null;
  return ofValues(tensor.dims, tensor.data);
}

/** By value, when that is small; integers exactly. */
export function toConstTensor(tensor: OnnxTensor): ConstTensor | null {
  const constant = ofTensor(tensor);
  if (constant === null || count(constant) > SMALL || !isFloat(tensor.dataType)) return null;
  if (tensor.dataType === OnnxType.double) return null;
  return { dataType: tensor.dataType, dims: tensor.dims, data: [...constant.read()] };
}

export function reshaped(constant: Constant, dims: readonly number[]): Constant {
  return { dims, read: () => constant.read() };
}

export function transposed(constant: Constant, perm: readonly number[]): Constant {
  const dims = perm.map((axis) => constant.dims[axis] as number);
  return { dims, read: () => permute(constant.read(), constant.dims, perm) };
}

/** Element by element with `factors` broadcast against it from the right. */
export function combined(
  constant: Constant,
  other: Constant,
  dims: readonly number[],
  f: (a: number, b: number) => number,
): Constant {
  const read = (): Float32Array => {
    const a = constant.read();
    const b = other.read();
    const out = new Float32Array(elementCount(dims));
    const at = walker(constant.dims, dims);
    const bt = walker(other.dims, dims);
    for (let i = 0; i < out.length; i++) out[i] = f(a[at(i)] as number, b[bt(i)] as number);
    return out;
  };
  return small(dims, read);
}

export function mapped(constant: Constant, f: (a: number) => number): Constant {
  return small(constant.dims, () => constant.read().map(f));
}

/** [K, N] with row k times factors[k]. */
export function scaledRows(matrix: Constant, factors: Constant): Constant {
  const [, n = 1] = matrix.dims;
  return {
    dims: matrix.dims,
    read: () => {
      const by = factors.read();
      const one = by.length === 1;
      return matrix.read().map((value, i) => value * (by[one ? 0 : Math.floor(i / n)] as number));
    },
  };
}

/** [N] = v · [K, N]. */
export function vectorTimes(vector: Constant, matrix: Constant): Constant {
  const [k = 1, n = 1] = matrix.dims;
  return small([n], () => {
    const v = vector.read();
    const w = matrix.read();
    const sum = new Float64Array(n);
    for (let i = 0; i < k; i++) {
      const by = v[v.length === 1 ? 0 : i] as number;
      for (let j = 0; j < n; j++) sum[j] = (sum[j] as number) + by * (w[i * n + j] as number);
    }
    return Float32Array.from(sum);
  });
}

/** Matrices beside each other: [K, N1 + N2 + …] */
export function besideEachOther(parts: readonly Constant[]): Constant {
  const k = parts[0]?.dims[0] ?? 1;
  const widths = parts.map((part) => part.dims[1] as number);
  const n = widths.reduce((a, b) => a + b, 0);
  return {
    dims: [k, n],
    read: () => {
      const out = new Float32Array(k * n);
      let at = 0;
      parts.forEach((part, p) => {
        const data = part.read();
        const width = widths[p] as number;
        for (let i = 0; i < k; i++) out.set(data.subarray(i * width, (i + 1) * width), i * n + at);
        at += width;
      });
      return out;
    },
  };
}

/** A constant that is read once when it is small and at each use when it is not. */
export function small(dims: readonly number[], read: () => Float32Array): Constant {
  if (elementCount(dims) > SMALL) return { dims, read };
  let data: Float32Array | undefined;
  return {
    dims,
    read: () => {
      data ??= read();
      return data;
    },
  };
}

/** From an element's number in `dims` to the one of `own` that broadcasting puts there. */
export function walker(own: readonly number[], dims: readonly number[]): (i: number) => number {
  const missing = dims.length - own.length;
  const steps: [number, number, number][] = [];
  let stride = 1;
  let outer = 1;
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    const size = dims[axis] as number;
    const mine = own[axis - missing] ?? 1;
    if (mine !== 1) {
      steps.push([outer, size, stride]);
      stride *= mine;
    }
    outer *= size;
  }
  if (stride === outer) return (i) => i;
  if (steps.length === 0) return () => 0;
  return (i) => {
    let at = 0;
    for (const [div, size, by] of steps) at += (Math.floor(i / div) % size) * by;
    return at;
  };
}

export function permute(
  data: Float32Array,
  dims: readonly number[],
  perm: readonly number[],
): Float32Array {
  const strides = dims.map((_, i) => elementCount(dims.slice(i + 1)));
  const out = new Float32Array(data.length);
  const sizes = perm.map((axis) => dims[axis] as number);
  const steps = perm.map((axis) => strides[axis] as number);
  const index = new Array<number>(sizes.length).fill(0);
  let from = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = data[from] as number;
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      from += steps[axis] as number;
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (sizes[axis] as number)) break;
      from -= (steps[axis] as number) * (sizes[axis] as number);
      index[axis] = 0;
    }
  }
  return out;
}

const WIDTHS: ReadonlyMap<number, number> = new Map([
  [OnnxType.float, 4],
  [OnnxType.double, 8],
  [OnnxType.float16, 2],
  [OnnxType.bfloat16, 2],
  [OnnxType.int64, 8],
  [OnnxType.int32, 4],
  [OnnxType.int16, 2],
  [OnnxType.uint16, 2],
  [OnnxType.uint32, 4],
  [OnnxType.int8, 1],
  [OnnxType.uint8, 1],
  [OnnxType.bool, 1],
]);

function decode(tensor: OnnxTensor, bytes: Uint8Array, n: number): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Float32Array(n);
  const fill = (read: (at: number) => number): Float32Array => {
    for (let i = 0; i < n; i++) out[i] = read(i);
    return out;
  };
  switch (tensor.dataType) {
    case OnnxType.float:
      new Uint8Array(out.buffer).set(bytes);
      return out;
    case OnnxType.double:
      return fill((i) => view.getFloat64(8 * i, true));
    case OnnxType.float16:
      return fill((i) => halfValue(view.getUint16(2 * i, true)));
    case OnnxType.bfloat16: {
      const bits = new Uint32Array(out.buffer);
      for (let i = 0; i < n; i++) bits[i] = view.getUint16(2 * i, true) << 16;
      return out;
    }
    case OnnxType.int64:
      return fill((i) => Number(view.getBigInt64(8 * i, true)));
    case OnnxType.int32:
      return fill((i) => view.getInt32(4 * i, true));
    case OnnxType.uint32:
      return fill((i) => view.getUint32(4 * i, true));
    case OnnxType.int16:
      return fill((i) => view.getInt16(2 * i, true));
    case OnnxType.uint16:
      return fill((i) => view.getUint16(2 * i, true));
    case OnnxType.int8:
      return fill((i) => view.getInt8(i));
    case OnnxType.bool:
      return fill((i) => castNumber(view.getUint8(i), OnnxType.uint8, OnnxType.bool) ?? 0);
    default:
      return fill((i) => view.getUint8(i));
  }
}
