/** Reads ONNX models. Large tensors stay in their files, so memory does not grow with the model. */
import { GyrfalconError } from '../../errors.js';
import { type ByteSource, FileSource, MemorySource } from './byte-source.js';
import { checkModel } from './check-model.js';
import { ExternalFiles } from './external-data.js';
import { MAX_FUNCTIONS } from './limits.js';
import {
  normaliseDomain,
  type ReadContext,
  readAttribute,
  readGraph,
  readNode,
} from './read-graph.js';
import type { OnnxAttribute, OnnxFunction, OnnxGraph, OnnxModel } from './types.js';
import { Wire, WireReader } from './wire-reader.js';

const MODEL_FIELDS = {
  1: 'ir_version',
  2: 'producer_name',
  3: 'producer_version',
  7: 'graph',
  8: 'opset_import',
  20: 'training_info',
  25: 'functions',
};
const FUNCTION_FIELDS = {
  1: 'name',
  4: 'input',
  5: 'output',
  6: 'attribute',
  7: 'node',
  9: 'opset_import',
  10: 'domain',
  11: 'attribute_proto',
  13: 'overload',
};
const OPSET_FIELDS = { 1: 'domain', 2: 'version' };

export interface ReadOptions {
  signal?: AbortSignal;
  /** Bytes passed and bytes in all; large tensors are passed at once. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * Reads the model at `path` and, where it has external data, checks the ranges it names.
 * @throws ONNX_INVALID (with field and byte), ONNX_UNSUPPORTED, LIMIT_EXCEEDED, PATH_ESCAPE,
 *   IO_ERROR, ABORTED
 */
export async function readOnnxModel(path: string, options: ReadOptions = {}): Promise<OnnxModel> {
  throwIfAborted(options.signal);
  const source = new FileSource(path);
  try {
    options.onProgress?.(0, source.size);
    const model = parse(source);
    options.onProgress?.(source.size, source.size);
    return model;
  } finally {
    source.close();
  }
}

/** Reads a model from memory; it cannot have external data. Inline tensors copy from `bytes`. */
export function parseOnnxModel(bytes: Uint8Array): OnnxModel {
  return parse(new MemorySource(bytes));
}

/** @throws ABORTED */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new GyrfalconError('ABORTED', 'the import was aborted', { cause: signal.reason });
  }
}

function parse(source: ByteSource): OnnxModel {
  const reader = new WireReader(source);
  const context: ReadContext = { reader, externalFiles: new ExternalFiles(source.path) };
  let irVersion = 0;
  const opsets = new Map<string, number>();
  let producerName = '';
  let producerVersion = '';
  let graph: OnnxGraph | undefined;
  const functions: OnnxFunction[] = [];
  reader.message(source.size, MODEL_FIELDS, (field, wire, end) => {
    switch (field) {
      case 1:
        irVersion = reader.safeInteger(wire);
        return true;
      case 2:
        producerName = reader.string(wire, end);
        return true;
      case 3:
        producerVersion = reader.string(wire, end);
        return true;
      case 7:
        reader.expectWire(wire, Wire.bytes);
        if (graph !== undefined) reader.fail('one graph', 'two');
        graph = readGraph(context, end, 0);
        return true;
      case 8:
        reader.expectWire(wire, Wire.bytes);
        readOpset(reader, end, opsets);
        return true;
      case 20:
        throw new GyrfalconError(
          'ONNX_UNSUPPORTED',
          `expected a model for inference but received one with training_info${reader.where()}`,
        );
      case 25:
        reader.expectWire(wire, Wire.bytes);
        functions.push(readFunction(context, end));
        if (functions.length > MAX_FUNCTIONS) {
          throw new GyrfalconError(
            'LIMIT_EXCEEDED',
            `expected at most ${MAX_FUNCTIONS} functions but received more${reader.where()}`,
          );
        }
        return true;
      default:
        return false;
    }
  });
  if (graph === undefined) return reader.fail('an ONNX model with a graph', 'none');
  if (irVersion < 1) reader.fail('an ir_version of at least 1', `${irVersion}`);
  if (!opsets.has('')) reader.fail('an opset_import of the default domain', 'none');
  const producer = [producerName, producerVersion].filter((part) => part !== '').join(' ');
  const model: OnnxModel = { irVersion, opsets, producer, graph, functions };
  checkModel(model);
  return model;
}

function readOpset(reader: WireReader, end: number, into: Map<string, number>): void {
  let domain = '';
  let version = 0;
  reader.message(end, OPSET_FIELDS, (field, wire, valueEnd) => {
    if (field === 1) domain = normaliseDomain(reader.string(wire, valueEnd));
    else if (field === 2) version = reader.safeInteger(wire);
    else return false;
    return true;
  });
  if (version < 1) reader.fail('an opset version of at least 1', `${version}`);
  const known = into.get(domain);
  if (known !== undefined && known !== version) {
    reader.fail(
      'one version of each opset',
      `${known} and ${version} of ${JSON.stringify(domain)}`,
    );
  }
  into.set(domain, version);
}

function readFunction(context: ReadContext, end: number): OnnxFunction {
  const { reader } = context;
  const fn: OnnxFunction = {
    name: '',
    domain: '',
    overload: '',
    inputs: [],
    outputs: [],
    attributes: [],
    attributeDefaults: new Map<string, OnnxAttribute>(),
    nodes: [],
    opsets: new Map<string, number>(),
  };
  reader.message(end, FUNCTION_FIELDS, (field, wire, valueEnd) => {
    switch (field) {
      case 1:
        fn.name = reader.string(wire, valueEnd);
        return true;
      case 4:
        fn.inputs.push(reader.string(wire, valueEnd));
        return true;
      case 5:
        fn.outputs.push(reader.string(wire, valueEnd));
        return true;
      case 6:
        fn.attributes.push(reader.string(wire, valueEnd));
        return true;
      case 7:
        reader.expectWire(wire, Wire.bytes);
        fn.nodes.push(readNode(context, valueEnd, 0));
        return true;
      case 9:
        reader.expectWire(wire, Wire.bytes);
        readOpset(reader, valueEnd, fn.opsets);
        return true;
      case 10:
        fn.domain = normaliseDomain(reader.string(wire, valueEnd));
        return true;
      case 11: {
        reader.expectWire(wire, Wire.bytes);
        const [name, attribute] = readAttribute(context, valueEnd, 0);
        if (fn.attributeDefaults.has(name)) reader.fail('each default once', 'two');
        fn.attributeDefaults.set(name, attribute);
        return true;
      }
      case 13:
        fn.overload = reader.string(wire, valueEnd);
        if (fn.overload !== '') {
          throw new GyrfalconError(
            'ONNX_UNSUPPORTED',
            `expected functions without overloads but received one${reader.where()}`,
          );
        }
        return true;
      default:
        return false;
    }
  });
  if (fn.name === '') reader.fail('a function with a name', 'none');
  return fn;
}
