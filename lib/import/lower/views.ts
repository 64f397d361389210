/** Shapes, transpositions, slices and joins of tensors with a batch somewhere among their axes. */
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import type { Graph } from './graph.js';
import {
  align,
  BATCH,
  batchAxis,
  full,
  fullAt,
  hasBatch,
  innerAxis,
  laidOut,
  NEW,
  normalAxis,
  onnxDims,
  rearrange,
  type Tensor,
} from './tensor.js';
import { type Dims, fail, sameDims } from './value.js';

export function unsqueeze(g: Graph, t: Tensor, axes: readonly number[]): Tensor {
  const rank = t.axes.length + axes.length;
  const at = new Set(axes.map((axis) => normalAxis(axis, rank)));
  const rest = [...t.axes];
  return rearrange(
    g,
    t,
    Array.from({ length: rank }, (_, i) => (at.has(i) ? [NEW] : (rest.shift() as number[]))),
  );
}

/** `axes` null: all of size 1. */
export function squeeze(g: Graph, t: Tensor, axes: readonly number[] | null): Tensor {
  const rank = t.axes.length;
  const drop = axes?.map((axis) => normalAxis(axis, rank));
  const isDropped = (axis: readonly number[], i: number): boolean =>
    drop === undefined
      ? !hasBatch(axis) && p.isOne(t.inner[axis[0] as number] as Poly)
      : drop.includes(i);
  if (t.axes.some((axis, i) => isDropped(axis, i) && hasBatch(axis))) fail('the batch is squeezed');
  return rearrange(
    g,
    t,
    t.axes.filter((axis, i) => !isDropped(axis, i)),
  );
}

export function transpose(g: Graph, t: Tensor, perm: readonly number[]): Tensor {
  return rearrange(
    g,
    t,
    perm.map((axis) => t.axes[axis] as number[]),
  );
}

/** `target`: sizes with 0 and -1 resolved. */
export function reshape(g: Graph, t: Tensor, target: Dims, batch: Poly): Tensor {
  const dims = onnxDims(t, batch);
  if (sameDims(dims, target)) return t;
  const isOne = (axis: readonly number[], i: number): boolean =>
    !hasBatch(axis) && p.isOne(dims[i] as Poly);
  const axes = t.axes.filter((axis, i) => !isOne(axis, i));
  const sizes = dims.filter((_, i) => !isOne(t.axes[i] as number[], i));
  const wanted = target.filter((size) => !p.isOne(size));
  const plain = sizes.filter((size) => !p.isOne(size));
  if (plain.length === sizes.length && sameDims(sizes, wanted)) {
    const rest = [...axes];
    return rearrange(
      g,
      t,
      target.map((size) => (p.isOne(size) ? [NEW] : (rest.shift() as number[]))),
    );
  }
  const value = full(g, t);
  const at = batchAxis(t);
  if (at < 0) {
    const val = g.reshape(value, target);
    return { ...t, val, inner: target, axes: target.map((_, i) => [i]) };
  }
  const flat = t.axes.flat();
  const place = flat.indexOf(BATCH);
  const before = p.product(flat.slice(0, place).map((i) => t.inner[i] as Poly));
  const after = p.product(flat.slice(place + 1).map((i) => t.inner[i] as Poly));
  const found = placeBatch(target, before, after, batch);
  if (found === null) return fail('a reshape takes the batch apart');
  const { axis, lead, trail } = found;
  const factors = [...(p.isOne(lead) ? [] : [lead]), null, ...(p.isOne(trail) ? [] : [trail])];
  const inner: Poly[] = [];
  const layout = target.map((size, i) => {
    const parts = i === axis ? factors : [size];
    return parts.map((part) => {
      if (part === null) return BATCH;
      inner.push(part);
      return inner.length - 1;
    });
  });
  return { ...t, val: g.reshape(value, inner), inner, axes: layout };
}

/** Which target axis holds the batch, and what is beside it there. */
function placeBatch(
  target: Dims,
  before: Poly,
  after: Poly,
  batch: Poly,
): { axis: number; lead: Poly; trail: Poly } | null {
  const found: { axis: number; lead: Poly; trail: Poly }[] = [];
  target.forEach((size, axis) => {
    const lead = p.divide(before, p.product(target.slice(0, axis)));
    if (lead === null) return;
    const trail = p.divide(size, p.multiply(lead, batch));
    if (trail === null) return;
    const rest = p.product([trail, ...target.slice(axis + 1)]);
    if (p.equal(rest, after)) found.push({ axis, lead, trail });
  });
  const plain = found.find(({ lead, trail }) => p.isOne(lead) && p.isOne(trail));
  return plain ?? found[0] ?? null;
}

