/** Reads ValueInfoProto and its types: what a graph says about an input, an output or a value. */
import { MAX_RANK, MAX_RAW_ATTRIBUTE_BYTES } from './limits.js';
import type { OnnxDim, OnnxValueInfo } from './types.js';
import { Wire, type WireReader } from './wire-reader.js';

const VALUE_INFO_FIELDS = { 1: 'name', 2: 'type' };
const TYPE_FIELDS = { 1: 'tensor_type' };
const TENSOR_TYPE_FIELDS = { 1: 'elem_type', 2: 'shape' };
const SHAPE_FIELDS = { 1: 'dim' };
const DIM_FIELDS = { 1: 'dim_value', 2: 'dim_param' };

/** The ValueInfoProto that ends at `end`. */
export function readValueInfo(reader: WireReader, end: number): OnnxValueInfo {
  let name = '';
  let dataType = 0;
  let dims: OnnxDim[] | null = null;
  let otherType: Uint8Array | undefined;
  reader.message(end, VALUE_INFO_FIELDS, (field, wire, valueEnd) => {
    if (field === 1) {
      name = reader.string(wire, valueEnd);
      return true;
    }
    if (field !== 2) return false;
    reader.expectWire(wire, Wire.bytes);
    const start = reader.position;
    let isTensor = false;
    let isEmpty = true;
    reader.message(valueEnd, TYPE_FIELDS, (typeField, typeWire, typeEnd) => {
      isEmpty = false;
      if (typeField !== 1) return false;
      reader.expectWire(typeWire, Wire.bytes);
      isTensor = true;
      reader.message(typeEnd, TENSOR_TYPE_FIELDS, (inner, innerWire, innerEnd) => {
        if (inner === 1) {
          dataType = reader.int32(innerWire);
        } else if (inner === 2) {
          reader.expectWire(innerWire, Wire.bytes);
          dims = readShape(reader, innerEnd);
        } else {
          return false;
        }
        return true;
      });
      return true;
    });
    if (!isTensor && !isEmpty) {
      if (valueEnd - start > MAX_RAW_ATTRIBUTE_BYTES) reader.fail('a shorter type', 'a long one');
      reader.charge(valueEnd - start);
      otherType = new Uint8Array(reader.peek(start, valueEnd - start));
    }
    return true;
  });
  if (name === '') reader.fail('a value with a name', 'none');
  return otherType === undefined ? { name, dataType, dims } : { name, dataType, dims, otherType };
}

function readShape(reader: WireReader, end: number): OnnxDim[] {
  const dims: OnnxDim[] = [];
  reader.message(end, SHAPE_FIELDS, (field, wire, valueEnd) => {
    if (field !== 1) return false;
    reader.expectWire(wire, Wire.bytes);
    let dim: OnnxDim = null;
    reader.message(valueEnd, DIM_FIELDS, (inner, innerWire, innerEnd) => {
      if (inner === 1) {
        const size = reader.safeInteger(innerWire);
        // Some exporters write -1 or 0 for "not known".
        dim = size > 0 ? size : null;
      } else if (inner === 2) {
        const symbol = reader.string(innerWire, innerEnd);
        dim = symbol === '' ? null : symbol;
      } else {
        return false;
      }
      return true;
    });
    dims.push(dim);
    if (dims.length > MAX_RANK) reader.fail(`at most ${MAX_RANK} dims`, 'more');
    return true;
  });
  return dims;
}
