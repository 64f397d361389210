/** Writes ONNX models whose tensors lie in a file beside them. */
import { type OnnxDim, OnnxType } from '#lib/import/onnx/types.js';
import { MessageWriter } from '#lib/import/onnx/wire-writer.js';

/** Where a tensor lies in the data file, or its bytes. */
export interface Initializer {
  readonly name: string;
  readonly type: 'f32' | 'i64';
  readonly dims: readonly number[];
  readonly external?: { readonly offset: number; readonly length: number };
  readonly bytes?: Uint8Array;
}

export interface Value {
  readonly name: string;
  readonly type: 'f32' | 'i64';
  readonly dims: readonly OnnxDim[];
}

interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, number | readonly number[]>>;
}

const TYPES = { f32: OnnxType.float, i64: OnnxType.int64 } as const;
const OPSET = 17;
const ATTRIBUTE_INT = 2;
const ATTRIBUTE_INTS = 7;
const EXTERNAL = 1;

/** A graph under construction. Attributes are whole numbers. */
export class GraphBuilder {
  readonly #nodes: Node[] = [];
  readonly #initializers: Initializer[] = [];

  /** @returns the name of the node's output */
  node(
    op: string,
    inputs: readonly string[],
    attributes: Node['attributes'] = {},
    output = `v${this.#nodes.length}`,
  ): string {
    this.#nodes.push({ op, inputs, outputs: [output], attributes });
    return output;
  }

  /** A node with several outputs. */
  nodes(op: string, inputs: readonly string[], attributes: Node['attributes'], outputs: string[]) {
    this.#nodes.push({ op, inputs, outputs, attributes });
  }

  initializer(initializer: Initializer): string {
    this.#initializers.push(initializer);
    return initializer.name;
  }

  integers(values: readonly number[], dims: readonly number[] = [values.length]): string {
    const bytes = new Uint8Array(BigInt64Array.from(values, (value) => BigInt(value)).buffer);
    const name = `c${this.#initializers.length}`;
    return this.initializer({ name, type: 'i64', dims, bytes });
  }

  /** `dataFile`: the name of the file beside the model that external tensors lie in. */
  encode(inputs: readonly Value[], outputs: readonly Value[], dataFile: string): Uint8Array {
    const graph = new MessageWriter();
    for (const node of this.#nodes) graph.message(1, encodeNode(node));
    graph.string(2, 'workload');
    for (const tensor of this.#initializers) graph.message(5, encodeTensor(tensor, dataFile));
    for (const input of inputs) graph.message(11, encodeValue(input));
    for (const output of outputs) graph.message(12, encodeValue(output));
    const opset = new MessageWriter();
    opset.int(2, OPSET);
    const model = new MessageWriter();
    model.int(1, 8);
    model.string(2, 'gyrfalcon-bench');
    model.message(8, opset);
    model.message(7, graph);
    return Buffer.concat(model.parts as Uint8Array[]);
  }
}

function encodeNode(node: Node): MessageWriter {
  const out = new MessageWriter();
  for (const input of node.inputs) out.string(1, input);
  for (const output of node.outputs) out.string(2, output);
  out.string(3, node.outputs[0] ?? '');
  out.string(4, node.op);
  for (const [name, value] of Object.entries(node.attributes)) {
    const attribute = new MessageWriter();
    attribute.string(1, name);
    if (typeof value === 'number') attribute.int(3, value);
    else for (const one of value) attribute.int(8, one);
    attribute.int(20, typeof value === 'number' ? ATTRIBUTE_INT : ATTRIBUTE_INTS);
    out.message(5, attribute);
  }
  return out;
}

function encodeTensor(tensor: Initializer, dataFile: string): MessageWriter {
  const out = new MessageWriter();
  for (const dim of tensor.dims) out.int(1, dim);
  out.int(2, TYPES[tensor.type]);
  out.string(8, tensor.name);
  if (tensor.bytes !== undefined) {
    out.bytes(9, tensor.bytes);
    return out;
  }
  const { offset, length } = tensor.external ?? { offset: 0, length: 0 };
  for (const [key, value] of Object.entries({ location: dataFile, offset, length })) {
    const entry = new MessageWriter();
    entry.string(1, key);
    entry.string(2, String(value));
    out.message(13, entry);
  }
  out.int(14, EXTERNAL);
  return out;
}

function encodeValue({ name, type, dims }: Value): MessageWriter {
  const shape = new MessageWriter();
  for (const dim of dims) {
    const extent = new MessageWriter();
    if (typeof dim === 'number') extent.int(1, dim);
    else if (dim !== null) extent.string(2, dim);
    shape.message(1, extent);
  }
  const tensor = new MessageWriter();
  tensor.int(1, TYPES[type]);
  tensor.message(2, shape);
  const wrapped = new MessageWriter();
  wrapped.message(1, tensor);
  const out = new MessageWriter();
  out.string(1, name);
  out.message(2, wrapped);
  return out;
}
