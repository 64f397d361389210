/** Reads TensorProto: small values become inline bytes, large ones a range of their file. */
import { GyrfalconError } from '../../errors.js';
import { elementBits, elementTypeName, tensorByteLength } from './element-types.js';
import type { ExternalFiles } from './external-data.js';
import { INLINE_TENSOR_BYTES, MAX_ELEMENTS, MAX_NAME_BYTES, MAX_RANK } from './limits.js';
import { type OnnxTensor, OnnxType, type TensorSource } from './types.js';
import { Wire, type WireReader } from './wire-reader.js';

const TENSOR_FIELDS = {
  1: 'dims',
  2: 'data_type',
  3: 'segment',
  4: 'float_data',
  5: 'int32_data',
  6: 'string_data',
  7: 'int64_data',
  8: 'name',
  9: 'raw_data',
  10: 'double_data',
  11: 'uint64_data',
  13: 'external_data',
  14: 'data_location',
};
const ENTRY_FIELDS = { 1: 'key', 2: 'value' };
const EXTERNAL = 1;
/** The values of a little-endian typed field come in pieces when a writer did not pack them. */
type Piece = { readonly offset: number; readonly length: number };

/** Which typed field holds the values of a data type when raw_data does not (onnx.proto). */
function typedField(dataType: number): number {
  switch (dataType) {
    case OnnxType.float:
    case 14:
      return 4;
    case OnnxType.int64:
      return 7;
    case OnnxType.double:
    case 15:
      return 10;
    case OnnxType.uint32:
    case OnnxType.uint64:
      return 11;
    default:
      return 5;
  }
}

/**
 * Reads the TensorProto that ends at `end`.
 * @throws ONNX_INVALID, ONNX_UNSUPPORTED (strings, segments), LIMIT_EXCEEDED, PATH_ESCAPE, IO_ERROR
 */
export function readTensorProto(
  reader: WireReader,
  end: number,
  externalFiles: ExternalFiles,
): OnnxTensor {
  let name = '';
  let dataType = 0;
  const dims: bigint[] = [];
  let raw: Piece | undefined;
  const integers: bigint[] = [];
  let integerField = 0;
  const pieces: Piece[] = [];
  let pieceField = 0;
  const external = new Map<string, string>();
  let location = 0;

  reader.message(end, TENSOR_FIELDS, (field, wire, valueEnd) => {
    switch (field) {
      case 1:
        reader.varints(wire, valueEnd, dims);
        if (dims.length > MAX_RANK) reader.fail(`at most ${MAX_RANK} dims`, 'more');
        return true;
      case 2:
        dataType = reader.int32(wire);
        return true;
      case 3:
        throw unsupported('a whole tensor', 'a segment of one', reader);
      case 4:
      case 10: {
        if (pieceField !== 0 && pieceField !== field) reader.fail('values in one field', 'in two');
        pieceField = field;
        pieces.push(takePiece(reader, wire, valueEnd, field === 4 ? Wire.fixed32 : Wire.fixed64));
        return true;
      }
      case 5:
      case 7:
      case 11:
        if (integerField !== 0 && integerField !== field) {
          reader.fail('values in one field', 'in two');
        }
        integerField = field;
        reader.varints(wire, valueEnd, integers);
        return true;
      case 6:
        throw unsupported('a numeric tensor', 'strings', reader);
      case 8:
        name = reader.string(wire, valueEnd);
        return true;
      case 9:
        reader.expectWire(wire, Wire.bytes);
        if (raw !== undefined) reader.fail('raw_data once', 'twice');
        raw = { offset: reader.position, length: valueEnd - reader.position };
        reader.position = valueEnd;
        return true;
      case 13:
        reader.expectWire(wire, Wire.bytes);
        readEntry(reader, valueEnd, external);
        return true;
      case 14:
        location = reader.int32(wire);
        if (location !== 0 && location !== EXTERNAL) reader.fail('location 0 or 1', `${location}`);
        return true;
      default:
        return false;
    }
  });

  const fail = (expected: string, received: string): never =>
    reader.fail(`${expected} for tensor ${JSON.stringify(name.slice(0, 200))}`, received);
  const { shape, elements } = checkDims(dims, fail);
  if (elementBits(dataType) === 0) {
    throw unsupported('a numeric tensor', `element ${elementTypeName(dataType)}`, reader);
  }
  const expected = tensorByteLength(dataType, elements);
  const used = [
    raw,
    pieces[0],
    integers[0],
    external.size > 0 || location === EXTERNAL || undefined,
  ];
  if (used.filter((value) => value !== undefined).length > 1) fail('one place of data', 'several');
  if (integerField !== 0 && integerField !== typedField(dataType)) {
    fail(`values of ${elementTypeName(dataType)} in their own field`, 'another field');
  }
  if (pieceField !== 0 && pieceField !== typedField(dataType)) {
    fail(`values of ${elementTypeName(dataType)} in their own field`, 'another field');
  }
  let source: TensorSource;
  if (location === EXTERNAL || external.size > 0) {
    if (location !== EXTERNAL) fail('data_location EXTERNAL beside external_data', 'another');
    source = externalFiles.resolve(external, expected, fail);
  } else if (integers.length > 0) {
    source = { kind: 'inline', bytes: packIntegers(integers, dataType, elements, expected, fail) };
  } else {
    const held = raw === undefined ? pieces : [raw];
    source = fromPieces(reader, held, expected, fail);
  }
  return { name, dataType, dims: shape, source };
}

