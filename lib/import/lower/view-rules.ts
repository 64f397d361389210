/** Operators that move elements: their operands read, the work done in views.ts. */
import { intAttribute, intsAttribute } from '../analyze/attributes.js';
import { decodeTensor } from '../analyze/constants.js';
import { axesOf } from '../analyze/operands.js';
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import { reshapeTargets } from '../analyze/shapes.js';
import { type OnnxNode, OnnxType } from '../onnx/types.js';
import * as constants from './constant.js';
import type { Context } from './context.js';
import { full, innerAxis, normalAxis, onnxDims, shared, type Tensor } from './tensor.js';
import { broadcast, type Dims, fail, type Val } from './value.js';
import * as views from './views.js';

export function reshapeRule(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const dims = onnxDims(t, c.batch);
  const allowZero = intAttribute(node, 'allowzero', 0) === 1;
  const old = intsAttribute(node, 'shape');
  const value = old === null ? c.value(node, 1) : null;
  const target =
    old === null
      ? reshapeTargets(dims, value, allowZero)
      : reshapeTargets(
          dims,
          {
            kind: 'const',
            dataType: OnnxType.int64,
            matrix: null,
            tensor: { dataType: OnnxType.int64, dims: [old.length], data: old },
          },
          false,
        );
  if (target === null) return fail('to a shape that is not known');
  return [views.reshape(c.g, t, target, c.batch)];
}

export function flatten(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const dims = onnxDims(t, c.batch);
  const axis = intAttribute(node, 'axis', 1);
  const at = axis < 0 ? axis + dims.length : axis;
  const target = [p.product(dims.slice(0, at)), p.product(dims.slice(at))];
  return [views.reshape(c.g, t, target, c.batch)];
}

export function unsqueezeRule(node: OnnxNode, c: Context): readonly Tensor[] {
  const axes = axesOf(node, c.smalls(node), 1);
  if (axes == null) return fail('axes that are not constant');
  return [views.unsqueeze(c.g, c.tensor(node, 0), axes)];
}

export function squeezeRule(node: OnnxNode, c: Context): readonly Tensor[] {
  const axes = axesOf(node, c.smalls(node), 1);
  if (axes === undefined) return fail('axes that are not constant');
  return [views.squeeze(c.g, c.tensor(node, 0), axes)];
}

export function transposeRule(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const rank = t.axes.length;
  const perm = intsAttribute(node, 'perm') ?? t.axes.map((_, i) => rank - 1 - i);
  return [views.transpose(c.g, t, perm)];
}

export function expandRule(node: OnnxNode, c: Context): readonly Tensor[] {
  const target = c.sizes(node, 1);
  if (target === null) return fail('to a shape that is not known');
  return [views.expand(c.g, c.tensor(node, 0), target, c.batch)];
}

export function constantOfShape(node: OnnxNode, c: Context): readonly Tensor[] {
  const target = c.sizes(node, 0);
  if (target === null) return fail('of a shape that is not known');
  const attribute = node.attributes.get('value');
  const filler = attribute?.type === 'tensor' ? decodeTensor(attribute.value) : null;
  if (attribute !== undefined && filler === null) return fail('of a value that is not a number');
  const value = filler?.data[0] ?? 0;
  const type = filler?.dataType ?? OnnxType.float;
  const isFloat = type === OnnxType.float;
  const scalar = shared(c.g.scalar(value), type, isFloat ? Infinity : Math.abs(value));
  return [views.expand(c.g, scalar, target, c.batch)];
}

export function tile(node: OnnxNode, c: Context): readonly Tensor[] {
  let t = c.tensor(node, 0);
  const repeats = c.sizes(node, 1);
  if (repeats === null || repeats.length !== t.axes.length)
    return fail('a number of times that is not known');
  const dims = onnxDims(t, c.batch);
  for (const [axis, times] of repeats.entries()) {
    if (p.isOne(times)) continue;
    if (p.isOne(dims[axis] as Poly)) {
      const target = onnxDims(t, c.batch).with(axis, times);
      t = views.expand(c.g, t, target, c.batch);
      continue;
    }
    const n = p.constant(times);
    if (n === null || n < 1 || n > 1024) return fail('a free number of times');
    t = views.concat(
      c.g,
      Array.from({ length: n }, () => t),
      axis,
      c.batch,
    );
  }
  return [t];
}

