/** A workload as an ONNX graph, in the form that suits ONNX Runtime best. */
import { GraphBuilder, type Initializer } from './onnx-file.js';
import { idsPerRow, type Workload } from './workloads.js';

/** A tensor of weights and how its values are drawn: uniform in ±scale. */
export interface Weight {
  readonly name: string;
  readonly dims: readonly number[];
  readonly scale: number;
  readonly table: boolean;
}

const uniformScale = (deviation: number): number => deviation * Math.sqrt(3);

/** Widths of every fully connected layer: [name, in, out]. */
export function layers(workload: Workload): [string, number, number][] {
  const chain = (name: string, widths: readonly number[]): [string, number, number][] =>
    widths.slice(1).map((width, i) => [`${name}${i}`, widths[i] ?? 0, width]);
  return [
    ...chain('bottom', workload.bottom),
    ...chain('top', [interactionWidth(workload), ...workload.top]),
  ];
}

function interactionWidth({ interaction, tables, dim, bottom }: Workload): number {
  const fields = tables.length + 1;
  if (interaction === 'dot') return dim + (fields * (fields - 1)) / 2;
  return tables.length * dim + (bottom.at(-1) ?? 0);
}

/**
 * Every weight, small enough that no output is saturated: sums of rows have a deviation of
 * dim^-1/4, so that the dot products of two have one of 1.
 */
export function weights(workload: Workload): Weight[] {
  const { dim, tables, cross } = workload;
  const found: Weight[] = tables.map(({ rows, hotness }, i) => ({
    name: `table${i}`,
    dims: [rows, dim],
    scale: uniformScale(dim ** -0.25 / Math.sqrt(hotness)),
    table: true,
  }));
  const add = (name: string, dims: number[], deviation: number): void => {
    found.push({ name, dims, scale: uniformScale(deviation), table: false });
  };
  const all = layers(workload);
  for (const [name, inputs, outputs] of all) {
    const last = name === all.at(-1)?.[0];
    add(`${name}.w`, [outputs, inputs], Math.sqrt((last ? 0.5 : 2) / inputs));
    add(`${name}.b`, [outputs], 0.05);
  }
  const width = interactionWidth(workload);
  for (let i = 0; i < (cross?.layers ?? 0); i++) {
    const rank = cross?.rank ?? 0;
    add(`cross${i}.v`, [rank, width], 0.7 / Math.sqrt(width));
    add(`cross${i}.w`, [width, rank], 0.7 / Math.sqrt(rank));
    add(`cross${i}.b`, [width], 0.05);
  }
  return found;
}

/** The name of the model's output. */
export const OUTPUT = 'score';

/** `place` says where each weight lies. @returns the bytes of the model file */
export function buildGraph(
  workload: Workload,
  place: (weight: Weight) => Initializer,
  dataFile: string,
): Uint8Array {
  const graph = new GraphBuilder();
  for (const weight of weights(workload)) graph.initializer(place(weight));
  const { tables, dim, bottom, top, interaction } = workload;
  const embedded = lookups(graph, workload);
  const ids = { name: 'sparse', type: 'i64', dims: ['batch', idsPerRow(workload)] } as const;
  const width = tables.length * dim;
  if (interaction === 'none') {
    const joined = graph.node('Concat', embedded, { axis: 1 });
    graph.node('Reshape', [joined, graph.integers([-1, width])], {}, OUTPUT);
    const output = { name: OUTPUT, type: 'f32', dims: ['batch', width] } as const;
    return graph.encode([ids], [output], dataFile);
  }
  const dense = { name: 'dense', type: 'f32', dims: ['batch', bottom[0] ?? 0] } as const;
  const x = tower(graph, 'bottom', 'dense', bottom.length - 1, true);
  let features: string;
  if (interaction === 'dot') {
    features = dotInteraction(graph, x, embedded, tables.length + 1);
  } else {
    const joined = graph.node('Concat', embedded, { axis: 1 });
    const flat = graph.node('Reshape', [joined, graph.integers([-1, width])]);
    features = graph.node('Concat', [x, flat], { axis: 1 });
  }
  for (let i = 0, first = features; i < (workload.cross?.layers ?? 0); i++) {
    const low = graph.node('Gemm', [features, `cross${i}.v`], { transB: 1 });
    const full = graph.node('Gemm', [low, `cross${i}.w`, `cross${i}.b`], { transB: 1 });
    features = graph.node('Add', [graph.node('Mul', [first, full]), features]);
  }
  const logit = tower(graph, 'top', features, top.length, false);
  graph.node('Sigmoid', [logit], {}, OUTPUT);
  const output = { name: OUTPUT, type: 'f32', dims: ['batch', top.at(-1) ?? 1] } as const;
  return graph.encode([dense, ids], [output], dataFile);
}

/** Each [batch, 1, dim]. */
function lookups(graph: GraphBuilder, { tables }: Workload): string[] {
  const parts = tables.map((_, i) => `ids${i}`);
  const sizes = graph.integers(tables.map(({ hotness }) => hotness));
  graph.nodes('Split', ['sparse', sizes], { axis: 1 }, parts);
  const axis = tables.some(({ hotness }) => hotness > 1) ? graph.integers([1]) : '';
  return tables.map(({ hotness }, i) => {
    const rows = graph.node('Gather', [`table${i}`, parts[i] ?? ''], { axis: 0 });
    return hotness === 1 ? rows : graph.node('ReduceSum', [rows, axis], { keepdims: 1 });
  });
}

/** `last`: whether the last layer has an activation too. */
function tower(graph: GraphBuilder, name: string, input: string, count: number, last: boolean) {
  let value = input;
  for (let i = 0; i < count; i++) {
    value = graph.node('Gemm', [value, `${name}${i}.w`, `${name}${i}.b`], { transB: 1 });
    if (last || i < count - 1) value = graph.node('Relu', [value]);
  }
  return value;
}

function dotInteraction(graph: GraphBuilder, x: string, embedded: string[], fields: number) {
  const column = graph.node('Unsqueeze', [x, graph.integers([1])]);
  const all = graph.node('Concat', [column, ...embedded], { axis: 1 });
  const turned = graph.node('Transpose', [all], { perm: [0, 2, 1] });
  const products = graph.node('MatMul', [all, turned]);
  const flat = graph.node('Reshape', [products, graph.integers([-1, fields * fields])]);
  const triangle: number[] = [];
  for (let i = 0; i < fields; i++) for (let j = 0; j < i; j++) triangle.push(i * fields + j);
  const kept = graph.node('Gather', [flat, graph.integers(triangle)], { axis: 1 });
  return graph.node('Concat', [x, kept], { axis: 1 });
}
