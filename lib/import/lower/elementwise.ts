/** Operators that work on elements one by one. */
import { floatAttribute, intAttribute, stringAttribute } from '../analyze/attributes.js';
import * as p from '../analyze/poly.js';
import { type OnnxNode, OnnxType } from '../onnx/types.js';
import { BOOL, type Context, checkExact, isWhole } from './context.js';
import { align, EXACT, laidOut, type Tensor } from './tensor.js';
import { type Act, affine, fail, type Val } from './value.js';

export type Rule = (node: OnnxNode, c: Context) => readonly (Tensor | null)[];

const PLAIN: Readonly<Record<string, string>> = {
  Relu: 'relu',
  Sigmoid: 'sigmoid',
  Tanh: 'tanh',
  Exp: 'exp',
  Log: 'log',
  Sqrt: 'sqrt',
  Neg: 'neg',
  Abs: 'abs',
  Reciprocal: 'reciprocal',
  Erf: 'erf',
  Sign: 'sign',
  Not: 'not',
  Floor: 'floor',
  Ceil: 'ceil',
  Round: 'round',
  Softplus: 'softplus',
  Softsign: 'softsign',
  HardSwish: 'hard_swish',
  Mish: 'mish',
  Cos: 'cos',
  Sin: 'sin',
};
/** With their attributes' default values. */
const WITH_NUMBERS: Readonly<Record<string, { fn: string; alpha: number; beta?: number }>> = {
  LeakyRelu: { fn: 'leaky_relu', alpha: 0.01 },
  Elu: { fn: 'elu', alpha: 1 },
  Celu: { fn: 'celu', alpha: 1 },
  ThresholdedRelu: { fn: 'thresholded_relu', alpha: 1 },
  HardSigmoid: { fn: 'hard_sigmoid', alpha: 0.2, beta: 0.5 },
  Selu: { fn: 'selu', alpha: 1.6732632423543772, beta: 1.0507009873554805 },
};
const BINARY: Readonly<Record<string, string>> = {
  Add: 'add',
  Sub: 'sub',
  Mul: 'mul',
  Div: 'div',
  Max: 'max',
  Min: 'min',
  Pow: 'pow',
  Sum: 'add',
};
const COMPARE: Readonly<Record<string, string>> = {
  Equal: 'eq',
  Less: 'lt',
  LessOrEqual: 'le',
  Greater: 'gt',
  GreaterOrEqual: 'ge',
};
const LOGIC: Readonly<Record<string, string>> = { And: 'and', Or: 'or', Xor: 'xor' };
/** Unary functions that keep integers integers. */
const WHOLE = new Set(['relu', 'neg', 'abs', 'sign', 'not', 'floor', 'ceil', 'round']);

function apply(c: Context, t: Tensor, act: Act, bound = Infinity): Tensor {
  return { ...t, val: c.g.unary(t.val, act), bound };
}

export function unaryRule(node: OnnxNode, c: Context): readonly Tensor[] | null {
  const plain = PLAIN[node.opType];
  if (plain !== undefined) {
    const t = c.tensor(node, 0);
    if (isWhole(t.type) && !WHOLE.has(plain)) fail('integers');
    const bound = plain === 'not' || plain === 'sign' ? 1 : t.bound;
    return [apply(c, t, { fn: plain }, bound)];
  }
  const known = WITH_NUMBERS[node.opType];
  if (known === undefined) return null;
  const alpha = floatAttribute(node, 'alpha') ?? known.alpha;
  if (known.beta === undefined) return [apply(c, c.tensor(node, 0), { fn: known.fn, alpha })];
  const beta = floatAttribute(node, node.opType === 'Selu' ? 'gamma' : 'beta') ?? known.beta;
  return [apply(c, c.tensor(node, 0), { fn: known.fn, alpha, beta })];
}

export function combine(c: Context, fn: string, a: Tensor, b: Tensor): Tensor {
  const { vals, inner, axes } = align(c.g, [a, b], c.batch);
  const val = c.g.binary(fn, vals[0] as Val, vals[1] as Val);
  return laidOut(c.g, val, inner, axes, a.type, resultBound(fn, a, b));
}

function resultBound(fn: string, a: Tensor, b: Tensor): number {
  if (fn === 'add' || fn === 'sub') return a.bound + b.bound;
  if (fn === 'mul') return a.bound * b.bound;
  if (fn === 'div' && !isWhole(a.type)) return Infinity;
  return Math.max(a.bound, b.bound);
}

