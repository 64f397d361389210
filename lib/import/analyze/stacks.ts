/**
 * Stacked inputs: indices or offsets of several tables in one [tables, …] input, of which each
 * table's nn.EmbeddingBag reads a row. A ragged input of a bundle belongs to one feature, so the
 * rows are made inputs of their own, `X[0]`, `X[1]`, …, before the analysis begins.
 */
import { type OnnxGraph, type OnnxModel, type OnnxNode, OnnxType } from '../onnx/types.js';
import { intAttribute, intsAttribute } from './attributes.js';
import { constantNode, decodeTensor, int64Tensor, isInteger } from './constants.js';
import type { ConstTensor } from './domain.js';

/** By stacked input: the names of its rows' inputs; null for a row that nothing reads. */
export type StackRows = Readonly<Record<string, readonly (string | null)[]>>;

export interface Unstacked {
  /** The same network with an input for each row. */
  readonly model: OnnxModel;
  readonly rows: StackRows;
}

/** More rows than this are ids of something else. */
const MAX_ROWS = 4096;
/** From this opset on, axes of Unsqueeze are an input. */
const AXES_AS_INPUT = 13;

/** A read of one row: `output` is the row itself or, with `keep`, a [1, …] slice of the stack. */
interface Read {
  readonly input: string;
  readonly row: number;
  readonly output: string;
  readonly keep: boolean;
  /** Casts that the stack went through, outermost last. */
  readonly casts: readonly OnnxNode[];
}

type Stack = Pick<Read, 'input' | 'casts'>;

/** Null when no input but those of `without` is a stack whose every use takes single rows. */
export function unstack(model: OnnxModel, without: ReadonlySet<string>): Unstacked | null {
  const { graph } = model;
  const heights = candidates(graph, without);
  if (heights.size === 0) return null;
  const reads = new Map<OnnxNode, readonly Read[]>();
  // Names of the stacks, as they are and cast.
  const seen = new Map<string, Stack>();
  for (const input of heights.keys()) seen.set(input, { input, casts: [] });
  const constants = constantsOf(graph);
  for (const node of graph.nodes) {
    const [data = '', ...others] = node.inputs;
    for (const name of [...others, ...namesInside(node)]) forget(heights, seen.get(name)?.input);
    const stack = seen.get(data);
    const height = heights.get(stack?.input ?? '');
    if (stack === undefined || height === undefined) continue;
    if (node.opType === 'Identity' || node.opType === 'Cast') {
      const casts = node.opType === 'Cast' ? [...stack.casts, node] : stack.casts;
      seen.set(node.outputs[0] ?? '', { input: stack.input, casts });
      reads.set(node, []);
      continue;
    }
    const taken = rowsTaken(node, height, constants);
    if (taken === null) {
      forget(heights, stack.input);
      continue;
    }
    reads.set(
      node,
      taken.map((read) => ({ ...read, input: stack.input, casts: stack.casts })),
    );
  }
  for (const { name } of graph.outputs) forget(heights, seen.get(name)?.input);
  const used = usedRows(graph, heights, [...reads.values()].flat());
  if (used.size === 0) return null;
  return { model: rewritten(model, used, reads, seen), rows: Object.fromEntries(used) };
}

function forget(heights: Map<string, number>, input: string | undefined): void {
  if (input !== undefined) heights.delete(input);
}

/** Inputs that could be stacks, with how many rows they have. */
function candidates(graph: OnnxGraph, without: ReadonlySet<string>): Map<string, number> {
  const heights = new Map<string, number>();
  for (const { name, dims, dataType } of graph.inputs) {
    const height = dims?.[0];
    if (dims?.length !== 2 || typeof height !== 'number' || without.has(name)) continue;
    if (height < 1 || height > MAX_ROWS) continue;
    if (isInteger(dataType) || dataType === OnnxType.float) heights.set(name, height);
  }
  return heights;
}

/** Small integer constants of the graph, by name. */
function constantsOf(graph: OnnxGraph): (name: string) => ConstTensor | null {
  const nodes = new Map(
    graph.nodes.flatMap((node): [string, OnnxNode][] =>
      node.opType === 'Constant' ? [[node.outputs[0] ?? '', node]] : [],
    ),
  );
  return (name) => {
    const node = nodes.get(name);
    const tensor = node === undefined ? graph.initializers.get(name) : constantNode(node);
    return tensor && isInteger(tensor.dataType) ? decodeTensor(tensor) : null;
  };
}

function namesInside(node: OnnxNode): string[] {
  const names: string[] = [];
  const visit = (graph: OnnxGraph): void => {
    for (const inner of graph.nodes) {
      names.push(...inner.inputs, ...namesInside(inner));
    }
    names.push(...graph.outputs.map(({ name }) => name));
  };
  for (const attribute of node.attributes.values()) {
    if (attribute.type === 'graph') visit(attribute.value);
  }
  return names;
}

type Taken = Pick<Read, 'row' | 'output' | 'keep'>;

