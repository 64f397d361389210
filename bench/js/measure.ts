/** Rounds of tinybench over all cases, so that a disturbance does not hit one case only. */
import { Bench } from 'tinybench';
import { medianOf, type Spread, spreadOf } from '../peers/stats.js';
import type { Case } from './cases.js';

export interface Measured {
  readonly name: string;
  /** Microseconds of one call: medians of the rounds. */
  readonly p50: Spread;
  readonly p99: number;
  /** Microseconds of native work; absent without. */
  readonly native?: number;
  /** Median of the rounds' p50 less what it is compared with: native work, or the synchronous case. */
  readonly above?: Spread;
}

interface Round {
  readonly p50: number;
  readonly p99: number;
  readonly native: number | undefined;
}

export async function measureCases(
  cases: readonly Case[],
  rounds: number,
  ms: number,
): Promise<Measured[]> {
  const found = new Map<string, Round[]>(cases.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const bench = new Bench({ time: ms, warmupTime: ms / 4, iterations: 8, throws: true });
    const native = new Map<string, number[]>();
    for (const one of cases) {
      const seen: number[] = [];
      native.set(one.name, seen);
      bench.add(one.name, sampler(one, seen));
    }
    await bench.run();
    for (const { name, result } of bench.tasks) {
      if (!('latency' in result)) throw new Error(`${name} did not run`);
      const seen = native.get(name) ?? [];
      found.get(name)?.push({
        p50: result.latency.p50 * 1000,
        p99: result.latency.p99 * 1000,
        native: seen.length === 0 ? undefined : medianOf(seen) / 1000,
      });
    }
  }
  return cases.map((one) => summarize(one, found));
}

/** Times the calls itself, so that what tinybench does around a sample is not in it. */
function sampler({ call, calls, native, above }: Case, seen: number[]) {
  const done = (start: number) => {
    const cost = performance.now() - start;
    if (native !== undefined) seen.push(native());
    return { overriddenDuration: cost / calls, overriddenIterationCost: cost };
  };
  if (above !== undefined) {
    return async () => {
      const start = performance.now();
      await call();
      return done(start);
    };
  }
  return () => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) call();
    return done(start);
  };
}

function summarize(one: Case, found: ReadonlyMap<string, Round[]>): Measured {
  const rounds = found.get(one.name) ?? [];
  const less = one.above === undefined ? undefined : found.get(one.above);
  const above = rounds.flatMap(({ p50, native }, i) => {
    const base = less === undefined ? native : less[i]?.p50;
    return base === undefined ? [] : [p50 - base];
  });
  const native = rounds.flatMap((round) => round.native ?? []);
  return {
    name: one.name,
    p50: spreadOf(rounds.map(({ p50 }) => p50)),
    p99: medianOf(rounds.map(({ p99 }) => p99)),
    ...(native.length === 0 ? {} : { native: medianOf(native) }),
    ...(above.length === 0 ? {} : { above: spreadOf(above) }),
  };
}
