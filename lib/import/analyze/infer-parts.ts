/** Shapes of parts and copies of tensors, of Einsum and of recurrent layers. */
import type { OnnxNode } from '../onnx/types.js';
import { intAttribute, stringAttribute } from './attributes.js';
import type { ConstTensor, Value } from './domain.js';
import { normaliseAxis, sliceArguments, sliceRange, splitSizes } from './operands.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';
import { sizesOf } from './shapes.js';
import { valueShape } from './values.js';

export type Shape = readonly (Poly | null)[];
type Inputs = readonly (Value | null)[];

const RULES: Readonly<
  Record<string, (node: OnnxNode, a: Shape, inputs: Inputs, output: number) => Shape | null>
> = {
  Split: split,
  Slice: slice,
  Expand: (_, a, inputs) => expand(a, sizesOf(inputs[1] ?? null)),
  Tile: (_, a, inputs) => {
    const repeats = sizesOf(inputs[1] ?? null);
    return (
      repeats?.map((times, i) => {
        const size = a[i] ?? null;
        return size === null ? null : p.multiply(size, times);
      }) ?? null
    );
  },
  Einsum: (node, _, inputs) =>
    einsum(stringAttribute(node, 'equation') ?? '', inputs.map(valueShape)),
  GatherElements: (_, _a, inputs) => valueShape(inputs[1] ?? null),
  ScatterElements: (_, a) => a,
  ScatterND: (_, a) => a,
  GRU: recurrent,
  LSTM: recurrent,
  RNN: recurrent,
};

/** Null for other operators, or when it is not known. */
export function inferPart(node: OnnxNode, inputs: Inputs, output: number): Shape | null {
  const rule = RULES[node.opType];
  const a = valueShape(inputs[0] ?? null);
  return rule === undefined || a === null ? null : rule(node, a, inputs, output);
}

function consts(inputs: Inputs): (ConstTensor | null)[] {
  return inputs.map((value) => (value?.kind === 'const' ? value.tensor : null));
}

function split(node: OnnxNode, a: Shape, inputs: Inputs, output: number): Shape | null {
  const axis = normaliseAxis(intAttribute(node, 'axis', 0), a.length);
  const size = axis === null ? null : p.constant(a[axis] ?? p.poly(-1));
  const isOpen = (node.inputs[1] ?? '') !== '' && inputs[1]?.kind !== 'const';
  if (axis === null || size === null || size < 0 || isOpen) return null;
  const length = splitSizes(node, consts(inputs)[1]?.data ?? null, size)?.[output];
  return a.map((old, i) => (i !== axis ? old : length === undefined ? null : p.poly(length)));
}

function slice(node: OnnxNode, a: Shape, inputs: Inputs): Shape | null {
  const parts = sliceArguments(node, consts(inputs), a.length);
  if (parts === null) return null;
  const out = [...a];
  for (const { axis, start, end, step } of parts) {
    const size = a[axis] == null ? null : p.constant(a[axis]);
    const isWhole = start === 0 && step === 1 && end >= 2 ** 31 - 1;
    if (!isWhole)
      out[axis] = size === null ? null : p.poly(sliceRange(start, end, step, size).length);
  }
  return out;
}

function expand(a: Shape, sizes: readonly Poly[] | null): Shape | null {
  if (sizes === null) return null;
  const rank = Math.max(a.length, sizes.length);
  return Array.from({ length: rank }, (_, i) => {
    const size = sizes[i - (rank - sizes.length)] ?? p.ONE;
    return p.isOne(size)
      ? (a[i - (rank - a.length)] ?? (i < rank - a.length ? p.ONE : null))
      : size;
  });
}

function einsum(equation: string, shapes: readonly (Shape | null)[]): Shape | null {
  const [terms = '', out] = equation.replaceAll(' ', '').split('->');
  if (out === undefined || equation.includes('.')) return null;
  const sizes = new Map<string, Poly | null>();
  for (const [i, term] of terms.split(',').entries()) {
    for (const [k, label] of [...term].entries()) {
      const size = shapes[i]?.[k] ?? null;
      if (sizes.get(label) == null || p.isOne(sizes.get(label) as Poly)) sizes.set(label, size);
    }
  }
  return [...out].map((label) => sizes.get(label) ?? null);
}

/** Y [length, directions, batch, hidden], and the last states [directions, batch, hidden]. */
function recurrent(node: OnnxNode, a: Shape, _: Inputs, output: number): Shape | null {
  if (a.length !== 3 || intAttribute(node, 'layout', 0) !== 0) return null;
  const hidden = p.poly(intAttribute(node, 'hidden_size', 0));
  const directions = p.poly(stringAttribute(node, 'direction') === 'bidirectional' ? 2 : 1);
  const [length = null, batch = null] = a;
  return output === 0 ? [length, directions, batch, hidden] : [directions, batch, hidden];
}
