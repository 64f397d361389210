/**
 * Runs a fused graph row by row in double precision, by the letter of docs/fused-format.md: the
 * reference for what the importer lowers. It checks shapes as a reader of the file would.
 */
import type { Emitted, FusedNode } from '../../../lib/import/lower/index.js';

export interface Array_ {
  dims: number[];
  data: ArrayLike<number>;
}

interface Value extends Array_ {
  batched: boolean;
}

const size = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

function strides(dims: readonly number[]): number[] {
  return dims.map((_, i) => size(dims.slice(i + 1)));
}

/** All positions of a shape, in order. */
function* positions(dims: readonly number[]): Generator<number[]> {
  const total = size(dims);
  const steps = strides(dims);
  for (let i = 0; i < total; i++)
    yield dims.map((n, axis) => Math.floor(i / (steps[axis] as number)) % n);
}

function at(value: Array_, index: readonly number[]): number {
  const missing = index.length - value.dims.length;
  let offset = 0;
  value.dims.forEach((n, axis) => {
    offset = offset * n + (n === 1 ? 0 : (index[axis + missing] as number));
  });
  return value.data[offset] as number;
}

function make(dims: number[], f: (index: number[]) => number): Array_ {
  return { dims, data: Float64Array.from(positions(dims), f) };
}

function together(shapes: readonly number[][]): number[] {
  const rank = Math.max(...shapes.map((dims) => dims.length));
  return Array.from({ length: rank }, (_, i) => {
    const sizes = shapes.map((dims) => dims[i - (rank - dims.length)] ?? 1).filter((n) => n !== 1);
    if (sizes.some((n) => n !== sizes[0])) throw new Error(`shapes ${shapes.join(' and ')}`);
    return sizes[0] ?? 1;
  });
}

function erf(x: number): number {
  const steps = 2000;
  const end = Math.min(Math.abs(x), 6);
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const weight = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
    sum += weight * Math.exp(-(((end * i) / steps) ** 2));
  }
  return (Math.sign(x) * 2 * sum * end) / steps / 3 / Math.sqrt(Math.PI);
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const softplus = (x: number): number => (x > 30 ? x : Math.log1p(Math.exp(x)));
type Act = NonNullable<FusedNode['act']>;

function actOf(
  act: Act | undefined,
  values: readonly Value[],
): (x: number, last: number) => number {
  if (act === undefined) return (x) => x;
  const { fn, alpha = 0, beta = 0, min = -Infinity, max = Infinity } = act;
  const entry = (number: number | undefined, last: number): number => {
    const { data } = values[number as number] as Value;
    return data[data.length === 1 ? 0 : last] as number;
  };
  const functions: Record<string, (x: number, last: number) => number> = {
    relu: (x) => (x > 0 ? x : 0),
    sigmoid,
    tanh: Math.tanh,
    exp: Math.exp,
    log: Math.log,
    sqrt: Math.sqrt,
    rsqrt: (x) => 1 / Math.sqrt(x),
    neg: (x) => -x,
    abs: Math.abs,
    reciprocal: (x) => 1 / x,
    square: (x) => x * x,
    erf,
    sign: Math.sign,
    not: (x) => (x === 0 ? 1 : 0),
    floor: Math.floor,
    ceil: Math.ceil,
    round: (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)),
    softplus,
    softsign: (x) => x / (1 + Math.abs(x)),
    silu: (x) => x * sigmoid(x),
    gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
    gelu_tanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    hard_swish: (x) => x * Math.max(0, Math.min(1, x / 6 + 0.5)),
    mish: (x) => x * Math.tanh(softplus(x)),
    cos: Math.cos,
    sin: Math.sin,
    leaky_relu: (x) => (x >= 0 ? x : alpha * x),
    elu: (x) => (x >= 0 ? x : alpha * (Math.exp(x) - 1)),
    celu: (x) => Math.max(0, x) + Math.min(0, alpha * (Math.exp(x / alpha) - 1)),
    thresholded_relu: (x) => (x > alpha ? x : 0),
    hard_sigmoid: (x) => Math.max(0, Math.min(1, alpha * x + beta)),
    selu: (x) => beta * (x > 0 ? x : alpha * (Math.exp(x) - 1)),
    clip: (x) => Math.min(Math.max(x, min), max),
    affine: (x) => alpha * x + beta,
    prelu: (x, last) => (x > 0 ? x : entry(act.slope, last) * x),
    dice: (x, last) => {
      const p = sigmoid(entry(act.scale, last) * x + entry(act.shift, last));
      return x * (p + entry(alpha, last) * (1 - p));
    },
  };
  const found = functions[fn];
  if (found === undefined) throw new Error(`act ${fn}`);
  return found;
}

