/** The steps of docs/bundle-format.md's "map", "padding" and "length", read by the letter. */
import type { ManifestBag } from '../../../lib/import/manifest.js';

type Step = NonNullable<ManifestBag['map']>[number];

const TESTS: Record<string, (x: bigint, y: bigint) => boolean> = {
  eq: (x, y) => x === y,
  ne: (x, y) => x !== y,
  lt: (x, y) => x < y,
  le: (x, y) => x <= y,
  gt: (x, y) => x > y,
  ge: (x, y) => x >= y,
};

function step(given: Step, x: bigint): bigint {
  const { op, value, by, min, max, ...more } = given as Record<string, number | string>;
  const test = TESTS[more.if as string];
  switch (op) {
    case 'add':
      return x + BigInt(value as number);
    case 'mul':
      return x * BigInt(value as number);
    case 'mod':
      return x - floorDiv(x, BigInt(by as number)) * BigInt(by as number);
    case 'rem':
      return x % BigInt(by as number);
    case 'div':
      return x / BigInt(by as number);
    case 'floordiv':
      return floorDiv(x, BigInt(by as number));
    case 'abs':
      return x < 0n ? -x : x;
    case 'clamp':
      if (min !== undefined && x < BigInt(min)) return BigInt(min);
      return max !== undefined && x > BigInt(max) ? BigInt(max) : x;
    case 'replace':
      return test?.(x, BigInt(value as number)) ? BigInt(more.with as number) : x;
    default:
      throw new Error(`no step ${op}`);
  }
}

function floorDiv(x: bigint, y: bigint): bigint {
  const quotient = x / y;
  return quotient * y > x ? quotient - 1n : quotient;
}

/** The id before `add`; undefined for padding. `held`: what the input holds, perhaps a float. */
export function idOf(bag: ManifestBag, held: number): number | undefined {
  const number = BigInt(Math.trunc(held));
  if (bag.paddingOf !== 'id' && Number(number) === bag.padding) return undefined;
  let id = number;
  for (const given of bag.map ?? []) id = BigInt.asIntN(64, step(given, id));
  return bag.paddingOf === 'id' && Number(id) === bag.padding ? undefined : Number(id);
}

/** Whether position i of a bag is left out; `lengths` is the row of the input that holds the length. */
export function isCut(
  bag: ManifestBag,
  i: number,
  lengths: ArrayLike<number> | undefined,
): boolean {
  if (bag.length === undefined) return false;
  return (bag.length.from ?? 0) + i >= Math.trunc(lengths?.[bag.length.element] ?? Number.NaN);
}
