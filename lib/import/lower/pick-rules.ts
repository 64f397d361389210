/** Operators that pick elements by position: the positions are constants, or a one-hot product. */
import { intAttribute } from '../analyze/attributes.js';
import { normaliseAxis } from '../analyze/operands.js';
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import type { OnnxNode } from '../onnx/types.js';
import * as constants from './constant.js';
import type { Context } from './context.js';
import { combine } from './elementwise.js';
import {
  BATCH,
  fullAt,
  hasBatch,
  innerAxis,
  normalAxis,
  onnxDims,
  shared,
  type Tensor,
} from './tensor.js';
import { fail, type Val } from './value.js';
import * as views from './views.js';

export function gather(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const axis = normalAxis(intAttribute(node, 'axis', 0), t.axes.length);
  const size = onnxDims(t, c.batch)[axis] as Poly;
  const indices = c.small(node, 1);
  if (indices === null) return [byPosition(node, c, t, axis, size)];
  if (hasBatch(t.axes[axis])) return fail('picks rows of the batch');
  const n = p.constant(size);
  if (n === null) {
    if (indices.data.length !== 1) return fail('picks along a free dimension');
    const one = views.slice(c.g, t, axis, indices.data[0] as number, 1, p.ONE);
    return [withPicked(c, one, axis, indices.dims)];
  }
  const picked = views.pick(
    c.g,
    t,
    axis,
    indices.data.map((i) => (i < 0 ? i + n : i)),
  );
  return [withPicked(c, picked, axis, indices.dims)];
}

/** The picked axis becomes the indices' axes. */
function withPicked(c: Context, t: Tensor, axis: number, dims: readonly number[]): Tensor {
  if (dims.length === 1) return t;
  if (dims.length === 0) return views.squeeze(c.g, t, [axis]);
  const own = onnxDims(t, c.batch);
  const target = own.toSpliced(axis, 1, ...dims.map(p.poly));
  return views.reshape(c.g, t, target, c.batch);
}

/** Positions that no input decides: constants, also spread over the batch, and 0 … n - 1 of a free n. */
function byPosition(node: OnnxNode, c: Context, t: Tensor, axis: number, size: Poly): Tensor {
  const value = c.value(node, 1);
  if (value?.kind === 'range' && p.isOne(value.step)) {
    const start = p.constant(value.start);
    if (start !== null && start >= 0) return views.slice(c.g, t, axis, start, 1, value.length);
  }
  const n = p.constant(size);
  const indices = c.tensor(node, 1);
  const { constant } = indices.val;
  const at = innerAxis(t, axis, 'positions are picked');
  let list = indices.val;
  while (list.op === 'reshape') list = list.in[0] as Val;
  let picked: Tensor;
  if (constant !== undefined && n !== null) {
    const data = constant.read();
    picked = views.pick(
      c.g,
      t,
      axis,
      Array.from(data, (i) => (i < 0 ? i + n : i)),
    );
  } else if (list.op === 'iota') {
    picked = views.slice(c.g, t, axis, 0, 1, list.dims[0] as Poly);
  } else return fail('picks by what inputs say');
  if (t.axes.some(hasBatch) && indices.axes.some(hasBatch)) return fail('rows of the batch meet');
  const whole = fullAt(c.g, picked, [at]);
  const count = indices.val.dims.length;
  const moved = (i: number): number => (i === BATCH || i < at ? i : i + count - 1);
  return {
    ...t,
    val: c.g.reshape(whole, whole.dims.toSpliced(at, 1, ...indices.val.dims)),
    inner: t.inner.toSpliced(at, 1, ...indices.inner),
    axes: [
      ...t.axes.slice(0, axis),
      ...indices.axes.map((factors) => factors.map((i) => (i === BATCH ? i : i + at))),
      ...t.axes.slice(axis + 1).map((factors) => factors.map(moved)),
    ],
  };
}

export function gatherElements(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const indices = c.tensor(node, 1);
  const axis = normalAxis(intAttribute(node, 'axis', 0), t.axes.length);
  const own = innerAxis(indices, axis, 'positions are picked');
  const { constant } = fullAt(c.g, indices, [own]);
  const at = innerAxis(t, axis, 'positions are picked');
  const n = p.constant(t.inner[at] as Poly);
  if (constant === undefined || n === null) return fail('picks by what inputs say');
  const sizes = constant.dims.map((size, i) => p.poly(i === own ? 1 : size));
  const dims = onnxDims(t, c.batch);
  const wanted = onnxDims(indices, c.batch);
  if (wanted.some((size, i) => i !== axis && !p.equal(size, dims[i] as Poly)))
    return fail('picks a part of the other axes');
  let list = [...constant.read()];
  if (!sizes.every(p.isOne)) {
    const [count] = [constant.dims[own] as number];
    const inner = constant.dims.slice(own + 1).reduce((a, b) => a * b, 1);
    const first = Array.from({ length: count }, (_, i) => list[i * inner] as number);
    if (list.some((index, i) => index !== first[Math.floor(i / inner) % count]))
      return fail('picks other positions in other rows');
    list = first;
  }
  return [
    views.pick(
      c.g,
      t,
      axis,
      list.map((i) => (i < 0 ? i + n : i)),
    ),
  ];
}

export function gatherNd(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const batchDims = intAttribute(node, 'batch_dims', 0);
  const indices = c.small(node, 1);
  if (indices === null) return fail('picks by what inputs say');
  if (batchDims !== 0) return fail('picks in batches');
  const depth = indices.dims[indices.dims.length - 1] as number;
  const dims = onnxDims(t, c.batch);
  const sizes = dims.slice(0, depth).map(p.constant);
  if (t.axes.slice(0, depth).some(hasBatch)) return fail('picks rows of the batch');
  if (sizes.includes(null)) return fail('picks along a free dimension');
  const flat = views.reshape(
    c.g,
    t,
    [p.product(dims.slice(0, depth)), ...dims.slice(depth)],
    c.batch,
  );
  const list: number[] = [];
  for (let i = 0; i < indices.data.length; i += depth) {
    let at = 0;
    for (let k = 0; k < depth; k++) {
      const size = sizes[k] as number;
      const index = indices.data[i + k] as number;
      at = at * size + (index < 0 ? index + size : index);
    }
    list.push(at);
  }
  return [withPicked(c, views.pick(c.g, flat, 0, list), 0, indices.dims.slice(0, -1))];
}

export function oneHot(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const depth = c.number(node, 1);
  const values = c.small(node, 2);
  if (depth === null || values === null) return fail('of a depth that is not constant');
  const rank = t.axes.length + 1;
  const axis = normaliseAxis(intAttribute(node, 'axis', -1), rank) ?? rank - 1;
  const positions = Array.from({ length: depth }, (_, i) => i);
  const dims = Array.from({ length: rank - axis }, (_, i) => (i === 0 ? depth : 1));
  const range = (data: number[]): Tensor =>
    shared(c.g.constant(constants.ofValues(dims, data), 'positions'), t.type, depth);
  const wide = views.unsqueeze(c.g, t, [axis]);
  const hit = combine(c, 'eq', wide, range(positions));
  const missed = combine(c, 'eq', wide, range(positions.map((i) => i - depth)));
  const isHit = c.g.binary('or', hit.val, missed.val);
  const [off, on] = values.data as [number, number];
  const val = c.g.where(isHit, c.g.scalar(on), c.g.scalar(off));
  return [{ ...hit, val, type: values.dataType, bound: Math.max(Math.abs(on), Math.abs(off)) }];
}
