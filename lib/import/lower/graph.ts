/**
 * The fused graph while it is made: values that refer to their operands. Equal nodes are one; what
 * is trivially nothing (a reshape to the same shape, a slice of everything) is not made.
 */
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import type { DtypeName } from '../manifest.js';
import { actFunction, binaryFunction } from './acts.js';
import type { Constant } from './constant.js';
import * as constants from './constant.js';
import { numberWith, withNumber } from './number-operand.js';
import {
  type Act,
  type Attributes,
  affine,
  attributeValues,
  broadcast,
  type Dims,
  dimsText,
  extent,
  fail,
  isTruth,
  numbers,
  type Op,
  sameDims,
  sizeText,
  swapsLast,
  type Val,
} from './value.js';

export class Graph {
  private readonly known = new Map<string, Val>();
  private next = 0;

  input(name: string, dtype: DtypeName, dims: Dims, batched: boolean): Val {
    return this.make({ op: 'input', in: [], a: {}, dims, batched, name, dtype }, `input ${name}`);
  }

  constant(constant: Constant, name: string): Val {
    const dims = constant.dims.map(p.poly);
    const key =
      constants.count(constant) <= 256
        ? `const ${constant.dims.join()} ${[...constant.read()].map((x) => (Object.is(x, -0) ? '-0' : x)).join()}`
        : null;
    return this.make({ op: 'const', in: [], a: {}, dims, batched: false, name, constant }, key);
  }

  scalar(value: number): Val {
    return this.constant(constants.ofValues([], [value]), 'scalar');
  }

  /** [n] times the same number. */
  constantOf(n: Poly, value: number): Val {
    const size = p.constant(n);
    if (size === null) fail(`a constant of free size`);
    return this.constant(constants.ofValues([size], new Float32Array(size).fill(value)), 'filled');
  }

  node(op: Op, operands: readonly Val[], a: Attributes, dims: Dims): Val {
    const batched = [...operands, ...attributeValues(a)].some((v) => v.batched);
    const attributes = Object.entries(a)
      .filter(([, value]) => value !== undefined)
      .sort(([x], [y]) => (x < y ? -1 : 1));
    const key = JSON.stringify(
      [op, operands.map((v) => v.id), attributes, dimsText(dims)],
      replace,
    );
    return this.make({ op, in: operands, a, dims, batched, name: '' }, key);
  }

  private make(parts: Omit<Val, 'id'>, key: string | null): Val {
    const found = key === null ? undefined : this.known.get(key);
    if (found !== undefined) return found;
    const value = { id: this.next++, ...parts };
    if (key !== null) this.known.set(key, value);
    return value;
  }

  reshape(x: Val, dims: Dims): Val {
    if (sameDims(x.dims, dims)) return x;
    if (x.constant !== undefined) {
      const sizes = numbers(dims);
      if (sizes !== null) return this.constant(constants.reshaped(x.constant, sizes), x.name);
    }
    if (x.op === 'reshape') return this.reshape(x.in[0] as Val, dims);
    if (dims.filter((size) => extent(size) === null).length > 1)
      fail(`shape ${dimsText(dims)} has two sizes that are not one symbol`);
    checkRank(dims);
    return this.node('reshape', [x], {}, dims);
  }

  transpose(x: Val, perm: readonly number[]): Val {
    if (perm.every((axis, i) => axis === i)) return x;
    const dims = perm.map((axis) => x.dims[axis] as Poly);
    const moving = perm.filter((axis) => !p.isOne(x.dims[axis] as Poly));
    if (moving.every((axis, i) => i === 0 || axis > (moving[i - 1] as number)))
      return this.reshape(x, dims);
    if (x.constant !== undefined)
      return this.constant(constants.transposed(x.constant, perm), x.name);
    if (x.op === 'transpose') {
      const inner = x.a.axes as readonly number[];
      return this.transpose(
        x.in[0] as Val,
        perm.map((axis) => inner[axis] as number),
      );
    }
    return this.node('transpose', [x], { axes: perm }, dims);
  }

