/** Comparing the offsets and the padding of bags that are read from different nodes. */
import type { Bounds, Padding } from './domain.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';
import { wholeInput } from './views.js';

export function sameBounds(a: Bounds | null, b: Bounds | null): boolean {
  if (a === null || b === null) return false;
  if (a.complete !== b.complete || !p.equal(a.length, b.length)) return false;
  if (a.source.kind === 'range')
    return b.source.kind === 'range' && a.source.step === b.source.step;
  return b.source.kind === a.source.kind && a.source.name === b.source.name;
}

export function samePadding(a: Padding | null, b: Padding | null): boolean {
  if (a === null || b === null) return a === b;
  return a.id === b.id && JSON.stringify(wholeInput(a.grid)) === JSON.stringify(wholeInput(b.grid));
}

/** The number of bags that bounds delimit. */
export function bagCount(bounds: Bounds): Poly {
  return p.add(bounds.length, p.ONE, -1);
}
