/** A value of the fused graph as plain data, and arithmetic on its shape. */
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import type { DtypeName } from '../manifest.js';
import type { Constant } from './constant.js';

export type Dims = readonly Poly[];

export interface Act {
  readonly fn: string;
  readonly alpha?: number;
  readonly beta?: number;
  readonly min?: number;
  readonly max?: number;
  readonly slope?: Val;
  readonly scale?: Val;
  readonly shift?: Val;
  /** dice's alpha */
  readonly alphas?: Val;
}

export interface Attributes {
  readonly act?: Act | undefined;
  readonly post?: Act | undefined;
  readonly fn?: string;
  readonly bias?: Val | undefined;
  readonly mul?: Val | undefined;
  readonly add?: Val | undefined;
  readonly ta?: boolean;
  readonly tb?: boolean;
  readonly scale?: number;
  readonly pairs?: readonly number[];
  readonly axes?: readonly number[];
  readonly keep?: boolean;
  readonly axis?: number;
  readonly log?: boolean;
  readonly eps?: number;
  readonly gamma?: Val | undefined;
  readonly beta?: Val | undefined;
  readonly rms?: boolean;
  readonly start?: number;
  readonly step?: number;
  readonly indices?: readonly number[];
}

export type Op =
  | 'input'
  | 'const'
  | 'linear'
  | 'matmul'
  | 'pairwise_dot'
  | 'unary'
  | 'binary'
  | 'where'
  | 'reduce'
  | 'softmax'
  | 'layer_norm'
  | 'concat'
  | 'slice'
  | 'gather'
  | 'reshape'
  | 'transpose'
  | 'expand'
  | 'iota';

/** A value of the fused graph; `dims` is its inner shape. */
export interface Val {
  readonly id: number;
  readonly op: Op;
  readonly in: readonly Val[];
  readonly a: Attributes;
  readonly dims: Dims;
  readonly batched: boolean;
  readonly name: string;
  readonly dtype?: DtypeName;
  readonly constant?: Constant;
}

/** What the fused graph has no form for; the message becomes the reason. */
export class NotCovered extends Error {}

export function fail(reason: string): never {
  throw new NotCovered(reason);
}

export const sameDims = (a: Dims, b: Dims): boolean =>
  a.length === b.length && a.every((size, i) => p.equal(size, b[i] as Poly));

export const sizeText = (size: Poly): string =>
  [...size.terms]
    .map(([key, value]) => [value, ...key.split('\u0001')].filter((part) => part !== '').join('*'))
    .sort()
    .join('+');

export const dimsText = (dims: Dims): string => `[${dims.map(sizeText).join(', ')}]`;

export function numbers(dims: Dims): number[] | null {
  const sizes = dims.map(p.constant);
  return sizes.includes(null) ? null : (sizes as number[]);
}

export function broadcast(shapes: readonly Dims[]): Poly[] {
  const rank = Math.max(...shapes.map((dims) => dims.length));
  return Array.from({ length: rank }, (_, i) => {
    let size = p.ONE;
    for (const dims of shapes) {
      const mine = dims[i - (rank - dims.length)] ?? p.ONE;
      if (p.isOne(mine)) continue;
      if (!p.isOne(size) && !p.equal(size, mine))
        return fail(`sizes ${sizeText(size)} and ${sizeText(mine)} meet`);
      size = mine;
    }
    return size;
  });
}

/** The operands besides `in` that an attribute holds. */
export function attributeValues(a: Attributes): Val[] {
  const acts = [a.act, a.post].flatMap((act) => [act?.slope, act?.scale, act?.shift, act?.alphas]);
  return [a.bias, a.mul, a.add, a.gamma, a.beta, ...acts].filter((v) => v !== undefined);
}

/** How fused.json writes a size; null when it has no form. */
export function extent(size: Poly): number | string | null {
  return p.constant(size) ?? p.asSymbol(size);
}

export function affine(alpha: number, beta: number): Act {
  return { fn: 'affine', alpha, beta };
}

/** Of zeros and ones alone. */
export function isTruth(x: Val): boolean {
  const compares = ['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'and', 'or', 'xor'];
  if (x.op === 'binary') return x.a.act === undefined && compares.includes(x.a.fn ?? '');
  return x.op === 'unary' && x.a.act?.fn === 'not';
}

/** Whether a value is a transposition of its last two axes alone. */
export function swapsLast(x: Val): boolean {
  if (x.op !== 'transpose') return false;
  const perm = x.a.axes as readonly number[];
  const r = perm.length;
  return perm.every((axis, i) => axis === (i < r - 2 ? i : i === r - 2 ? r - 1 : r - 2));
}