  expand(x: Val, dims: Dims): Val {
    if (sameDims(x.dims, dims)) return x;
    checkRank(dims);
    const sizes = numbers(dims);
    if (x.constant !== undefined && sizes !== null) {
      const zero = constants.ofValues([], [0]);
      const total = sizes.reduce((a, b) => a * b, 1);
      if (total <= constants.SMALL)
        return this.constant(
          constants.combined(x.constant, zero, sizes, (value) => value),
          x.name,
        );
    }
    for (const size of dims)
      if (extent(size) === null) fail(`size ${sizeText(size)} is not one symbol`);
    return this.node('expand', [x], {}, dims);
  }

  slice(x: Val, axis: number, start: number, step: number, size: Poly): Val {
    const full = x.dims[axis] as Poly;
    if (start === 0 && step === 1 && p.equal(full, size)) return x;
    const n = p.constant(full);
    const from = n !== null && start < 0 ? start + n : start;
    const dims = x.dims.map((old, i) => (i === axis ? size : old));
    const m = p.constant(size);
    if (x.constant !== undefined && m !== null && constants.count(x.constant) <= constants.SMALL)
      return this.gather(
        x,
        axis,
        Array.from({ length: m }, (_, i) => from + i * step),
      );
    if (extent(size) === null) fail(`size ${sizeText(size)} is not one symbol`);
    if (p.sign(size) !== 1) fail('a slice may be empty');
    if (x.op === 'slice' && x.a.axis === axis && from >= 0 && (x.a.start as number) >= 0) {
      const outer = x.a.step as number;
      return this.slice(
        x.in[0] as Val,
        axis,
        (x.a.start as number) + from * outer,
        step * outer,
        size,
      );
    }
    if (x.op === 'concat' && x.a.axis === axis && step === 1 && m !== null && from >= 0) {
      let at = 0;
      for (const part of x.in) {
        const width = p.constant(part.dims[axis] as Poly);
        if (width === null || at > from) break;
        if (from + m <= at + width) return this.slice(part, axis, from - at, 1, size);
        at += width;
      }
    }
    return this.node('slice', [x], { axis, start: from, step }, dims);
  }

  /** Positions along an axis of fixed size. */
  gather(x: Val, axis: number, indices: readonly number[]): Val {
    const n = p.constant(x.dims[axis] as Poly);
    if (n === null) fail('positions are picked along a free dimension');
    for (const index of indices) if (index < 0 || index >= n) fail('a picked position is outside');
    if (indices.length === 0) fail('nothing is picked');
    const size = p.poly(indices.length);
    const dims = x.dims.map((old, i) => (i === axis ? size : old));
    const sizes = numbers(x.dims);
    if (
      x.constant !== undefined &&
      sizes !== null &&
      constants.count(x.constant) <= constants.SMALL
    ) {
      const { constant } = x;
      const inner = sizes.slice(axis + 1).reduce((a, b) => a * b, 1);
      const outer = sizes.slice(0, axis).reduce((a, b) => a * b, 1);
      const read = (): Float32Array => {
        const data = constant.read();
        const out = new Float32Array(outer * indices.length * inner);
        for (let o = 0; o < outer; o++)
          indices.forEach((index, k) => {
            const from = (o * n + index) * inner;
            out.set(data.subarray(from, from + inner), (o * indices.length + k) * inner);
          });
        return out;
      };
      return this.constant(constants.small(numbers(dims) as number[], read), x.name);
    }
    const first = indices[0] as number;
    const step = indices.length > 1 ? (indices[1] as number) - first : 1;
    if (step !== 0 && indices.every((index, i) => index === first + i * step))
      return this.slice(x, axis, first, step, size);
    if (indices.length > 1 << 20) fail('too many positions are picked');
    return this.node('gather', [x], { axis, indices }, dims);
  }

  concat(parts: readonly Val[], axis: number): Val {
    const flat = parts.flatMap((part) =>
      part.op === 'concat' && part.a.axis === axis ? part.in : [part],
    );
    const joined: Val[] = [];
    for (const part of flat) {
      const last = joined[joined.length - 1];
      const whole = last === undefined ? null : this.adjacent(last, part, axis);
      if (whole === null) joined.push(part);
      else joined[joined.length - 1] = whole;
    }
    const [first] = joined;
    if (first !== undefined && joined.length === 1) return first;
    const size = joined.map((part) => part.dims[axis] as Poly).reduce((a, b) => p.add(a, b));
    const dims = (first as Val).dims.map((old, i) => (i === axis ? size : old));
    for (const part of joined)
      if (!sameDims(part.dims.with(axis, p.ONE), dims.with(axis, p.ONE)))
        fail('joined shapes differ');
    return this.node('concat', joined, { axis }, dims);
  }

