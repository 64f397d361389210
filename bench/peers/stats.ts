/** Medians, quantiles and spreads. */

export interface Spread {
  readonly median: number;
  readonly q1: number;
  readonly q3: number;
  readonly min: number;
  readonly max: number;
}

/** Between neighbours by linear interpolation; `sorted` is not empty. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export function spreadOf(values: ArrayLike<number>): Spread {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => quantile(sorted, share);
  return { median: at(0.5), q1: at(0.25), q3: at(0.75), min: at(0), max: at(1) };
}

export function medianOf(values: ArrayLike<number>): number {
  return spreadOf(values).median;
}

/** Shares at which distributions are kept: enough to draw them. */
export const SHARES = [
  0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1,
] as const;

export function distribution(values: readonly Float64Array[]): number[] {
  const sorted = Float64Array.from(values.flatMap((part) => Array.from(part))).sort();
  return SHARES.map((share) => Math.round(quantile(sorted, share)));
}
