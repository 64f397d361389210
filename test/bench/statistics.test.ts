/** What the comparisons with peers compute: spreads, ratios, agreement, goals, options. */
import { describe, expect, it } from 'vitest';
import type { Child } from '../../bench/peers/child.js';
import {
  agree,
  checkVariety,
  DisagreementError,
  F32_BOUND,
  PRECISION_BOUNDS,
} from '../../bench/peers/compare.js';
import { GOALS, judge } from '../../bench/peers/goals.js';
import { coresOf, parseOptions } from '../../bench/peers/options.js';
import type { Cell } from '../../bench/peers/result.js';
import { compareRounds, interleave } from '../../bench/peers/rounds.js';
import { PEERS } from '../../bench/peers/sides.js';
import { distribution, quantile, SHARES, spreadOf } from '../../bench/peers/stats.js';
import { BAGS, WORKLOADS } from '../../bench/peers/workloads.js';

const slice = (...samples: number[]) => ({ samples: Float64Array.from(samples) });

describe('statistics', () => {
  it('lie between neighbours where a share does', () => {
    expect([0, 0.25, 0.5, 0.9, 1].map((share) => quantile([1, 2, 3, 4], share))).toEqual([
      1, 1.75, 2.5, 3.7, 4,
    ]);
    expect(spreadOf([5])).toEqual({ median: 5, q1: 5, q3: 5, min: 5, max: 5 });
    expect(spreadOf([9, 1, 5, 3, 7])).toEqual({ median: 5, q1: 3, q3: 7, min: 1, max: 9 });
  });

  it('take the calls of all rounds together for a distribution', () => {
    const parts = [Float64Array.of(4, 2), Float64Array.of(3, 1, 5)];
    const shares = distribution(parts);
    expect(shares).toHaveLength(SHARES.length);
    expect([shares[0], shares[SHARES.indexOf(0.5)], shares.at(-1)]).toEqual([1, 3, 5]);
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
  });

  it('divide round by round: a slow moment of both is no difference', () => {
    const ours = [slice(10, 10, 10), slice(100, 100, 100), slice(10, 12, 11)];
    const peer = [slice(20, 20, 20), slice(200, 200, 200), slice(33, 33, 33)];
    const { ratio, ratios, mine, theirs } = compareRounds(ours, peer, 4);
    expect(ratios).toEqual([2, 2, 3]);
    expect(ratio).toMatchObject({ median: 2, min: 2, max: 3 });
    expect([mine.calls, mine.p50, theirs.p50]).toEqual([9, 11, 33]);
    expect(mine.rowsPerSecond).toBe(Math.round((4 * 9 * 1e9) / (30 + 300 + 33)));
  });

  it('let stalls into the ratio of means only', () => {
    const calls = (stall: number) => slice(10, 10, 10, 10, stall);
    const { ratio, meanRatio } = compareRounds([calls(10)], [calls(1000)], 1);
    expect(ratio.median).toBe(1);
    expect(meanRatio.median).toBeCloseTo(1040 / 50);
  });

  it('come from rounds in turns, each side first as often as last', async () => {
    const order: string[] = [];
    const side = (name: string) =>
      ({
        measure: async (ms: number) => {
          order.push(`${name}${ms}`);
          return slice(name === 'a' ? 1 : 2);
        },
      }) as unknown as Child;
    const { ratio } = await interleave(side('a'), side('b'), 1, 3, 8);
    expect(order).toEqual(['a4', 'b4', 'a8', 'b8', 'b8', 'a8', 'a8', 'b8']);
    expect(ratio.median).toBe(2);
  });
});

describe('agreement', () => {
  const of = (...values: number[]) => Float32Array.from(values);

  it('holds up to its bound and not beyond, relative to what is large', () => {
    expect(agree('x', of(0.5, 1000), of(0.5, 1000.005), F32_BOUND).values).toBe(2);
    expect(agree('x', of(0.50002), of(0.5), 2.1e-5).maxError).toBeGreaterThan(1e-5);
    expect(() => agree('x', of(0.50002), of(0.5), 1.9e-5)).toThrow(DisagreementError);
    expect(() => agree('x', of(1), of(1.5), 0.1)).toThrow(/^x: expected 1.5 within 0.1 at 0/);
    expect(agree('x', of(1), of(1.5), 0.1, of(10)).maxError).toBeCloseTo(0.05);
  });

  it.each([
    ['NaN', [Number.NaN], [1]],
    ['infinity', [Number.POSITIVE_INFINITY], [1]],
    ['a missing value', [1], [1, 1]],
    ['nothing', [], []],
  ])('is none with %s', (_, actual, expected) => {
    expect(() => agree('x', of(...actual), of(...expected), 1e30)).toThrow(DisagreementError);
  });

  it('is worth nothing on outputs that are all alike or saturated', () => {
    checkVariety('x', of(0.3, 0.5, 0.7, 0.4));
    expect(() => checkVariety('x', of(0.5, 0.5, 0.5))).toThrow(/differ/);
    expect(() => checkVariety('x', of(0, 1, 0.5, 1))).toThrow(/saturated/);
  });

  it('has a bound for every precision, in their order', () => {
    const { f32, bf16, int8 } = PRECISION_BOUNDS;
    expect(f32 < bf16 && bf16 < int8 && int8 < 0.1).toBe(true);
  });
});

