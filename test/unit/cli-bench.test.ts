import { describe, expect, it } from 'vitest';

import { LatencyHistogram, toHgrm } from '../../lib/cli/bench-histogram.js';
import {
  type Clock,
  type Load,
  poissonGaps,
  runClosed,
  runOpen,
} from '../../lib/cli/bench-load.js';
import { type BenchResult, compareResults } from '../../lib/cli/bench-result.js';
import { judgeSlo, objectives } from '../../lib/cli/bench-slo.js';
import { isStable, Windows } from '../../lib/cli/bench-windows.js';
import { Random } from '../../lib/import/verify-sample.js';

const MS = 1e6;

/** Time passes only when everybody waits. */
class FakeClock implements Clock {
  #time = 0;
  #timers: { time: number; wake: () => void }[] = [];

  now(): number {
    return this.#time;
  }

  sleepUntil(time: number): Promise<void> {
    return new Promise((wake) => this.#timers.push({ time, wake }));
  }

  async run(work: Promise<void>): Promise<void> {
    const state = { done: false };
    const ended = work.finally(() => {
      state.done = true;
    });
    ended.catch(() => {});
    for (;;) {
      // A few turns, so that every promise that can settle has.
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      if (state.done) break;
      this.#timers.sort((a, b) => a.time - b.time);
      const next = this.#timers.shift();
      if (next === undefined) throw new Error('everybody waits for nothing');
      this.#time = Math.max(this.#time, next.time);
      next.wake();
    }
    await ended;
  }
}

/** One request at a time, 1 ms each; the 200th takes a second. */
function stallingServer(clock: FakeClock): () => Promise<void> {
  let free = 0;
  let served = 0;
  return async () => {
    served++;
    free = Math.max(free, clock.now()) + (served === 200 ? 1000 * MS : MS);
    await clock.sleepUntil(free);
  };
}

async function load(kind: 'open' | 'closed', requests = 2000): Promise<LatencyHistogram> {
  const clock = new FakeClock();
  const histogram = new LatencyHistogram();
  let asked = 0;
  const all: Load = {
    clock,
    places: kind === 'open' ? 8 : 1,
    serve: stallingServer(clock),
    record: (latency) => histogram.record(latency),
    finished: () => asked++ >= requests,
  };
  const work = kind === 'closed' ? runClosed(all) : runOpen(all, poissonGaps(500, new Random(3)));
  await clock.run(work);
  return histogram;
}

describe('load', () => {
  it('charges a stall to everyone who was due, where requests come by themselves', async () => {
    const open = await load('open');
    const closed = await load('closed');
    expect([open.count, closed.count]).toEqual([2000, 2000]);
    // A caller that waits for its answer sees the stall once in two thousand.
    expect(closed.percentile(0.99)).toBeCloseTo(MS, -4);
    expect(closed.max).toBeGreaterThanOrEqual(1000 * MS);
    // About five hundred were due in that second, though only eight were in flight.
    expect(open.percentile(0.9)).toBeGreaterThan(300 * MS);
    expect(open.percentile(0.99)).toBeGreaterThan(800 * MS);
  });

  it('has exponential gaps of the rate', () => {
    const gaps = poissonGaps(1000, new Random(5));
    const values = Array.from({ length: 20_000 }, () => gaps.next().value / MS);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean).toBeGreaterThan(0.97);
    expect(mean).toBeLessThan(1.03);
    const deviation = Math.sqrt(
      values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length,
    );
    expect(deviation / mean).toBeGreaterThan(0.95);
    expect(deviation / mean).toBeLessThan(1.05);
  });

  it.each(['open', 'closed'] as const)('ends with what a request throws: %s', async (kind) => {
    const clock = new FakeClock();
    const serve = async (): Promise<void> => {
      await clock.sleepUntil(clock.now() + MS);
      throw new Error('refused');
    };
    const all = { clock, places: 2, serve, record: () => {}, finished: () => false };
    const work = kind === 'closed' ? runClosed(all) : runOpen(all, poissonGaps(500, new Random(1)));
    await expect(clock.run(work)).rejects.toThrow('refused');
  });
});

