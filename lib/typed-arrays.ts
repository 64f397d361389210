import type { DtypeName } from './import/manifest.js';

/** What tensors are given and returned in. f16 and bf16 are their bits in a Uint16Array. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | BigInt64Array;

export const TYPED_ARRAYS = {
  f32: Float32Array,
  f64: Float64Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  i32: Int32Array,
  i64: BigInt64Array,
  bool: Uint8Array,
} as const satisfies Record<DtypeName, unknown>;

/** Elements of an array, by its own length: a subclass could tell another. */
export function lengthOf(array: TypedArray): number {
  return Reflect.apply(elementCount, array, []);
}

/** Bytes of an array's elements; 0 once it is detached. */
export function bytesOf(array: TypedArray): number {
  return Reflect.apply(byteCount, array, []);
}

const prototype = Object.getPrototypeOf(Int8Array.prototype) as object;
const elementCount = getter('length');
const byteCount = getter('byteLength');

function getter(name: string): (this: TypedArray) => number {
  const found = Object.getOwnPropertyDescriptor(prototype, name)?.get;
  if (found === undefined) throw new TypeError(`typed arrays have no ${name}`);
  return found as (this: TypedArray) => number;
}
