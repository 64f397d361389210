/** Dot interactions, and products that are written as multiplications and sums. */
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import { rowsOf } from './fuse-views.js';
import type { Graph } from './graph.js';
import type { Uses } from './optimize.js';
import { affine, sameDims, type Val } from './value.js';

const MAX_PAIRS = 1 << 19;

/** Elements of x·xᵀ that are picked: dot products of pairs of rows. */
export function pairwiseDot(v: Val, g: Graph): Val | null {
  if ((v.op !== 'gather' && v.op !== 'slice') || v.dims.length !== 1) return null;
  const [flat] = v.in as [Val];
  const [product] = flat.op === 'reshape' ? (flat.in as [Val]) : [flat];
  const rows = product.op === 'matmul' ? gram(product, g) : null;
  if (rows === null) return null;
  const f = p.constant(product.dims[0] as Poly) as number;
  const count = p.constant(v.dims[0] as Poly) as number;
  const indices =
    v.a.indices ??
    Array.from({ length: count }, (_, i) => (v.a.start as number) + i * (v.a.step as number));
  if (indices.length > MAX_PAIRS) return null;
  const pairs = indices.flatMap((index) => [Math.floor(index / f), index % f]);
  const dots = g.node('pairwise_dot', rows, { pairs }, v.dims);
  return product.a.scale === 1 ? dots : g.unary(dots, affine(product.a.scale ?? 1, 0));
}

/** The rows of x where the value is x·xᵀ of a matrix. */
function gram(product: Val, g: Graph): readonly Val[] | null {
  const [a, b] = product.in as [Val, Val];
  if (a !== b || product.dims.length !== 2 || product.a.ta === product.a.tb) return null;
  if (a.dims.some((size) => p.constant(size) === null)) return null;
  return product.a.ta === true ? rowsOf(g, g.transpose(a, [1, 0])) : rowsOf(g, a);
}

/** Several picks of one x·xᵀ that are joined become one. */
export function joinDots(v: Val, g: Graph, uses: Uses): Val | null {
  if (v.op !== 'concat' || v.dims.length !== 1) return null;
  const parts: Val[] = [];
  for (const part of v.in) {
    const last = parts[parts.length - 1];
    const fits =
      last?.op === 'pairwise_dot' &&
      part.op === 'pairwise_dot' &&
      uses.once(part) &&
      last.in.length === part.in.length &&
      last.in.every((x, i) => x === part.in[i]);
    if (!fits || last === undefined) {
      parts.push(part);
      continue;
    }
    const pairs = [...(last.a.pairs ?? []), ...(part.a.pairs ?? [])];
    if (pairs.length > 2 * MAX_PAIRS) return null;
    parts[parts.length - 1] = g.node('pairwise_dot', last.in, { pairs }, [
      p.poly(pairs.length / 2),
    ]);
  }
  return parts.length === v.in.length ? null : g.concat(parts, 0);
}

/** sum over a · b: rows weighted by a column, or rows' products. */
export function sumOfProducts(v: Val, g: Graph, uses: Uses): Val | null {
  const [product] = v.in;
  if (v.op !== 'reduce' || v.a.fn !== 'sum' || v.a.axes?.length !== 1) return null;
  if (product?.op !== 'binary' || product.a.fn !== 'mul' || product.a.act !== undefined)
    return null;
  if (!uses.once(product)) return null;
  const rank = product.dims.length;
  const [axis] = v.a.axes as [number];
  const [a, b] = product.in as [Val, Val];
  if (axis === rank - 1) return rowDots(v, g, a, b);
  if (axis !== rank - 2 || rank < 2) return null;
  // [..., L, 1] · [..., L, N] summed over L
  for (const [w, x] of [
    [a, b],
    [b, a],
  ] as [Val, Val][]) {
    if (w.dims.length !== rank || x.dims.length !== rank || w.op === 'const') continue;
    const isColumn = p.isOne(w.dims[rank - 1] as Poly) && !p.isOne(x.dims[rank - 1] as Poly);
    if (!isColumn || !p.equal(w.dims[rank - 2] as Poly, x.dims[rank - 2] as Poly)) continue;
    if (!sameDims(x.dims, product.dims)) continue;
    return g.reshape(g.matmul(w, x, true, false, 1), v.dims);
  }
  return null;
}

