/** The element types of onnx.proto's TensorProto.DataType: names for messages, widths for sizes. */
import { GyrfalconError } from '../../errors.js';

interface ElementType {
  readonly name: string;
  /** Bits of one element in raw data; 0: not a fixed width. */
  readonly bits: number;
}

const ELEMENT_TYPES: ReadonlyMap<number, ElementType> = new Map([
  [1, { name: 'float', bits: 32 }],
  [2, { name: 'uint8', bits: 8 }],
  [3, { name: 'int8', bits: 8 }],
  [4, { name: 'uint16', bits: 16 }],
  [5, { name: 'int16', bits: 16 }],
  [6, { name: 'int32', bits: 32 }],
  [7, { name: 'int64', bits: 64 }],
  [8, { name: 'string', bits: 0 }],
  [9, { name: 'bool', bits: 8 }],
  [10, { name: 'float16', bits: 16 }],
  [11, { name: 'double', bits: 64 }],
  [12, { name: 'uint32', bits: 32 }],
  [13, { name: 'uint64', bits: 64 }],
  [14, { name: 'complex64', bits: 64 }],
  [15, { name: 'complex128', bits: 128 }],
  [16, { name: 'bfloat16', bits: 16 }],
  [17, { name: 'float8e4m3fn', bits: 8 }],
  [18, { name: 'float8e4m3fnuz', bits: 8 }],
  [19, { name: 'float8e5m2', bits: 8 }],
  [20, { name: 'float8e5m2fnuz', bits: 8 }],
  [21, { name: 'uint4', bits: 4 }],
  [22, { name: 'int4', bits: 4 }],
  [23, { name: 'float4e2m1', bits: 4 }],
  [24, { name: 'float8e8m0', bits: 8 }],
]);

export function elementTypeName(dataType: number): string {
  return ELEMENT_TYPES.get(dataType)?.name ?? `type ${dataType}`;
}

/**
 * Bytes of `elements` elements packed as raw data.
 * @throws ONNX_UNSUPPORTED for types without a fixed width (string) and for unknown ones.
 */
export function tensorByteLength(dataType: number, elements: number): number {
  const type = ELEMENT_TYPES.get(dataType);
  if (type === undefined || type.bits === 0) {
    throw new GyrfalconError(
      'ONNX_UNSUPPORTED',
      `expected a numeric tensor but received element ${elementTypeName(dataType)}`,
    );
  }
  return type.bits >= 8 ? elements * (type.bits / 8) : Math.ceil((elements * type.bits) / 8);
}

/** Bits of one element; 0 for strings and unknown types. */
export function elementBits(dataType: number): number {
  return ELEMENT_TYPES.get(dataType)?.bits ?? 0;
}
