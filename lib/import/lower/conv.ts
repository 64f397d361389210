/** Convolutions with constant weights as one product over what each window holds; pooling. */
import { intAttribute, intsAttribute, stringAttribute } from '../analyze/attributes.js';
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import type { OnnxNode } from '../onnx/types.js';
import type { Context } from './context.js';
import { combine } from './elementwise.js';
import { matMul } from './matrix.js';
import { reduced } from './reduce.js';
import { full, onnxDims, shared, type Tensor } from './tensor.js';
import { affine, fail, numbers } from './value.js';
import { padAxis } from './view-rules.js';
import { concat, reshape, slice, transpose, unsqueeze } from './views.js';

/** Slices side by side are copies of their operand: more than that are not worth it. */
const MOST_TAPS = 256;

/** Along each spatial axis. */
interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
}

function windowOf(node: OnnxNode, kernel: readonly number[]): Window {
  const ones = kernel.map(() => 1);
  const strides = intsAttribute(node, 'strides') ?? ones;
  const dilations = intsAttribute(node, 'dilations') ?? ones;
  const auto = stringAttribute(node, 'auto_pad') ?? 'NOTSET';
  const n = kernel.length;
  let pads = intsAttribute(node, 'pads') ?? [...kernel, ...kernel].map(() => 0);
  if (auto.startsWith('SAME')) {
    if (strides.some((s) => s !== 1)) fail(`auto_pad ${auto} with strides`);
    const spans = kernel.map((k, i) => (dilations[i] as number) * (k - 1));
    const less = spans.map((span) => Math.floor(span / 2));
    const more = spans.map((span) => Math.ceil(span / 2));
    pads = auto === 'SAME_LOWER' ? [...more, ...less] : [...less, ...more];
  } else if (auto !== 'NOTSET') {
    pads = pads.map(() => 0);
  }
  if ([strides, dilations].some((list) => list.length !== n) || pads.length !== 2 * n)
    fail('a window of another rank');
  if (pads.some((by) => by < 0)) fail('padding by less than nothing');
  return { kernel, strides, dilations, before: pads.slice(0, n), after: pads.slice(n) };
}

/** How many places a window has along a spatial axis. */
function places(size: Poly, w: Window, i: number): Poly {
  const span = (w.dilations[i] as number) * ((w.kernel[i] as number) - 1);
  const stride = w.strides[i] as number;
  if (stride === 1) return p.add(size, p.poly(span), -1);
  const n = p.constant(size) ?? fail('strides along a free dimension');
  return p.poly(Math.floor((n - span - 1) / stride) + 1);
}

/** For each position in the window, what lies there for each place of it; in order. */
function taps(c: Context, t: Tensor, w: Window, axes: readonly number[]): Tensor[] {
  let parts: Tensor[] = [t];
  for (const i of axes) {
    const size = onnxDims(t, c.batch)[i + 2] as Poly;
    const count = places(size, w, i);
    if ((p.constant(count) ?? 1) < 1) fail('a window larger than what it is over');
    const kernel = w.kernel[i] as number;
    if (parts.length * kernel > MOST_TAPS) fail('a window of many positions');
    parts = parts.flatMap((part) =>
      Array.from({ length: kernel }, (_, at) =>
        slice(c.g, part, i + 2, at * (w.dilations[i] as number), w.strides[i] as number, count),
      ),
    );
  }
  return parts;
}

function padded(c: Context, t: Tensor, w: Window, value: number): Tensor {
  return w.kernel.reduce(
    (x, _, i) => padAxis(c, x, i + 2, w.before[i] as number, w.after[i] as number, value),
    t,
  );
}

export function conv(node: OnnxNode, c: Context): readonly Tensor[] {
  if (intAttribute(node, 'group', 1) !== 1) return fail('groups of channels');
  const weights = full(c.g, c.tensor(node, 1));
  const dims = numbers(weights.dims) ?? fail('weights of free size');
  const x = c.tensor(node, 0);
  const rank = x.axes.length;
  if (weights.constant === undefined || rank < 3 || dims.length !== rank)
    return fail('weights that are not constant');
  const [m, channels, ...kernel] = dims as [number, number, ...number[]];
  const w = windowOf(node, kernel);
  const t = padded(c, x, w, 0);
  const sizes = onnxDims(t, c.batch);
  // A window as wide as its axis has one place: the axis is summed over like the channels.
  const whole = kernel.flatMap((k, i) =>
    k > 1 && p.constant(sizes[i + 2] as Poly) === k && w.dilations[i] === 1 ? [i] : [],
  );
  const moving = kernel.flatMap((_, i) => (whole.includes(i) ? [] : [i]));
  const joined = concatOf(c, taps(c, t, w, moving));
  const spatial = (list: readonly number[]): number[] => list.map((i) => i + 2);
  const rows = transpose(c.g, joined, [0, ...spatial(moving), 1, ...spatial(whole)]);
  const terms = kernel.reduce((a, b) => a * b, channels);
  const merged = [...onnxDims(rows, c.batch).slice(0, 1 + moving.length), p.poly(terms)];
  const flat = whole.length === 0 ? rows : reshape(c.g, rows, merged, c.batch);
  const order = [...spatial(moving), 1, ...spatial(whole), 0];
  const matrix = c.g.reshape(c.g.transpose(weights, order), [p.poly(terms), p.poly(m)]);
  let y = matMul(c, flat, shared(matrix, x.type));
  if (c.has(node, 2)) y = combine(c, 'add', y, c.tensor(node, 2));
  const last = 1 + moving.length;
  const back = transpose(c.g, y, [0, last, ...moving.map((_, i) => i + 1)]);
  return [whole.length === 0 ? back : unsqueeze(c.g, back, spatial(whole))];
}

function concatOf(c: Context, parts: readonly Tensor[]): Tensor {
  return parts.length === 1 ? (parts[0] as Tensor) : concat(c.g, parts, 1, c.batch);
}

export function pool(node: OnnxNode, c: Context): readonly Tensor[] {
  const t = c.tensor(node, 0);
  const isMax = node.opType.endsWith('MaxPool');
  const fn = isMax ? 'max' : 'mean';
  const spatial = t.axes.slice(2).map((_, i) => i + 2);
  if (node.opType.startsWith('Global')) return [reduced(c, t, fn, spatial)];
  const w = windowOf(node, intsAttribute(node, 'kernel_shape') ?? fail('no kernel_shape'));
  if (w.kernel.length !== spatial.length) return fail('a window of another rank');
  if (intAttribute(node, 'ceil_mode', 0) !== 0) return fail('ceil_mode');
  if (node.outputs.length > 1 && node.outputs[1] !== '') return fail('positions of the largest');
  const pads = [...w.before, ...w.after].some((n) => n > 0);
  if (!isMax && pads && intAttribute(node, 'count_include_pad', 0) === 0)
    return fail('windows of several sizes');
  const all = padded(c, t, w, isMax ? -Infinity : 0);
  const sizes = onnxDims(all, c.batch);
  if (w.kernel.every((k, i) => p.constant(sizes[i + 2] as Poly) === k && w.dilations[i] === 1))
    return [reduced(c, all, fn, spatial)];
  const parts = taps(c, all, w, Array.from(spatial.keys()));
  const [first, ...rest] = parts as [Tensor, ...Tensor[]];
  const sum = rest.reduce((a, b) => combine(c, isMax ? 'max' : 'add', a, b), first);
  if (isMax) return [sum];
  return [{ ...sum, val: c.g.unary(sum.val, affine(1 / parts.length, 0)), bound: Infinity }];
}