  /** Two slices that lie beside each other in one value. */
  private adjacent(a: Val, b: Val, axis: number): Val | null {
    if (a.op !== 'slice' || b.op !== 'slice' || a.in[0] !== b.in[0]) return null;
    if (a.a.axis !== axis || b.a.axis !== axis || a.a.step !== 1 || b.a.step !== 1) return null;
    const width = p.constant(a.dims[axis] as Poly);
    const start = a.a.start as number;
    if (width === null || start < 0 || start + width !== b.a.start) return null;
    return this.slice(
      a.in[0] as Val,
      axis,
      start,
      1,
      p.add(a.dims[axis] as Poly, b.dims[axis] as Poly),
    );
  }

  unary(x: Val, act: Act): Val {
    if (act.fn === 'neg') return this.unary(x, affine(-1, 0));
    if (act.fn === 'affine' && act.alpha === 1 && act.beta === 0) return x;
    const { alpha = 0, beta = 0, min = -Infinity, max = Infinity } = act;
    const f = actFunction(act.fn, alpha, beta, min, max);
    if (x.constant !== undefined && f !== null)
      return this.constant(constants.mapped(x.constant, f), x.name);
    const inner = x.op === 'unary' ? x.a.act : undefined;
    if (act.fn === 'affine' && inner?.fn === 'affine') {
      const [a, b] = [inner.alpha ?? 1, inner.beta ?? 0];
      return this.unary(x.in[0] as Val, affine(alpha * a, alpha * b + beta));
    }
    if (act.fn === 'not' && x.op === 'binary' && x.a.act === undefined) {
      const [a, b] = x.in as [Val, Val];
      if (x.a.fn === 'eq') return this.binary('ne', a, b);
      if (x.a.fn === 'ne') return this.binary('eq', a, b);
    }
    if (act.fn === 'not' && inner?.fn === 'not') {
      const [base] = x.in as [Val];
      return isTruth(base) ? base : this.binary('ne', base, this.scalar(0));
    }
    if (act.fn === 'reciprocal' && inner?.fn === 'sqrt')
      return this.unary(x.in[0] as Val, { fn: 'rsqrt' });
    return this.node('unary', [x], { act }, x.dims);
  }

  binary(fn: string, a: Val, b: Val): Val {
    const dims = broadcast([a.dims, b.dims]);
    checkRank(dims);
    const sizes = numbers(dims);
    if (a.constant !== undefined && b.constant !== undefined && sizes !== null)
      return this.constant(
        constants.combined(a.constant, b.constant, sizes, binaryFunction(fn)),
        a.name === 'scalar' ? b.name : a.name,
      );
    if (a === b && fn === 'mul') return this.unary(a, { fn: 'square' });
    if (a === b && fn === 'add') return this.unary(a, affine(2, 0));
    const right = b.constant === undefined ? null : constants.uniformValue(b.constant);
    if (right !== null && Number.isFinite(right) && sameDims(dims, a.dims)) {
      const acts = withNumber(fn, right);
      if (acts !== null) return this.chain(a, acts);
    }
    const left = a.constant === undefined ? null : constants.uniformValue(a.constant);
    if (left !== null && Number.isFinite(left) && sameDims(dims, b.dims)) {
      const acts = numberWith(fn, left);
      if (acts !== null) return this.chain(b, acts);
    }
    if (
      a.constant !== undefined &&
      ['add', 'mul', 'max', 'min', 'eq', 'ne', 'and', 'or', 'xor'].includes(fn)
    )
      return this.node('binary', [b, a], { fn }, dims);
    return this.node('binary', [a, b], { fn }, dims);
  }

  private chain(x: Val, acts: readonly Act[]): Val {
    return acts.reduce((value, act) => this.unary(value, act), x);
  }