const BINARY: Record<string, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  max: Math.max,
  min: Math.min,
  pow: (a, b) => a ** b,
  eq: (a, b) => Number(a === b),
  ne: (a, b) => Number(a !== b),
  lt: (a, b) => Number(a < b),
  le: (a, b) => Number(a <= b),
  gt: (a, b) => Number(a > b),
  ge: (a, b) => Number(a >= b),
  and: (a, b) => Number(a !== 0 && b !== 0),
  or: (a, b) => Number(a !== 0 || b !== 0),
  xor: (a, b) => Number((a !== 0) !== (b !== 0)),
};

const REDUCE: Record<string, (list: number[]) => number> = {
  sum: (list) => list.reduce((a, b) => a + b, 0),
  mean: (list) => list.reduce((a, b) => a + b, 0) / list.length,
  max: (list) => Math.max(...list),
  min: (list) => Math.min(...list),
  sumsq: (list) => list.reduce((a, b) => a + b * b, 0),
  l2: (list) => Math.sqrt(list.reduce((a, b) => a + b * b, 0)),
  l1: (list) => list.reduce((a, b) => a + Math.abs(b), 0),
  prod: (list) => list.reduce((a, b) => a * b, 1),
  logsumexp: (list) => {
    const top = Math.max(...list);
    return top + Math.log(list.reduce((a, b) => a + Math.exp(b - top), 0));
  },
};

