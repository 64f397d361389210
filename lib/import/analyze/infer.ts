/** Shapes of values that the dense graph computes, as far as shape arithmetic needs them. */
import type { OnnxNode } from '../onnx/types.js';
import { intAttribute, intsAttribute } from './attributes.js';
import type { Value } from './domain.js';
import { inferPart, type Shape } from './infer-parts.js';
import { normaliseAxis } from './operands.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';
import { reduceAxes, reshapeTargets, sizesOf } from './shapes.js';
import { valueShape } from './values.js';

const SAME: ReadonlySet<string> = new Set(
  `Relu Sigmoid Tanh Softmax LogSoftmax Identity Cast Dropout LeakyRelu PRelu Elu Selu Gelu Erf Exp Log
  Sqrt Neg Abs Softplus Softsign HardSigmoid HardSwish Clip BatchNormalization LayerNormalization Not Sin
  Cos Reciprocal Floor Ceil Mish Swish CumSum Trilu IsNaN InstanceNormalization Sign Round`.split(
    /\s+/,
  ),
);
const BROADCAST: ReadonlySet<string> = new Set(
  'Add Sub Mul Div Pow Max Min Equal Less Greater LessOrEqual GreaterOrEqual And Or Xor Where Mod'.split(
    ' ',
  ),
);

/** The shape of an output; null when it is not known. */
export function inferShape(
  node: OnnxNode,
  inputs: readonly (Value | null)[],
  output: number,
): Shape | null {
  const part = inferPart(node, inputs, output);
  return part ?? (output === 0 ? inferFirst(node, inputs) : null);
}

function inferFirst(node: OnnxNode, inputs: readonly (Value | null)[]): Shape | null {
  const shapes = inputs.map(valueShape);
  const [a, b] = shapes;
  if (BROADCAST.has(node.opType)) return broadcast(shapes);
  if (a == null) return null;
  if (SAME.has(node.opType)) return a;
  switch (node.opType) {
    case 'Gemm': {
      const rows = a[intAttribute(node, 'transA', 0) === 1 ? 1 : 0] ?? null;
      const columns = b?.[intAttribute(node, 'transB', 0) === 1 ? 0 : 1] ?? null;
      return [rows, columns];
    }
    case 'MatMul':
      return b == null ? null : matmul(a, b);
    case 'Transpose':
      return (intsAttribute(node, 'perm') ?? a.map((_, i) => a.length - 1 - i)).map(
        (axis) => a[axis] ?? null,
      );
    case 'Concat':
      return concat(shapes, intAttribute(node, 'axis', 0));
    case 'Reshape': {
      const known = a.includes(null)
        ? null
        : reshapeTargets(a as Poly[], inputs[1] ?? null, intAttribute(node, 'allowzero', 0) === 1);
      return (
        known ??
        sizesOf(inputs[1] ?? null)?.map((size, i) => {
          const number = p.constant(size);
          return number === -1 ? null : number === 0 ? (a[i] ?? null) : size;
        }) ??
        null
      );
    }
    case 'Unsqueeze':
    case 'Squeeze': {
      const consts =
        inputs[1]?.kind === 'const' ? inputs[1].tensor.data : intsAttribute(node, 'axes');
      if (consts == null) return null;
      if (node.opType === 'Squeeze')
        return a.filter((_, i) => !consts.includes(i) && !consts.includes(i - a.length));
      const rank = a.length + consts.length;
      const rest = [...a];
      return Array.from({ length: rank }, (_, i) =>
        consts.includes(i) || consts.includes(i - rank) ? p.ONE : (rest.shift() ?? null),
      );
    }
    case 'Gather': {
      const axis = normaliseAxis(intAttribute(node, 'axis', 0), a.length);
      return b == null || axis === null ? null : [...a.slice(0, axis), ...b, ...a.slice(axis + 1)];
    }
    case 'ReduceSum':
    case 'ReduceMean':
    case 'ReduceMax':
    case 'ReduceMin':
    case 'ReduceL1':
    case 'ReduceL2':
    case 'ReduceLogSumExp':
    case 'ReduceSumSquare':
    case 'ReduceProd': {
      const axes = reduceAxes(node, inputs, a.length);
      if (axes === null) return null;
      if (intAttribute(node, 'keepdims', 1) === 1)
        return a.map((size, i) => (axes.includes(i) ? p.ONE : size));
      return a.filter((_, i) => !axes.includes(i));
    }
    case 'Flatten': {
      const axis = intAttribute(node, 'axis', 1);
      return a.includes(null)
        ? null
        : [p.product(a.slice(0, axis) as Poly[]), p.product(a.slice(axis) as Poly[])];
    }
    default:
      return null;
  }
}

function broadcast(shapes: readonly (Shape | null)[]): Shape | null {
  if (shapes.includes(null)) return null;
  const known = shapes as Shape[];
  const rank = Math.max(...known.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, i) => {
    const sizes = known.map((shape) => {
      const at = i - (rank - shape.length);
      return at < 0 ? p.ONE : (shape[at] ?? null);
    });
    const wide = sizes.filter((size) => size === null || !p.isOne(size));
    if (wide.length === 0) return p.ONE;
    return wide.find((size) => size !== null) ?? null;
  });
}

function matmul(a: Shape, b: Shape): Shape | null {
  if (a.length < 2 || b.length < 2) return null;
  const outer = broadcast([a.slice(0, -2), b.slice(0, -2)]);
  return outer === null ? null : [...outer, a[a.length - 2] ?? null, b[b.length - 1] ?? null];
}

function concat(shapes: readonly (Shape | null)[], axis: number): Shape | null {
  if (shapes.includes(null)) return null;
  const known = shapes as Shape[];
  const rank = known[0]?.length ?? 0;
  const at = normaliseAxis(axis, rank);
  return Array.from({ length: rank }, (_, i) => {
    const sizes = known.map((shape) => shape[i] ?? null);
    if (i !== at) return sizes.find((size) => size !== null) ?? null;
    return sizes.includes(null) ? null : (sizes as Poly[]).reduce((x, y) => p.add(x, y));
  });
}
