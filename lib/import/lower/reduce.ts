/** Sums, means, softmax and normalisations. */
import { floatAttribute, intAttribute } from '../analyze/attributes.js';
import { axesOf } from '../analyze/operands.js';
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import type { OnnxNode } from '../onnx/types.js';
import * as constants from './constant.js';
import { type Context, isWhole } from './context.js';
import { combine } from './elementwise.js';
import {
  BATCH,
  batchAxis,
  full,
  fullAt,
  hasBatch,
  innerAxis,
  normalAxis,
  onnxDims,
  shared,
  type Tensor,
} from './tensor.js';
import { fail, numbers, type Val } from './value.js';
import { reshape, squeeze } from './views.js';

const REDUCE: Readonly<Record<string, string>> = {
  ReduceSum: 'sum',
  ReduceMean: 'mean',
  ReduceMax: 'max',
  ReduceMin: 'min',
  ReduceSumSquare: 'sumsq',
  ReduceL2: 'l2',
  ReduceL1: 'l1',
  ReduceProd: 'prod',
  ReduceLogSumExp: 'logsumexp',
};

export function reduceRule(node: OnnxNode, c: Context): readonly Tensor[] | null {
  const fn = REDUCE[node.opType];
  if (fn === undefined) return null;
  const t = c.tensor(node, 0);
  const rank = t.axes.length;
  const given = axesOf(node, c.smalls(node), 1);
  if (given === undefined) return fail('axes that are not constant');
  if ((given === null || given.length === 0) && intAttribute(node, 'noop_with_empty_axes', 0) === 1)
    return [t];
  const axes =
    given === null || given.length === 0
      ? t.axes.map((_, i) => i)
      : given.map((axis) => normalAxis(axis, rank));
  const result = reduced(c, t, fn, axes);
  return [intAttribute(node, 'keepdims', 1) === 1 ? result : squeeze(c.g, result, axes)];
}

/** Keeps the reduced axes, of size 1. */
export function reduced(c: Context, t: Tensor, fn: string, axes: readonly number[]): Tensor {
  const inner = axes.map((axis) => innerAxis(t, axis, 'a reduction'));
  const isIdempotent = fn === 'max' || fn === 'min' || fn === 'mean';
  const val = c.g.reduce(isIdempotent ? t.val : fullAt(c.g, t, inner), fn, inner, true);
  return {
    ...t,
    val,
    inner: t.inner.map((n, i) => (inner.includes(i) ? p.ONE : n)),
    bound: reducedBound(t, fn, inner),
  };
}

function reducedBound(t: Tensor, fn: string, inner: readonly number[]): number {
  if (fn === 'max' || fn === 'min') return t.bound;
  if (fn !== 'sum') {
    if (isWhole(t.type)) fail('a reduction of integers');
    return Infinity;
  }
  // Of a free dimension there are never so many that a sum of flags is not exact.
  const terms = inner.reduce((n, i) => n * (p.constant(t.inner[i] as Poly) ?? 1), 1);
  if (isWhole(t.type) && t.bound * terms > 2 ** 24)
    fail('a sum of integers that may be above 2^24');
  return t.bound * terms;
}

export function softmax(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const rank = t.axes.length;
  const log = node.opType === 'LogSoftmax';
  const old = c.opset < 13;
  const axis = normalAxis(intAttribute(node, 'axis', old ? 1 : -1), rank);
  if (old && axis < rank - 1) {
    const dims = onnxDims(t, c.batch);
    const flat = reshape(c.g, t, [...dims.slice(0, axis), p.product(dims.slice(axis))], c.batch);
    const at = innerAxis(flat, axis, 'softmax');
    const done = { ...flat, val: c.g.softmax(fullAt(c.g, flat, [at]), at, log) };
    return [reshape(c.g, done, dims, c.batch)];
  }
  const at = innerAxis(t, axis, 'softmax');
  return [{ ...t, val: c.g.softmax(fullAt(c.g, t, [at]), at, log), bound: Infinity }];
}

/** A constant of the trailing shape, or null. */
function trailing(c: Context, t: Tensor, dims: readonly Poly[]): Val | null {
  if (t.val.constant === undefined) return null;
  const lead = t.val.dims.slice(0, Math.max(0, t.val.dims.length - dims.length));
  if (!lead.every(p.isOne)) return null;
  return c.g.expand(c.g.reshape(t.val, t.val.dims.slice(lead.length)), dims);
}