function run(node: FusedNode, values: readonly Value[], symbols: Record<string, number>): Array_ {
  const extent = (value: number | string): number =>
    typeof value === 'number' ? value : (symbols[value] as number);
  const operands = node.in.map((number) => values[number] as Value);
  const [x, y, z] = operands as [Value, Value, Value];
  const axis = node.axis ?? 0;
  switch (node.op) {
    case 'linear': {
      const [k, n] = y.dims as [number, number];
      if (x.dims[x.dims.length - 1] !== k || y.batched) throw new Error('linear');
      const dims = [...x.dims.slice(0, -1), n];
      const side = (number: number | undefined): Value | undefined => {
        const value = number === undefined ? undefined : (values[number] as Value);
        const fits = [dims.join(), [...dims.slice(0, -1), 1].join()];
        if (value !== undefined && !fits.includes(value.dims.join()))
          throw new Error(`linear's operand ${value.dims} beside ${dims}`);
        return value;
      };
      const [mul, add] = [side(node.mul), side(node.add)];
      const bias = node.bias === undefined ? undefined : (values[node.bias] as Value);
      if (bias !== undefined && (bias.dims.join() !== `${n}` || bias.batched))
        throw new Error('bias');
      const act = actOf(node.act, values);
      const post = actOf(node.post, values);
      return make(dims, (index) => {
        const j = index[index.length - 1] as number;
        let sum = bias === undefined ? 0 : (bias.data[j] as number);
        for (let i = 0; i < k; i++) sum += at(x, index.with(-1, i)) * at(y, [i, j]);
        let result = act(sum, j);
        if (mul !== undefined) result *= at(mul, index);
        if (add !== undefined) result += at(add, index);
        return post(result, j);
      });
    }
    case 'matmul': {
      const read = (
        v: Value,
        t: boolean | undefined,
        lead: number[],
        r: number,
        c: number,
      ): number => at(v, [...lead, ...(t ? [c, r] : [r, c])]);
      if (x.dims.length < 2 || y.dims.length < 2) throw new Error('matmul of a low rank');
      const [m, k] = node.ta ? x.dims.slice(-2).reverse() : x.dims.slice(-2);
      const [k2, n] = node.tb ? y.dims.slice(-2).reverse() : y.dims.slice(-2);
      if (k !== k2) throw new Error('matmul');
      const lead = together([x.dims.slice(0, -2), y.dims.slice(0, -2)]);
      return make([...lead, m as number, n as number], (index) => {
        const [r, c] = index.slice(-2) as [number, number];
        let sum = 0;
        for (let i = 0; i < (k as number); i++)
          sum +=
            read(x, node.ta, index.slice(0, -2), r, i) * read(y, node.tb, index.slice(0, -2), i, c);
        return sum * (node.scale ?? 1);
      });
    }
    case 'pairwise_dot': {
      const rows = operands.flatMap((v) => {
        const [f, d] = v.dims as [number, number];
        if (v.dims.length !== 2 || d !== x.dims[1]) throw new Error('pairwise_dot');
        return Array.from({ length: f }, (_, i) =>
          Array.from({ length: d }, (_, j) => at(v, [i, j])),
        );
      });
      const pairs = node.pairs as number[];
      return make([pairs.length / 2], ([i = 0]) => {
        const [a, b] = [rows[pairs[2 * i] as number], rows[pairs[2 * i + 1] as number]];
        return (a as number[]).reduce((sum, value, j) => sum + value * (b?.[j] as number), 0);
      });
    }
    case 'unary': {
      const act = actOf(node.act, values);
      return make(x.dims, (index) => act(at(x, index), index[index.length - 1] ?? 0));
    }
    case 'binary': {
      const f = BINARY[node.fn as string] as (a: number, b: number) => number;
      const act = actOf(node.act, values);
      return make(together([x.dims, y.dims]), (index) =>
        act(f(at(x, index), at(y, index)), index[index.length - 1] ?? 0),
      );
    }
    case 'where':
      return make(together([x.dims, y.dims, z.dims]), (index) =>
        at(x, index) !== 0 ? at(y, index) : at(z, index),
      );
    case 'reduce': {
      const axes = node.axes as number[];
      const f = REDUCE[node.fn as string] as (list: number[]) => number;
      const reduced = make(
        x.dims.map((n, i) => (axes.includes(i) ? 1 : n)),
        (index) => {
          const inner = positions(axes.map((i) => x.dims[i] as number));
          const list = Array.from(inner, (part) => {
            const full = [...index];
            axes.forEach((i, k) => {
              full[i] = part[k] as number;
            });
            return at(x, full);
          });
          return f(list);
        },
      );
      const dims = node.keep ? reduced.dims : x.dims.filter((_, i) => !axes.includes(i));
      return { dims, data: reduced.data };
    }
    case 'softmax': {
      const n = x.dims[axis] as number;
      return make(x.dims, (index) => {
        const list = Array.from({ length: n }, (_, i) => at(x, index.with(axis, i)));
        const top = Math.max(...list);
        const sum = list.reduce((a, b) => a + Math.exp(b - top), 0);
        const own = at(x, index) - top;
        return node.log ? own - Math.log(sum) : Math.exp(own) / sum;
      });
    }
    case 'layer_norm': {
      const count = node.axes as number;
      const tail = x.dims.slice(-count);
      for (const number of [node.gamma, node.beta])
        if (number !== undefined && (values[number] as Value).dims.join() !== tail.join())
          throw new Error('layer_norm');
      return make(x.dims, (index) => {
        const lead = index.slice(0, -count);
        const list = Array.from(positions(tail), (part) => at(x, [...lead, ...part]));
        const mean = node.rms ? 0 : list.reduce((a, b) => a + b, 0) / list.length;
        const variance = list.reduce((a, b) => a + (b - mean) ** 2, 0) / list.length;
        const normal = (at(x, index) - mean) / Math.sqrt(variance + (node.eps as number));
        const own = index.slice(-count);
        const gamma = node.gamma === undefined ? 1 : at(values[node.gamma] as Value, own);
        const beta = node.beta === undefined ? 0 : at(values[node.beta] as Value, own);
        return normal * gamma + beta;
      });
    }
    case 'concat': {
      const dims = x.dims.with(
        axis,
        operands.reduce((n, v) => n + (v.dims[axis] as number), 0),
      );
      for (const v of operands)
        if (v.dims.with(axis, 0).join() !== dims.with(axis, 0).join()) throw new Error('concat');
      return make(dims, (index) => {
        let i = index[axis] as number;
        for (const v of operands) {
          if (i < (v.dims[axis] as number)) return at(v, index.with(axis, i));
          i -= v.dims[axis] as number;
        }
        throw new Error('concat');
      });
    }
    case 'slice': {
      const n = x.dims[axis] as number;
      const count = extent(node.size as number);
      const start =
        (node.start as number) < 0 ? (node.start as number) + n : (node.start as number);
      const step = node.step as number;
      const last = start + (count - 1) * step;
      if (start < 0 || start >= n || last < 0 || last >= n) throw new Error('slice');
      return make(x.dims.with(axis, count), (index) =>
        at(x, index.with(axis, start + (index[axis] as number) * step)),
      );
    }
    case 'gather': {
      const indices = node.indices as number[];
      if (indices.some((i) => !(i >= 0 && i < (x.dims[axis] as number)))) throw new Error('gather');
      return make(x.dims.with(axis, indices.length), (index) =>
        at(x, index.with(axis, indices[index[axis] as number] as number)),
      );
    }
    case 'reshape': {
      const dims = (node.shape as number[]).map((n) => (n === -1 ? -1 : extent(n)));
      const open = dims.indexOf(-1);
      if (open >= 0) dims[open] = size(x.dims) / -size(dims);
      if (size(dims) !== size(x.dims)) throw new Error(`reshape ${x.dims} to ${dims}`);
      return { dims, data: x.data };
    }
    case 'transpose': {
      const perm = node.perm as number[];
      return make(
        perm.map((i) => x.dims[i] as number),
        (index) =>
          at(
            x,
            x.dims.map((_, i) => index[perm.indexOf(i)] as number),
          ),
      );
    }
    case 'expand': {
      const dims = (node.shape as number[]).map(extent);
      if (together([dims, x.dims]).join() !== dims.join()) throw new Error('expand');
      return make(dims, (index) => at(x, index));
    }
    case 'iota':
      return make([extent(node.size as number)], ([i = 0]) => i);
    default:
      throw new Error(`op ${node.op}`);
  }
}

