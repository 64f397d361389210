/** Random ids of `gyrfalcon bench`. */
import { Random } from '../import/verify-sample.js';
import type { Skew } from './arguments.js';

/** Ranges up to this size are lengths and flags, which stay uniform. */
const SMALL_RANGE = 16;

/**
 * Random whose ids follow Zipf's law: rank k has a share like 1 / k^exponent (drawn from the
 * continuous law's inverse). Ranks are spread over the range so that frequent rows are not neighbours.
 */
export class ZipfRandom extends Random {
  constructor(
    seed: number,
    private readonly exponent: number,
  ) {
    super(seed);
  }

  override integer(low: number, high: number): number {
    const size = high - low;
    if (size <= SMALL_RANGE) return super.integer(low, high);
    const share = this.next();
    const power = 1 - this.exponent;
    const rank =
      Math.abs(power) < 1e-9
        ? (size + 1) ** share
        : (1 + share * ((size + 1) ** power - 1)) ** (1 / power);
    const index = Math.min(size - 1, Math.max(0, Math.floor(rank) - 1));
    return low + ((index * SPREAD) % size);
  }
}

/** A prime: for every size that it does not divide, multiplication is a permutation. */
const SPREAD = 7919;

export function randomFor(skew: Skew, seed: number): Random {
  return skew.kind === 'zipf' ? new ZipfRandom(seed, skew.exponent) : new Random(seed);
}
