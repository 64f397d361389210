/** Activations and normalisations that exporters write out are recognised. */
import * as p from '../analyze/poly.js';
import { alongLast, numberOf } from './fuse-linear.js';
import type { Graph } from './graph.js';
import { type Act, affine, sameDims, type Val } from './value.js';

/** v = alpha · base + beta */
function scaled(v: Val): { base: Val; alpha: number; beta: number } {
  const act = v.op === 'unary' ? v.a.act : undefined;
  if (act?.fn !== 'affine') return { base: v, alpha: 1, beta: 0 };
  return { base: v.in[0] as Val, alpha: act.alpha ?? 1, beta: act.beta ?? 0 };
}

const near = (a: number, b: number): boolean => Math.abs(a - b) <= 2e-6 * Math.abs(b);

const isUnary = (v: Val | undefined, fn: string): v is Val =>
  v?.op === 'unary' && v.a.act?.fn === fn;

function isBinary(v: Val, fn: string): boolean {
  return v?.op === 'binary' && v.a.fn === fn && v.a.act === undefined;
}

/** The two orders of a commutative node's operands. */
function orders(v: Val): [Val, Val][] {
  const [a, b] = v.in as [Val, Val];
  return [
    [a, b],
    [b, a],
  ];
}

/** x · f(x) for the activations that are written so. */
export function gates(v: Val, g: Graph): Val | null {
  if (!isBinary(v, 'mul')) return null;
  for (const [x, gate] of orders(v)) {
    const found = silu(x, gate) ?? mish(x, gate) ?? hardSwish(x, gate) ?? gelu(x, gate);
    if (found === null) continue;
    const result = g.unary(found.base, found.act);
    return found.scale === 1 ? result : g.unary(result, affine(found.scale, 0));
  }
  return null;
}

interface Gated {
  base: Val;
  act: Act;
  scale: number;
}

function silu(x: Val, gate: Val): Gated | null {
  return isUnary(gate, 'sigmoid') && gate.in[0] === x
    ? { base: x, act: { fn: 'silu' }, scale: 1 }
    : null;
}

function mish(x: Val, gate: Val): Gated | null {
  const inner = isUnary(gate, 'tanh') ? gate.in[0] : undefined;
  return isUnary(inner, 'softplus') && inner.in[0] === x
    ? { base: x, act: { fn: 'mish' }, scale: 1 }
    : null;
}

/** x · relu6(x + 3) / 6, x · hardsigmoid(x) */
function hardSwish(x: Val, gate: Val): Gated | null {
  const own = gate.op === 'unary' ? gate.a.act : undefined;
  if (own?.fn === 'hard_sigmoid' && gate.in[0] === x)
    return near(own.alpha ?? 0, 1 / 6) && own.beta === 0.5
      ? { base: x, act: { fn: 'hard_swish' }, scale: 1 }
      : null;
  const outer = scaled(gate);
  const clip = outer.base.op === 'unary' ? outer.base.a.act : undefined;
  if (outer.beta !== 0 || clip?.fn !== 'clip' || clip.min !== 0 || clip.max !== 6) return null;
  const inner = scaled(outer.base.in[0] as Val);
  if (inner.base !== x || inner.alpha !== 1 || inner.beta !== 3) return null;
  return { base: x, act: { fn: 'hard_swish' }, scale: outer.alpha * 6 };
}

/** c·x · (b + b·erf(x / √2)), c·x · (b + b·tanh(√(2/π)·(x + 0.044715·x³))) */
function gelu(side: Val, gate: Val): Gated | null {
  const outer = scaled(gate);
  const x = scaled(side);
  if (x.beta !== 0 || !near(outer.alpha, outer.beta)) return null;
  const [inner] = outer.base.in as [Val];
  if (isUnary(outer.base, 'erf')) {
    const argument = scaled(inner);
    if (argument.base !== x.base || argument.beta !== 0) return null;
    // The argument is k·base / √2 for x = k·base; what is left of the side's factor is a scale.
    const k = argument.alpha * Math.SQRT2;
    if (!near(k, 1)) return null;
    return { base: x.base, act: { fn: 'gelu' }, scale: rounded(2 * outer.alpha * x.alpha) };
  }
  if (!isUnary(outer.base, 'tanh')) return null;
  const argument = scaled(inner);
  if (argument.beta !== 0 || !near(argument.alpha, Math.sqrt(2 / Math.PI))) return null;
  if (!isCubic(argument.base, x.base)) return null;
  return { base: x.base, act: { fn: 'gelu_tanh' }, scale: rounded(2 * outer.alpha * x.alpha) };
}

