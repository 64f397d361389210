/** Writes an ONNX model as one self-contained file: every tensor inline, whatever its source. */
import { rm } from 'node:fs/promises';

import { GyrfalconError } from '../../errors.js';
import type { ContentHash } from '../codec.js';
import { FileWriter } from '../file-writer.js';
import { MAX_DENSE_DEPTH, MAX_MODEL_FILE_BYTES } from './limits.js';
import { ATTRIBUTE_TYPES } from './read-graph.js';
import { tensorBytes } from './tensor-data.js';
import type {
  OnnxAttribute,
  OnnxFunction,
  OnnxGraph,
  OnnxModel,
  OnnxNode,
  OnnxTensor,
  OnnxValueInfo,
} from './types.js';
import { MessageWriter } from './wire-writer.js';

/** Before version 4, initializers had to be inputs too; graphs here do not list them there. */
const MIN_IR_VERSION = 4;

export interface WriteOptions {
  /** Sees every byte of the file. */
  hash?: ContentHash;
  signal?: AbortSignal | undefined;
  onProgress?: (done: number, total: number) => void;
  /** Subgraphs inside subgraphs that are accepted. */
  maxDepth?: number;
}

/**
 * Writes `model` to `path`, which must not exist; a failed write removes it. Tensors are copied
 * from their files block by block.
 * @throws LIMIT_EXCEEDED past 2^31 - 1 bytes, ONNX_UNSUPPORTED for deep nesting, IO_ERROR, ABORTED
 */
export async function writeOnnxModel(
  model: OnnxModel,
  path: string,
  options: WriteOptions = {},
): Promise<{ bytes: number; xxh64: string }> {
  const message = encodeModel(model, options.maxDepth ?? MAX_DENSE_DEPTH);
  const file = await FileWriter.create(path, options.hash);
  try {
    for (const part of message.parts) {
      if (part instanceof Uint8Array) {
        await file.write(part);
      } else {
        for await (const block of tensorBytes(part, { signal: options.signal })) {
          await file.write(block);
        }
      }
      options.onProgress?.(file.bytes, message.length);
    }
    await file.finish();
  } catch (error) {
    await file.abandon();
    await rm(path, { force: true });
    throw error;
  }
  return { bytes: message.length, xxh64: options.hash?.digest() ?? '' };
}

/** The bytes of a model whose tensors are all inline. @throws INVALID_ARGUMENT if one is not */
export function encodeOnnxModel(model: OnnxModel, maxDepth: number = MAX_DENSE_DEPTH): Uint8Array {
  const { parts } = encodeModel(model, maxDepth);
  return Buffer.concat(
    parts.map((part) => {
      if (part instanceof Uint8Array) return part;
      throw new GyrfalconError('INVALID_ARGUMENT', 'expected inline tensors but received a file');
    }),
  );
}

function encodeModel(model: OnnxModel, maxDepth: number): MessageWriter {
  const out = new MessageWriter();
  out.int(1, Math.max(MIN_IR_VERSION, model.irVersion));
  out.optionalString(2, model.producer);
  writeOpsets(out, 8, model.opsets);
  out.message(7, graphMessage(model.graph, maxDepth));
  for (const fn of model.functions) out.message(25, functionMessage(fn, maxDepth));
  if (out.length > MAX_MODEL_FILE_BYTES) {
    throw new GyrfalconError(
      'LIMIT_EXCEEDED',
      `expected a dense graph of at most ${MAX_MODEL_FILE_BYTES} bytes (protobuf's limit) but ` +
        `received ${out.length}: more of its tables have to leave the graph`,
    );
  }
  return out.joined();
}

function writeOpsets(out: MessageWriter, field: number, opsets: ReadonlyMap<string, number>): void {
  for (const [domain, version] of opsets) {
    const opset = new MessageWriter();
    opset.optionalString(1, domain);
    opset.int(2, version);
    out.message(field, opset);
  }
}

