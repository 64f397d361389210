import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';

import { afterAll, describe, expect, it } from 'vitest';

import { type CacheTraceRun, readIds } from '../../lib/cli/cache-trace.js';
import { run } from '../../lib/cli/program.js';
import { Random } from '../../lib/import/verify-sample.js';
import { native } from '../../lib/native.js';

const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-trace-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function call(
  args: string[],
  input = '',
): Promise<{ code: number; out: string; err: string }> {
  const stdout = new PassThrough({ highWaterMark: 2 ** 20 });
  const stderr = new PassThrough({ highWaterMark: 2 ** 20 });
  const stdin = Readable.from([Buffer.from(input)]);
  const { signal } = new AbortController();
  const code = await run(['bench', ...args], { stdin, stdout, stderr, signal });
  return { code, out: stdout.read()?.toString() ?? '', err: stderr.read()?.toString() ?? '' };
}

/** As the addon should count. */
function reference(ids: Int32Array, slots: number, warmUp: number) {
  const held = new Set<number>();
  const counts = new Map<number, number>();
  let lruHits = 0;
  for (const [i, id] of ids.entries()) {
    counts.set(id, (counts.get(id) ?? 0) + 1);
    if (held.delete(id)) lruHits += i >= warmUp ? 1 : 0;
    held.add(id);
    const [oldest] = held;
    if (held.size > slots && oldest !== undefined) held.delete(oldest);
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  const top = new Set(sorted.slice(0, slots).map(([id]) => id));
  const topHits = ids.subarray(warmUp).reduce((sum, id) => sum + (top.has(id) ? 1 : 0), 0);
  return { lruHits, topHits };
}

describe('the yardsticks', () => {
  it('are those of a plain count', () => {
    const random = new Random(3);
    for (const slots of [16, 24, 64, 200]) {
      const ids = Int32Array.from({ length: 3000 }, () =>
        Math.min(random.integer(0, 100), random.integer(0, 100)),
      );
      const traced = native().traceCache(ids, 100, slots, 500);
      expect(traced).toMatchObject({ slots, counted: 2500, ...reference(ids, slots, 500) });
    }
  });

  it('count nothing where all is warm-up', () => {
    const traced = native().traceCache(new Int32Array(10), 100, 16, 10);
    expect(traced).toMatchObject({ counted: 0, hits: 0, lruHits: 0, topHits: 0 });
  });
});

describe('bench --cache-trace', () => {
  it("finds under Zipf's law nearly what the most frequent rows would, and more than LRU", async () => {
    const { code, out } = await call([
      '--cache-trace=zipf:1.05',
      '--table-rows=20000',
      '--cache-rows=200,2000',
      '--lookups=600000',
      '--json',
    ]);
    expect(code).toBe(0);
    const result = JSON.parse(out);
    expect(result).toMatchObject({
      trace: 'zipf:1.05',
      tableRows: 20000,
      lookups: 600000,
      seed: 1,
    });
    const caches = result.caches as CacheTraceRun[];
    expect(caches.map(({ slots }) => slots)).toEqual([200, 2000]);
    for (const { hitRate, lru, top, insertions, evictions, slots } of caches) {
      expect(hitRate).toBeGreaterThan(lru);
      expect(hitRate).toBeGreaterThan(top - 0.08);
      expect(hitRate).toBeLessThanOrEqual(top);
      expect(insertions - evictions).toBeLessThanOrEqual(slots);
    }
  });

  it('reads ids, prints a table, and takes sizes from the table', async () => {
    const path = join(folder, 'ids.txt');
    writeFileSync(path, '1,2 3\n399\t5\r\n');
    const { code, out } = await call([`--cache-trace=${path}`]);
    expect(code).toBe(0);
    expect(out).toContain('5 lookups of 400 rows');
    const lines = out.trim().split('\n').slice(2);
    expect(lines.map((line) => line.trim().split(/\s+/).slice(0, 2))).toEqual([
      ['4', '16'],
      ['20', '24'],
      ['40', '40'],
      ['100', '104'],
    ]);
  });

  it('reads standard input, as many as asked for', async () => {
    const { out } = await call(['--cache-trace=-', '--lookups=2', '--json'], '7 8 x');
    expect(JSON.parse(out)).toMatchObject({ tableRows: 9, lookups: 2, seed: null });
  });

  it('says what is wrong with a file, and with sizes', async () => {
    const cases: [string[], string, string][] = [
      [[], '1 two 3', 'INVALID_ARGUMENT: expected a whole number from 0 to 2147483646 for id 1'],
      [[], '1 2147483647', 'INVALID_ARGUMENT: expected a whole number from 0 to 2147483646'],
      [[], `${'1'.repeat(100)}`, 'INVALID_ARGUMENT: expected a whole number'],
      [[], ' \n', 'INVALID_ARGUMENT: expected ids in -'],
      [['--table-rows=5'], '4 5', 'INDEX_OUT_OF_RANGE: expected ids from 0 to 4 but received 5'],
      [
        ['--cache-rows=39', '--table-rows=131074'],
        '1',
        'LIMIT_EXCEEDED: expected at least 40 cached rows',
      ],
    ];
    for (const [flags, input, message] of cases) {
      const { code, err } = await call(['--cache-trace=-', ...flags], input);
      expect([code, err]).toEqual([1, expect.stringContaining(`error ${message}`)]);
    }
    const missing = await call([`--cache-trace=${join(folder, 'none')}`]);
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('error IO_ERROR')]);
    expect((await call(['--cache-trace=-', '--table-rows=5'], '4')).code).toBe(0);
  });

  it('is another use of bench than that of a bundle', async () => {
    for (const args of [[], ['bundle', '--cache-trace=zipf:1'], ['--cache-trace=zipf:x']]) {
      expect((await call(args)).code).toBe(2);
    }
  });

  it('reads ids that chunks cut', async () => {
    const text = Array.from({ length: 70_000 }, (_, i) => i * 7).join(' ');
    const chunks = text.match(/.{1,13}/gs)?.map((part) => Buffer.from(part)) ?? [];
    const ids = await readIds('-', Readable.from(chunks), undefined, new AbortController().signal);
    expect(ids).toEqual(Int32Array.from({ length: 70_000 }, (_, i) => i * 7));
  });
});