const rounded = (scale: number): number => (near(scale, 1) ? 1 : scale);

/** x + 0.044715·x³ in the ways it is written */
function isCubic(v: Val, x: Val): boolean {
  if (isBinary(v, 'add'))
    return orders(v).some(([a, b]) => {
      const cube = scaled(b);
      return a === x && cube.beta === 0 && near(cube.alpha, 0.044715) && isCube(cube.base, x);
    });
  if (!isBinary(v, 'mul')) return false;
  return orders(v).some(([a, b]) => {
    const square = scaled(b);
    return (
      a === x &&
      square.beta === 1 &&
      near(square.alpha, 0.044715) &&
      isUnary(square.base, 'square') &&
      square.base.in[0] === x
    );
  });
}

function isCube(v: Val, x: Val): boolean {
  if (isBinary(v, 'pow')) return v.in[0] === x && numberOf(v.in[1]) === 3;
  if (!isBinary(v, 'mul')) return false;
  return orders(v).some(([a, b]) => a === x && isUnary(b, 'square') && b.in[0] === x);
}

/** log(1 + e^x) */
export function softplus(v: Val, g: Graph): Val | null {
  if (!isUnary(v, 'log')) return null;
  const sum = scaled(v.in[0] as Val);
  if (sum.alpha !== 1 || sum.beta !== 1 || !isUnary(sum.base, 'exp')) return null;
  return g.unary(sum.base.in[0] as Val, { fn: 'softplus' });
}

/** The value that v divides by its root mean square, or null: v = x / √(mean(x²) + eps) */
function normalised(v: Val): { x: Val; count: number; eps: number } | null {
  if (!isBinary(v, 'mul') && !isBinary(v, 'div')) return null;
  const isDivision = v.a.fn === 'div';
  const pairs = isDivision ? [v.in as unknown as [Val, Val]] : orders(v);
  for (const [x, factor] of pairs) {
    const fn = isDivision ? 'sqrt' : 'rsqrt';
    if (!isUnary(factor, fn) || !sameDims(v.dims, x.dims)) continue;
    const sum = scaled(factor.in[0] as Val);
    const mean = sum.base;
    if (sum.alpha !== 1 || mean.op !== 'reduce' || mean.a.fn !== 'mean') continue;
    const [square] = mean.in as [Val];
    const count = trailingAxes(mean, x.dims.length);
    if (count === null || !isUnary(square, 'square') || square.in[0] !== x) continue;
    return { x, count, eps: sum.beta };
  }
  return null;
}

/** How many last axes a reduction takes, keeping them; null when others. */
function trailingAxes(v: Val, rank: number): number | null {
  const axes = v.a.axes ?? [];
  if (v.a.keep !== true || axes.length === 0) return null;
  return axes.every((axis, i) => axis === rank - axes.length + i) ? axes.length : null;
}

export function layerNorm(v: Val, g: Graph): Val | null {
  const found = normalised(v);
  if (found === null) return null;
  const { x: centred, count, eps } = found;
  if (isBinary(centred, 'sub')) {
    const [x, mean] = centred.in as [Val, Val];
    const isMean =
      mean.op === 'reduce' &&
      mean.a.fn === 'mean' &&
      mean.in[0] === x &&
      trailingAxes(mean, x.dims.length) === count;
    if (isMean) return g.layerNorm(x, count, eps, undefined, undefined, false);
  }
  return g.layerNorm(centred, count, eps, undefined, undefined, true);
}

/** layer_norm(x) · gamma + beta */
export function layerNormScale(v: Val, g: Graph): Val | null {
  if (!isBinary(v, 'mul') && !isBinary(v, 'add')) return null;
  const [x, side] = v.in as [Val, Val];
  if (x.op !== 'layer_norm' || side.constant === undefined || !sameDims(v.dims, x.dims))
    return null;
  const tail = x.dims.slice(-(x.a.axes?.[0] as number));
  const lead = side.dims.slice(0, Math.max(0, side.dims.length - tail.length));
  if (x.a.beta !== undefined || !lead.every(p.isOne) || tail.some((n) => p.constant(n) === null))
    return null;
  const operand = g.expand(g.reshape(side, side.dims.slice(lead.length)), tail);
  if (v.a.fn === 'add')
    return x.a.rms === true ? null : g.node('layer_norm', x.in, { ...x.a, beta: operand }, v.dims);
  return x.a.gamma !== undefined
    ? null
    : g.node('layer_norm', x.in, { ...x.a, gamma: operand }, v.dims);
}

