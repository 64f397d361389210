/** Reads GraphProto, NodeProto and what they are made of. Field numbers: onnx.proto. */
import { GyrfalconError } from '../../errors.js';
import type { ExternalFiles } from './external-data.js';
import { MAX_GRAPH_DEPTH, MAX_RAW_ATTRIBUTE_BYTES, MAX_STRING_BYTES } from './limits.js';
import { readTensorProto } from './read-tensor.js';
import { readValueInfo } from './read-value-info.js';
import type { OnnxAttribute, OnnxGraph, OnnxNode, OnnxTensor, OnnxValueInfo } from './types.js';
import { Wire, type WireReader } from './wire-reader.js';

const GRAPH_FIELDS = {
  1: 'node',
  2: 'name',
  5: 'initializer',
  11: 'input',
  12: 'output',
  13: 'value_info',
  15: 'sparse_initializer',
};
const NODE_FIELDS = {
  1: 'input',
  2: 'output',
  3: 'name',
  4: 'op_type',
  5: 'attribute',
  7: 'domain',
  8: 'overload',
};
const ATTRIBUTE_FIELDS = {
  1: 'name',
  2: 'f',
  3: 'i',
  4: 's',
  5: 't',
  6: 'g',
  7: 'floats',
  8: 'ints',
  9: 'strings',
  10: 'tensors',
  11: 'graphs',
  14: 'tp',
  15: 'type_protos',
  20: 'type',
  21: 'ref_attr_name',
  22: 'sparse_tensor',
  23: 'sparse_tensors',
};

/** AttributeProto.AttributeType numbers by what OnnxAttribute calls them. */
export const ATTRIBUTE_TYPES = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const;

export interface ReadContext {
  readonly reader: WireReader;
  readonly externalFiles: ExternalFiles;
}

/** `depth`: 0 for the main graph. */
export function readGraph(context: ReadContext, end: number, depth: number): OnnxGraph {
  const { reader } = context;
  if (depth > MAX_GRAPH_DEPTH) {
    throw unsupported(`subgraphs at most ${MAX_GRAPH_DEPTH} deep`, 'deeper ones', reader);
  }
  const graph: OnnxGraph = {
    name: '',
    nodes: [],
    initializers: new Map<string, OnnxTensor>(),
    inputs: [],
    outputs: [],
    valueInfo: new Map<string, OnnxValueInfo>(),
  };
  reader.message(end, GRAPH_FIELDS, (field, wire, valueEnd) => {
    switch (field) {
      case 1:
        reader.expectWire(wire, Wire.bytes);
        graph.nodes.push(readNode(context, valueEnd, depth));
        return true;
      case 2:
        graph.name = reader.string(wire, valueEnd);
        return true;
      case 5: {
        reader.expectWire(wire, Wire.bytes);
        const tensor = readTensorProto(reader, valueEnd, context.externalFiles);
        if (tensor.name === '') reader.fail('an initializer with a name', 'none');
        if (graph.initializers.has(tensor.name)) {
          reader.fail('each initializer once', `${quote(tensor.name)} twice`);
        }
        graph.initializers.set(tensor.name, tensor);
        return true;
      }
      case 11:
      case 12:
        reader.expectWire(wire, Wire.bytes);
        (field === 11 ? graph.inputs : graph.outputs).push(readValueInfo(reader, valueEnd));
        return true;
      case 13: {
        reader.expectWire(wire, Wire.bytes);
        const info = readValueInfo(reader, valueEnd);
        graph.valueInfo.set(info.name, info);
        return true;
      }
      case 15:
        throw unsupported('dense initializers', 'a sparse one', reader);
      default:
        return false;
    }
  });
  // Up to IR version 3 every initializer is listed as an input too.
  graph.inputs = graph.inputs.filter((input) => !graph.initializers.has(input.name));
  return graph;
}

/** `depth`: that of the graph or function body that holds the node. */
export function readNode(context: ReadContext, end: number, depth: number): OnnxNode {
  const { reader } = context;
  const node: OnnxNode = {
    name: '',
    opType: '',
    domain: '',
    inputs: [],
    outputs: [],
    attributes: new Map<string, OnnxAttribute>(),
  };
  reader.message(end, NODE_FIELDS, (field, wire, valueEnd) => {
    switch (field) {
      case 1:
        node.inputs.push(reader.string(wire, valueEnd));
        return true;
      case 2:
        node.outputs.push(reader.string(wire, valueEnd));
        return true;
      case 3:
        node.name = reader.string(wire, valueEnd);
        return true;
      case 4:
        node.opType = reader.string(wire, valueEnd);
        return true;
      case 5: {
        reader.expectWire(wire, Wire.bytes);
        const [name, attribute] = readAttribute(context, valueEnd, depth);
        if (node.attributes.has(name)) {
          reader.fail('each attribute once', `${quote(name)} twice`);
        }
        node.attributes.set(name, attribute);
        return true;
      }
      case 7:
        node.domain = normaliseDomain(reader.string(wire, valueEnd));
        return true;
      case 8:
        if (reader.string(wire, valueEnd) !== '') {
          throw unsupported('functions without overloads', 'one with an overload', reader);
        }
        return true;
      default:
        return false;
    }
  });
  if (node.opType === '') reader.fail('a node with an op_type', `none for ${quote(node.name)}`);
  return node;
}