export function layerNorm(node: OnnxNode, c: Context): readonly Tensor[] {
  const rms = node.opType !== 'LayerNormalization';
  if (node.outputs.slice(1).some((name) => name !== '' && c.entries.get(name) !== undefined))
    fail('its statistics are used');
  const t = c.tensor(node, 0);
  const rank = t.axes.length;
  const axis = normalAxis(intAttribute(node, 'axis', -1), rank);
  const count = rank - axis;
  if (t.axes.slice(axis).some(hasBatch)) fail('over the batch');
  const val = full(c.g, t);
  const dims = val.dims.slice(-count);
  const eps = floatAttribute(node, 'epsilon') ?? 1e-5;
  const side = (at: number): Val | null | undefined =>
    c.has(node, at) ? trailing(c, c.tensor(node, at), dims) : undefined;
  const [gamma, beta] = [side(1), rms ? undefined : side(2)];
  if (gamma !== null && beta !== null && numbers(dims) !== null)
    return [{ ...t, val: c.g.layerNorm(val, count, eps, gamma, beta, rms), bound: Infinity }];
  let result: Tensor = {
    ...t,
    val: c.g.layerNorm(val, count, eps, undefined, undefined, rms),
    bound: Infinity,
  };
  if (c.has(node, 1)) result = combine(c, 'mul', result, c.tensor(node, 1));
  if (!rms && c.has(node, 2)) result = combine(c, 'add', result, c.tensor(node, 2));
  return [result];
}

export function batchNorm(node: OnnxNode, c: Context): readonly Tensor[] {
  if (intAttribute(node, 'training_mode', 0) !== 0) fail('in training mode');
  const t = c.tensor(node, 0);
  const eps = floatAttribute(node, 'epsilon') ?? 1e-5;
  const [gamma, beta, mean, variance] = [1, 2, 3, 4].map((at) => c.constant(node, at)?.read());
  if (!gamma || !beta || !mean || !variance) return fail('parameters that are not constant');
  const scale = Float32Array.from(
    gamma,
    (value, i) => value / Math.sqrt((variance[i] as number) + eps),
  );
  const shift = Float32Array.from(
    beta,
    (value, i) => value - (mean[i] as number) * (scale[i] as number),
  );
  const n = scale.length;
  const channel = t.axes[1];
  if (channel === undefined) {
    if (n !== 1) fail('of a vector');
  } else innerAxis(t, 1, 'normalised');
  const dims = [n, ...t.axes.slice(2).map(() => 1)];
  const constant = (data: Float32Array, name: string): Tensor =>
    shared(c.g.constant(constants.ofValues(dims, data), `${node.inputs[1]}.${name}`), t.type);
  const scaled = combine(c, 'mul', t, constant(scale, 'scale'));
  return [combine(c, 'add', scaled, constant(shift, 'shift'))];
}

export function lpNorm(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const order = intAttribute(node, 'p', 2);
  const axis = normalAxis(intAttribute(node, 'axis', -1), t.axes.length);
  if (order !== 1 && order !== 2) fail(`p = ${order}`);
  return [combine(c, 'div', t, reduced(c, t, order === 1 ? 'l1' : 'l2', [axis]))];
}

/** InstanceNormalization and GroupNormalization: layer norms of groups of channels. */
export function groupNorm(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const dims = onnxDims(t, c.batch);
  if (batchAxis(t) !== 0 || t.axes[0]?.length !== 1 || t.axes[0][0] !== BATCH || dims.length < 2)
    return fail('the batch is not in front');
  const channels = p.constant(dims[1] as Poly);
  if (channels === null) return fail('channels of free number');
  const groups =
    node.opType === 'GroupNormalization' ? intAttribute(node, 'num_groups', 1) : channels;
  const eps = floatAttribute(node, 'epsilon') ?? 1e-5;
  const rest = p.divide(p.product(dims.slice(1)), p.poly(groups));
  if (rest === null) return fail('groups of different size');
  const grouped = reshape(c.g, t, [c.batch, p.poly(groups), rest], c.batch);
  const val = c.g.layerNorm(full(c.g, grouped), 1, eps, undefined, undefined, false);
  const normal = reshape(c.g, { ...grouped, val, bound: Infinity }, dims, c.batch);
  const side = (at: number): Tensor => {
    const own = c.tensor(node, at);
    const n = p.constant(own.inner[0] ?? p.ONE) as number;
    const tail = dims.slice(2).map(() => p.ONE);
    if (n === channels) return reshape(c.g, own, [p.poly(n), ...tail], c.batch);
    const whole = full(c.g, own);
    if (whole.constant === undefined) return fail('parameters that are not constant');
    const each = Array.from({ length: channels }, (_, i) => Math.floor(i / (channels / n)));
    return reshape(
      c.g,
      { ...own, val: c.g.gather(whole, 0, each), inner: [p.poly(channels)] },
      [p.poly(channels), ...tail],
      c.batch,
    );
  };
  return [combine(c, 'add', combine(c, 'mul', normal, side(1)), side(2))];
}
