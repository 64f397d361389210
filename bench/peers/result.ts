/** What a run leaves behind. */
import type { Agreement } from './compare.js';
import type { Environment } from './environment.js';
import type { MemoryLimits } from './memory-limits.js';
import type { Rounds } from './rounds.js';
import type { Spread } from './stats.js';

/** One comparison: the same requests, one peer, in turns. */
export interface Cell extends Rounds {
  readonly workload: string;
  readonly access: string;
  readonly batch: number;
  readonly threads: number;
  readonly variant: string;
  readonly peer: string;
  /** Different requests in the ring, and bytes of the table rows that one request reads. */
  readonly requests: number;
  readonly rowBytesPerRequest: number;
  readonly agreement: Readonly<Record<string, Agreement>>;
  /**
   * Nanoseconds a row, with `--in-place`: of our lookups, and of touching the rows of the same ids in
   * the same memory, prefetched but not summed: what memory allows. `ratio`: touched over ours, in
   * turns; 1 is the limit.
   */
  readonly row?: { readonly ours: number; readonly touched: number; readonly ratio: Spread };
}

export interface Skipped {
  readonly what: string;
  readonly reason: string;
  readonly install?: string;
}

export interface Disagreement {
  readonly what: string;
  readonly reason: string;
}

export interface Result {
  readonly format: 'gyrfalcon-peers-1';
  readonly command: readonly string[];
  readonly seed: number;
  readonly rounds: number;
  readonly ms: number;
  readonly environment: Environment;
  readonly memory: readonly MemoryLimits[] | string;
  /** Largest table where tables were capped. */
  readonly caps: Readonly<Record<string, { rows: number | null; bytes: number }>>;
  readonly sides: Readonly<Record<string, Record<string, unknown>>>;
  readonly cells: readonly Cell[];
  readonly skipped: readonly Skipped[];
  /** Answers that were not what they should be; not empty: the run failed. */
  readonly disagreements: readonly Disagreement[];
}
