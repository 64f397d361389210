/** What is known of a node that no rule follows: whether a table passes, why the rest does not. */
import type { OnnxNode } from '../onnx/types.js';
import { describe, intAttribute } from './attributes.js';
import type { Value } from './domain.js';
import { matrixOf } from './values.js';

type Inputs = readonly (Value | null)[];

/** A table stays one through Identity and through a Cast that loses nothing. */
export function keepMatrix(node: OnnxNode, inputs: Inputs): Value | null {
  const [data] = inputs;
  const matrix = matrixOf(data ?? null);
  if (matrix === null || data === null || data === undefined) return null;
  if (node.opType === 'Identity') return data;
  if (node.opType !== 'Cast' && node.opType !== 'CastLike') return null;
  const to = node.opType === 'Cast' ? intAttribute(node, 'to', 0) : (inputs[1]?.dataType ?? 0);
  const from = data.dataType;
  if (to !== from && !(to === 1 && (from === 10 || from === 16 || from === 11))) return null;
  return { kind: 'matrix', dataType: to, matrix };
}

const VIEWS: ReadonlySet<string> = new Set(
  'Identity Cast CastLike Reshape Flatten Squeeze Unsqueeze Transpose Slice Gather Split'.split(
    ' ',
  ),
);

/** Why a value is not followed: where its data first was not. */
export function cause(node: OnnxNode, inputs: Inputs): string {
  const [data] = inputs;
  if (VIEWS.has(node.opType)) {
    if (data?.kind === 'opaque') return data.reason;
  }
  return `computed by ${describe(node)}`;
}

/** The element type of what a node writes, where the node alone tells. */
export function outputType(node: OnnxNode, inputs: Inputs): number {
  if (node.opType === 'Cast') return intAttribute(node, 'to', 0);
  return inputs[0]?.dataType ?? 0;
}