function unsupported(expected: string, received: string, reader: WireReader): GyrfalconError {
  return new GyrfalconError(
    'ONNX_UNSUPPORTED',
    `expected ${expected} but received ${received}${reader.where()}`,
  );
}

function takePiece(reader: WireReader, wire: number, end: number, single: number): Piece {
  const width = single === Wire.fixed32 ? 4 : 8;
  const offset = reader.position;
  if (wire === single) {
    reader.charge(width * 4);
    reader.take(width);
    return { offset, length: width };
  }
  reader.expectWire(wire, Wire.bytes);
  reader.position = end;
  if ((end - offset) % width !== 0) reader.fail(`a multiple of ${width} bytes`, `${end - offset}`);
  return { offset, length: end - offset };
}

function readEntry(reader: WireReader, end: number, into: Map<string, string>): void {
  let key = '';
  let value = '';
  reader.message(end, ENTRY_FIELDS, (field, wire, valueEnd) => {
    if (field === 1) key = reader.string(wire, valueEnd);
    else if (field === 2) value = reader.string(wire, valueEnd, MAX_NAME_BYTES);
    else return false;
    return true;
  });
  if (into.has(key)) reader.fail('each key once', JSON.stringify(key.slice(0, 40)));
  into.set(key, value);
}

function checkDims(
  dims: readonly bigint[],
  fail: (expected: string, received: string) => never,
): { shape: number[]; elements: number } {
  let elements = 1n;
  for (const dim of dims) {
    if (dim < 0n) fail('dims of at least 0', `${dim}`);
    if (dim > BigInt(MAX_ELEMENTS)) fail(`dims of at most ${MAX_ELEMENTS}`, `${dim}`);
    elements *= dim;
    if (elements > BigInt(MAX_ELEMENTS)) fail(`at most ${MAX_ELEMENTS} elements`, 'more');
  }
  return { shape: dims.map(Number), elements: Number(elements) };
}

function packIntegers(
  values: readonly bigint[],
  dataType: number,
  elements: number,
  byteLength: number,
  fail: (expected: string, received: string) => never,
): Uint8Array {
  const bits = elementBits(dataType);
  // Types below a byte come packed, one byte a value.
  const count = bits < 8 ? byteLength : elements;
  if (values.length !== count) fail(`${count} values`, `${values.length}`);
  const width = Math.max(1, bits / 8);
  const bytes = new Uint8Array(byteLength);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    if (width === 1) view.setUint8(i, Number(BigInt.asUintN(8, value)));
    else if (width === 2) view.setUint16(i * 2, Number(BigInt.asUintN(16, value)), true);
    else if (width === 4) view.setUint32(i * 4, Number(BigInt.asUintN(32, value)), true);
    else view.setBigUint64(i * 8, BigInt.asUintN(64, value), true);
  });
  return bytes;
}

function fromPieces(
  reader: WireReader,
  pieces: readonly Piece[],
  expected: number,
  fail: (expected: string, received: string) => never,
): TensorSource {
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (total !== expected) fail(`${expected} bytes, as its dims and type say,`, `${total}`);
  const first = pieces[0];
  const path = reader.sourcePath;
  if (first !== undefined && pieces.length === 1 && path !== null && total > INLINE_TENSOR_BYTES) {
    return { kind: 'file', path, offset: first.offset, length: first.length };
  }
  reader.charge(path === null ? 0 : total);
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(reader.peek(piece.offset, piece.length), at);
    at += piece.length;
  }
  return { kind: 'inline', bytes };
}
