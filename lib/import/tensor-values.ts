/** Numbers to and from the typed arrays that hold each dtype. */
import { GyrfalconError } from '../errors.js';
import type { TypedArray } from '../typed-arrays.js';
import { halfValue } from './half.js';
import type { DtypeName } from './manifest.js';

export type TensorData = TypedArray;

/** `values` as the dtype's array; f16 and bf16 as their bits. */
export function toTensorData(dtype: DtypeName, values: ArrayLike<number>): TensorData {
  switch (dtype) {
    case 'f32':
      return Float32Array.from(values);
    case 'f64':
      return Float64Array.from(values);
    case 'i8':
      return Int8Array.from(values);
    case 'u8':
    case 'bool':
      return Uint8Array.from(values);
    case 'i16':
      return Int16Array.from(values);
    case 'u16':
      return Uint16Array.from(values);
    case 'i32':
      return Int32Array.from(values);
    case 'i64':
      return BigInt64Array.from(Array.from(values, (value) => BigInt(value)));
    case 'f16':
      return Uint16Array.from(values, halfBits);
    case 'bf16':
      return Uint16Array.from(values, (value) => floatBits(value) >>> 16);
  }
}

/** The numbers in a dtype's array. @throws INTERNAL when the array is not that dtype's */
export function toNumbers(dtype: DtypeName, data: ArrayLike<number> | BigInt64Array): Float64Array {
  if (data instanceof BigInt64Array) return Float64Array.from(data, Number);
  if (dtype === 'i64') {
    throw new GyrfalconError('INTERNAL', 'expected a BigInt64Array for dtype i64');
  }
  if (dtype === 'f16' && data instanceof Uint16Array) return Float64Array.from(data, halfValue);
  if (dtype === 'bf16' && data instanceof Uint16Array) {
    return Float64Array.from(data, (bits) => floatValue(bits << 16));
  }
  return Float64Array.from(data);
}

const scratch = new DataView(new ArrayBuffer(4));

function floatBits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

function floatValue(bits: number): number {
  scratch.setUint32(0, bits >>> 0);
  return scratch.getFloat32(0);
}

/** IEEE 754 binary16 of a value that it can hold exactly and that is 0 or normal there. */
function halfBits(value: number): number {
  const bits = floatBits(value);
  const sign = (bits >>> 16) & 0x8000;
  if (value === 0) return sign;
  const exponent = ((bits >>> 23) & 0xff) - 127 + 15;
  return sign | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

/** From [batch, …] to the same tensor with the batch at `axis`. */
export function moveBatch(
  values: Float64Array,
  dims: readonly number[],
  axis: number,
): { values: Float64Array; dims: number[] } {
  if (axis === 0) return { values, dims: [...dims] };
  const [rows = 1, ...rest] = dims;
  const moved = [...rest.slice(0, axis), rows, ...rest.slice(axis)];
  const inner = rest.slice(axis).reduce((total, size) => total * size, 1);
  const outer = rest.slice(0, axis).reduce((total, size) => total * size, 1);
  const out = new Float64Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < outer; i++) {
      const from = (row * outer + i) * inner;
      out.set(values.subarray(from, from + inner), (i * rows + row) * inner);
    }
  }
  return { values: out, dims: moved };
}