/** Products of rows summed over their elements. */
function rowDots(v: Val, g: Graph, a: Val, b: Val): Val | null {
  const full = a.dims.length >= b.dims.length ? a.dims : b.dims;
  const n = p.constant(full[full.length - 1] as Poly);
  if (n === null || n === 1 || a.op === 'const' || b.op === 'const') return null;
  const lead = full.slice(0, -1);
  if (sameDims(a.dims, b.dims) && lead.every(p.isOne)) {
    const row = (x: Val): Val => g.reshape(x, [p.ONE, p.poly(n)]);
    const dot = g.node('pairwise_dot', [row(a), row(b)], { pairs: [0, 1] }, [p.ONE]);
    return g.reshape(dot, v.dims);
  }
  const pairs = samePicks(g, a, b);
  if (pairs !== null && a.dims.length === 2) {
    const dots = g.node('pairwise_dot', pairs.rows, { pairs: pairs.pairs }, [a.dims[0] as Poly]);
    return g.reshape(dots, v.dims);
  }
  // [L, N] · [1, N] or [N]
  for (const [x, y] of [
    [a, b],
    [b, a],
  ] as [Val, Val][]) {
    const isOneRow = y.dims.slice(0, -1).every(p.isOne) && !x.dims.slice(0, -1).every(p.isOne);
    if (!isOneRow || x.dims.length < 2 || !p.equal(y.dims[y.dims.length - 1] as Poly, p.poly(n)))
      continue;
    const row = g.reshape(y, [p.ONE, p.poly(n)]);
    return g.reshape(g.matmul(x, row, false, true, 1), v.dims);
  }
  return null;
}

/** Rows picked from one matrix, on both sides. */
function samePicks(g: Graph, a: Val, b: Val): { rows: readonly Val[]; pairs: number[] } | null {
  const left = picks(a);
  const right = picks(b);
  if (left === null || right === null || left.length !== right.length) return null;
  const sources: Val[] = [];
  const starts = new Map<Val, number>();
  let rows = 0;
  for (const { source } of [...left, ...right]) {
    if (starts.has(source)) continue;
    starts.set(source, rows);
    sources.push(source);
    rows += p.constant(source.dims[0] as Poly) as number;
  }
  if (sources.length > 64) return null;
  const at = ({ source, row }: { source: Val; row: number }): number =>
    (starts.get(source) as number) + row;
  const pairs = left.flatMap((pick, i) => [at(pick), at(right[i] as { source: Val; row: number })]);
  return { rows: sources.flatMap((source) => rowsOf(g, source) ?? [source]), pairs };
}

/** The rows of a matrix as rows of those it is put together from; null when it just is one. */
function picks(v: Val): { source: Val; row: number }[] | null {
  const n = p.constant(v.dims[0] as Poly);
  if (n === null || v.dims.length !== 2 || v.dims.some((size) => p.constant(size) === null))
    return null;
  if (v.op === 'concat' && v.a.axis === 0) {
    const parts = v.in.map(picks);
    return parts.includes(null) ? null : (parts as { source: Val; row: number }[][]).flat();
  }
  if ((v.op === 'gather' || v.op === 'slice') && v.a.axis === 0) {
    const [source] = v.in as [Val];
    if (p.constant(source.dims[0] as Poly) === null) return null;
    const start = v.a.start ?? 0;
    const rows = v.a.indices ?? Array.from({ length: n }, (_, i) => start + i * (v.a.step ?? 1));
    return rows.map((row) => ({ source, row }));
  }
  return Array.from({ length: n }, (_, row) => ({ source: v, row }));
}
