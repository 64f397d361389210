/** Reshapes, transpositions, slices and joins are moved to where they cost nothing or cancel. */
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import type { Constant } from './constant.js';
import * as constants from './constant.js';
import type { Graph } from './graph.js';
import type { Uses } from './optimize.js';
import { numbers, sameDims, type Val } from './value.js';

const isView = (v: Val): boolean => v.op === 'reshape' || v.op === 'transpose' || v.op === 'expand';

/** The same view of another value of the source's shape. */
function viewAgain(g: Graph, view: Val, x: Val): Val {
  if (view.op === 'reshape') return g.reshape(x, view.dims);
  if (view.op === 'expand') return g.expand(x, view.dims);
  return g.transpose(x, view.a.axes as readonly number[]);
}

/** act(view(x)) → view(act(x)), so that it meets the node that made x. */
export function actBeforeView(v: Val, g: Graph, uses: Uses): Val | null {
  const [view] = v.in;
  const act = v.a.act;
  if (v.op !== 'unary' || view === undefined || act === undefined) return null;
  if (!isView(view) || !uses.once(view) || act.slope || act.scale) return null;
  const [x] = view.in as [Val];
  return viewAgain(g, view, g.unary(x, act));
}

/** slice(transpose(x)) → transpose(slice(x)); slice(reshape(x)) → reshape(slice(x)). */
export function sliceBeforeView(v: Val, g: Graph): Val | null {
  if (v.op !== 'slice' && v.op !== 'gather') return null;
  const [view] = v.in as [Val];
  const axis = v.a.axis as number;
  if (view.op === 'transpose') {
    const perm = view.a.axes as readonly number[];
    const [x] = view.in as [Val];
    const at = perm[axis] as number;
    const part =
      v.op === 'gather'
        ? g.gather(x, at, v.a.indices as readonly number[])
        : g.slice(x, at, v.a.start as number, v.a.step as number, v.dims[axis] as Poly);
    return g.transpose(part, perm);
  }
  if (view.op !== 'reshape' || v.op !== 'slice' || v.a.step !== 1) return null;
  const [x] = view.in as [Val];
  const found = splitAxis(x, view, axis);
  const size = p.constant(v.dims[axis] as Poly);
  if (found === null || size === null || (v.a.start as number) < 0) return null;
  const { at, unit } = found;
  const part = g.slice(x, at, (v.a.start as number) * unit, 1, p.poly(size * unit));
  return g.reshape(part, v.dims);
}

/**
 * The axis of x whose outer part `axis` of the reshape is, and how many of its elements one step
 * is; null when the reshape is not of that kind.
 */
function splitAxis(x: Val, view: Val, axis: number): { at: number; unit: number } | null {
  const before = p.product(view.dims.slice(0, axis));
  let lead = p.ONE;
  for (const [at, size] of x.dims.entries()) {
    if (p.equal(lead, before) && !p.isOne(size)) {
      const unit = p.divide(size, view.dims[axis] as Poly);
      const n = unit === null ? null : p.constant(unit);
      const tail = p.product(x.dims.slice(at + 1));
      const rest = p.product(view.dims.slice(axis + 1));
      if (n !== null && p.equal(p.multiply(p.poly(n), tail), rest)) return { at, unit: n };
      return null;
    }
    lead = p.multiply(lead, size);
  }
  return null;
}

/** A product of which only parts of the columns are read becomes a product for each part. */
export function splitColumns(v: Val, g: Graph, uses: Uses): Val | null {
  if (v.op !== 'slice') return null;
  const [x] = v.in as [Val];
  if (x.op !== 'linear' || x.a.mul || x.a.add || v.a.axis !== x.dims.length - 1) return null;
  if (x.a.act?.slope || x.a.act?.scale || x.a.post?.slope || x.a.post?.scale) return null;
  const readers = uses.users(x);
  if (readers === null) return null;
  const ranges = readers.map((reader): [number, number] | null => {
    if (reader.op !== 'slice' || reader.a.axis !== v.a.axis || reader.a.step !== 1) return null;
    const size = p.constant(reader.dims[reader.a.axis as number] as Poly);
    return size === null ? null : [reader.a.start as number, size];
  });
  if (ranges.includes(null)) return null;
  const sorted = (ranges as [number, number][]).sort((a, b) => a[0] - b[0]);
  if (sorted.some(([start], i) => i > 0 && start < sum(sorted[i - 1]))) return null;
  const [, w] = x.in as [Val, Val];
  const start = v.a.start as number;
  const size = p.constant(v.dims[v.dims.length - 1] as Poly) as number;
  const columns = g.constant(columnsOf(w.constant as Constant, start, size), w.name);
  const bias = x.a.bias && g.slice(x.a.bias, 0, start, 1, p.poly(size));
  if (bias !== undefined && bias.constant === undefined) return null;
  return g.node('linear', [x.in[0] as Val, columns], { ...x.a, bias }, v.dims);
}

const sum = (range: readonly [number, number] | undefined): number =>
  (range?.[0] ?? 0) + (range?.[1] ?? 0);

function columnsOf(w: Constant, start: number, size: number): Constant {
  const [k, n] = w.dims as [number, number];
  return constants.small([k, size], () => {
    const data = w.read();
    const out = new Float32Array(k * size);
    for (let i = 0; i < k; i++)
      out.set(data.subarray(i * n + start, i * n + start + size), i * size);
    return out;
  });
}

