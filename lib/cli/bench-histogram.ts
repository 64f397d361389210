/** Latencies by the million in little memory: counts in buckets of at most 0.1 % width. */

const SUB_BITS = 11;
const SUB = 2 ** SUB_BITS;
const HALF = SUB / 2;
/** Up to 2^45 ns, nearly ten hours. */
const SHIFTS = 45 - SUB_BITS;

export class LatencyHistogram {
  readonly #counts = new Float64Array(SUB + SHIFTS * HALF);
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;

  get count(): number {
    return this.#count;
  }

  get mean(): number {
    return this.#count === 0 ? Number.NaN : this.#sum / this.#count;
  }

  get min(): number {
    return this.#count === 0 ? Number.NaN : this.#min;
  }

  get max(): number {
    return this.#count === 0 ? Number.NaN : this.#max;
  }

  /** Nanoseconds; below 0 counts as 0. */
  record(value: number): void {
    const whole = Math.max(0, Math.round(value));
    this.#count++;
    this.#sum += whole;
    this.#min = Math.min(this.#min, whole);
    this.#max = Math.max(this.#max, whole);
    const at = Math.min(bucketOf(whole), this.#counts.length - 1);
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  /** What the share of the values does not exceed, to 0.1 %; nearest rank. NaN without values. */
  percentile(share: number): number {
    if (this.#count === 0) return Number.NaN;
    const rank = Math.max(1, Math.ceil(share * this.#count));
    if (rank >= this.#count) return this.#max;
    let seen = 0;
    for (let at = 0; at < this.#counts.length; at++) {
      seen += this.#counts[at] ?? 0;
      if (seen >= rank) return Math.min(this.#max, Math.max(this.#min, highest(at)));
    }
    return this.#max;
  }

  add(other: LatencyHistogram): void {
    if (other.#count === 0) return;
    for (let at = 0; at < this.#counts.length; at++) {
      this.#counts[at] = (this.#counts[at] ?? 0) + (other.#counts[at] ?? 0);
    }
    this.#count += other.#count;
    this.#sum += other.#sum;
    this.#min = Math.min(this.#min, other.#min);
    this.#max = Math.max(this.#max, other.#max);
  }
}

function bucketOf(value: number): number {
  if (value < SUB) return value;
  const shift = Math.floor(Math.log2(value)) - (SUB_BITS - 1);
  return SUB + (shift - 1) * HALF + (Math.floor(value / 2 ** shift) - HALF);
}

/** The largest value of a bucket. */
function highest(at: number): number {
  if (at < SUB) return at;
  const shift = Math.floor((at - SUB) / HALF) + 1;
  const part = ((at - SUB) % HALF) + HALF;
  return (part + 1) * 2 ** shift - 1;
}

/** Shares as HdrHistogram's plots take them: five steps to each halving of what is left. */
export function plotShares(count: number): number[] {
  const shares: number[] = [];
  for (let left = 1; 1 / left <= count * 2; left /= 2) {
    for (let step = 0; step < 5; step++) shares.push(1 - left + (step * left) / 10);
  }
  return [...shares, 1];
}

/** The text format of HdrHistogram (.hgrm), values in milliseconds. */
export function toHgrm(histogram: LatencyHistogram): string {
  const lines = ['       Value     Percentile TotalCount 1/(1-Percentile)', ''];
  for (const share of plotShares(histogram.count)) {
    const value = histogram.percentile(share) / 1e6;
    const total = Math.ceil(share * histogram.count);
    const inverse = share === 1 ? 'inf' : (1 / (1 - share)).toFixed(2);
    lines.push(
      `${value.toFixed(6).padStart(12)} ${share.toFixed(12)} ${String(total).padStart(10)} ${inverse.padStart(14)}`,
    );
  }
  const milliseconds = (value: number): string => (value / 1e6).toFixed(6);
  lines.push(
    `#[Mean    = ${milliseconds(histogram.mean)}, Max     = ${milliseconds(histogram.max)}]`,
    `#[Total count    = ${histogram.count}]`,
  );
  return `${lines.join('\n')}\n`;
}
