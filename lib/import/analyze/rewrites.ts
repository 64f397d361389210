/** Poolings that bundles do not have, rewritten as ones that they have and a node that does the rest. */
import {
  type OnnxAttribute,
  type OnnxNode,
  type OnnxTensor,
  OnnxType,
  type OnnxValueInfo,
} from '../onnx/types.js';
import { encodeTensor, int64Tensor } from './constants.js';
import { bagsOf, obstacle } from './cuttable.js';
import type { Grid, Segment, Value } from './domain.js';
import { axisSize, reshape, shapeOf } from './grid.js';
import type { Names } from './inline-functions.js';
import * as p from './poly.js';
import { reduceAxes } from './shapes.js';
import { isRows } from './values.js';

/** Nodes in place of one, the constants that they need and what is known of the values between. */
export interface Rewrite {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly values: readonly (readonly [string, Value])[];
}

export interface Setting {
  readonly names: Names;
  readonly opset: number;
}

/** Opsets since which the axes are an input. */
const AXES_INPUT: Readonly<Record<string, number>> = { ReduceSum: 13, ReduceMax: 18, Squeeze: 13 };

/**
 * A Squeeze of every axis of size 1, as `x.squeeze()` becomes, with the axes that are 1 whatever the
 * batch is: at a batch of one row it would take the batch axis too, and the output's rank would change.
 */
export function explicitSqueeze(
  { names, opset }: Setting,
  node: OnnxNode,
  shape: readonly (p.Poly | null)[] | null,
  declared: OnnxValueInfo | undefined,
): { node: OnnxNode; constant: OnnxTensor | null } | null {
  if (node.opType !== 'Squeeze' || node.domain !== '' || node.attributes.has('axes')) return null;
  if ((node.inputs[1] ?? '') !== '') return null;
  if (shape === null || shape.includes(null)) return declaredShape(names, node, declared);
  const axes = shape.flatMap((size, i) => (size !== null && p.isOne(size) ? [i] : []));
  // No axes would mean all of them again.
  if (axes.length === 0) {
    return {
      node: { ...node, opType: 'Identity', inputs: node.inputs.slice(0, 1) },
      constant: null,
    };
  }
  if (opset < (AXES_INPUT['Squeeze'] ?? 1)) {
    const value = axes.map(BigInt);
    return {
      node: { ...node, attributes: new Map([['axes', { type: 'ints', value }]]) },
      constant: null,
    };
  }
  const name = names.fresh(`${node.outputs[0]}_axes`);
  return {
    node: { ...node, inputs: [node.inputs[0] ?? '', name] },
    constant: int64Tensor(name, axes),
  };
}

function reduceNode(
  { names, opset }: Setting,
  opType: 'ReduceSum' | 'ReduceMax',
  node: OnnxNode,
  input: string,
  output: string,
  axes: readonly number[],
  keepDims: bigint,
): { node: OnnxNode; initializers: OnnxTensor[] } {
  const attributes = new Map<string, OnnxAttribute>([
    ['keepdims', { type: 'int', value: keepDims }],
  ]);
  const reduce: OnnxNode = { ...node, opType, inputs: [input], outputs: [output], attributes };
  if (opset < (AXES_INPUT[opType] ?? 1)) {
    attributes.set('axes', { type: 'ints', value: axes.map(BigInt) });
    return { node: reduce, initializers: [] };
  }
  const name = names.fresh(`${output}_axes`);
  reduce.inputs.push(name);
  return { node: reduce, initializers: [int64Tensor(name, axes)] };
}

/** A Reshape to what the model says its output is, which has the same numbers. */
function declaredShape(
  names: Names,
  node: OnnxNode,
  declared: OnnxValueInfo | undefined,
): { node: OnnxNode; constant: OnnxTensor } | null {
  const sizes = declared?.dims?.map((dim) => (typeof dim === 'number' ? dim : -1)) ?? [];
  if (sizes.length === 0 || sizes.filter((size) => size === -1).length > 1) return null;
  const name = names.fresh(`${node.outputs[0]}_shape`);
  const inputs = [node.inputs[0] ?? '', name];
  return { node: { ...node, opType: 'Reshape', inputs }, constant: int64Tensor(name, sizes) };
}

/** The rows of bags of a fixed number of ids, [bags, ids, dim]; null when they cannot be taken out. */
function unpooled({ grid, bounds, padding }: Segment): Unpooled | null {
  const { source } = bounds;
  const [, width] = shapeOf(grid);
  if (source.kind !== 'range' || padding !== null || width === undefined) return null;
  const bags = p.add(bounds.length, p.ONE, -1);
  const rows = reshape(grid, [bags, p.poly(source.step), width]);
  if (rows === null || obstacle(rows) !== null) return null;
  const isPlain = bagsOf(rows).every(
    (bag) => bag.padding === null && bag.weights === null && bag.length === null,
  );
  return isPlain ? { rows, bags, ids: source.step, width } : null;
}

