/** Small constants by value: decoding, encoding and broadcasting. */
import { readTensorBytes } from '../onnx/tensor-bytes.js';
import { type OnnxAttribute, type OnnxNode, type OnnxTensor, OnnxType } from '../onnx/types.js';
import type { ConstTensor } from './domain.js';

/** Integer constants up to this many elements are known by value; they are index and shape data. */
export const MAX_INTEGERS = 1 << 17;
/** Float constants up to this many are: masks, clamps, scales. */
export const MAX_FLOATS = 1 << 12;

const INT64_MAX = (1n << 63n) - 1n;

interface Codec {
  readonly bytes: number;
  readonly integer: boolean;
  readonly read: (view: DataView, at: number) => number;
  readonly write: (view: DataView, at: number, value: number) => void;
}

const CODECS: ReadonlyMap<number, Codec> = new Map<number, Codec>([
  [
    OnnxType.float,
    {
      bytes: 4,
      integer: false,
      read: (v, i) => v.getFloat32(i, true),
      write: (v, i, x) => v.setFloat32(i, x, true),
    },
  ],
  [
    OnnxType.double,
    {
      bytes: 8,
      integer: false,
      read: (v, i) => v.getFloat64(i, true),
      write: (v, i, x) => v.setFloat64(i, x, true),
    },
  ],
  [
    OnnxType.int64,
    {
      bytes: 8,
      integer: true,
      read: (v, i) => Number(v.getBigInt64(i, true)),
      write: (v, i, x) => v.setBigInt64(i, toInt64(x), true),
    },
  ],
  [
    OnnxType.int32,
    {
      bytes: 4,
      integer: true,
      read: (v, i) => v.getInt32(i, true),
      write: (v, i, x) => v.setInt32(i, x, true),
    },
  ],
  [
    OnnxType.int16,
    {
      bytes: 2,
      integer: true,
      read: (v, i) => v.getInt16(i, true),
      write: (v, i, x) => v.setInt16(i, x, true),
    },
  ],
  [
    OnnxType.int8,
    { bytes: 1, integer: true, read: (v, i) => v.getInt8(i), write: (v, i, x) => v.setInt8(i, x) },
  ],
  [
    OnnxType.uint8,
    {
      bytes: 1,
      integer: true,
      read: (v, i) => v.getUint8(i),
      write: (v, i, x) => v.setUint8(i, x),
    },
  ],
  [
    OnnxType.uint16,
    {
      bytes: 2,
      integer: true,
      read: (v, i) => v.getUint16(i, true),
      write: (v, i, x) => v.setUint16(i, x, true),
    },
  ],
  [
    OnnxType.uint32,
    {
      bytes: 4,
      integer: true,
      read: (v, i) => v.getUint32(i, true),
      write: (v, i, x) => v.setUint32(i, x, true),
    },
  ],
  [
    OnnxType.bool,
    {
      bytes: 1,
      integer: true,
      read: (v, i) => (v.getUint8(i) === 0 ? 0 : 1),
      write: (v, i, x) => v.setUint8(i, x === 0 ? 0 : 1),
    },
  ],
]);

function toInt64(value: number): bigint {
  const exact = BigInt(Math.trunc(value));
  if (exact > INT64_MAX) return INT64_MAX;
  return exact < -INT64_MAX - 1n ? -INT64_MAX - 1n : exact;
}

export function isInteger(dataType: number): boolean {
  return dataType !== OnnxType.bool && (CODECS.get(dataType)?.integer ?? false);
}

export function isFloat(dataType: number): boolean {
  return (
    dataType === OnnxType.float ||
    dataType === OnnxType.double ||
    dataType === OnnxType.float16 ||
    dataType === OnnxType.bfloat16
  );
}

export function elementCount(dims: readonly number[]): number {
  return dims.reduce((x, y) => x * y, 1);
}

export function constTensor(
  dataType: number,
  dims: readonly number[],
  data: readonly number[],
): ConstTensor {
  return { dataType, dims, data };
}

/** The values of a small constant; null for large ones and for types without arithmetic here. */
export function decodeTensor(tensor: OnnxTensor): ConstTensor | null {
  const codec = CODECS.get(tensor.dataType);
  const count = elementCount(tensor.dims);
  if (codec === undefined || count > (codec.integer ? MAX_INTEGERS : MAX_FLOATS)) return null;
  const bytes = readTensorBytes(tensor, count * codec.bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data = Array.from({ length: count }, (_, i) => codec.read(view, i * codec.bytes));
  return { dataType: tensor.dataType, dims: tensor.dims, data };
}

/** Null when the type cannot be written. */
export function encodeTensor(name: string, tensor: ConstTensor): OnnxTensor | null {
  const codec = CODECS.get(tensor.dataType);
  if (codec === undefined) return null;
  const bytes = new Uint8Array(tensor.data.length * codec.bytes);
  const view = new DataView(bytes.buffer);
  tensor.data.forEach((value, i) => {
    codec.write(view, i * codec.bytes, value);
  });
  return { name, dataType: tensor.dataType, dims: tensor.dims, source: { kind: 'inline', bytes } };
}

/** An int64 initializer. */
export function int64Tensor(name: string, values: readonly number[], scalar = false): OnnxTensor {
  const dims = scalar ? [] : [values.length];
  return encodeTensor(name, constTensor(OnnxType.int64, dims, values)) as OnnxTensor;
}

/** The tensor that a Constant node stands for; null for strings and sparse values. */
export function constantNode(node: OnnxNode): OnnxTensor | null {
  const name = node.outputs[0] ?? '';
  for (const [key, attribute] of node.attributes) {
    const tensor = fromAttribute(name, key, attribute);
    if (tensor !== null) return tensor;
  }
  return null;
}

function fromAttribute(name: string, key: string, attribute: OnnxAttribute): OnnxTensor | null {
  if (key === 'value' && attribute.type === 'tensor') return { ...attribute.value, name };
  const encode = (dataType: number, dims: number[], data: number[]): OnnxTensor | null =>
    encodeTensor(name, { dataType, dims, data });
  if (attribute.type === 'float') return encode(OnnxType.float, [], [attribute.value]);
  if (attribute.type === 'floats')
    return encode(OnnxType.float, [attribute.value.length], [...attribute.value]);
  if (attribute.type === 'int') return encode(OnnxType.int64, [], [Number(attribute.value)]);
  if (attribute.type === 'ints')
    return encode(OnnxType.int64, [attribute.value.length], attribute.value.map(Number));
  return null;
}

/** What a value becomes in another element type; null when that is not exactly known here. */
export function castNumber(value: number, from: number, to: number): number | null {
  if (to === OnnxType.bool) return value === 0 ? 0 : 1;
  if (to === OnnxType.float) return Math.fround(value);
  if (to === OnnxType.double) return value;
  const codec = CODECS.get(to);
  if (codec === undefined) return null;
  const whole = isFloat(from) ? Math.trunc(value) : value;
  const bits = codec.bytes * 8;
  const unsigned = to === OnnxType.uint8 || to === OnnxType.uint16 || to === OnnxType.uint32;
  const high = unsigned ? 2 ** bits : 2 ** (bits - 1);
  const low = unsigned ? 0 : -high;
  return whole >= low && (whole < high || bits === 64) ? whole : null;
}