/** √(sum of squares), and sums of squares */
export function norms(v: Val, g: Graph): Val | null {
  if (v.op === 'reduce' && v.a.fn === 'sum' && isUnary(v.in[0], 'square'))
    return g.reduce(v.in[0].in[0] as Val, 'sumsq', v.a.axes ?? [], v.a.keep === true);
  if (!isUnary(v, 'sqrt')) return null;
  const [x] = v.in as [Val];
  return x.op === 'reduce' && x.a.fn === 'sumsq'
    ? g.reduce(x.in[0] as Val, 'l2', x.a.axes ?? [], x.a.keep === true)
    : null;
}

/** The factors of a product. */
function factors(v: Val): Val[] {
  return isBinary(v, 'mul') ? v.in.flatMap(factors) : [v];
}

/** p·x + alpha·(1 − p)·x with p = sigmoid(scale·x + shift) */
export function dice(v: Val, g: Graph): Val | null {
  if (!isBinary(v, 'add')) return null;
  const n = v.dims[v.dims.length - 1];
  if (n === undefined || p.constant(n) === null) return null;
  for (const [left, right] of orders(v)) {
    const first = factors(left);
    if (first.length !== 2) continue;
    const gate = first.find((f) => isUnary(f, 'sigmoid'));
    const x = first.find((f) => f !== gate);
    if (gate === undefined || x === undefined) continue;
    const second = scaled(right);
    if (second.beta !== 0) continue;
    const rest = factors(second.base).map(scaled);
    const own = rest.findIndex(({ base, beta }) => base === x && beta === 0);
    const other = rest.findIndex(
      ({ base, alpha, beta }) => base === gate && near(alpha, -beta) && beta !== 0,
    );
    if (own < 0 || other < 0 || own === other || rest.length > 3) continue;
    const third = rest.find((_, i) => i !== own && i !== other);
    const factor =
      second.alpha * (rest[own]?.alpha ?? 1) * (rest[other]?.beta ?? 1) * (third?.alpha ?? 1);
    if (third !== undefined && third.beta !== 0) continue;
    const alphas = third === undefined ? g.constantOf(n, 1) : channel(third.base, n, g);
    const line = channelLine(gate.in[0] as Val, x, n, g);
    if (alphas === null || line === null) continue;
    const act = { fn: 'dice', ...line, alphas: g.unary(alphas, affine(factor, 0)) };
    return g.unary(x, act);
  }
  return null;
}

/** A constant along the last axis as [N]. */
function channel(v: Val, n: p.Poly, g: Graph): Val | null {
  const constant = alongLast(v, n);
  return constant === null ? null : g.expand(g.constant(constant, v.name), [n]);
}

/** v = scale · x + shift with constants along the last axis */
function channelLine(v: Val, x: Val, n: p.Poly, g: Graph): { scale: Val; shift: Val } | null {
  if (v === x) return { scale: g.constantOf(n, 1), shift: g.constantOf(n, 0) };
  if (v.op === 'unary' && v.a.act?.fn === 'affine') {
    const inner = channelLine(v.in[0] as Val, x, n, g);
    if (inner === null) return null;
    const { alpha = 1 } = v.a.act as Act;
    return {
      scale: g.unary(inner.scale, affine(alpha, 0)),
      shift: g.unary(inner.shift, v.a.act as Act),
    };
  }
  if (!isBinary(v, 'mul') && !isBinary(v, 'add') && !isBinary(v, 'sub')) return null;
  const [base, side] = v.in as [Val, Val];
  const by = channel(side, n, g);
  const inner = by === null ? null : channelLine(base, x, n, g);
  if (by === null || inner === null) return null;
  const shift = g.binary(v.a.fn as string, inner.shift, by);
  return { scale: v.a.fn === 'mul' ? g.binary('mul', inner.scale, by) : inner.scale, shift };
}
