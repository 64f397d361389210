/** The fused graph as fused.json, and the constants that go into the weights file. */
import * as p from '../analyze/poly.js';
import type { DtypeName } from '../manifest.js';
import { type Constant, ofValues } from './constant.js';
import type { FusedAct, FusedDice, FusedExtent, FusedGraph, FusedNode } from './format.js';
import type { Output } from './lower.js';
import { type Act, attributeValues, type Dims, extent, fail, type Val } from './value.js';

export interface Weight {
  readonly name: string;
  readonly constant: Constant;
}

/** A product with constant weights `[k, n]`. */
export interface Product {
  /** Its x: a value's number, and its shape, `[batch, …, k]`; null where neither can be said. */
  readonly x: { readonly value: number; readonly shape: readonly FusedExtent[] } | null;
  /** Place in `weights`. */
  readonly weights: number;
}

export interface Emitted {
  readonly graph: FusedGraph;
  /** In the order of `graph.constants`. */
  readonly weights: readonly Weight[];
  readonly products: readonly Product[];
  /** The same graph with an x_scale `[k]` for products, by their weights' place. */
  scaled(scales: ReadonlyMap<number, Float32Array>): Emitted;
}

const MAX_NODES = 65536;

/** Operands before their users, as the outputs need them. */
export function ordered(outputs: readonly Val[]): Val[] {
  const order: Val[] = [];
  const state = new Map<Val, boolean>();
  const stack: Val[] = [...outputs].reverse();
  while (stack.length > 0) {
    const value = stack[stack.length - 1] as Val;
    const seen = state.get(value);
    if (seen === undefined) {
      state.set(value, false);
      stack.push(
        ...[...value.in, ...attributeValues(value.a)].filter((v) => !state.get(v)).reverse(),
      );
      continue;
    }
    stack.pop();
    if (seen) continue;
    state.set(value, true);
    order.push(value);
  }
  return order;
}

/** `scales`: the x_scale of products, by their weights. */
export function emit(
  inputs: readonly Val[],
  outputs: readonly Output[],
  scales: ReadonlyMap<Val, Val> = new Map(),
): Emitted {
  const order = ordered(outputs.map(({ val }) => val));
  const constants = order.filter((value) => value.op === 'const').concat([...scales.values()]);
  const nodes = order.filter((value) => value.op !== 'const' && value.op !== 'input');
  if (nodes.length > MAX_NODES || constants.length > MAX_NODES) fail('the graph is too large');
  const numbers = new Map([...inputs, ...constants, ...nodes].map((value, i) => [value, i]));
  const number = (value: Val): number => numbers.get(value) as number;
  const names = new Set<string>(['__metadata__']);
  const weights = constants.map((value): Weight => {
    const name = unique(value.name, names);
    return { name, constant: value.constant as Constant };
  });
  const products = nodes
    .filter(({ op }) => op === 'linear')
    .map((value): Product => {
      const [x, w] = value.in as [Val, Val];
      return { x: observable(x, number), weights: constants.indexOf(w) };
    });
  return {
    graph: {
      format: 'gyrfalcon-fused',
      version: 1,
      inputs: inputs.map((value) => ({
        name: value.name,
        dtype: value.dtype as DtypeName,
        shape: [...(value.batched ? ['batch'] : []), ...extents(value.dims)],
      })),
      constants: weights.map(({ name, constant }) => ({ name, shape: [...constant.dims] })),
      nodes: nodes.map((value) => emitNode(value, number, scales)),
      outputs: outputs.map(({ name, val }) => ({
        name,
        value: number(val),
        shape: ['batch', ...extents(val.dims)],
      })),
    },
    weights,
    products,
    scaled: (given) => {
      const entries = [...given].map(([place, values]): [Val, Val] => {
        const w = constants[place] as Val;
        return [w, scaleOf(w, values)];
      });
      return emit(inputs, outputs, new Map(entries));
    },
  };
}

function scaleOf(weights: Val, values: Float32Array): Val {
  const constant = ofValues([values.length], values);
  const dims = [p.poly(values.length)];
  const name = `${weights.name}.x_scale`;
  return { id: -1, op: 'const', in: [], a: {}, dims, batched: false, name, constant };
}