const cell = (key: Partial<Cell>, median = 1): Cell =>
  ({
    workload: 'kaggle',
    variant: 'f32',
    peer: 'onnxruntime-node',
    batch: 1,
    threads: 1,
    access: 'uniform',
    ratio: { median, q1: median, q3: median, min: median, max: median },
    ...key,
  }) as Cell;

describe('goals', () => {
  it('are about work, peers and settings that there are', () => {
    const workloads = [...WORKLOADS, ...BAGS].map(({ name }) => name);
    const peers = [...PEERS.map(({ name }) => name), 'ourselves on 1 thread'];
    const cells = workloads.flatMap((workload) =>
      peers.flatMap((peer) =>
        ['f32', 'bf16', 'f32+int8', 'int8', 'int4'].flatMap((variant) =>
          [1, 16, 128, 512].flatMap((batch) =>
            [1, 2].map((threads) => cell({ workload, peer, variant, batch, threads })),
          ),
        ),
      ),
    );
    for (const { work, select } of GOALS) expect([work, cells.some(select)]).toEqual([work, true]);
    expect(new Set(GOALS.map(({ work, peer }) => `${work} ${peer}`)).size).toBe(GOALS.length);
  });

  it('are judged by their worst cell', () => {
    const goals = GOALS.filter(({ work }) => work === 'kaggle, f32, batch 1');
    const least = goals[0]?.least ?? 0;
    expect(judge({ cells: [] }, goals)).toMatchObject([{ met: null, cells: 0 }]);
    const good = cell({}, least);
    const bad = cell({ access: 'zipf:1.05' }, least - 0.01);
    const other = cell({ workload: 'rm1' }, 0.1);
    expect(judge({ cells: [good, other] }, goals)).toMatchObject([{ met: true, cells: 1 }]);
    expect(judge({ cells: [good, bad] }, goals)).toMatchObject([
      { met: false, cells: 2, worst: { access: 'zipf:1.05' } },
    ]);
    expect(judge({ cells: [cell({}, Number.NaN)] }, goals)).toMatchObject([{ met: false }]);
  });
});

describe('options', () => {
  it('measure everything by default', () => {
    const options = parseOptions([]);
    if (options === 'help') throw new Error('expected options');
    expect(options.workloads).toEqual([...WORKLOADS.map(({ name }) => name), 'bags']);
    expect(options.access).toEqual([{ kind: 'uniform' }, { kind: 'zipf', exponent: 1.05 }]);
    expect([options.batch, options.threads]).toEqual([
      [1, 16, 128, 512],
      [1, 2],
    ]);
    expect(options.variants.map(({ precision, tables }) => [precision, tables])).toEqual([
      ['f32', undefined],
      ['bf16', undefined],
      ['f32', 'int8'],
    ]);
  });

  it('name single bags, and the cores of a side by its threads', () => {
    const options = parseOptions(['--workload', 'rm1,bag-int8-64', '--cores', '1,0']);
    if (options === 'help') throw new Error('expected options');
    expect(options.workloads).toEqual(['rm1', 'bag-int8-64']);
    expect([coresOf(options, 1), coresOf(options, 2)]).toEqual([[1], [1, 0]]);
    expect(coresOf({ cores: [] }, 2)).toEqual([0, 1]);
    const one = parseOptions(['--threads', '1', '--cores', '1']);
    expect(one).toMatchObject({ cores: [1] });
  });

  it.each([
    [['--variant', 'int8,bf16+int4', '--rounds', '7', '--save', 'a.b-c_1'], true],
    [['--rounds', '6'], false],
    [['--variant', 'f16'], false],
    [['--variant', 'f32+f8'], false],
    [['--variant', 'f32+int8+x'], false],
    [['--variant', 'f32+'], false],
    [['--workload', 'kagle'], false],
    [['--threads', '1,2', '--cores', '1'], false],
    [['--cores', '1,1'], false],
    [['--cores', '-1,0'], false],
    [['--peer', 'onnx'], false],
    [['--engine', 'tensorrt'], false],
    [['--access', 'zipf:0'], false],
    [['--batch', ''], false],
    [['--save', '../x'], false],
    [['--save', '.x'], false],
    [['--nothing'], false],
  ])('%j: %s', (args, fine) => {
    if (fine) expect(parseOptions(args)).toMatchObject({ rounds: 7, save: 'a.b-c_1' });
    else expect(() => parseOptions(args)).toThrow();
  });
});