/**
 * @param inputs by name; whole, with the batch in front where the graph says so
 * @returns the outputs by name, [rows, ...]
 */
export function interpret(
  { graph, weights }: Emitted,
  inputs: ReadonlyMap<string, Array_>,
  rows: number,
): Map<string, Array_> {
  const symbols: Record<string, number> = {};
  for (const { name, shape } of graph.inputs)
    shape.forEach((extent, i) => {
      if (typeof extent === 'string' && extent !== 'batch')
        symbols[extent] = inputs.get(name)?.dims[i] as number;
    });
  const constants = graph.constants.map(({ shape }, i): Value => {
    const data = weights[i]?.constant.read() ?? [];
    if (data.length !== size(shape)) throw new Error('constant');
    return { dims: shape, data, batched: false };
  });
  const results = new Map<string, { dims: number[]; data: number[] }>();
  for (let row = 0; row < rows; row++) {
    const given = graph.inputs.map(({ name, shape }): Value => {
      const whole = inputs.get(name) as Array_;
      const batched = shape[0] === 'batch';
      const dims = batched ? whole.dims.slice(1) : whole.dims;
      const n = size(dims);
      const data = batched ? Array.from(whole.data).slice(row * n, (row + 1) * n) : whole.data;
      return { dims, data: Float64Array.from(data, Math.fround), batched };
    });
    const values = [...given, ...constants];
    for (const node of graph.nodes) {
      const used = [node.in, node.mul, node.add].flat().filter((number) => number !== undefined);
      if (used.some((number) => number >= values.length)) throw new Error('a later value is used');
      const batched = used.some((number) => (values[number] as Value).batched);
      values.push({ ...run(node, values, symbols), batched });
    }
    for (const output of graph.outputs) {
      const value = values[output.value] as Value;
      if (!value.batched) throw new Error('a shared output');
      const dims = output.shape
        .slice(1)
        .map((extent) => (typeof extent === 'number' ? extent : (symbols[extent] as number)));
      if (size(dims) !== value.data.length) throw new Error('output');
      const found = results.get(output.name) ?? { dims: [rows, ...dims], data: [] };
      found.data.push(...Array.from(value.data));
      results.set(output.name, found);
    }
  }
  return results;
}
