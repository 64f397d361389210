/** Two sides in turns, A B B A A B …, and what their rounds say about each other. */
import type { Child, Slice } from './child.js';
import { distribution, medianOf, type Spread, spreadOf } from './stats.js';

export interface SideResult {
  readonly calls: number;
  /** Median of the rounds' medians, nanoseconds of a call. */
  readonly p50: number;
  /** Nanoseconds at SHARES, all rounds together. */
  readonly distribution: readonly number[];
  readonly rowsPerSecond: number;
  readonly stages?: { lookup: number; engine: number };
}

export interface Rounds {
  /** How many times faster we are: the peer's median over ours, a round. */
  readonly ratio: Spread;
  /** The same with means, which stalls enter. */
  readonly meanRatio: Spread;
  readonly ratios: readonly number[];
  readonly mine: SideResult;
  readonly theirs: SideResult;
}

const mean = (values: Float64Array): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

export interface Turns {
  readonly ours: Slice[];
  readonly peer: Slice[];
}

/** Both sides are loaded, warm and have their requests. */
export async function interleave(
  ours: Child,
  peer: Child,
  batch: number,
  rounds: number,
  ms: number,
): Promise<Rounds> {
  const turns = await takeTurns(ours, peer, rounds, ms);
  return compareRounds(turns.ours, turns.peer, batch);
}

export async function takeTurns(
  ours: Child,
  peer: Child,
  rounds: number,
  ms: number,
  afterRound?: () => Promise<void>,
): Promise<Turns> {
  const slices: Turns = { ours: [], peer: [] };
  await ours.measure(ms / 2);
  await peer.measure(ms / 2);
  for (let round = 0; round < rounds; round++) {
    // Turned about each time, so that neither always follows the other.
    const order = round % 2 === 0 ? (['ours', 'peer'] as const) : (['peer', 'ours'] as const);
    for (const side of order) {
      slices[side].push(await (side === 'ours' ? ours : peer).measure(ms));
    }
    await afterRound?.();
  }
  return slices;
}

export function compareRounds(
  ours: readonly Slice[],
  peer: readonly Slice[],
  batch: number,
): Rounds {
  const each = (of: (samples: Float64Array) => number): number[] =>
    ours.map(({ samples }, i) => of(peer[i]?.samples ?? samples) / of(samples));
  const ratios = each(medianOf);
  return {
    ratio: spreadOf(ratios),
    meanRatio: spreadOf(each(mean)),
    ratios: ratios.map((ratio) => Math.round(ratio * 1000) / 1000),
    mine: summarize(ours, batch),
    theirs: summarize(peer, batch),
  };
}

function summarize(slices: readonly Slice[], batch: number): SideResult {
  const samples = slices.map((slice) => slice.samples);
  const calls = samples.reduce((sum, part) => sum + part.length, 0);
  const time = samples.reduce((sum, part) => sum + mean(part) * part.length, 0);
  const stages = slices.flatMap((slice) => slice.stages ?? []);
  return {
    calls,
    p50: Math.round(medianOf(samples.map(medianOf))),
    distribution: distribution(samples),
    rowsPerSecond: Math.round((batch * calls * 1e9) / time),
    ...(stages.length === 0
      ? {}
      : {
          stages: {
            lookup: Math.round(medianOf(stages.map(({ lookup }) => lookup))),
            engine: Math.round(medianOf(stages.map(({ engine }) => engine))),
          },
        }),
  };
}