interface Unpooled {
  readonly rows: Grid;
  readonly bags: p.Poly;
  readonly ids: number;
  readonly width: p.Poly;
}

/** Bags of a fixed number of ids whose largest numbers are wanted: their rows, and a ReduceMax. */
export function rewriteMax(setting: Setting, node: OnnxNode, segment: Segment): Rewrite | null {
  const { dataType } = segment;
  const found = unpooled(segment);
  if (found === null) return null;
  const { rows, bags, width } = found;
  const output = node.outputs[0] ?? '';
  const name = setting.names.fresh(`${output}_rows`);
  const reduce = reduceNode(setting, 'ReduceMax', node, name, output, [1], 0n);
  return {
    nodes: [reduce.node],
    initializers: reduce.initializers,
    values: [
      [name, { kind: 'grid', dataType, grid: rows }],
      [output, { kind: 'opaque', dataType, shape: [bags, width], reason: 'a maximum of rows' }],
    ],
  };
}

/** Bags of a fixed number of ids with weights that the dense graph computes: their rows, and a weighted sum. */
export function rewriteScaled(
  setting: Setting,
  node: OnnxNode,
  segment: Segment,
  weights: string,
): Rewrite | null {
  const found = unpooled(segment);
  if (found === null) return null;
  const { rows, bags, ids, width } = found;
  const output = node.outputs[0] ?? '';
  const [name, target, column, product] = ['rows', 'column_shape', 'column', 'product'].map(
    (part) => setting.names.fresh(`${output}_${part}`),
  ) as [string, string, string, string];
  // Names of nodes are unique.
  const plain = { ...node, name: '', attributes: new Map<string, OnnxAttribute>() };
  const sum = reduceNode(setting, 'ReduceSum', node, product, output, [1], 0n);
  const opaque = (reason: string, shape: p.Poly[]): Value => ({
    kind: 'opaque',
    dataType: segment.dataType,
    shape,
    reason,
  });
  const count = p.poly(ids);
  return {
    nodes: [
      { ...plain, opType: 'Reshape', inputs: [weights, target], outputs: [column] },
      { ...plain, opType: 'Mul', inputs: [name, column], outputs: [product] },
      sum.node,
    ],
    initializers: [int64Tensor(target, [-1, ids, 1]), ...sum.initializers],
    values: [
      [name, { kind: 'grid', dataType: segment.dataType, grid: rows }],
      [column, opaque('weights', [bags, count, p.ONE])],
      [product, opaque('weighted rows', [bags, count, width])],
      [output, opaque('a weighted sum of rows', [bags, width])],
    ],
  };
}

/** A mean over all positions of rows of which some are padding: their sum, divided afterwards. */
export function rewriteMean(
  setting: Setting,
  node: OnnxNode,
  inputs: readonly (Value | null)[],
  evaluate: (node: OnnxNode) => Value | null,
): Rewrite | null {
  const [data] = inputs;
  if (data?.kind !== 'grid' || !isRows(data) || data.dataType !== OnnxType.float) return null;
  const total = evaluate({ ...node, opType: 'ReduceSum' });
  const axes = reduceAxes(node, inputs, data.grid.axes.length);
  if (total?.kind !== 'grid' || axes === null || obstacle(total.grid) !== null) return null;
  if (bagsOf(total.grid).some((bag) => bag.pooling !== 'sum')) return null;
  const n = p.constant(p.product(axes.map((axis) => axisSize(data.grid.axes[axis] ?? []))));
  const output = node.outputs[0] ?? '';
  const name = setting.names.fresh(`${output}_sum`);
  const divisor = setting.names.fresh(`${output}_length`);
  const length = encodeTensor(divisor, { dataType: OnnxType.float, dims: [], data: [n ?? 0] });
  if (n === null || length === null) return null;
  const keep = node.attributes.get('keepdims');
  const keepDims = keep?.type === 'int' ? keep.value : 1n;
  const sum = reduceNode(setting, 'ReduceSum', node, node.inputs[0] ?? '', name, axes, keepDims);
  const divide: OnnxNode = {
    ...node,
    name: '',
    opType: 'Div',
    inputs: [name, divisor],
    attributes: new Map(),
  };
  const { dataType } = data;
  return {
    nodes: [sum.node, divide],
    initializers: [...sum.initializers, length],
    values: [
      [name, total],
      [
        output,
        { kind: 'opaque', dataType, shape: shapeOf(total.grid), reason: 'a sum of rows divided' },
      ],
    ],
  };
}