export function concatRule(node: OnnxNode, c: Context): readonly Tensor[] {
  const parts = node.inputs.map((_, i) => c.tensor(node, i));
  const axis = normalAxis(intAttribute(node, 'axis', 1), parts[0]?.axes.length ?? 0);
  if (parts.length === 1) return parts;
  return [views.concat(c.g, parts, axis, c.batch)];
}

export function split(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const axis = normalAxis(intAttribute(node, 'axis', 0), t.axes.length);
  const size = p.constant(onnxDims(t, c.batch)[axis] as Poly);
  const listed = intsAttribute(node, 'split') ?? c.small(node, 1)?.data ?? null;
  const parts = intAttribute(node, 'num_outputs', node.outputs.length);
  if (size === null && listed === null) return fail('of a free dimension');
  const each = Math.ceil((size ?? 0) / parts);
  const sizes =
    listed ?? Array.from({ length: parts }, (_, i) => Math.min(each, (size as number) - i * each));
  let at = 0;
  return sizes.map((n) => {
    const part = views.slice(c.g, t, axis, at, 1, p.poly(n));
    at += n;
    return part;
  });
}

export function sliceRule(node: OnnxNode, c: Context): readonly Tensor[] {
  let t = c.tensor(node, 0);
  const poly = (values: readonly number[] | null): readonly Poly[] | null =>
    values?.map(p.poly) ?? null;
  const starts = poly(intsAttribute(node, 'starts')) ?? c.sizes(node, 1);
  const ends = poly(intsAttribute(node, 'ends')) ?? c.sizes(node, 2);
  if (starts === null || ends === null) return fail('from or to what is not known');
  const small = (at: number): readonly number[] | null => {
    if (!c.has(node, at)) return null;
    return c.small(node, at)?.data ?? fail('axes or steps that are not constant');
  };
  const axes = intsAttribute(node, 'axes') ?? small(3) ?? starts.map((_, i) => i);
  const steps = small(4);
  for (const [i, raw] of axes.entries()) {
    const axis = normalAxis(raw, t.axes.length);
    const step = steps?.[i] ?? 1;
    const size = onnxDims(t, c.batch)[axis] as Poly;
    const { start, count } = range(starts[i] as Poly, ends[i] as Poly, step, size);
    if (step === 1 && start === 0 && p.equal(count, size)) continue;
    t = views.slice(c.g, t, axis, start, step, count);
  }
  return [t];
}

/** Slice's rules for one axis; `start` < 0 counts from the end. */
function range(start: Poly, end: Poly, step: number, size: Poly): { start: number; count: Poly } {
  const n = p.constant(size);
  const [from, to] = [p.constant(start), p.constant(end)];
  const clamp = (value: number, low: number, high: number): number =>
    Math.min(Math.max(value, low), high);
  if (n !== null && from !== null && to !== null && step !== 0) {
    const a = from < 0 ? from + n : from;
    const b = to < 0 ? to + n : to;
    const first = step > 0 ? clamp(a, 0, n) : clamp(a, 0, n - 1);
    const last = step > 0 ? clamp(b, 0, n) : clamp(b, -1, n - 1);
    return { start: first, count: p.poly(Math.max(0, Math.ceil((last - first) / step))) };
  }
  if (step !== 1) return fail('steps along a free dimension');
  const place = (value: Poly): Poly => {
    const number = p.constant(value);
    if (number !== null && number < 0) return p.add(size, value);
    if (number !== null && number > 2 ** 31 - 2) return size;
    return value;
  };
  const clip = (value: Poly): Poly => {
    const beyond = p.sign(p.add(value, size, -1));
    if (beyond === null) return fail('a slice whose ends may lie outside');
    return beyond > 0 ? size : value;
  };
  const [a, b] = [clip(place(start)), clip(place(end))];
  if (p.sign(a) === null || (p.sign(a) as number) < 0) fail('a slice whose ends may lie outside');
  const first = p.constant(a);
  const back = p.constant(p.add(a, size, -1));
  if (first === null && back === null) return fail('a slice from a free position');
  return { start: first ?? (back as number), count: p.add(b, a, -1) };
}