/** What a node makes of the rows of a stack; null when that is not single rows. */
function rowsTaken(
  node: OnnxNode,
  height: number,
  constant: (name: string) => ConstTensor | null,
): Taken[] | null {
  const [output = ''] = node.outputs;
  const one = (row: number | undefined, keep: boolean): Taken[] | null => {
    if (row === undefined || row < -height || row >= height) return null;
    return [{ row: row < 0 ? row + height : row, output, keep }];
  };
  if (node.domain !== '') return null;
  const parameter = (at: number, name: string): readonly number[] | null =>
    (node.inputs[at] ?? '') === ''
      ? intsAttribute(node, name)
      : (constant(node.inputs[at] ?? '')?.data ?? null);
  if (node.opType === 'Gather' && intAttribute(node, 'axis', 0) === 0) {
    const index = constant(node.inputs[1] ?? '');
    if (index === null || index.dims.length > 1 || index.data.length !== 1) return null;
    return one(index.data[0], index.dims.length === 1);
  }
  if (node.opType === 'Split' && intAttribute(node, 'axis', 0) === 0) {
    const sizes = parameter(1, 'split');
    if (node.outputs.length !== height || sizes?.some((size) => size !== 1)) return null;
    return node.outputs.flatMap((name, row) =>
      name === '' ? [] : [{ row, output: name, keep: true }],
    );
  }
  if (node.opType === 'Slice') {
    const [start, end] = [parameter(1, 'starts'), parameter(2, 'ends')];
    const axes = parameter(3, 'axes') ?? [0];
    const steps = parameter(4, 'steps') ?? [1];
    const [from, to] = [start?.[0], end?.[0]];
    if (start?.length !== 1 || from === undefined || to === undefined) return null;
    if (axes[0] !== 0 || steps[0] !== 1) return null;
    const [low, high] = [from, to].map((at) => (at < 0 ? at + height : Math.min(at, height)));
    return high === (low as number) + 1 ? one(low, true) : null;
  }
  return null;
}

/** Names for the rows that are read; stacks whose names are taken stay as they are. */
function usedRows(
  graph: OnnxGraph,
  heights: ReadonlyMap<string, number>,
  reads: readonly Read[],
): Map<string, (string | null)[]> {
  const taken = new Set([
    ...graph.inputs.map(({ name }) => name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap(({ outputs }) => outputs),
  ]);
  const used = new Map<string, (string | null)[]>();
  for (const [input, height] of heights) {
    const names = new Array<string | null>(height).fill(null);
    for (const read of reads) {
      if (read.input === input) names[read.row] = `${input}[${read.row}]`;
    }
    if (names.every((name) => name === null)) continue;
    if (names.some((name) => name !== null && taken.has(name))) continue;
    used.set(input, names);
  }
  return used;
}

function rewritten(
  model: OnnxModel,
  used: ReadonlyMap<string, readonly (string | null)[]>,
  reads: ReadonlyMap<OnnxNode, readonly Read[]>,
  seen: ReadonlyMap<string, Stack>,
): OnnxModel {
  const { graph } = model;
  const axes = `${graph.inputs.map(({ name }) => name).join('_')}_row_axis`;
  const nodes = graph.nodes.flatMap((node): OnnxNode[] => {
    const found = reads.get(node);
    const input = seen.get(node.inputs[0] ?? '')?.input;
    if (found === undefined || input === undefined || !used.has(input)) return [node];
    return found.flatMap((read) => nodesOf(read, used.get(input)?.[read.row] ?? '', axes, model));
  });
  const inputs = graph.inputs.flatMap((info) => {
    const rows = used.get(info.name);
    if (rows === undefined) return [info];
    return rows.flatMap((name) =>
      name === null ? [] : [{ ...info, name, dims: (info.dims ?? []).slice(1) }],
    );
  });
  const initializers = new Map(graph.initializers).set(axes, int64Tensor(axes, [0]));
  return { ...model, graph: { ...graph, nodes, inputs, initializers } };
}

/** From a row's own input to what the network called the row. */
function nodesOf(read: Read, row: string, axes: string, model: OnnxModel): OnnxNode[] {
  const nodes: OnnxNode[] = [];
  const add = (like: Pick<OnnxNode, 'opType' | 'attributes'>, inputs: string[]): void => {
    const output = `${read.output}/row_${nodes.length}`;
    nodes.push({ name: '', domain: '', ...like, inputs, outputs: [output] });
  };
  const last = (): string => nodes.at(-1)?.outputs[0] ?? row;
  for (const { opType, attributes } of read.casts) add({ opType, attributes }, [last()]);
  if (read.keep) {
    const asInput = (model.opsets.get('') ?? 0) >= AXES_AS_INPUT;
    add(
      {
        opType: 'Unsqueeze',
        attributes: new Map(asInput ? [] : [['axes', { type: 'ints', value: [0n] }]]),
      },
      asInput ? [last(), axes] : [last()],
    );
  } else if (nodes.length === 0) add({ opType: 'Identity', attributes: new Map() }, [last()]);
  const end = nodes.at(-1) as OnnxNode;
  end.outputs = [read.output];
  return nodes;
}
