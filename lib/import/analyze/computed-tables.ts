/**
 * Tables that the graph computes from constants: shards that are concatenated, transposed or scaled
 * weights, a padding row that is zeroed, a layer of a stack. They are computed here, once, when they
 * are looked up. Shards need no memory: their rows are read one shard after another.
 */
import type { OnnxNode, OnnxTensor } from '../onnx/types.js';
import { intAttribute } from './attributes.js';
import { isFloat } from './constants.js';
import type { Matrix, Value } from './domain.js';
import { foldWide, fromConst, readWide, wideTensor } from './wide.js';
import { MAX_WIDE, type Wide } from './wide-math.js';

/** Elements of all computed tables of a model, which are held until they are written. */
const MAX_TOTAL = 1 << 27;
const MAX_DEPTH = 32;

export interface Constants {
  readonly initializers: ReadonlyMap<string, OnnxTensor>;
  readonly producers: ReadonlyMap<string, OnnxNode>;
  readonly values: ReadonlyMap<string, Value>;
}

/** Whether a value depends on constants only. */
export function isComputedConstant(name: string, graph: Constants): boolean {
  const seen = new Set<string>();
  const queue = [name];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (seen.has(next) || next === '' || graph.initializers.has(next)) continue;
    seen.add(next);
    if (graph.values.get(next)?.kind === 'const') continue;
    const node = graph.producers.get(next);
    if (node === undefined || node.opType.startsWith('Random') || node.opType === 'Loop')
      return false;
    if ([...node.attributes.values()].some(({ type }) => type === 'graph')) return false;
    queue.push(...node.inputs);
  }
  return true;
}

export interface ComputedTable {
  readonly matrix: Matrix;
  /** In the graph: halves are held as floats. */
  readonly dataType: number;
}

export class ComputedTables {
  private readonly known = new Map<string, ComputedTable | null>();
  private held = 0;

  constructor(private readonly graph: Constants) {}

  /** The matrix that a value is; null when it is none or none that is followed. */
  find(name: string): ComputedTable | null {
    const known = this.known.get(name);
    if (known !== undefined) return known;
    const table = isComputedConstant(name, this.graph) ? this.make(name) : null;
    this.known.set(name, table);
    return table;
  }

  private make(name: string): ComputedTable | null {
    const shards = this.shards(name);
    if (shards !== null) return shards;
    const wide = this.evaluate(name, 0);
    if (wide === null || wide.dims.length !== 2 || this.held + wide.data.length > MAX_TOTAL)
      return null;
    const tensor = wideTensor(name, wide);
    const [rows, dim] = wide.dims as [number, number];
    if (tensor === null || rows * dim === 0) return null;
    this.held += wide.data.length;
    return { matrix: { name, tensor, rows, dim }, dataType: wide.dataType };
  }

  /** Matrices of one width, one above another. */
  private shards(name: string): ComputedTable | null {
    const node = this.graph.producers.get(name);
    if (node?.opType !== 'Concat' || node.domain !== '') return null;
    const axis = intAttribute(node, 'axis', 0);
    const parts = node.inputs.map((input) => this.graph.initializers.get(input));
    const [first] = parts;
    if (first === undefined || (axis !== 0 && axis !== -2) || !isFloat(first.dataType)) return null;
    let [rows, length] = [0, 0];
    for (const part of parts) {
      if (part?.dims.length !== 2 || part.dims[1] !== first.dims[1]) return null;
      if (
        part.dataType !== first.dataType ||
        (part.dims[0] as number) * (part.dims[1] as number) === 0
      )
        return null;
      rows += part.dims[0] as number;
      length += part.source.kind === 'inline' ? part.source.bytes.byteLength : part.source.length;
    }
    const sources = (parts as OnnxTensor[]).map(({ source }) => source);
    const dim = first.dims[1] as number;
    const source = { kind: 'joined', parts: sources, length } as const;
    const tensor = { ...first, name, dims: [rows, dim], source };
    return { matrix: { name, tensor, rows, dim }, dataType: first.dataType };
  }

  private evaluate(name: string, depth: number): Wide | null {
    const value = this.graph.values.get(name);
    if (value?.kind === 'const') return fromConst(value.tensor);
    const tensor = this.graph.initializers.get(name);
    if (tensor !== undefined) return readWide(tensor);
    const node = this.graph.producers.get(name);
    if (node === undefined || node.domain !== '' || depth > MAX_DEPTH) return null;
    const inputs: (Wide | null)[] = [];
    let total = 0;
    for (const input of node.inputs) {
      const wide = input === '' ? null : this.evaluate(input, depth + 1);
      if (input !== '' && wide === null) return null;
      inputs.push(wide);
      total += wide?.data.length ?? 0;
      if (total > MAX_WIDE) return null;
    }
    return foldWide(node, inputs, node.outputs.indexOf(name));
  }
}

/** Names that are looked up anywhere: by a Gather, in subgraphs too. */
export function lookedUp(nodes: readonly OnnxNode[], into: Set<string> = new Set()): Set<string> {
  for (const node of [...nodes].reverse()) {
    const [data, ids] = node.inputs;
    if (data !== undefined && ids !== undefined && /^Gather(ND)?$/.test(node.opType))
      into.add(data);
    for (const attribute of node.attributes.values())
      if (attribute.type === 'graph') lookedUp(attribute.value.nodes, into);
  }
  return into;
}
