/** Products: MatMul, Gemm, Einsum of two operands. */
import { floatAttribute, intAttribute, stringAttribute } from '../analyze/attributes.js';
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import type { OnnxNode } from '../onnx/types.js';
import type { Context } from './context.js';
import { combine } from './elementwise.js';
import {
  align,
  BATCH,
  batchAxis,
  fullAt,
  hasBatch,
  laidOut,
  NEW,
  rearrange,
  type Tensor,
} from './tensor.js';
import { affine, fail, type Val } from './value.js';
import { squeeze, transpose, unsqueeze } from './views.js';

export function matMulRule(node: OnnxNode, c: Context): readonly Tensor[] {
  return [matMul(c, c.tensor(node, 0), c.tensor(node, 1))];
}

export function matMul(c: Context, a: Tensor, b: Tensor): Tensor {
  if (a.axes.length === 1) {
    const result = matMul(c, unsqueeze(c.g, a, [0]), b);
    return squeeze(c.g, result, [result.axes.length - 2]);
  }
  if (b.axes.length === 1) {
    const result = matMul(c, a, unsqueeze(c.g, b, [1]));
    return squeeze(c.g, result, [result.axes.length - 1]);
  }
  const weights = matrix(c, b);
  if (weights !== null && batchAxis(b) < 0) return timesMatrix(c, a, weights);
  const left = matrix(c, a);
  const last = b.axes[b.axes.length - 1];
  if (left !== null && batchAxis(a) < 0 && b.axes.length === 2 && hasBatch(last)) {
    const flipped = transpose(c.g, b, [1, 0]);
    return transpose(c.g, timesMatrix(c, flipped, c.g.transpose(left, [1, 0])), [1, 0]);
  }
  return general(c, a, b);
}

/** A constant [K, N], also with leading dimensions of 1 that broadcast. */
function matrix(c: Context, t: Tensor): Val | null {
  if (t.val.constant === undefined) return null;
  const lead = t.val.dims.slice(0, -2);
  if (!lead.every(p.isOne)) return null;
  // A wider batch of the same matrix would widen the result.
  if (!t.inner.slice(0, -2).every(p.isOne)) return null;
  return c.g.reshape(fullAt(c.g, t, [t.inner.length - 2, t.inner.length - 1]), t.inner.slice(-2));
}

function lastInner(t: Tensor): number {
  const [only] = t.axes[t.axes.length - 1] as readonly number[];
  return only as number;
}

function timesMatrix(c: Context, a: Tensor, w: Val): Tensor {
  if (hasBatch(a.axes[a.axes.length - 1])) fail('a product sums over the batch');
  const at = lastInner(a);
  const x = fullAt(c.g, a, [at]);
  const val = c.g.linear(x, w);
  return { ...a, val, inner: a.inner.with(at, w.dims[1] as Poly), bound: Infinity };
}

interface Side {
  /** The value with at least two dimensions of its own at the end. */
  readonly val: Val;
  readonly lead: Tensor;
  readonly tail: readonly Poly[];
}

/** A tensor in two parts: the axes in front and the last two dimensions of its value. */
function side(c: Context, t: Tensor): Side {
  const n = t.inner.length;
  const val = fullAt(c.g, t, [n - 2, n - 1]);
  return { val, lead: { ...t, val }, tail: val.dims.slice(-2) };
}

function general(c: Context, a: Tensor, b: Tensor): Tensor {
  const ra = a.axes.length;
  const rb = b.axes.length;
  const rows = a.axes[ra - 2] as readonly number[];
  const columns = b.axes[rb - 1] as readonly number[];
  if (hasBatch(a.axes[ra - 1]) || hasBatch(b.axes[rb - 2])) fail('a product sums over the batch');
  if (hasBatch(rows)) {
    if (batchAxis(b) >= 0) fail('rows of the batch meet each other');
    const wide = rearrange(c.g, a, [
      ...a.axes.slice(0, -2),
      [BATCH],
      ...a.axes.slice(-2).map((axis) => without(axis)),
    ]);
    const result = batchInFront(c, wide, b);
    return regroup(c, result, rows, 'rows');
  }
  if (hasBatch(columns)) {
    if (batchAxis(a) >= 0) fail('rows of the batch meet each other');
    const [k, n] = b.axes.slice(-2) as [number[], number[]];
    const wide = rearrange(c.g, b, [...b.axes.slice(0, -2), [BATCH], k, without(n)]);
    const result = batchInFront(c, a, wide);
    return regroup(c, result, columns, 'columns');
  }
  return batchInFront(c, a, b);
}