  where(c: Val, a: Val, b: Val): Val {
    const dims = broadcast([c.dims, a.dims, b.dims]);
    checkRank(dims);
    const test = c.constant === undefined ? null : constants.uniformValue(c.constant);
    if (test !== null) {
      const chosen = test !== 0 ? a : b;
      if (sameDims(chosen.dims, dims)) return chosen;
    }
    const [inner, zero] = c.in;
    if (inner !== undefined && c.op === 'unary' && c.a.act?.fn === 'not')
      return this.where(inner, b, a);
    const isNonZero = c.op === 'binary' && c.a.fn === 'ne' && c.a.act === undefined;
    if (inner !== undefined && isNonZero && zero?.constant !== undefined)
      if (constants.uniformValue(zero.constant) === 0 && sameDims(inner.dims, c.dims))
        return this.where(inner, a, b);
    return this.node('where', [c, a, b], {}, dims);
  }

  /** x [..., K] · w [K, N] */
  linear(x: Val, w: Val, a: Attributes = {}): Val {
    const k = x.dims[x.dims.length - 1];
    if (k === undefined || !p.equal(k, w.dims[0] as Poly)) fail('sizes of a product differ');
    return this.node('linear', [x, w], a, [...x.dims.slice(0, -1), w.dims[1] as Poly]);
  }

  matmul(a: Val, b: Val, ta: boolean, tb: boolean, scale: number): Val {
    const [left, right] = [this.rowsKept(a), this.rowsKept(b)];
    if (left !== null) return this.matmul(left, b, !ta, tb, scale);
    if (right !== null) return this.matmul(a, right, ta, !tb, scale);
    const side = (x: Val, t: boolean): [Poly, Poly] => {
      const [r, c] = x.dims.slice(-2) as [Poly, Poly];
      return t ? [c, r] : [r, c];
    };
    const [m, k] = side(a, ta);
    const [k2, n] = side(b, tb);
    if (!p.equal(k, k2)) fail('sizes of a product differ');
    const dims = [...broadcast([a.dims.slice(0, -2), b.dims.slice(0, -2)]), m, n];
    checkRank(dims);
    return this.node('matmul', [a, b], { ta, tb, scale }, dims);
  }

  /** A transposition that scatters rows, without its last swap, so that rows stay whole. */
  private rowsKept(x: Val): Val | null {
    if (swapsLast(x)) return x.in[0] as Val;
    if (x.op !== 'transpose') return null;
    const perm = x.a.axes as readonly number[];
    const r = perm.length;
    if (perm[r - 2] !== r - 1) return null;
    const swapped = [...perm.slice(0, -2), perm[r - 1] as number, perm[r - 2] as number];
    return this.transpose(x.in[0] as Val, swapped);
  }

  reduce(x: Val, fn: string, axes: readonly number[], keep: boolean): Val {
    if (axes.length === 0) return x;
    const dims = x.dims.flatMap((size, i) => (axes.includes(i) ? (keep ? [p.ONE] : []) : [size]));
    const trivial = axes.every((axis) => p.isOne(x.dims[axis] as Poly));
    if (trivial && (fn === 'sum' || fn === 'mean' || fn === 'max' || fn === 'min' || fn === 'prod'))
      return this.reshape(x, dims);
    return this.node('reduce', [x], { fn, axes: [...axes].sort((a, b) => a - b), keep }, dims);
  }

  softmax(x: Val, axis: number, log: boolean): Val {
    return this.node('softmax', [x], { axis, log }, x.dims);
  }

  layerNorm(
    x: Val,
    count: number,
    eps: number,
    gamma: Val | undefined,
    beta: Val | undefined,
    rms: boolean,
  ): Val {
    return this.node('layer_norm', [x], { axes: [count], eps, gamma, beta, rms }, x.dims);
  }

  iota(size: Poly): Val {
    const n = p.constant(size);
    if (n !== null)
      return this.constant(
        constants.ofValues(
          [n],
          Array.from({ length: n }, (_, i) => i),
        ),
        'iota',
      );
    if (extent(size) === null) fail(`size ${sizeText(size)} is not one symbol`);
    return this.node('iota', [], {}, [size]);
  }
}

function checkRank(dims: Dims): void {
  if (dims.length > 7) fail('a value has more than 7 dimensions');
}

function replace(_key: string, value: unknown): unknown {
  if (typeof value === 'object' && value !== null && 'op' in value) return `v${(value as Val).id}`;
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  return value;
}
