/** Rewrites the graph with the rules of fusion until none applies. */
import type { Poly } from '../analyze/poly.js';
import { ordered } from './emit.js';
import type { Graph } from './graph.js';
import type { Output } from './lower.js';
import { type Act, type Attributes, attributeValues, type Val } from './value.js';

/** What a rule may ask besides the value itself. */
export interface Uses {
  /** No other node and no output reads it. */
  once(value: Val): boolean;
  /** The nodes that read it; null where an output does. */
  users(value: Val): readonly Val[] | null;
}

/** A value to use instead; null when the rule does not apply. */
export type Rewrite = (value: Val, g: Graph, uses: Uses) => Val | null;

const MAX_ROUNDS = 24;

export function optimize(
  g: Graph,
  outputs: readonly Output[],
  rules: readonly Rewrite[],
): Output[] {
  let current = [...outputs];
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const next = rewriteOnce(g, current, rules);
    const isSame = next.every(({ val }, i) => val === current[i]?.val);
    current = next;
    if (isSame) break;
  }
  return current;
}

function rewriteOnce(g: Graph, outputs: readonly Output[], rules: readonly Rewrite[]): Output[] {
  const order = ordered(outputs.map(({ val }) => val));
  const counts = new Map<Val, number>();
  const readers = new Map<Val, Val[] | null>();
  for (const value of order)
    for (const operand of [...value.in, ...attributeValues(value.a)]) {
      counts.set(operand, (counts.get(operand) ?? 0) + 1);
      readers.set(operand, [...(readers.get(operand) ?? []), value]);
    }
  for (const { val } of outputs) {
    counts.set(val, (counts.get(val) ?? 0) + 2);
    readers.set(val, null);
  }
  const renewed = new Map<Val, Val>();
  const original = new Map<Val, Val>();
  const uses: Uses = {
    once: (value) => counts.get(value) === 1,
    users: (value) => {
      const old = original.get(value);
      return old === undefined ? null : (readers.get(old) ?? null);
    },
  };
  for (const value of order) {
    let result = rebuild(g, value, (old) => renewed.get(old) as Val);
    for (const rule of rules) {
      const better = rule(result, g, uses);
      if (better === null || better === result) continue;
      result = better;
      break;
    }
    renewed.set(value, result);
    if (result !== value) {
      counts.set(result, (counts.get(result) ?? 0) + (counts.get(value) ?? 0));
      original.delete(result);
    }
    if (result === value) original.set(result, value);
  }
  return outputs.map(({ name, val }) => ({ name, val: renewed.get(val) as Val }));
}

/** The value with other operands, through the constructors that leave out what is nothing. */
export function rebuild(g: Graph, value: Val, renew: (old: Val) => Val): Val {
  const operands = value.in.map(renew);
  if (
    operands.every((v, i) => v === value.in[i]) &&
    attributeValues(value.a).every((v) => renew(v) === v)
  )
    return value;
  const [x, y, z] = operands as [Val, Val, Val];
  const { a, dims } = value;
  switch (value.op) {
    case 'input':
    case 'const':
    case 'iota':
      return value;
    case 'reshape':
      return g.reshape(x, dims);
    case 'expand':
      return g.expand(x, dims);
    case 'transpose':
      return g.transpose(x, a.axes as readonly number[]);
    case 'slice': {
      const axis = a.axis as number;
      return g.slice(x, axis, a.start as number, a.step as number, dims[axis] as Poly);
    }
    case 'gather':
      return g.gather(x, a.axis as number, a.indices as readonly number[]);
    case 'concat':
      return g.concat(operands, a.axis as number);
    case 'where':
      return g.where(x, y, z);
    case 'unary':
      return g.unary(x, renewAct(a.act as Act, renew));
    case 'binary':
      return a.act === undefined
        ? g.binary(a.fn as string, x, y)
        : g.node('binary', operands, { ...a, act: renewAct(a.act, renew) }, dims);
    case 'matmul':
      return g.matmul(x, y, a.ta === true, a.tb === true, a.scale ?? 1);
    default:
      return g.node(value.op, operands, renewAttributes(a, renew), dims);
  }
}

function renewAct(act: Act, renew: (old: Val) => Val): Act {
  const { slope, scale, shift, alphas, ...rest } = act;
  return {
    ...rest,
    ...(slope === undefined ? {} : { slope: renew(slope) }),
    ...(scale === undefined ? {} : { scale: renew(scale) }),
    ...(shift === undefined ? {} : { shift: renew(shift) }),
    ...(alphas === undefined ? {} : { alphas: renew(alphas) }),
  };
}

function renewAttributes(a: Attributes, renew: (old: Val) => Val): Attributes {
  const one = (value: Val | undefined): Val | undefined => value && renew(value);
  return {
    ...a,
    ...(a.act === undefined ? {} : { act: renewAct(a.act, renew) }),
    ...(a.post === undefined ? {} : { post: renewAct(a.post, renew) }),
    bias: one(a.bias),
    mul: one(a.mul),
    add: one(a.add),
    gamma: one(a.gamma),
    beta: one(a.beta),
  };
}
