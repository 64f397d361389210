import { expect, test } from 'vitest';
import { Vigil } from '../../lib/vigil.js';

/** An event loop that turns when it is told to. */
function loop(cores: number) {
  const queue: (() => void)[] = [];
  const vigil = new Vigil(cores, (turn) => queue.push(turn));
  const turns = (most: number): number => {
    let done = 0;
    for (; done < most && queue.length > 0; done++) queue.shift()?.();
    return done;
  };
  return { vigil, turns };
}

test('turns while a short score is in flight, and a bounded number of times', () => {
  const { vigil, turns } = loop(4);
  vigil.begin(1, 2000);
  expect(turns(5)).toBe(5);
  vigil.end(1);
  expect(turns(1000)).toBe(1);
  vigil.begin(1, 2000);
  const most = turns(10_000);
  expect(most).toBeGreaterThan(100);
  expect(most).toBeLessThan(300);
  // The next one has its own turns, though the first has not settled.
  vigil.begin(1, 2000);
  expect(turns(10_000)).toBe(most);
});

test('one chain of turns serves all that are in flight', () => {
  const { vigil, turns } = loop(8);
  for (let i = 0; i < 5; i++) vigil.begin(1, 2000);
  expect(turns(10_000)).toBeLessThan(300);
});

test.each([
  ['of unknown length', 4, 1, Number.POSITIVE_INFINITY],
  ['that takes long', 4, 1, 100_001],
  ['that uses all cores', 4, 4, 2000],
  ['on a single core', 1, 1, 2000],
])('sleeps during a score %s', (_, cores, threads, work) => {
  const { vigil, turns } = loop(cores);
  vigil.begin(threads, work);
  expect(turns(10)).toBe(0);
  vigil.end(threads);
});

test('goes to sleep when the workers need every core, and wakes when they do not', () => {
  const { vigil, turns } = loop(2);
  vigil.begin(1, 2000);
  expect(turns(3)).toBe(3);
  vigil.begin(1, 2000);
  expect(turns(1000)).toBe(1);
  vigil.end(1);
  vigil.end(1);
  vigil.begin(1, 2000);
  expect(turns(3)).toBe(3);
});
