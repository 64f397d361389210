/** Biases, scales, activations, gates and residuals become part of the linear before them. */
import * as p from '../analyze/poly.js';
import type { Constant } from './constant.js';
import * as constants from './constant.js';
import { uniformValue } from './constant.js';
import type { Graph } from './graph.js';
import type { Uses } from './optimize.js';
import { type Act, affine, sameDims, type Val } from './value.js';

function isPlain(x: Val): boolean {
  const { act, mul, add, post } = x.a;
  return x.op === 'linear' && !act && !mul && !add && !post;
}

/** unary(linear) */
export function activation(v: Val, g: Graph, uses: Uses): Val | null {
  const [x] = v.in;
  const act = v.a.act;
  if (v.op !== 'unary' || x === undefined || act === undefined || !uses.once(x)) return null;
  if (x.op === 'binary' && x.a.act === undefined)
    return g.node('binary', x.in, { ...x.a, act }, v.dims);
  if (x.op === 'matmul' && act.fn === 'affine' && act.beta === 0) {
    const scale = (x.a.scale ?? 1) * (act.alpha ?? 1);
    return g.matmul(x.in[0] as Val, x.in[1] as Val, x.a.ta === true, x.a.tb === true, scale);
  }
  if (x.op !== 'linear') return null;
  if (act.fn === 'affine' && isPlain(x)) {
    const { alpha = 1, beta = 0 } = act;
    const scaled = scaleColumns(g, x, constants.ofValues([1], [alpha]));
    return beta === 0 ? scaled : addBias(g, scaled, constants.ofValues([1], [beta]));
  }
  const withAct = (a: { act?: Act; post?: Act }): Val =>
    g.node('linear', x.in, { ...x.a, ...a }, v.dims);
  if (!x.a.act && !x.a.mul && !x.a.add && !x.a.post) return withAct({ act });
  return x.a.post ? null : withAct({ post: act });
}

/** A constant along the last axis, as [N] or [1]; null when it varies along others. */
export function alongLast(v: Val, n: p.Poly): Constant | null {
  const { constant } = v;
  if (constant === undefined || !v.dims.slice(0, -1).every(p.isOne)) return null;
  const last = v.dims[v.dims.length - 1];
  if (last === undefined || p.isOne(last)) return constants.reshaped(constant, [1]);
  return p.equal(last, n) ? constants.reshaped(constant, [constants.count(constant)]) : null;
}

export function addBias(g: Graph, x: Val, by: Constant, sign = 1): Val {
  const n = p.constant(x.dims[x.dims.length - 1] as p.Poly) as number;
  const old = x.a.bias?.constant ?? constants.ofValues([n], new Float32Array(n));
  const sum = constants.combined(old, by, [n], (a, b) => a + sign * b);
  return g.node('linear', x.in, { ...x.a, bias: g.constant(sum, biasName(x)) }, x.dims);
}

function biasName(x: Val): string {
  return x.a.bias?.name ?? `${x.in[1]?.name}.bias`;
}

function scaleColumns(g: Graph, x: Val, by: Constant): Val {
  const w = x.in[1] as Val;
  const weights = w.constant as Constant;
  const scaled = g.constant(
    constants.combined(weights, by, weights.dims, (a, b) => a * b),
    w.name,
  );
  const n = weights.dims[1] as number;
  const bias = x.a.bias?.constant;
  const attributes =
    bias === undefined
      ? x.a
      : {
          ...x.a,
          bias: g.constant(
            constants.combined(bias, by, [n], (a, b) => a * b),
            biasName(x),
          ),
        };
  return g.node('linear', [x.in[0] as Val, scaled], attributes, x.dims);
}

/** binary(linear, constant along the last axis) */
export function constantOperand(v: Val, g: Graph, uses: Uses): Val | null {
  if (v.op !== 'binary' || v.a.act !== undefined) return null;
  const [a, b] = v.in as [Val, Val];
  const swapped = a.constant !== undefined;
  const [x, other] = swapped ? [b, a] : [a, b];
  if (!isPlain(x) || !uses.once(x) || !sameDims(v.dims, x.dims)) return null;
  const by = alongLast(other, x.dims[x.dims.length - 1] as p.Poly);
  if (by === null) return null;
  switch (v.a.fn) {
    case 'add':
      return addBias(g, x, by);
    case 'sub':
      return swapped
        ? addBias(g, scaleColumns(g, x, constants.ofValues([1], [-1])), by)
        : addBias(g, x, by, -1);
    case 'mul':
      return scaleColumns(g, x, by);
    case 'div':
      return swapped
        ? null
        : scaleColumns(
            g,
            x,
            constants.mapped(by, (value) => 1 / value),
          );
    default:
      return null;
  }
}