describe('histogram', () => {
  it('is exact below 2048 and within 0.1 % above', () => {
    const small = new LatencyHistogram();
    for (let i = 1; i <= 100; i++) small.record(i);
    expect([0, 0.5, 0.99, 0.999, 1].map((p) => small.percentile(p))).toEqual([1, 50, 99, 100, 100]);
    for (const value of [2047, 2048, 4097, 123_456_789, 9e12]) {
      const one = new LatencyHistogram();
      one.record(1);
      one.record(value);
      one.record(value * 2);
      expect(Math.abs(one.percentile(0.6) / value - 1)).toBeLessThanOrEqual(0.001);
    }
  });

  it('has nothing to say without values', () => {
    const empty = new LatencyHistogram();
    expect([empty.percentile(0.5), empty.mean, empty.min, empty.max]).toEqual(Array(4).fill(NaN));
  });

  it('is written as HdrHistogram writes it', () => {
    const histogram = new LatencyHistogram();
    for (let i = 1; i <= 1000; i++) histogram.record(i * MS);
    const lines = toHgrm(histogram).split('\n');
    expect(lines[0]).toMatch(/Value +Percentile +TotalCount +1\/\(1-Percentile\)/);
    const half = lines.find((line) => line.includes(' 0.500000000000 ')) ?? '';
    const [value, , total, inverse] = half.trim().split(/ +/).map(Number);
    expect(value).toBeGreaterThanOrEqual(500);
    expect(value).toBeLessThan(500.6);
    expect([total, inverse]).toEqual([500, 2]);
    expect(lines.some((line) => / 1\.0{12} +1000 +inf$/.test(line))).toBe(true);
  });
});

describe('windows', () => {
  const limits = { window: 100, warmUp: 50, duration: 10_000, untilStable: true };

  it('count nothing before the warm-up is over and end when three agree', () => {
    const windows = new Windows(limits, 0);
    expect(windows.record(9, 49)).toBe(false);
    let now = 50;
    for (; !windows.finished(now); now += 10) windows.record(5000, now);
    expect(windows.stable).toBe(true);
    expect(windows.windows.length).toBe(3);
    expect(windows.total.max).toBe(5000);
  });

  it('go on until the duration where they never agree, or where all of it is asked for', () => {
    const restless = new Windows(limits, 0);
    let now = 50;
    for (; !restless.finished(now); now += 10) {
      restless.record(Math.floor((now - 50) / 100) % 2 === 0 ? 1000 : 5000, now);
    }
    expect([restless.stable, now >= 10_050]).toEqual([false, true]);
    const full = new Windows({ ...limits, untilStable: false }, 0);
    now = 50;
    for (; !full.finished(now); now += 10) full.record(5000, now);
    expect([full.stable, now >= 10_050]).toEqual([true, true]);
  });

  it('agree within 5 % in median and 15 % in the 99th percentile', () => {
    const of = (...pairs: [number, number][]) =>
      isStable(pairs.map(([p50, p99]) => ({ calls: 10, p50, p99 })));
    expect(of([100, 200], [105, 230], [101, 201])).toBe(true);
    expect(of([100, 200], [106, 200], [101, 201])).toBe(false);
    expect(of([100, 200], [100, 231], [101, 201])).toBe(false);
    expect(of([9, 9], [100, 200], [100, 200], [100, 200])).toBe(true);
    expect(of([100, 200], [100, 200])).toBe(false);
  });
});

describe('objectives', () => {
  it('are read with their units', () => {
    const read = objectives('p99=5ms,p50=80us', objectives('p999=1s,p99.9=2ns,max=3ms,rps=10'));
    expect(read.map(({ metric, limit }) => [metric, limit])).toEqual([
      [0.999, 1e9],
      [0.999, 2],
      ['max', 3e6],
      ['rps', 10],
      [0.99, 5e6],
      [0.5, 8e4],
    ]);
  });

  it.each(['p99', 'p99=5', 'p100=1ms', 'p0=1ms', 'p99=-1ms', 'p99=0ms', 'rps=5ms', 'x=1ms', ''])(
    'refuse %j',
    (text) => {
      expect(() => objectives(text)).toThrow(/expected METRIC=TIME/);
    },
  );

  it('are met up to their limit, and never without calls', () => {
    const histogram = new LatencyHistogram();
    expect(judgeSlo(objectives('p99=1s'), histogram, 0)[0]?.met).toBe(false);
    histogram.record(1000);
    const met = judgeSlo(objectives('p50=1us,max=999ns,rps=10,rps=11'), histogram, 10);
    expect(met.map((one) => one.met)).toEqual([true, false, true, false]);
  });
});

describe('comparison', () => {
  const result = (p50: number, rows: number, mode: BenchResult['mode'] = 'sync') =>
    ({
      mode,
      concurrency: 1,
      rate: null,
      runs: [{ batch: 1, threads: 1, latency: { p50, p99: 2 * p50 }, rowsPerSecond: rows }],
    }) as unknown as BenchResult;

  it('says how much worse it got', () => {
    const changes = compareResults(result(100, 1000), result(110, 800));
    expect(changes.map(({ metric, worse }) => [metric, Math.round(worse * 100)])).toEqual([
      ['p50', 10],
      ['p99', 10],
      ['rows/s', 25],
    ]);
  });

  it('refuses results of another load', () => {
    expect(() => compareResults(result(1, 1), result(1, 1, 'open'))).toThrow(/the same load/);
  });
});