function observable(x: Val, number: (value: Val) => number): Product['x'] {
  const shape = x.dims.map(extent);
  if (!x.batched || shape.includes(null)) return null;
  return { value: number(x), shape: ['batch', ...(shape as FusedExtent[])] };
}

function unique(wanted: string, names: Set<string>): string {
  const base = wanted === '' ? 'constant' : wanted.slice(0, 512);
  let name = base;
  for (let i = 1; names.has(name); i++) name = `${base}_${i}`;
  names.add(name);
  return name;
}

function extents(dims: Dims): FusedExtent[] {
  return dims.map((size) => extent(size) ?? fail('a size is not one symbol'));
}

function emitAct(act: Act, number: (value: Val) => number): FusedAct | FusedDice {
  const { fn, alpha, beta, min, max, slope, scale, shift, alphas } = act;
  return {
    fn,
    ...(alpha === undefined ? {} : { alpha: json(alpha) }),
    ...(beta === undefined ? {} : { beta: json(beta) }),
    ...(min === undefined ? {} : { min: json(min) }),
    ...(max === undefined ? {} : { max: json(max) }),
    ...(slope === undefined ? {} : { slope: number(slope) }),
    ...(scale === undefined ? {} : { scale: number(scale) }),
    ...(shift === undefined ? {} : { shift: number(shift) }),
    ...(alphas === undefined ? {} : { alpha: number(alphas) }),
  };
}

function json(value: number): number {
  const rounded = Math.fround(value);
  return Number.isFinite(rounded) ? rounded : fail(`the number ${value}`);
}

function emitNode(
  value: Val,
  number: (value: Val) => number,
  scales: ReadonlyMap<Val, Val>,
): FusedNode {
  const { op, a, dims } = value;
  const head = { op, in: value.in.map(number) };
  const act = a.act === undefined ? {} : { act: emitAct(a.act, number) };
  const optional = (key: string, operand: Val | undefined): object =>
    operand === undefined ? {} : { [key]: number(operand) };
  switch (op) {
    case 'linear':
      return {
        ...head,
        ...optional('bias', a.bias),
        ...act,
        ...optional('mul', a.mul),
        ...optional('add', a.add),
        ...optional('x_scale', scales.get(value.in[1] as Val)),
        ...(a.post === undefined ? {} : { post: emitAct(a.post, number) }),
      };
    case 'matmul':
      return {
        ...head,
        ...(a.ta ? { ta: true } : {}),
        ...(a.tb ? { tb: true } : {}),
        ...(a.scale === undefined || a.scale === 1 ? {} : { scale: json(a.scale) }),
      };
    case 'pairwise_dot':
      return { ...head, pairs: [...(a.pairs ?? [])] };
    case 'unary':
      return { ...head, ...act };
    case 'binary':
      return { ...head, fn: a.fn as string, ...act };
    case 'reduce':
      return { ...head, fn: a.fn as string, axes: [...(a.axes ?? [])], keep: a.keep === true };
    case 'softmax':
      return { ...head, axis: a.axis as number, log: a.log === true };
    case 'layer_norm':
      return {
        ...head,
        axes: a.axes?.[0] as number,
        eps: json(a.eps as number),
        ...optional('gamma', a.gamma),
        ...optional('beta', a.beta),
        rms: a.rms === true,
      };
    case 'concat':
      return { ...head, axis: a.axis as number };
    case 'slice':
      return {
        ...head,
        axis: a.axis as number,
        start: a.start as number,
        step: a.step as number,
        size: extents([dims[a.axis as number] as Dims[number]])[0] as FusedExtent,
      };
    case 'gather':
      return { ...head, axis: a.axis as number, indices: [...(a.indices ?? [])] };
    case 'reshape':
      return { ...head, shape: dims.map((size) => extent(size) ?? -1) };
    case 'expand':
      return { ...head, shape: extents(dims) };
    case 'transpose':
      return { ...head, perm: [...(a.axes ?? [])] };
    case 'iota':
      return { ...head, size: extents(dims)[0] as FusedExtent };
    default:
      return head;
  }
}