/** The factors beside the batch; a dimension of 1 when there are none. */
function without(axis: readonly number[]): number[] {
  if (!hasBatch(axis)) return [...axis];
  const rest = axis.filter((i) => i !== BATCH);
  if (rest.length > 1) fail('the batch lies between two sizes');
  return rest.length === 0 ? [NEW] : rest;
}

/** Moves the batch, which stands before the last two axes, back to where `axis` had it. */
function regroup(
  c: Context,
  t: Tensor,
  axis: readonly number[],
  which: 'rows' | 'columns',
): Tensor {
  const at = batchAxis(t);
  const lead = t.axes.slice(0, at);
  const [m, n] = t.axes.slice(at + 1) as [number[], number[]];
  const own = which === 'rows' ? m : n;
  const place = axis.indexOf(BATCH);
  const merged = axis.length === 1 ? [BATCH] : own.toSpliced(place === 0 ? 0 : 1, 0, BATCH);
  return rearrange(c.g, t, which === 'rows' ? [...lead, merged, n] : [...lead, m, merged]);
}

/** The batch, if any, is in axes before the last two. */
function batchInFront(c: Context, a: Tensor, b: Tensor): Tensor {
  const [x, y] = [side(c, a), side(c, b)];
  const { vals, inner, axes } = align(c.g, [x.lead, y.lead], c.batch, [x.tail, y.tail]);
  const [left, right] = vals as [Val, Val];
  const m = x.tail[0] as Poly;
  const n = y.tail[1] as Poly;
  const all = [...inner, m, n];
  const layout = [...axes, [inner.length], [inner.length + 1]];
  const experts = sharedInput(c, left, right);
  if (experts !== null) return laidOut(c.g, experts, all, layout, a.type);
  const val = c.g.matmul(least2(c, left), least2(c, right), false, false, 1);
  return laidOut(c.g, val, all, layout, a.type);
}

function least2(c: Context, x: Val): Val {
  return x.dims.length >= 2
    ? x
    : c.g.reshape(x, [...Array.from({ length: 2 - x.dims.length }, () => p.ONE), ...x.dims]);
}

/** One row [1, K] times constants [G, K, N]: a single product with [K, G·N]. */
function sharedInput(c: Context, a: Val, b: Val): Val | null {
  const { constant } = b;
  if (constant === undefined || b.dims.length !== 3) return null;
  if (!a.dims.slice(0, -1).every(p.isOne)) return null;
  const [groups, k, n] = constant.dims as [number, number, number];
  const moved = c.g.transpose(b, [1, 0, 2]);
  const w = c.g.reshape(moved, [p.poly(k), p.poly(groups * n)]);
  const x = c.g.reshape(a, a.dims.slice(-1));
  return c.g.reshape(c.g.linear(x, w), [p.poly(groups), p.ONE, p.poly(n)]);
}

export function gemm(node: OnnxNode, c: Context): readonly Tensor[] {
  const alpha = floatAttribute(node, 'alpha') ?? 1;
  const beta = floatAttribute(node, 'beta') ?? 1;
  const side = (at: number, flag: string): Tensor => {
    const t = c.tensor(node, at);
    return intAttribute(node, flag, 0) === 1 ? transpose(c.g, t, [1, 0]) : t;
  };
  const product = matMul(c, side(0, 'transA'), side(1, 'transB'));
  const scaled = { ...product, val: c.g.unary(product.val, affine(alpha, 0)) };
  if (!c.has(node, 2) || beta === 0) return [scaled];
  const bias = c.tensor(node, 2);
  return [combine(c, 'add', scaled, { ...bias, val: c.g.unary(bias.val, affine(beta, 0)) })];
}

export function einsum(node: OnnxNode, c: Context): readonly Tensor[] {
  const text = (stringAttribute(node, 'equation') ?? '').replaceAll(' ', '');
  const [left = '', given] = text.split('->');
  if (text.includes('.')) fail('an ellipsis');
  const terms = left.split(',');
  const letters = [...left.replaceAll(',', '')];
  const out =
    given ??
    [...new Set(letters)]
      .filter((x) => letters.indexOf(x) === letters.lastIndexOf(x))
      .sort()
      .join('');
  if (terms.some((term) => new Set(term).size !== term.length)) fail('a diagonal');
  const operands = terms.map((term, i) => ({ term, t: c.tensor(node, i) }));
  for (const { term, t } of operands) if (term.length !== t.axes.length) fail('ranks differ');
  let [current] = operands as [{ term: string; t: Tensor }];
  for (const [i, next] of operands.slice(1).entries()) {
    const later = out + terms.slice(i + 2).join('');
    current = contract(c, current, next, later);
  }
  const { term, t } = sumAway(c, current, out);
  return [
    transpose(
      c.g,
      t,
      [...out].map((x) => term.indexOf(x)),
    ),
  ];
}

