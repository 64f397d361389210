/** `gyrfalcon bench --cache-trace`: what a device's row cache would find. Needs no device. */
import { createReadStream } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';

import { GyrfalconError } from '../errors.js';
import { native } from '../native.js';
import { show } from '../rows/values.js';
import { randomFor } from './bench-random.js';
import { type Io, write } from './io.js';
import { formatTable, printable } from './text.js';

/** Ids by Zipf's law with this exponent, or those of a file. */
export type TraceSource = { kind: 'zipf'; exponent: number } | { kind: 'file'; path: string };

export interface CacheTraceFlags {
  cacheTrace: TraceSource;
  cacheRows?: number[];
  tableRows?: number;
  lookups?: number;
  seed: number;
  json?: boolean;
}

/** Of lookups in the second half of a trace. */
export interface CacheTraceRun {
  cacheRows: number;
  /** Whole sets: at least `cacheRows`. */
  slots: number;
  hitRate: number;
  /** Of the least recently used rule over as many slots, and of the most frequent rows, kept. */
  lru: number;
  top: number;
  insertions: number;
  evictions: number;
}

const ZIPF_ROWS = 1_000_000;
const ZIPF_LOOKUPS = 2_000_000;
/** Of a file: its ids are held in memory. */
const MOST_LOOKUPS = 2 ** 28;
/** Shares of the table that are tried unless --cache-rows says otherwise. */
const SHARES = [0.01, 0.05, 0.1, 0.25];

export async function cacheTrace(flags: CacheTraceFlags, io: Io): Promise<void> {
  const source = flags.cacheTrace;
  const ids =
    source.kind === 'zipf'
      ? zipfIds(source.exponent, flags)
      : await readIds(source.path, io.stdin, flags.lookups, io.signal);
  const tableRows = flags.tableRows ?? (source.kind === 'zipf' ? ZIPF_ROWS : rowsOf(ids));
  const sizes = flags.cacheRows ?? SHARES.map((share) => Math.ceil(share * tableRows));
  const warmUp = Math.floor(ids.length / 2);
  const caches: CacheTraceRun[] = [];
  for (const cacheRows of sizes) {
    io.signal.throwIfAborted();
    const { slots, counted, hits, lruHits, topHits, insertions, evictions } = native().traceCache(
      ids,
      tableRows,
      cacheRows,
      warmUp,
    );
    const rate = (found: number) => (counted === 0 ? 0 : found / counted);
    caches.push({
      cacheRows,
      slots,
      hitRate: rate(hits),
      lru: rate(lruHits),
      top: rate(topHits),
      insertions,
      evictions,
    });
  }
  const trace = source.kind === 'zipf' ? `zipf:${source.exponent}` : source.path;
  const seed = source.kind === 'zipf' ? flags.seed : null;
  const result = { trace, tableRows, lookups: ids.length, seed, caches };
  await write(
    io.stdout,
    flags.json === true
      ? `${JSON.stringify(result)}\n`
      : printable(
          `${trace}: ${ids.length} lookups of ${tableRows} rows; hit rates of the second half\n` +
            renderRuns(caches),
        ),
  );
}

function renderRuns(caches: readonly CacheTraceRun[]): string {
  const percent = (rate: number) => `${(100 * rate).toFixed(2)} %`;
  return formatTable(
    ['cache rows', 'slots', 'hit rate', 'LRU', 'most frequent', 'insertions', 'evictions'],
    caches.map(({ cacheRows, slots, hitRate, lru, top, insertions, evictions }) => [
      String(cacheRows),
      String(slots),
      percent(hitRate),
      percent(lru),
      percent(top),
      String(insertions),
      String(evictions),
    ]),
  );
}

function zipfIds(exponent: number, flags: CacheTraceFlags): Int32Array {
  const random = randomFor({ kind: 'zipf', exponent }, flags.seed);
  const rows = flags.tableRows ?? ZIPF_ROWS;
  return Int32Array.from({ length: flags.lookups ?? ZIPF_LOOKUPS }, () => random.integer(0, rows));
}

function rowsOf(ids: Int32Array): number {
  return ids.reduce((most, id) => Math.max(most, id), 0) + 1;
}

/**
 * Whole numbers between white space or commas; `-` is standard input.
 * @throws INVALID_ARGUMENT, LIMIT_EXCEEDED
 */
export async function readIds(
  path: string,
  stdin: Readable,
  most: number | undefined,
  signal: AbortSignal,
): Promise<Int32Array> {
  const input = addAbortSignal(signal, path === '-' ? stdin : createReadStream(path));
  let ids = new Int32Array(2 ** 16);
  let count = 0;
  const add = (text: string): boolean => {
    if (count === most) return false;
    if (count === MOST_LOOKUPS) {
      throw new GyrfalconError('LIMIT_EXCEEDED', `expected at most ${MOST_LOOKUPS} ids in ${path}`);
    }
    const id = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (!(id < 2 ** 31 - 1)) {
      const expected = `expected a whole number from 0 to ${2 ** 31 - 2} for id ${count} of ${path}`;
      throw new GyrfalconError('INVALID_ARGUMENT', `${expected} but received ${show(text)}`);
    }
    if (count === ids.length) {
      const larger = new Int32Array(2 * ids.length);
      larger.set(ids);
      ids = larger;
    }
    ids[count++] = id;
    return true;
  };
  // The last word of a chunk may go on in the next one.
  let begun = '';
  read: for await (const chunk of input) {
    const words = (begun + chunk.toString('latin1')).split(/[\s,]+/);
    begun = words.pop() ?? '';
    // No id is this long: what follows is not read.
    if (begun.length > 64 && !add(begun)) break;
    for (const word of words) {
      if (word !== '' && !add(word)) break read;
    }
  }
  if (begun !== '') add(begun);
  if (count === 0) throw new GyrfalconError('INVALID_ARGUMENT', `expected ids in ${path}`);
  return ids.slice(0, count);
}
