/** When there is enough: windows of equal time, until three in a row say the same. */
import { LatencyHistogram } from './bench-histogram.js';

export interface Window {
  calls: number;
  /** Microseconds. */
  p50: number;
  p99: number;
}

/** How far the largest of three may be above the smallest, as a share of it. */
const P50_SPREAD = 0.05;
const P99_SPREAD = 0.15;
const AGREEING = 3;

/** Whether the last three windows agree in median and in 99th percentile. */
export function isStable(windows: readonly Window[]): boolean {
  if (windows.length < AGREEING) return false;
  const last = windows.slice(-AGREEING);
  const agree = (key: 'p50' | 'p99', spread: number): boolean => {
    const values = last.map((window) => window[key]);
    return Math.max(...values) - Math.min(...values) <= spread * Math.min(...values);
  };
  return (
    last.every(({ calls }) => calls > 0) && agree('p50', P50_SPREAD) && agree('p99', P99_SPREAD)
  );
}

export interface WindowLimits {
  /** Nanoseconds, as are the others. */
  readonly window: number;
  readonly warmUp: number;
  /** In all, without the warm-up. */
  readonly duration: number;
  /** Whether three windows that agree are enough. */
  readonly untilStable: boolean;
}

/** Counts calls after the warm-up, and knows when to stop. Times are a clock's. */
export class Windows {
  readonly total = new LatencyHistogram();
  readonly windows: Window[] = [];
  readonly #start: number;
  #current = new LatencyHistogram();
  #windowEnd: number;
  #last: number;
  #stable = false;

  constructor(
    private readonly limits: WindowLimits,
    now: number,
  ) {
    this.#start = now + limits.warmUp;
    this.#windowEnd = this.#start + limits.window;
    this.#last = this.#start;
  }

  get stable(): boolean {
    return this.#stable;
  }

  /** Measured so far, nanoseconds. */
  get elapsed(): number {
    return this.#last - this.#start;
  }

  /** A call that ended at `now`. @returns whether it counts */
  record(latency: number, now: number): boolean {
    if (now < this.#start) return false;
    this.#closeUntil(now);
    this.#last = now;
    this.#current.record(latency);
    this.total.record(latency);
    return true;
  }

  finished(now: number): boolean {
    this.#closeUntil(now);
    if (now >= this.#start + this.limits.duration && this.total.count > 0) return true;
    return this.limits.untilStable && this.#stable;
  }

  #closeUntil(now: number): void {
    while (now >= this.#windowEnd) {
      const micro = (share: number): number =>
        Math.round(this.#current.percentile(share) / 10) / 100;
      // A window without a call, as in a long stall, agrees with none.
      this.windows.push({
        calls: this.#current.count,
        p50: this.#current.count === 0 ? 0 : micro(0.5),
        p99: this.#current.count === 0 ? 0 : micro(0.99),
      });
      this.#current = new LatencyHistogram();
      this.#windowEnd += this.limits.window;
      this.#stable ||= isStable(this.windows);
    }
  }
}