/** The AttributeProto that ends at `end`, with its name. */
export function readAttribute(
  context: ReadContext,
  end: number,
  depth: number,
): [string, OnnxAttribute] {
  const { reader } = context;
  const start = reader.position;
  let name = '';
  let type = 0;
  let reference: string | undefined;
  let float = 0;
  let int = 0n;
  let string: string | undefined;
  let tensor: OnnxTensor | undefined;
  let graph: OnnxGraph | undefined;
  const floats: number[] = [];
  const ints: bigint[] = [];
  const strings: string[] = [];
  let found = 0;
  let binary = false;
  const text = (wire: number, valueEnd: number): string => {
    const from = reader.position;
    try {
      return reader.string(wire, valueEnd, MAX_STRING_BYTES);
    } catch (error) {
      // Bytes that are not text are legal in AttributeProto.s; such an attribute is kept raw.
      if (!(error instanceof GyrfalconError) || reader.position === from) throw error;
      binary = true;
      return '';
    }
  };

  reader.message(end, ATTRIBUTE_FIELDS, (field, wire, valueEnd) => {
    switch (field) {
      case 1:
        name = reader.string(wire, valueEnd);
        return true;
      case 2:
        float = reader.float32(wire);
        found ||= ATTRIBUTE_TYPES.float;
        return true;
      case 3:
        int = reader.int64(wire);
        found ||= ATTRIBUTE_TYPES.int;
        return true;
      case 4:
        string = text(wire, valueEnd);
        found ||= ATTRIBUTE_TYPES.string;
        return true;
      case 5:
        reader.expectWire(wire, Wire.bytes);
        tensor = readTensorProto(reader, valueEnd, context.externalFiles);
        found ||= ATTRIBUTE_TYPES.tensor;
        return true;
      case 6:
        reader.expectWire(wire, Wire.bytes);
        graph = readGraph(context, valueEnd, depth + 1);
        found ||= ATTRIBUTE_TYPES.graph;
        return true;
      case 7:
        readFloats(reader, wire, valueEnd, floats);
        found ||= ATTRIBUTE_TYPES.floats;
        return true;
      case 8:
        reader.varints(wire, valueEnd, ints);
        found ||= ATTRIBUTE_TYPES.ints;
        return true;
      case 9:
        strings.push(text(wire, valueEnd));
        found ||= ATTRIBUTE_TYPES.strings;
        return true;
      case 10:
      case 11:
      case 22:
      case 23:
        // No operator of the default domain takes lists of tensors or graphs.
        throw unsupported('one tensor or graph an attribute', 'a list or a sparse one', reader);
      case 20:
        type = reader.int32(wire);
        return true;
      case 21:
        reference = reader.string(wire, valueEnd);
        return true;
      default:
        return false;
    }
  });

  if (name === '') reader.fail('an attribute with a name', 'none');
  const kind = type === 0 ? found : type;
  if (reference !== undefined && reference !== '') {
    if (found !== 0) reader.fail('a reference or a value', 'both');
    return [name, { type: 'ref', value: reference, attributeType: kind }];
  }
  if (found !== 0 && found !== kind) reader.fail(`a value of attribute type ${kind}`, `${found}`);
  if (binary) return [name, rawAttribute(reader, start, end)];
  switch (kind) {
    case ATTRIBUTE_TYPES.float:
      return [name, { type: 'float', value: float }];
    case ATTRIBUTE_TYPES.int:
      return [name, { type: 'int', value: int }];
    case ATTRIBUTE_TYPES.string:
      return [name, { type: 'string', value: string ?? '' }];
    case ATTRIBUTE_TYPES.tensor:
      if (tensor === undefined) return reader.fail('a tensor', 'nothing');
      return [name, { type: 'tensor', value: tensor }];
    case ATTRIBUTE_TYPES.graph:
      if (graph === undefined) return reader.fail('a graph', 'nothing');
      return [name, { type: 'graph', value: graph }];
    case ATTRIBUTE_TYPES.floats:
      return [name, { type: 'floats', value: floats }];
    case ATTRIBUTE_TYPES.ints:
      return [name, { type: 'ints', value: ints }];
    case ATTRIBUTE_TYPES.strings:
      return [name, { type: 'strings', value: strings }];
    case 13: // TYPE_PROTO
      return [name, rawAttribute(reader, start, end)];
    default:
      return reader.fail('a known attribute type', `${kind} for ${quote(name)}`);
  }
}

function rawAttribute(reader: WireReader, start: number, end: number): OnnxAttribute {
  if (end - start > MAX_RAW_ATTRIBUTE_BYTES) {
    throw new GyrfalconError(
      'LIMIT_EXCEEDED',
      `expected at most ${MAX_RAW_ATTRIBUTE_BYTES} bytes but received ${end - start}` +
        reader.where(),
    );
  }
  reader.charge(end - start);
  return { type: 'raw', value: new Uint8Array(reader.peek(start, end - start)) };
}

function readFloats(reader: WireReader, wire: number, end: number, into: number[]): void {
  if (wire !== Wire.bytes) {
    reader.charge(8);
    into.push(reader.float32(wire));
    return;
  }
  if ((end - reader.position) % 4 !== 0) {
    reader.fail('a multiple of 4 bytes', `${end - reader.position}`);
  }
  while (reader.position < end) {
    reader.charge(8);
    into.push(reader.float32(Wire.fixed32));
  }
}

/** onnx.proto gives the default domain two spellings. */
export function normaliseDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}

function unsupported(expected: string, received: string, reader: WireReader): GyrfalconError {
  return new GyrfalconError(
    'ONNX_UNSUPPORTED',
    `expected ${expected} but received ${received}${reader.where()}`,
  );
}
