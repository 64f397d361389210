/** What operators take besides data, however their opset passes it: axes, ranges, sizes. */
import type { OnnxNode } from '../onnx/types.js';
import { intsAttribute } from './attributes.js';
import { elementCount } from './constants.js';
import type { ConstTensor } from './domain.js';

type Inputs = readonly (ConstTensor | null)[];

export function normaliseAxis(axis: number, rank: number): number | null {
  const at = axis < 0 ? axis + rank : axis;
  return at >= 0 && at < rank ? at : null;
}

/** Axes from an attribute or (newer opsets) an input; null: not given; undefined: not known. */
export function axesOf(node: OnnxNode, inputs: Inputs, at: number): number[] | null | undefined {
  const attribute = intsAttribute(node, 'axes');
  if (attribute !== null) return attribute;
  if ((node.inputs[at] ?? '') === '') return null;
  const tensor = inputs[at];
  return tensor == null ? undefined : [...tensor.data];
}

/** Start, step and count along an axis of `size` elements by the rules of Slice. */
export function sliceRange(start: number, end: number, step: number, size: number): number[] {
  const clamp = (value: number, low: number, high: number): number =>
    Math.min(Math.max(value, low), high);
  const from = start < 0 ? start + size : start;
  const to = end < 0 ? end + size : end;
  const out: number[] = [];
  if (step > 0) {
    for (let i = clamp(from, 0, size); i < clamp(to, 0, size); i += step) out.push(i);
  } else {
    for (let i = clamp(from, 0, size - 1); i > clamp(to, -1, size - 1); i += step) out.push(i);
  }
  return out;
}

/** The arguments of a Slice, one entry an axis; null when they are not constants. */
export function sliceArguments(
  node: OnnxNode,
  inputs: Inputs,
  rank: number,
): { axis: number; start: number; end: number; step: number }[] | null {
  const starts = intsAttribute(node, 'starts') ?? inputs[1]?.data;
  const ends = intsAttribute(node, 'ends') ?? inputs[2]?.data;
  if (starts === undefined || ends === undefined) return null;
  const given = (at: number): boolean => (node.inputs[at] ?? '') !== '';
  if ((given(3) && inputs[3] == null) || (given(4) && inputs[4] == null)) return null;
  const axes = intsAttribute(node, 'axes') ?? inputs[3]?.data ?? starts.map((_, i) => i);
  const out = [];
  for (const [i, raw] of axes.entries()) {
    const axis = normaliseAxis(raw, rank);
    const step = inputs[4]?.data[i] ?? 1;
    if (axis === null || step === 0) return null;
    out.push({ axis, start: starts[i] ?? 0, end: ends[i] ?? 0, step });
  }
  return out;
}

/** Dimensions of a Reshape with 0 and -1 resolved. */
export function reshapeDims(
  old: readonly number[],
  target: readonly number[],
  allowZero: boolean,
): number[] | null {
  const dims = target.map((size, i) => (size === 0 && !allowZero ? (old[i] ?? -2) : size));
  const total = elementCount(old);
  const at = dims.indexOf(-1);
  if (at >= 0) {
    const known = elementCount(dims.filter((_, i) => i !== at));
    dims[at] = known === 0 ? 0 : total / known;
  }
  return dims.every((size) => Number.isInteger(size) && size >= 0) && elementCount(dims) === total
    ? dims
    : null;
}

/** How long the parts of a Split are; null when they do not add up. */
export function splitSizes(
  node: OnnxNode,
  given: readonly number[] | null,
  size: number,
): number[] | null {
  const listed = intsAttribute(node, 'split') ?? given;
  if (listed !== null) return listed.reduce((x, y) => x + y, 0) === size ? [...listed] : null;
  const n = node.outputs.length;
  const each = Math.ceil(size / n);
  const sizes = Array.from({ length: n }, (_, i) => Math.min(each, size - i * each));
  return sizes.every((part) => part > 0) ? sizes : null;
}

export function insertAxes<T>(
  dims: readonly T[],
  axes: readonly number[],
  rank: number,
  one: T,
): T[] | null {
  const at = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  if (at.size !== axes.length || [...at].some((axis) => axis < 0 || axis >= rank)) return null;
  const rest = [...dims];
  return Array.from({ length: rank }, (_, i) => (at.has(i) ? one : (rest.shift() as T)));
}