export function trilu(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const rank = t.axes.length;
  const k = c.has(node, 1) ? c.number(node, 1) : 0;
  if (k === null) return fail('of a diagonal that is not constant');
  const upper = intAttribute(node, 'upper', 1) === 1;
  const [m, n] = [rank - 2, rank - 1].map((axis) =>
    p.constant(t.inner[innerAxis(t, axis, 'a triangle')] as Poly),
  ) as [number | null, number | null];
  if (m === null || n === null) {
    const row = c.g.iota(t.inner[innerAxis(t, rank - 2, '')] as Poly);
    const column = c.g.iota(t.inner[innerAxis(t, rank - 1, '')] as Poly);
    const rows = c.g.reshape(row, [...row.dims, p.ONE]);
    const edge = c.g.binary('add', rows, c.g.scalar(k));
    const inside: Val = c.g.binary(upper ? 'ge' : 'le', column, edge);
    return [masked(c, t, shared(inside, t.type, 1))];
  }
  const data = Array.from({ length: m * n }, (_, i) => {
    const distance = (i % n) - Math.floor(i / n);
    return (upper ? distance >= k : distance <= k) ? 1 : 0;
  });
  const inside = c.g.constant(constants.ofValues([m, n], data), 'triangle');
  return [masked(c, t, shared(inside, t.type, 1))];
}

function masked(c: Context, t: Tensor, inside: Tensor): Tensor {
  const zero = c.g.scalar(0);
  const val = c.g.where(inside.val, full(c.g, t), zero);
  return { ...t, val, inner: broadcast([val.dims, t.inner]) as Dims };
}

export function cumSum(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const axis = c.number(node, 1);
  if (axis === null) return fail('along an axis that is not constant');
  const at = innerAxis(t, normalAxis(axis, t.axes.length), 'a running sum');
  const n = p.constant(t.inner[at] as Poly);
  if (n === null || n > 1024) return fail('along a long or free dimension');
  const reverse = intAttribute(node, 'reverse', 0) === 1;
  const exclusive = intAttribute(node, 'exclusive', 0) === 1;
  const data = Array.from({ length: n * n }, (_, i) => {
    const ahead = ((i % n) - Math.floor(i / n)) * (reverse ? -1 : 1);
    return ahead > 0 || (ahead === 0 && !exclusive) ? 1 : 0;
  });
  const w = c.g.constant(constants.ofValues([n, n], data), 'running');
  const rank = t.inner.length;
  const swap = t.inner.map((_, i) => (i === at ? rank - 1 : i === rank - 1 ? at : i));
  const moved = c.g.transpose(full(c.g, t), swap);
  if (t.type !== OnnxType.float && t.bound * n > 2 ** 24)
    fail('of integers that may be above 2^24');
  return [{ ...t, val: c.g.transpose(c.g.linear(moved, w), swap), bound: t.bound * n }];
}

/** With so many elements of one value before and after those along an axis. */
export function padAxis(
  c: Context,
  t: Tensor,
  axis: number,
  before: number,
  after: number,
  value: number,
): Tensor {
  const [front, back] = [before, after].map((n): Tensor[] => {
    if (n === 0) return [];
    innerAxis(t, axis, 'padding');
    const scalar = shared(c.g.scalar(value), t.type, t.bound);
    const dims = onnxDims(t, c.batch).with(axis, p.poly(n));
    return [views.expand(c.g, scalar, dims, c.batch)];
  }) as [Tensor[], Tensor[]];
  if (front.length + back.length === 0) return t;
  return views.concat(c.g, [...front, t, ...back], axis, c.batch);
}

export function pad(node: OnnxNode, c: Context): readonly Tensor[] {
  let t = c.tensor(node, 0);
  const mode = node.attributes.get('mode');
  if (mode?.type === 'string' && mode.value !== 'constant') return fail(`mode ${mode.value}`);
  const pads = intsAttribute(node, 'pads') ?? c.small(node, 1)?.data;
  const own = node.attributes.get('value');
  const value = own?.type === 'float' ? own.value : c.has(node, 2) ? c.number(node, 2) : 0;
  if (pads === undefined || value === null) return fail('by what is not constant');
  const axes = c.has(node, 3) ? c.small(node, 3)?.data : t.axes.map((_, i) => i);
  if (axes === undefined) return fail('axes that are not constant');
  for (const [i, raw] of axes.entries()) {
    const axis = normalAxis(raw, t.axes.length);
    const sides = [pads[i] as number, pads[i + axes.length] as number];
    if (sides.some((n) => n < 0)) return fail('by less than nothing');
    t = padAxis(c, t, axis, sides[0] as number, sides[1] as number, value);
  }
  return [t];
}