/** `depth`: how many levels of subgraphs may still follow. */
function graphMessage(graph: OnnxGraph, depth: number): MessageWriter {
  if (depth < 0) {
    throw new GyrfalconError(
      'ONNX_UNSUPPORTED',
      `expected a dense graph with subgraphs at most ${MAX_DENSE_DEPTH} deep ` +
        'but received deeper ones',
    );
  }
  const out = new MessageWriter();
  for (const node of graph.nodes) out.message(1, nodeMessage(node, depth));
  // Graphs must have a name.
  out.string(2, graph.name === '' ? 'graph' : graph.name);
  for (const [name, tensor] of graph.initializers) out.message(5, tensorMessage(tensor, name));
  for (const input of graph.inputs) out.message(11, valueInfoMessage(input));
  for (const output of graph.outputs) out.message(12, valueInfoMessage(output));
  for (const info of graph.valueInfo.values()) {
    if (isTyped(info)) out.message(13, valueInfoMessage(info));
  }
  return out;
}

function nodeMessage(node: OnnxNode, depth: number): MessageWriter {
  const out = new MessageWriter();
  for (const input of node.inputs) out.string(1, input);
  for (const output of node.outputs) out.string(2, output);
  out.optionalString(3, node.name);
  out.string(4, node.opType);
  for (const [name, attribute] of node.attributes) {
    out.message(5, attributeMessage(name, attribute, depth));
  }
  out.optionalString(7, node.domain);
  return out;
}

function functionMessage(fn: OnnxFunction, depth: number): MessageWriter {
  const out = new MessageWriter();
  out.string(1, fn.name);
  for (const input of fn.inputs) out.string(4, input);
  for (const output of fn.outputs) out.string(5, output);
  for (const attribute of fn.attributes) out.string(6, attribute);
  for (const node of fn.nodes) out.message(7, nodeMessage(node, depth));
  writeOpsets(out, 9, fn.opsets);
  out.optionalString(10, fn.domain);
  for (const [name, attribute] of fn.attributeDefaults) {
    out.message(11, attributeMessage(name, attribute, depth));
  }
  return out;
}

function attributeMessage(name: string, attribute: OnnxAttribute, depth: number): MessageWriter {
  const out = new MessageWriter();
  if (attribute.type === 'raw') {
    out.push(attribute.value);
    return out;
  }
  out.string(1, name);
  switch (attribute.type) {
    case 'float':
      out.float(2, attribute.value);
      break;
    case 'int':
      out.int(3, attribute.value);
      break;
    case 'string':
      out.string(4, attribute.value);
      break;
    case 'tensor':
      out.message(5, tensorMessage(attribute.value, attribute.value.name));
      break;
    case 'graph':
      out.message(6, graphMessage(attribute.value, depth - 1));
      break;
    case 'floats':
      out.packedFloats(7, attribute.value);
      break;
    case 'ints':
      out.packedInts(8, attribute.value);
      break;
    case 'strings':
      for (const value of attribute.value) out.string(9, value);
      break;
    case 'ref':
      out.int(20, attribute.attributeType);
      out.string(21, attribute.value);
      return out;
  }
  out.int(20, ATTRIBUTE_TYPES[attribute.type]);
  return out;
}

function tensorMessage(tensor: OnnxTensor, name: string): MessageWriter {
  const out = new MessageWriter();
  out.packedInts(1, tensor.dims);
  out.int(2, tensor.dataType);
  out.optionalString(8, name);
  out.tensorBytes(9, tensor.source);
  return out;
}

function isTyped(info: OnnxValueInfo): boolean {
  return info.dataType !== 0 || info.otherType !== undefined;
}

function valueInfoMessage(info: OnnxValueInfo): MessageWriter {
  const out = new MessageWriter();
  out.string(1, info.name);
  if (info.otherType !== undefined) {
    out.bytes(2, info.otherType);
  } else if (info.dataType !== 0) {
    const tensor = new MessageWriter();
    tensor.int(1, info.dataType);
    if (info.dims !== null) {
      const shape = new MessageWriter();
      for (const dim of info.dims) {
        const extent = new MessageWriter();
        if (typeof dim === 'number') extent.int(1, dim);
        else if (dim !== null) extent.string(2, dim);
        shape.message(1, extent);
      }
      tensor.message(2, shape);
    }
    const type = new MessageWriter();
    type.message(1, tensor);
    out.message(2, type);
  }
  return out;
}
