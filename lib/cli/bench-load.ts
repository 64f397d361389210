/**
 * Who asks when. Closed: a fixed number of callers, each asks again when it has its answer. Open:
 * requests come when they come, and a latency counts from the moment that the request was due, so
 * a server that stalls is charged for everyone who had to wait.
 */
import type { Random } from '../import/verify-sample.js';

/** Tests give a clock of their own. */
export interface Clock {
  /** Nanoseconds. */
  now(): number;
  sleepUntil(time: number): Promise<void>;
}

export const realClock: Clock = {
  now: () => performance.now() * 1e6,
  sleepUntil: async (time) => {
    for (;;) {
      const left = time / 1e6 - performance.now();
      if (left <= 0) return;
      // Timers come up to a millisecond late; the rest is waited for turn by turn.
      await new Promise((resolve) =>
        left > 2 ? setTimeout(resolve, left - 1.5) : setImmediate(resolve),
      );
    }
  },
};

export interface Load {
  readonly clock: Clock;
  /** Places that requests run at; a request takes one and gives it back. */
  readonly places: number;
  /** Serves a request at `place`. */
  readonly serve: (place: number) => Promise<unknown>;
  /** `latency`: nanoseconds. `waited`: of these, before the request was handed over. */
  readonly record: (latency: number, waited: number, place: number) => void;
  /** Asked before each request. */
  readonly finished: () => boolean;
}

/** Ends when every caller has its last answer. @throws what a request throws */
export async function runClosed({ clock, places, serve, record, finished }: Load): Promise<void> {
  const failure: { error?: unknown } = {};
  const caller = async (place: number): Promise<void> => {
    while (!('error' in failure) && !finished()) {
      const start = clock.now();
      try {
        await serve(place);
      } catch (error) {
        failure.error = error;
        return;
      }
      record(clock.now() - start, 0, place);
    }
  };
  await Promise.all(Array.from({ length: places }, (_, place) => caller(place)));
  if ('error' in failure) throw failure.error;
}

/** Nanoseconds between requests of a Poisson process with `rate` requests a second. */
export function* poissonGaps(rate: number, random: Random): Generator<number, never> {
  for (;;) yield (-Math.log(1 - random.next()) * 1e9) / rate;
}

/**
 * Ends when every request that was due is answered. Where all places are taken, a request waits
 * for one, and that wait is part of its latency.
 * @throws what a request throws
 */
export async function runOpen(load: Load, gaps: Iterator<number>): Promise<void> {
  const { clock, places, serve, record, finished } = load;
  const free = Array.from({ length: places }, (_, place) => places - 1 - place);
  const pending = new Set<Promise<void>>();
  const failure: { error?: unknown } = {};
  let due = clock.now();
  const ask = async (place: number, scheduled: number): Promise<void> => {
    const waited = clock.now() - scheduled;
    try {
      await serve(place);
      record(clock.now() - scheduled, waited, place);
    } catch (error) {
      failure.error = error;
    } finally {
      free.push(place);
    }
  };
  while (!('error' in failure) && !finished()) {
    due += gaps.next().value;
    if (clock.now() < due) await clock.sleepUntil(due);
    while (free.length === 0) await Promise.race(pending);
    const place = free.pop();
    if (place === undefined) continue;
    const asked = ask(place, due);
    pending.add(asked);
    void asked.then(() => pending.delete(asked));
  }
  await Promise.all(pending);
  if ('error' in failure) throw failure.error;
}
