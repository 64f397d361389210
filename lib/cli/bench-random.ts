/** Requests and statistics of `gyrfalcon bench`. */
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
      Math.abs(power) < 1e-9 ? size ** share : (1 + share * (size ** power - 1)) ** (1 / power);
    const index = Math.min(size - 1, Math.max(0, Math.floor(rank) - 1));
    return low + ((index * SPREAD) % size);
  }
}

/** A prime: for every size that it does not divide, multiplication is a permutation. */
const SPREAD = 7919;

export function randomFor(skew: Skew, seed: number): Random {
  return skew.kind === 'zipf' ? new ZipfRandom(seed, skew.exponent) : new Random(seed);
}

/** The value that the share `p` of the samples does not exceed; nearest rank. */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  const rank = Math.max(1, Math.ceil(p * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

export interface Timings {
  calls: number;
  rowsPerSecond: number;
  /** Microseconds of one call. */
  latency: { p50: number; p90: number; p99: number; p999: number };
  /** Median microseconds of one call's stages. */
  stages: { lookup: number; engine: number };
}

/** Samples are nanoseconds of calls of `rows` rows. */
export function summarizeTimes(
  rows: number,
  total: readonly number[],
  lookup: readonly number[],
  engine: readonly number[],
): Timings {
  const sorted = Float64Array.from(total).sort();
  const micro = (values: ArrayLike<number>, p: number) =>
    Math.round(percentile(values, p) / 10) / 100;
  const sum = total.reduce((a, b) => a + b, 0);
  return {
    calls: total.length,
    rowsPerSecond: Math.round((rows * total.length * 1e9) / sum),
    latency: {
      p50: micro(sorted, 0.5),
      p90: micro(sorted, 0.9),
      p99: micro(sorted, 0.99),
      p999: micro(sorted, 0.999),
    },
    stages: {
      lookup: micro(Float64Array.from(lookup).sort(), 0.5),
      engine: micro(Float64Array.from(engine).sort(), 0.5),
    },
  };
}