/** To `target` as Expand broadcasts; nothing is copied yet. */
export function expand(g: Graph, t: Tensor, target: Dims, batch: Poly): Tensor {
  const missing = target.length - t.axes.length;
  if (missing < 0) {
    const lead = onnxDims(t, batch).slice(0, -missing);
    return expand(g, t, [...lead, ...target], batch);
  }
  const padded =
    missing === 0
      ? t
      : unsqueeze(
          g,
          t,
          Array.from({ length: missing }, (_, i) => i),
        );
  const dims = onnxDims(padded, batch);
  const isBatched = batchAxis(padded) >= 0;
  const inner = [...padded.inner];
  const axes = padded.axes.map((axis, i): readonly number[] => {
    const [old, size] = [dims[i] as Poly, target[i] as Poly];
    if (p.isOne(size) || p.equal(old, size)) return axis;
    if (!p.isOne(old) || hasBatch(axis)) return fail('sizes of an Expand do not fit');
    const symbolic = p.constant(batch) === null;
    if (symbolic && !isBatched && p.divide(size, batch) !== null) {
      if (!p.equal(size, batch)) return fail('an Expand makes a multiple of the batch');
      return [BATCH];
    }
    inner[axis[0] as number] = size;
    return axis;
  });
  const wide = { ...padded, inner };
  const gone = padded.axes.some((axis, i) => axis !== axes[i]);
  if (!gone) return wide;
  return rearrange(g, wide, axes);
}

export function slice(
  g: Graph,
  t: Tensor,
  axis: number,
  start: number,
  step: number,
  size: Poly,
): Tensor {
  const old = t.axes[axis];
  if (old === undefined) return fail('an axis is outside');
  if (hasBatch(old)) return fail('a slice along the batch');
  const at = old[0] as number;
  const inner = t.inner.map((n, i) => (i === at ? size : n));
  if (p.isOne(t.val.dims[at] as Poly) && !p.isOne(t.inner[at] as Poly)) return { ...t, inner };
  return { ...t, val: g.slice(t.val, at, start, step, size), inner };
}

/** `indices` ≥ 0 along `axis`, which stays. */
export function pick(g: Graph, t: Tensor, axis: number, indices: readonly number[]): Tensor {
  const at = innerAxis(t, axis, 'positions are picked');
  const inner = t.inner.map((n, i) => (i === at ? p.poly(indices.length) : n));
  if (p.isOne(t.val.dims[at] as Poly) && !p.isOne(t.inner[at] as Poly)) return { ...t, inner };
  return { ...t, val: g.gather(t.val, at, indices), inner };
}

export function concat(g: Graph, parts: readonly Tensor[], axis: number, batch: Poly): Tensor {
  const [first] = parts as [Tensor];
  const rank = first.axes.length;
  if (parts.some((t) => t.axes.length !== rank)) fail('joined ranks differ');
  const others = parts.map((t) => {
    innerAxis(t, axis, 'tensors are joined');
    return slice(g, { ...t, val: fullAt(g, t, [innerAxis(t, axis, '')]) }, axis, 0, 1, p.ONE);
  });
  const { inner, axes } = align(g, others, batch);
  const at = (axes[axis] as number[])[0] as number;
  const vals = parts.map((t, k) => {
    const size = t.inner[innerAxis(t, axis, '')] as Poly;
    const dims = inner.map((n, i) => (i === at ? size : n));
    const plain = relaid(g, t, axes, others[k] as Tensor);
    return g.expand(plain, dims);
  });
  const val = g.concat(vals, at);
  return laidOut(g, val, val.dims, axes, first.type, Math.max(...parts.map((t) => t.bound)));
}

/** The value with a dimension for each of the layout's, also where the batch of others is. */
function relaid(
  g: Graph,
  t: Tensor,
  axes: readonly (readonly number[])[],
  _other: Tensor,
): ReturnType<typeof full> {
  const value = full(g, {
    ...t,
    inner: t.inner.map((size, i) =>
      t.axes.some((axis, k) => axis[0] === i && !hasBatch(axis) && hasBatch(axes[k]))
        ? p.ONE
        : size,
    ),
  });
  const dims = axes.flatMap((axis, k) => {
    const own = t.axes[k] as readonly number[];
    if (hasBatch(axis) && !hasBatch(own)) return axis.filter((i) => i !== BATCH).map(() => p.ONE);
    return own.filter((i) => i !== BATCH).map((i) => value.dims[i] as Poly);
  });
  return g.reshape(value, dims);
}