export function binaryRule(node: OnnxNode, c: Context): readonly Tensor[] | null {
  const { opType } = node;
  const compare = COMPARE[opType];
  if (compare !== undefined) {
    const [a, b] = [c.tensor(node, 0), c.tensor(node, 1)];
    // Rounding keeps the order, and a number below 2^24 is only ever the image of itself.
    if (isWhole(a.type) && a.bound >= EXACT && b.bound >= EXACT)
      fail('a comparison of integers that may be above 2^24');
    return [{ ...combine(c, compare, a, b), type: BOOL, bound: 1 }];
  }
  const logic = LOGIC[opType];
  if (logic !== undefined)
    return [{ ...combine(c, logic, c.tensor(node, 0), c.tensor(node, 1)), type: BOOL, bound: 1 }];
  const fn = BINARY[opType];
  if (fn === undefined) return null;
  const operands = node.inputs.map((_, i) => c.tensor(node, i));
  const [first, ...rest] = operands as [Tensor, ...Tensor[]];
  if (opType === 'Pow' && rest[0] !== undefined) return [power(c, first, rest[0])];
  const result = rest.reduce((a, b) => {
    if (fn === 'div' && isWhole(a.type)) return wholeQuotient(c, a, b);
    return combine(c, fn, a, b);
  }, first);
  if (isWhole(first.type) && fn !== 'max' && fn !== 'min') checkExact(result, `${opType}`);
  return [result];
}

function power(c: Context, base: Tensor, exponent: Tensor): Tensor {
  if (isWhole(base.type)) fail('Pow of integers');
  return { ...combine(c, 'pow', base, exponent), bound: Infinity };
}

/** Division that cuts off; of non-negative numbers by positive constants. */
function wholeQuotient(c: Context, a: Tensor, b: Tensor): Tensor {
  checkExact(a, 'Div');
  const data = b.val.constant?.read();
  if (data === undefined || !data.every((value) => value > 0) || a.bound > EXACT / 2)
    fail('Div of integers');
  const quotient = combine(c, 'div', a, b);
  const sign = c.g.unary(quotient.val, { fn: 'sign' });
  const whole = c.g.unary(c.g.unary(quotient.val, { fn: 'abs' }), { fn: 'floor' });
  return { ...quotient, val: c.g.binary('mul', sign, whole), bound: a.bound };
}

export function where(node: OnnxNode, c: Context): readonly Tensor[] {
  const [test, yes, no] = [c.tensor(node, 0), c.tensor(node, 1), c.tensor(node, 2)];
  const { vals, inner, axes } = align(c.g, [test, yes, no], c.batch);
  const val = c.g.where(vals[0] as Val, vals[1] as Val, vals[2] as Val);
  return [laidOut(c.g, val, inner, axes, yes.type, Math.max(yes.bound, no.bound))];
}

export function clip(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  if ([1, 2].some((at) => c.has(node, at) && c.number(node, at) === null)) {
    const low = c.has(node, 1) ? combine(c, 'max', t, c.tensor(node, 1)) : t;
    return [c.has(node, 2) ? combine(c, 'min', low, c.tensor(node, 2)) : low];
  }
  const limit = (at: number, name: string): number | null =>
    floatAttribute(node, name) ?? (c.has(node, at) ? c.number(node, at) : null);
  const [min, max] = [limit(1, 'min'), limit(2, 'max')];
  const act = {
    fn: 'clip',
    ...(min === null || !(min > -3e38) ? {} : { min }),
    ...(max === null || !(max < 3e38) ? {} : { max }),
  };
  if (act.min === undefined && act.max === undefined) return [t];
  // A limit that f32 rounds would let another integer through.
  if (isWhole(t.type) && Math.max(Math.abs(act.min ?? 0), Math.abs(act.max ?? 0)) > EXACT)
    fail('limits above 2^24');
  const bound =
    isWhole(t.type) && act.min !== undefined && act.max !== undefined
      ? Math.max(Math.abs(act.min), Math.abs(act.max))
      : t.bound;
  return [apply(c, t, act.min === 0 && act.max === undefined ? { fn: 'relu' } : act, bound)];
}

