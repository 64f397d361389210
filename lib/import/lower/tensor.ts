/**
 * A tensor of the ONNX graph as a value of the fused one. The fused value has the batch in front and
 * never moves it; the tensor remembers where ONNX has it: every axis is a list of factors, each an
 * inner dimension of the value or the batch. `[B, L, d]` is `[[BATCH], [0], [1]]`; reshaped to
 * `[B*L, d]` it is `[[BATCH, 0], [1]]`, transposed to `[L, B, d]` it is `[[0], [BATCH], [1]]`, and the
 * value stays `[L, d]` each time. Only the batch's axis has several factors.
 *
 * A dimension of `inner` may be wider than the value's, which is 1 there: an expansion that nothing
 * has needed yet.
 */
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import type { Graph } from './graph.js';
import { broadcast, type Dims, dimsText, fail, sameDims, type Val } from './value.js';

export const BATCH = -1;
/** In a wanted layout: a dimension of size 1 that is not there yet. */
export const NEW = -2;

export interface Tensor {
  readonly val: Val;
  readonly inner: Dims;
  readonly axes: readonly (readonly number[])[];
  /** TensorProto.DataType in the ONNX graph. */
  readonly type: number;
  /** No element's magnitude is larger; of integers, which must stay exact in f32. */
  readonly bound: number;
}

/** Integers from here on are not exact in f32. */
export const EXACT = 2 ** 24;

export function shared(val: Val, type: number, bound = Infinity): Tensor {
  return { val, inner: val.dims, axes: val.dims.map((_, i) => [i]), type, bound };
}

export function batchedTensor(val: Val, type: number, bound = Infinity): Tensor {
  return { val, inner: val.dims, axes: [[BATCH], ...val.dims.map((_, i) => [i])], type, bound };
}

export const hasBatch = (axis: readonly number[] | undefined): boolean =>
  axis?.includes(BATCH) ?? false;

export const batchAxis = (t: Tensor): number => t.axes.findIndex(hasBatch);

export function onnxDims(t: Tensor, batch: Poly): Poly[] {
  return t.axes.map((axis) =>
    p.product(axis.map((i) => (i === BATCH ? batch : (t.inner[i] as Poly)))),
  );
}

/** The inner dimension of an axis that is not the batch's. */
export function innerAxis(t: Tensor, axis: number, what: string): number {
  const factors = t.axes[axis];
  const [only] = factors ?? [];
  if (only === undefined || hasBatch(factors)) return fail(`${what} along the batch`);
  return only;
}

export function normalAxis(axis: number, rank: number): number {
  const at = axis < 0 ? axis + rank : axis;
  return at >= 0 && at < rank ? at : fail(`axis ${axis} of ${rank}`);
}

/** The value with every expansion carried out. */
export function full(g: Graph, t: Tensor): Val {
  return sameDims(t.val.dims, t.inner) ? t.val : g.expand(t.val, t.inner);
}

/** With the given inner dimensions carried out. */
export function fullAt(g: Graph, t: Tensor, at: readonly number[]): Val {
  const dims = t.val.dims.map((size, i) => (at.includes(i) ? (t.inner[i] as Poly) : size));
  return sameDims(dims, t.val.dims) ? t.val : g.expand(t.val, dims);
}

/**
 * The same elements with axes made of the given factors: BATCH, NEW or inner dimensions; those that
 * are left out must have one element.
 */
export function rearrange(g: Graph, t: Tensor, axes: readonly (readonly number[])[]): Tensor {
  const order = axes.flat().filter((i) => i !== BATCH);
  const kept = order.filter((i) => i !== NEW);
  const dropped = t.inner.map((_, i) => i).filter((i) => !kept.includes(i));
  for (const i of dropped) if (!p.isOne(t.inner[i] as Poly)) fail('an axis is dropped');
  const rest = t.val.dims.filter((_, i) => !dropped.includes(i));
  const position = kept.map((i) => i - dropped.filter((d) => d < i).length);
  const moved = g.transpose(g.reshape(t.val, rest), position);
  const dims = order.map((i) => (i === NEW ? p.ONE : (t.val.dims[i] as Poly)));
  let next = 0;
  return {
    ...t,
    val: g.reshape(moved, dims),
    inner: order.map((i) => (i === NEW ? p.ONE : (t.inner[i] as Poly))),
    axes: axes.map((axis) => axis.map((i) => (i === BATCH ? BATCH : next++))),
  };
}

export interface Aligned {
  /** Values whose dimensions broadcast against each other from the right. */
  readonly vals: readonly Val[];
  readonly inner: Dims;
  readonly axes: readonly (readonly number[])[];
}

