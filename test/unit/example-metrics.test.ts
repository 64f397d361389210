import { describe, expect, it } from 'vitest';

// @ts-expect-error The example is plain JavaScript without declarations.
import * as untyped from '../../examples/movielens/metrics.mjs';

const { auc, percentiles, top } = untyped as {
  auc(labels: ArrayLike<number>, scores: ArrayLike<number>): number;
  percentiles(samples: ArrayLike<number>, wanted: readonly number[]): number[];
  top(scores: ArrayLike<number>, count: number, keep?: (row: number) => boolean): number[];
};

/** The definition, pair by pair. */
function aucByPairs(labels: number[], scores: number[]): number {
  let right = 0;
  let pairs = 0;
  labels.forEach((positive, i) => {
    labels.forEach((negative, j) => {
      if (positive !== 1 || negative !== 0) return;
      const difference = scores[i]! - scores[j]!;
      right += difference > 0 ? 1 : difference === 0 ? 0.5 : 0;
      pairs += 1;
    });
  });
  return right / pairs;
}

/** A small generator (mulberry32), so that the cases are the same on every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

describe('auc', () => {
  it('is 1 for a perfect order, 0 for its reverse and one half for constant scores', () => {
    expect(auc([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])).toBe(1);
    expect(auc([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4])).toBe(0);
    expect(auc([1, 0, 1, 0, 0], [7, 7, 7, 7, 7])).toBe(0.5);
  });

  it.each([1, 2, 3])('agrees with counting all pairs, ties included (seed %i)', (seed) => {
    const random = generator(seed);
    const scores = Array.from({ length: 200 }, () => Math.floor(random() * 40) / 40);
    const labels = scores.map((score) => (random() < 0.3 + 0.4 * score ? 1 : 0));
    expect(auc(labels, scores)).toBeCloseTo(aucByPairs(labels, scores), 12);
  });

  it('reads typed arrays and leaves them as they are', () => {
    const scores = Float32Array.of(0.9, 0.1, 0.5);
    expect(auc(Uint8Array.of(1, 0, 0), scores)).toBe(1);
    expect([...scores]).toEqual([...Float32Array.of(0.9, 0.1, 0.5)]);
  });

  it('refuses what has no area', () => {
    expect(() => auc([1, 0], [1])).toThrow(/expected 2 scores/);
    expect(() => auc([1, 1], [1, 2])).toThrow(/both kinds/);
    expect(() => auc([], [])).toThrow(/both kinds/);
    expect(() => auc([1, 0], [1, Number.NaN])).toThrow(/scores\[1\]/);
  });
});

describe('percentiles', () => {
  const thousand = Array.from({ length: 1000 }, (_, place) => 1000 - place);

  it('takes the nearest rank', () => {
    expect(percentiles(thousand, [50, 90, 99, 99.9, 100])).toEqual([500, 900, 990, 999, 1000]);
    expect(percentiles([3, 1, 2], [50, 34, 33, 0.001])).toEqual([2, 2, 1, 1]);
    expect(percentiles([5], [0.1, 50, 100])).toEqual([5, 5, 5]);
  });

  it('orders by value, not by text, and leaves the samples in their order', () => {
    const samples = Float64Array.of(100, 9, 20);
    expect(percentiles(samples, [100])).toEqual([100]);
    expect([...samples]).toEqual([100, 9, 20]);
  });

  it('refuses no samples and percentiles out of range', () => {
    expect(() => percentiles([], [50])).toThrow(/at least one sample/);
    for (const p of [0, -1, 100.1, Number.NaN])
      expect(() => percentiles([1], [p])).toThrow(/expected a percentile/);
  });
});

describe('top', () => {
  it('gives the places of the highest scores, the earlier of equal ones first', () => {
    expect(top(Float32Array.of(0.5, 0.9, 0.5, 0.7), 3)).toEqual([1, 3, 0]);
  });

  it('leaves out what is not kept and never gives more than there is', () => {
    expect(top([3, 2, 1], 5, (row) => row !== 0)).toEqual([1, 2]);
    expect(top([3, 2, 1], 0)).toEqual([]);
    expect(top([], 2)).toEqual([]);
  });
});