export function prelu(node: OnnxNode, c: Context): readonly Tensor[] {
  const [t, slope] = [c.tensor(node, 0), c.tensor(node, 1)];
  const n = t.inner[t.inner.length - 1];
  const { vals, inner, axes } = align(c.g, [t, slope], c.batch);
  const [x, s] = vals as [Val, Val];
  const alongLast =
    s.constant !== undefined &&
    s.dims.slice(0, -1).every(p.isOne) &&
    (s.dims.length === 0 ||
      p.isOne(s.dims[s.dims.length - 1] as p.Poly) ||
      (n !== undefined && p.equal(s.dims[s.dims.length - 1] as p.Poly, n)));
  if (alongLast) {
    const flat = c.g.reshape(s, s.dims.length === 0 ? [p.ONE] : s.dims.slice(-1));
    const val = c.g.unary(x, { fn: 'prelu', slope: flat });
    return [laidOut(c.g, val, inner, axes, t.type)];
  }
  const scaled = c.g.binary('mul', c.g.binary('min', x, c.g.scalar(0)), s);
  const val = c.g.binary('add', c.g.unary(x, { fn: 'relu' }), scaled);
  return [laidOut(c.g, val, inner, axes, t.type)];
}

export function gelu(node: OnnxNode, c: Context): readonly Tensor[] {
  const tanh = stringAttribute(node, 'approximate') === 'tanh';
  return [apply(c, c.tensor(node, 0), { fn: tanh ? 'gelu_tanh' : 'gelu' })];
}

export function swish(node: OnnxNode, c: Context): readonly Tensor[] {
  const alpha = floatAttribute(node, 'alpha') ?? 1;
  const t = c.tensor(node, 0);
  if (alpha === 1) return [apply(c, t, { fn: 'silu' })];
  const gate = c.g.unary(c.g.unary(t.val, affine(alpha, 0)), { fn: 'sigmoid' });
  return [{ ...t, val: c.g.binary('mul', t.val, gate) }];
}

export function mod(node: OnnxNode, c: Context): readonly Tensor[] {
  const [a, b] = [c.tensor(node, 0), c.tensor(node, 1)];
  const by = b.val.constant?.read();
  if (!isWhole(a.type) || intAttribute(node, 'fmod', 0) !== 0) fail('of floats');
  if (by === undefined || !by.every((value) => value > 0)) fail('by what is not constant');
  if (a.bound > EXACT / 2) fail('of integers that may be above 2^23');
  const quotient = combine(c, 'div', a, b);
  const whole = { ...quotient, val: c.g.unary(quotient.val, { fn: 'floor' }) };
  return [{ ...combine(c, 'sub', a, combine(c, 'mul', whole, b)), bound: b.bound }];
}

const WIDTH: ReadonlyMap<number, number> = new Map([
  [OnnxType.uint8, 2 ** 8 - 1],
  [OnnxType.int8, 2 ** 7 - 1],
  [OnnxType.uint16, 2 ** 16 - 1],
  [OnnxType.int16, 2 ** 15 - 1],
]);
const FLOATS: ReadonlySet<number> = new Set([OnnxType.float, OnnxType.float16, OnnxType.bfloat16]);

export function cast(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const to = node.opType === 'Cast' ? intAttribute(node, 'to', 0) : c.tensor(node, 1).type;
  if (t.type === to) return [t];
  if (to === OnnxType.bool) {
    if (t.type === OnnxType.bool) return [t];
    const val = c.g.binary('ne', t.val, c.g.scalar(0));
    return [{ ...t, val, type: to, bound: 1 }];
  }
  // Rounding to a narrower type is left out: the result is closer to the exact one.
  if (FLOATS.has(to)) return [{ ...t, type: to, bound: isWhole(t.type) ? t.bound : Infinity }];
  if (to === OnnxType.double) {
    if (t.val.constant === undefined) fail('to double');
    return [{ ...t, type: to }];
  }
  if (!isWhole(t.type)) {
    const whole = c.g.unary(c.g.unary(t.val, { fn: 'abs' }), { fn: 'floor' });
    const val = c.g.binary('mul', c.g.unary(t.val, { fn: 'sign' }), whole);
    if (WIDTH.has(to)) fail('to a narrow integer');
    // A float that an integer became is that integer again.
    return [t.bound < EXACT ? { ...t, type: to } : { ...t, val, type: to, bound: Infinity }];
  }
  const limit = WIDTH.get(to);
  if (limit !== undefined && t.bound > limit) fail('to a narrower integer');
  return [{ ...t, type: to }];
}