/** binary(linear, value of the same shape): gates, residuals, crosses */
export function valueOperand(v: Val, g: Graph, uses: Uses): Val | null {
  const { fn } = v.a;
  if (v.op !== 'binary' || v.a.act !== undefined || v.in[0] === v.in[1]) return null;
  if (fn !== 'add' && fn !== 'mul' && fn !== 'sub') return null;
  const [a, b] = v.in as [Val, Val];
  const fits = (x: Val, y: Val): boolean => {
    if (x.op !== 'linear' || !uses.once(x) || !sameDims(x.dims, v.dims)) return false;
    if (x.batched !== y.batched || y.op === 'const' || x.a.add || x.a.post) return false;
    if (fn === 'mul' && x.a.mul) return false;
    const wide = [...x.dims.slice(0, -1), p.ONE];
    return sameDims(y.dims, x.dims) || sameDims(y.dims, wide);
  };
  if (fn === 'sub') {
    if (!fits(b, a) || !isPlain(b)) return null;
    const negative = scaleColumns(g, b, constants.ofValues([1], [-1]));
    return g.node('linear', negative.in, { ...negative.a, add: a }, v.dims);
  }
  const order: [Val, Val][] = [
    [b, a],
    [a, b],
  ];
  const found = order.find(([x, y]) => fits(x, y));
  if (found === undefined) return null;
  const [x, y] = found;
  return g.node('linear', x.in, { ...x.a, [fn]: y }, v.dims);
}

/** x·w + bias + (y + number): the number goes into the bias. */
export function shiftedAddend(v: Val, g: Graph, uses: Uses): Val | null {
  if (v.op !== 'linear' || v.a.act || v.a.mul) return null;
  const { add } = v.a;
  if (add?.op !== 'unary' || add.a.act?.fn !== 'affine' || !uses.once(add)) return null;
  const { alpha = 1, beta = 0 } = add.a.act;
  if (alpha !== 1) return null;
  const moved = g.node('linear', v.in, { ...v.a, add: add.in[0] as Val }, v.dims);
  return addBias(g, moved, constants.ofValues([1], [beta]));
}

/** linear(per-channel affine): the affine goes into weights and bias. */
export function affineOperand(v: Val, g: Graph, uses: Uses): Val | null {
  if (v.op !== 'linear') return null;
  const [x, w] = v.in as [Val, Val];
  const weights = w.constant as Constant;
  const k = w.dims[0] as p.Poly;
  if (!uses.once(x) || x.a.act?.fn === undefined) {
    if (x.op !== 'binary' || !uses.once(x) || x.a.act !== undefined) return null;
    const [inner, other] = x.in as [Val, Val];
    const by = other.constant === undefined ? null : alongLast(other, k);
    if (by === null || !sameDims(inner.dims, x.dims)) return null;
    if (x.a.fn === 'mul') {
      const scaled = g.constant(constants.scaledRows(weights, by), w.name);
      return g.node('linear', [inner, scaled], v.a, v.dims);
    }
    if (x.a.fn !== 'add' && x.a.fn !== 'sub') return null;
    const shifted = addBias(g, v, constants.vectorTimes(by, weights), x.a.fn === 'add' ? 1 : -1);
    return g.node('linear', [inner, w], shifted.a, v.dims);
  }
  if (x.op !== 'unary' || x.a.act.fn !== 'affine') return null;
  const { alpha = 1, beta = 0 } = x.a.act;
  const shifted =
    beta === 0 ? v : addBias(g, v, constants.vectorTimes(constants.ofValues([1], [beta]), weights));
  const scaled = g.constant(
    constants.mapped(weights, (value) => value * alpha),
    w.name,
  );
  return g.node('linear', [x.in[0] as Val, scaled], shifted.a, v.dims);
}

/** matmul(x · number, y): the number becomes the product's. */
export function scaledOperand(v: Val, g: Graph, uses: Uses): Val | null {
  if (v.op !== 'matmul') return null;
  const [a, b] = v.in as [Val, Val];
  const factor = (x: Val): number | null =>
    x.op === 'unary' && x.a.act?.fn === 'affine' && x.a.act.beta === 0 && uses.once(x)
      ? (x.a.act.alpha ?? 1)
      : null;
  const [fa, fb] = [factor(a), a === b ? null : factor(b)];
  if (fa === null && fb === null) return null;
  const scale = (v.a.scale ?? 1) * (fa ?? 1) * (fb ?? 1);
  return g.matmul(
    fa === null ? a : (a.in[0] as Val),
    fb === null ? b : (b.in[0] as Val),
    v.a.ta === true,
    v.a.tb === true,
    scale,
  );
}

/** A constant that is one number, for rules that look for one. */
export function numberOf(v: Val | undefined): number | null {
  return v?.constant === undefined ? null : uniformValue(v.constant);
}

export const isAffine = (v: Val | undefined): boolean =>
  v?.op === 'unary' && v.a.act?.fn === 'affine';
export { affine };
