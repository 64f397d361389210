/** What every part of a run needs. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { MissingError } from './child.js';
import { DisagreementError } from './compare.js';
import { cacheBytes } from './environment.js';
import type { Options } from './options.js';
import { accessName } from './options.js';
import { seedFor } from './random.js';
import { type Access, makeRing, type RequestShape, type Ring, ringSize } from './requests.js';
import type { Cell, Disagreement, Skipped } from './result.js';
import type { Peer } from './sides.js';

/** Rings read this many times what the last cache holds. */
const CACHE_FACTOR = 4;
const ASSUMED_CACHE = 32 << 20;

export class Context {
  readonly cells: Cell[] = [];
  readonly skipped: Skipped[] = [];
  readonly disagreements: Disagreement[] = [];
  readonly sides: Record<string, Record<string, unknown>> = {};
  readonly caps: Record<string, { rows: number | null; bytes: number }> = {};
  readonly #target = CACHE_FACTOR * (cacheBytes(3) || cacheBytes(2) || ASSUMED_CACHE);
  readonly #rings = new Map<string, Ring>();

  constructor(
    readonly options: Options,
    /** Generated models; removed afterwards unless the caller keeps them. */
    readonly folder: string,
    /** What measures the limits of memory; see `measureRows`. */
    readonly limits: string | undefined = undefined,
  ) {}

  log(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  /** A folder of its own that does not exist yet. */
  fresh(name: string): string {
    return join(this.folder, `${name}-${randomUUID()}`);
  }

  /** Makes `name` by `make`, unless a kept folder has it. */
  async once(name: string, make: (directory: string) => Promise<unknown>): Promise<string> {
    const directory = join(this.folder, name);
    if (existsSync(join(directory, 'complete'))) return directory;
    await rm(directory, { recursive: true, force: true });
    await make(directory);
    await mkdir(join(directory, 'complete'), { recursive: true });
    return directory;
  }

  /** The same requests for every side. */
  ring(name: string, shape: RequestShape, rowBytes: number, access: Access): Ring {
    const key = `${name} ${shape.batch} ${rowBytes} ${accessName(access)}`;
    let ring = this.#rings.get(key);
    if (ring === undefined) {
      const count = ringSize(shape, rowBytes, this.#target);
      ring = makeRing(shape, count, access, seedFor(this.options.seed, key));
      this.#rings.set(key, ring);
    }
    return ring;
  }

  forgetRings(): void {
    this.#rings.clear();
  }

  /** Nothing was measured of `what`: it cannot be here, or, which fails the run, is wrong. */
  skip(what: string, error: unknown, peer?: Peer): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof DisagreementError) {
      this.disagreements.push({ what, reason });
      this.log(`  WRONG ${what}: ${reason}`);
      return;
    }
    const last = reason.split('\n').filter((line) => line.trim() !== '');
    const short = last.length > 6 ? last.slice(-6).join('\n') : reason;
    const missing = error instanceof MissingError && peer !== undefined;
    this.skipped.push({ what, reason: short, ...(missing ? { install: peer.install } : {}) });
    this.log(`  skipped ${what}: ${short}${missing ? ` (${peer.install})` : ''}`);
  }

  add(cell: Cell): void {
    this.cells.push(cell);
    const { ratio, mine, theirs } = cell;
    const micro = (nanoseconds: number): string => (nanoseconds / 1000).toFixed(1);
    this.log(
      `  ${cell.workload} ${cell.variant} batch ${cell.batch} ${cell.access} threads ${cell.threads}: ` +
        `ours ${micro(mine.p50)} us, ${cell.peer} ${micro(theirs.p50)} us, ` +
        `${ratio.median.toFixed(2)}x (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)})` +
        (cell.row === undefined
          ? ''
          : `; ns a row: ours ${cell.row.ours.toFixed(1)}, touched ${cell.row.touched.toFixed(1)} ` +
            `(${cell.row.ratio.median.toFixed(2)})`),
    );
  }
}
