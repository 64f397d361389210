/** What the steps of a bag make of an input's number; docs/bundle-format.md, "map". */
import type { IdStep, IdTest } from './manifest.js';

const HOLDS: Readonly<Record<IdTest, (x: bigint, y: bigint) => boolean>> = {
  eq: (x, y) => x === y,
  ne: (x, y) => x !== y,
  lt: (x, y) => x < y,
  le: (x, y) => x <= y,
  gt: (x, y) => x > y,
  ge: (x, y) => x >= y,
};

/**
 * `number`: a whole number, at a position of a bag. Wraps at 64 bits, as the native code does. Sums
 * need the other numbers too: here they are what this one adds to them.
 */
export function mapId(steps: readonly IdStep[], number: number, position: number): number {
  if (steps.length === 0) return number;
  let x = BigInt(number);
  for (const step of steps) x = BigInt.asIntN(64, apply(step, x, BigInt(position)));
  return Number(x);
}

function apply(step: IdStep, x: bigint, position: bigint): bigint {
  switch (step.op) {
    case 'add':
      return x + BigInt(step.value) + BigInt(step.place ?? 0) * position;
    case 'mul':
      return x * BigInt(step.value);
    case 'mod': {
      const by = BigInt(step.by);
      return ((x % by) + by) % by;
    }
    case 'rem':
      return x % BigInt(step.by);
    case 'div':
      return x / BigInt(step.by);
    case 'floordiv': {
      const by = BigInt(step.by);
      return (x - (((x % by) + by) % by)) / by;
    }
    case 'abs':
      return x < 0n ? -x : x;
    case 'clamp': {
      const raised = step.min !== undefined && x < BigInt(step.min) ? BigInt(step.min) : x;
      return step.max !== undefined && raised > BigInt(step.max) ? BigInt(step.max) : raised;
    }
    case 'replace':
      return HOLDS[step.if](x, BigInt(step.value))
        ? BigInt(step.with) + BigInt(step.place ?? 0) * position
        : x;
    case 'sum':
      return x;
  }
}