/**
 * Brings operands that ONNX would broadcast to values that broadcast. `tails`, if given, are the
 * last dimensions of each operand's value, which take no part; then `axes` are those before them.
 */
export function align(
  g: Graph,
  tensors: readonly Tensor[],
  batch: Poly,
  tails?: readonly Dims[],
): Aligned {
  const skip = tails === undefined ? 0 : 2;
  const ranks = tensors.map((t) => t.axes.length - skip);
  const rank = Math.max(...ranks);
  const lists: Poly[][] = tensors.map(() => []);
  const inner: Poly[] = [];
  const axes: number[][] = [];
  for (let at = 0; at < rank; at++) {
    const here = tensors.map((t, k) => t.axes[at - (rank - (ranks[k] as number))]);
    const own = here.map((axis, k) => (at - (rank - (ranks[k] as number)) < 0 ? undefined : axis));
    const pattern = batchPattern(tensors, own);
    if (pattern === null) {
      const sizes = own.map((axis, k) => (axis === undefined ? null : sizeAt(tensors[k], axis[0])));
      const wide = own.map((axis, k) =>
        axis === undefined ? [] : [tensors[k]?.inner[axis[0] as number] as Poly],
      );
      axes.push([inner.length]);
      inner.push(broadcast(wide)[0] ?? p.ONE);
      sizes.forEach((size, k) => {
        lists[k]?.push(size ?? p.ONE);
      });
      continue;
    }
    const { sizes, place } = pattern;
    axes.push(sizes.map((_, i) => inner.length + i).toSpliced(place, 0, BATCH));
    inner.push(...sizes);
    own.forEach((axis, k) => {
      const t = tensors[k] as Tensor;
      if (axis === undefined) lists[k]?.push(...sizes.map(() => p.ONE));
      else if (hasBatch(axis))
        lists[k]?.push(...axis.filter((i) => i !== BATCH).map((i) => t.val.dims[i] as Poly));
      else {
        const size = t.val.dims[axis[0] as number] as Poly;
        const wide = t.inner[axis[0] as number] as Poly;
        const whole = p.multiply(batch, p.product(sizes));
        if (!p.isOne(size) || !(p.isOne(wide) || p.equal(wide, whole)))
          fail(`size ${p.constant(size) ?? 'free'} meets the batch`);
        lists[k]?.push(...sizes.map(() => p.ONE));
      }
    });
  }
  const vals = tensors.map((t, k) =>
    suited(g, t.val, [...(lists[k] as Poly[]), ...(tails?.[k] ?? [])]),
  );
  return { vals, inner, axes };
}

function sizeAt(t: Tensor | undefined, i: number | undefined): Poly {
  return t?.val.dims[i as number] as Poly;
}

/** The sizes beside the batch in an axis, and the batch's place among them; null without a batch. */
function batchPattern(
  tensors: readonly Tensor[],
  axes: readonly (readonly number[] | undefined)[],
): { sizes: Poly[]; place: number } | null {
  let found: { sizes: Poly[]; place: number } | null = null;
  axes.forEach((axis, k) => {
    if (axis === undefined || !hasBatch(axis)) return;
    const t = tensors[k] as Tensor;
    const sizes = axis.filter((i) => i !== BATCH).map((i) => t.inner[i] as Poly);
    const place = axis.indexOf(BATCH);
    if (found !== null && (found.place !== place || !sameDims(found.sizes, sizes)))
      fail(`the batch beside ${dimsText(found.sizes)} meets the batch beside ${dimsText(sizes)}`);
    found = { sizes, place };
  });
  return found;
}

/** Reshaped to `dims` less leading ones, unless it is a part of them already. */
function suited(g: Graph, val: Val, dims: Dims): Val {
  const missing = dims.length - val.dims.length;
  if (
    missing >= 0 &&
    sameDims(dims.slice(missing), val.dims) &&
    dims.slice(0, missing).every(p.isOne)
  )
    return val;
  const lead = dims.findIndex((size) => !p.isOne(size));
  return g.reshape(val, lead < 0 ? [] : dims.slice(lead));
}

/** A tensor of an operation's value, whose rank may be lower than the layout's. */
export function laidOut(
  g: Graph,
  val: Val,
  inner: Dims,
  axes: readonly (readonly number[])[],
  type: number,
  bound = Infinity,
): Tensor {
  const missing = inner.length - val.dims.length;
  const dims = [...Array.from({ length: missing }, () => p.ONE), ...val.dims];
  return { val: g.reshape(val, dims), inner, axes, type, bound };
}
