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

function step(given: Step, x: bigint, position: number): bigint {
  const { op, value, by, min, max, ...more } = given as Record<string, number | string>;
  const placed = BigInt((more.place as number | undefined) ?? 0) * BigInt(position);
  const test = TESTS[more.if as string];
  switch (op) {
    case 'add':
      return x + BigInt(value as number) + placed;
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
      return test?.(x, BigInt(value as number)) ? BigInt(more.with as number) + placed : x;
    default:
      throw new Error(`no step ${op}`);
  }
}

function floorDiv(x: bigint, y: bigint): bigint {
  const quotient = x / y;
  return quotient * y > x ? quotient - 1n : quotient;
}

/** The number at a position of a bag after its first `n` steps; undefined for padding before them. */
function mapped(bag: ManifestBag, row: Row, position: number, n: number): bigint | undefined {
  const at = (bag.start ?? 0) + position * (bag.step ?? 1);
  return stepped(bag, row, at, position, n);
}

function stepped(
  bag: ManifestBag,
  row: Row,
  element: number,
  position: number,
  n: number,
): bigint | undefined {
  const number = BigInt(Math.trunc(row(element)));
  if (bag.paddingOf !== 'id' && Number(number) === bag.padding) return undefined;
  let id = number;
  for (const [k, given] of (bag.map ?? []).slice(0, n).entries()) {
    if (given.op !== 'sum') {
      id = BigInt.asIntN(64, step(given, id, position));
      continue;
    }
    if (given.zeros && id === 0n) continue;
    let sum = 0n;
    for (let j = 1; j <= given.before; j++) {
      sum += stepped(bag, row, (bag.start ?? 0) - j * given.step, -j, k) ?? 0n;
    }
    for (let j = 0; j <= position; j++) sum += mapped(bag, row, j, k) ?? 0n;
    id = sum;
  }
  return id;
}

/** The element of a batch row. */
type Row = (element: number) => number;

/** The id before `add`; undefined for padding. `held`: what the input holds, perhaps a float. */
export function idOf(
  bag: ManifestBag,
  held: number,
  position = 0,
  row: Row = () => held,
): number | undefined {
  const id = mapped(bag, row, position, (bag.map ?? []).length);
  if (id === undefined) return undefined;
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
