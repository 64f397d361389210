/** Small ONNX graphs in memory, one line a node. */
import type {
  OnnxAttribute,
  OnnxDim,
  OnnxGraph,
  OnnxModel,
  OnnxNode,
  OnnxTensor,
  OnnxValueInfo,
} from '../../../lib/import/onnx/types.js';

export type AttributeValue = number | bigint | string | readonly number[] | OnnxGraph | OnnxTensor;

export function floats(
  name: string,
  dims: readonly number[],
  values?: readonly number[],
): OnnxTensor {
  const n = dims.reduce((a, b) => a * b, 1);
  const data = Float32Array.from(
    { length: n },
    (_, i) => values?.[i] ?? Math.sin(i + name.length) * 2,
  );
  return {
    name,
    dataType: 1,
    dims,
    source: { kind: 'inline', bytes: new Uint8Array(data.buffer) },
  };
}

export function int64s(
  name: string,
  dims: readonly number[],
  values: readonly number[],
): OnnxTensor {
  const data = BigInt64Array.from(values, BigInt);
  return {
    name,
    dataType: 7,
    dims,
    source: { kind: 'inline', bytes: new Uint8Array(data.buffer) },
  };
}

export function info(name: string, dataType: number, dims: readonly OnnxDim[]): OnnxValueInfo {
  return { name, dataType, dims };
}

export const ids = (name: string, ...dims: OnnxDim[]): OnnxValueInfo => info(name, 7, dims);
export const real = (name: string, ...dims: OnnxDim[]): OnnxValueInfo => info(name, 1, dims);

function attribute(value: AttributeValue): OnnxAttribute {
  if (typeof value === 'number') return { type: 'float', value };
  if (typeof value === 'bigint') return { type: 'int', value };
  if (typeof value === 'string') return { type: 'string', value };
  if ('nodes' in value) return { type: 'graph', value };
  if ('source' in value) return { type: 'tensor', value };
  return { type: 'ints', value: value.map(BigInt) };
}

/** `node('y = Gather(table, x)', { axis: 0n })`; several results are separated by commas. */
export function node(line: string, attributes: Record<string, AttributeValue> = {}): OnnxNode {
  const match = /^(.*?) = (?:(\w+)\.)?(\w+)\((.*)\)$/.exec(line);
  if (match === null) throw new Error(`no node: ${line}`);
  const [, outputs = '', domain = '', opType = '', inputs = ''] = match;
  const names = (text: string): string[] =>
    text === '' ? [] : text.split(',').map((name) => name.trim());
  return {
    name: '',
    opType,
    domain,
    inputs: names(inputs),
    outputs: names(outputs),
    attributes: new Map(Object.entries(attributes).map(([key, value]) => [key, attribute(value)])),
  };
}

export interface GraphParts {
  inputs: OnnxValueInfo[];
  outputs: OnnxValueInfo[];
  constants?: OnnxTensor[];
  nodes: OnnxNode[];
}

export function graph({ inputs, outputs, constants = [], nodes }: GraphParts): OnnxGraph {
  return {
    name: 'graph',
    nodes,
    initializers: new Map(constants.map((tensor) => [tensor.name, tensor])),
    inputs,
    outputs,
    valueInfo: new Map(),
  };
}

export function model(parts: GraphParts, more: Partial<OnnxModel> = {}): OnnxModel {
  return {
    irVersion: 8,
    opsets: new Map([['', 18]]),
    producer: 'test',
    graph: graph(parts),
    functions: [],
    ...more,
  };
}