type Labelled = { term: string; t: Tensor };

/** Sums over the axes whose letters nobody wants. */
function sumAway(c: Context, { term, t }: Labelled, wanted: string): Labelled {
  const drop = [...term].flatMap((x, i) => (wanted.includes(x) ? [] : [i]));
  if (drop.length === 0) return { term, t };
  const inner = drop.map((axis) => {
    if (hasBatch(t.axes[axis])) fail('a sum over the batch');
    return (t.axes[axis] as number[])[0] as number;
  });
  const val = c.g.reduce(fullAt(c.g, t, inner), 'sum', inner, true);
  const summed = { ...t, val, inner: t.inner.map((n, i) => (inner.includes(i) ? p.ONE : n)) };
  return {
    term: [...term].filter((x) => wanted.includes(x)).join(''),
    t: squeeze(c.g, summed, drop),
  };
}

function contract(c: Context, left: Labelled, right: Labelled, wanted: string): Labelled {
  const a = sumAway(c, left, wanted + right.term);
  const b = sumAway(c, right, wanted + left.term);
  const both = [...a.term].filter((x) => b.term.includes(x) && wanted.includes(x));
  const summed = [...a.term].filter((x) => b.term.includes(x) && !wanted.includes(x));
  const mine = [...a.term].filter((x) => !b.term.includes(x));
  const yours = [...b.term].filter((x) => !a.term.includes(x));
  if (summed.length === 0) {
    const all = [...both, ...mine, ...yours];
    const spread = ({ term, t }: Labelled): Tensor =>
      unsqueezeMissing(
        c,
        transpose(
          c.g,
          t,
          all.filter((x) => term.includes(x)).map((x) => term.indexOf(x)),
        ),
        all.map((x) => term.includes(x)),
      );
    return { term: all.join(''), t: combine(c, 'mul', spread(a), spread(b)) };
  }
  // Without common letters the rows of one side may lie along several axes.
  const rows = both.length === 0 && summed.length === 1 && Math.min(mine.length, yours.length) < 2;
  if (rows && yours.length > 1) return contract(c, right, left, wanted);
  if (!rows && (summed.length > 1 || mine.length > 1 || yours.length > 1))
    return byProduct(c, a, b, both, summed, mine, yours);
  const arrange = ({ term, t }: Labelled, order: string[], one: number): Tensor => {
    const moved = transpose(
      c.g,
      t,
      order.map((x) => term.indexOf(x)),
    );
    return one < 0 ? moved : unsqueeze(c.g, moved, [one]);
  };
  const x = arrange(a, [...both, ...mine, ...summed], mine.length === 0 ? both.length : -1);
  const y = arrange(b, [...both, ...summed, ...yours], yours.length === 0 ? both.length + 1 : -1);
  let t = matMul(c, x, y);
  if (yours.length === 0) t = squeeze(c.g, t, [t.axes.length - 1]);
  if (mine.length === 0) t = squeeze(c.g, t, [both.length]);
  return { term: [...both, ...mine, ...yours].join(''), t };
}

/** Several letters on a side: multiply everything out and sum. */
function byProduct(
  c: Context,
  a: Labelled,
  b: Labelled,
  both: string[],
  summed: string[],
  mine: string[],
  yours: string[],
): Labelled {
  const all = [...both, ...mine, ...yours, ...summed];
  const spread = ({ term, t }: Labelled): Tensor =>
    unsqueezeMissing(
      c,
      transpose(
        c.g,
        t,
        all.filter((x) => term.includes(x)).map((x) => term.indexOf(x)),
      ),
      all.map((x) => term.includes(x)),
    );
  const t = combine(c, 'mul', spread(a), spread(b));
  return sumAway(c, { term: all.join(''), t }, [...both, ...mine, ...yours].join(''));
}

function unsqueezeMissing(c: Context, t: Tensor, there: readonly boolean[]): Tensor {
  const missing = there.flatMap((is, i) => (is ? [] : [i]));
  return missing.length === 0 ? t : unsqueeze(c.g, t, missing);
}
