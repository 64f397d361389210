/** Which rule lowers which operator. */
import { intAttribute } from '../analyze/attributes.js';
import type { OnnxNode } from '../onnx/types.js';
import type { Context } from './context.js';
import { conv, pool } from './conv.js';
import * as elementwise from './elementwise.js';
import { combine, type Rule } from './elementwise.js';
import * as matrix from './matrix.js';
import * as picks from './pick-rules.js';
import * as reduce from './reduce.js';
import type { Tensor } from './tensor.js';
import { fail } from './value.js';
import * as moves from './view-rules.js';

const RULES: Readonly<Record<string, Rule>> = {
  Identity: (node, c) => [c.tensor(node, 0)],
  Dropout: (node, c) => [c.tensor(node, 0), null],
  Cast: elementwise.cast,
  CastLike: elementwise.cast,
  Where: elementwise.where,
  Clip: elementwise.clip,
  PRelu: elementwise.prelu,
  Gelu: elementwise.gelu,
  Swish: elementwise.swish,
  Mod: elementwise.mod,
  Mean: (node, c) => {
    const parts = node.inputs.map((_, i) => c.tensor(node, i));
    const sum = parts.slice(1).reduce((a, b) => combine(c, 'add', a, b), parts[0] as Tensor);
    const by = { fn: 'affine', alpha: 1 / parts.length, beta: 0 };
    return [{ ...sum, val: c.g.unary(sum.val, by), bound: Infinity }];
  },
  MatMul: matrix.matMulRule,
  Gemm: matrix.gemm,
  Einsum: matrix.einsum,
  Conv: conv,
  MaxPool: pool,
  AveragePool: pool,
  GlobalMaxPool: pool,
  GlobalAveragePool: pool,
  Softmax: reduce.softmax,
  LogSoftmax: reduce.softmax,
  LayerNormalization: reduce.layerNorm,
  SimplifiedLayerNormalization: reduce.layerNorm,
  RMSNormalization: reduce.layerNorm,
  BatchNormalization: reduce.batchNorm,
  LpNormalization: reduce.lpNorm,
  InstanceNormalization: reduce.groupNorm,
  GroupNormalization: reduce.groupNorm,
  Reshape: moves.reshapeRule,
  Flatten: moves.flatten,
  Unsqueeze: moves.unsqueezeRule,
  Squeeze: moves.squeezeRule,
  Transpose: moves.transposeRule,
  Expand: moves.expandRule,
  ConstantOfShape: moves.constantOfShape,
  Tile: moves.tile,
  Concat: moves.concatRule,
  Split: moves.split,
  Slice: moves.sliceRule,
  Gather: picks.gather,
  GatherElements: picks.gatherElements,
  GatherND: picks.gatherNd,
  OneHot: picks.oneHot,
  Trilu: moves.trilu,
  CumSum: moves.cumSum,
  Pad: moves.pad,
};

export function applyRule(node: OnnxNode, c: Context): readonly (Tensor | null)[] {
  if (node.domain !== '') fail(`is of domain ${node.domain}`);
  if (node.opType === 'Dropout' && intAttribute(node, 'is_test', 1) === 0) fail('in training mode');
  const result =
    elementwise.unaryRule(node, c) ??
    elementwise.binaryRule(node, c) ??
    reduce.reduceRule(node, c) ??
    (Object.hasOwn(RULES, node.opType) ? RULES[node.opType]?.(node, c) : null);
  return result ?? fail('is not covered');
}