/** Columns beside each other: rows below each other, seen from the side. */
export function joinColumns(v: Val, g: Graph): Val | null {
  const rank = v.dims.length;
  if (v.op !== 'concat' || rank < 2 || v.a.axis !== rank - 1) return null;
  if (!v.in.every((part) => p.isOne(part.dims[rank - 1] as Poly))) return null;
  if (p.isOne(v.dims[rank - 2] as Poly)) return null;
  const rows = v.in.map((part) =>
    g.reshape(part, [...part.dims.slice(0, -2), p.ONE, part.dims[rank - 2] as Poly]),
  );
  const perm = v.dims.map((_, i) => (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i));
  return g.transpose(g.concat(rows, rank - 2), perm);
}

/** reshape(reduce that keeps axes) → reduce that does not */
export function dropReduced(v: Val, g: Graph, uses: Uses): Val | null {
  const [x] = v.in;
  if (v.op !== 'reshape' || x?.op !== 'reduce' || x.a.keep !== true || !uses.once(x)) return null;
  const axes = x.a.axes ?? [];
  const dims = x.dims.filter((_, i) => !axes.includes(i));
  if (!sameDims(dims, v.dims)) return null;
  return g.reduce(x.in[0] as Val, x.a.fn as string, axes, false);
}

/** concat(reshape(a), reshape(b), …) along the outermost axis → reshape(concat(a, b, …)) */
export function joinFlat(v: Val, g: Graph): Val | null {
  if (v.op !== 'concat') return null;
  const axis = v.a.axis as number;
  if (!v.dims.slice(0, axis).every(p.isOne)) return null;
  const flat = v.in.map((part) => {
    const sources = part.op === 'reshape' ? (part.in[0] as Val) : part;
    return sources.dims.length === 1 ? sources : null;
  });
  if (flat.includes(null) || v.dims.length === 1) return null;
  return g.reshape(g.concat(flat as Val[], 0), v.dims);
}

/** Products of the same input that are joined: one product with the weights beside each other. */
export function joinProducts(v: Val, g: Graph, uses: Uses): Val | null {
  if (v.op !== 'concat' || v.a.axis !== v.dims.length - 1) return null;
  const groups: Val[][] = [];
  for (const part of v.in) {
    const last = groups[groups.length - 1];
    if (last?.[0] !== undefined && canJoin(last[0], part, uses)) last.push(part);
    else groups.push([part]);
  }
  if (groups.length === v.in.length) return null;
  const parts = groups.map((group) => (group.length === 1 ? (group[0] as Val) : joined(g, group)));
  return g.concat(parts, v.a.axis as number);
}

function canJoin(a: Val, b: Val, uses: Uses): boolean {
  if (a.op !== 'linear' || b.op !== 'linear' || a.in[0] !== b.in[0]) return false;
  if (!uses.once(a) || !uses.once(b)) return false;
  for (const { a: attributes } of [a, b])
    if (
      attributes.mul ||
      attributes.add ||
      attributes.post ||
      attributes.act?.slope ||
      attributes.act?.scale
    )
      return false;
  return JSON.stringify(a.a.act ?? null) === JSON.stringify(b.a.act ?? null);
}

function joined(g: Graph, group: readonly Val[]): Val {
  const [first] = group as [Val];
  const weights = group.map((part) => part.in[1]?.constant as Constant);
  const w = g.constant(constants.besideEachOther(weights), first.in[1]?.name ?? '');
  const hasBias = group.some((part) => part.a.bias !== undefined);
  const biases = group.map((part) => {
    const n = part.in[1]?.dims[1] as Poly;
    return part.a.bias ?? g.constantOf(n, 0);
  });
  const bias = hasBias ? concatVectors(g, biases) : undefined;
  return g.linear(first.in[0] as Val, w, { act: first.a.act, bias });
}

function concatVectors(g: Graph, parts: readonly Val[]): Val {
  const values = parts.flatMap((part) => [...(part.constant as Constant).read()]);
  return g.constant(constants.ofValues([values.length], values), parts[0]?.name ?? '');
}

/** expand feeding a node that broadcasts by itself. */
export function expandAway(v: Val, g: Graph): Val | null {
  if (v.op !== 'binary' && v.op !== 'where') return null;
  if (v.a.act !== undefined || !v.in.some((x) => x.op === 'expand')) return null;
  for (const [i, x] of v.in.entries()) {
    if (x.op !== 'expand') continue;
    const operands = v.in.with(i, x.in[0] as Val);
    const [a, b, c] = operands as [Val, Val, Val];
    const result = v.op === 'where' ? g.where(a, b, c) : g.binary(v.a.fn as string, a, b);
    if (sameDims(result.dims, v.dims)) return result;
  }
  return null;
}

/** reshape(concat of vectors) whose parts are whole rows → concat of rows */
export function rowsOf(g: Graph, x: Val): Val[] | null {
  const [f, d] = numbers(x.dims) ?? [];
  if (f === undefined || d === undefined || x.dims.length !== 2) return null;
  if (x.op === 'concat' && x.a.axis === 0) return [...x.in];
  const [flat] = x.in;
  if (x.op !== 'reshape' || flat?.op !== 'concat' || flat.dims.length !== 1) return [x];
  const rows = flat.in.map((part) => {
    const n = p.constant(part.dims[0] as Poly) as number;
    return n % d === 0 ? g.reshape(part, [p.poly(n / d), p.poly(d)]) : null;
  });
  return rows.includes(null) ? [x] : (rows as Val[]);
}
