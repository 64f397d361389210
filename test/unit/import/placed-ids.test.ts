/** Ids that depend on their place in a history. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import { mapId } from '../../../lib/import/id-map.js';
import type { OnnxModel, OnnxNode } from '../../../lib/import/onnx/types.js';
import { writeOnnxModel } from '../../../lib/import/onnx/write.js';
import { floats, ids, int64s, model, node, real } from './analyze-graphs.js';
import { maxDifference, runLowered, runOriginal } from './analyze-support.js';
import { withDirectory } from './onnx-builder.js';

const L = 5;
const D = 2;

/** Rows of `h`, which `nodes` make of `hist` [batch, 5] and `length` [batch, 1], and of what they were. */
function places(nodes: readonly OnnxNode[], ...columns: (number | string)[]): OnnxModel {
  return model({
    inputs: [
      ids('hist', 'batch', ...(columns.length === 0 ? [L] : columns)),
      ids('length', 'batch', 1),
    ],
    outputs: [real('score', 'batch', 'n', D)],
    constants: [
      floats('table', [16, D]),
      floats('lengths', [12, D]),
      int64s('zero', [], [0]),
      int64s('one', [], [1]),
      int64s('two', [], [2]),
      int64s('seven', [], [7]),
      int64s('axis', [], [1]),
      int64s('range', [1, L], [0, 1, 2, 3, 4]),
      int64s('last', [1], [-1]),
      int64s('end', [1], [2 ** 40]),
      int64s('axis1', [1], [1]),
      int64s('begin2', [1], [2]),
    ],
    nodes: [
      ...nodes,
      node('e = Gather(table, h)'),
      node('f = Gather(lengths, length)'),
      node('g = Add(e, f)'),
      node('score = Tanh(g)'),
    ],
  });
}

const isPad = node('pad = Equal(hist, zero)');
const kept = [isPad, node('keep = Not(pad)'), node('mask = Cast(keep)', { to: 7n })];
const hist = [3, 0, 7, 0, 1, 0, 0, 7, 7, 2, 9, 8, 7, 6, 5];
const feeds = {
  hist: { dtype: 'int64' as const, dims: [3, L], data: hist },
  length: { dtype: 'int64' as const, dims: [3, 1], data: [2, 0, 5] },
};

async function expectSame(original: OnnxModel): Promise<ReturnType<typeof analyze>> {
  const lowered = analyze(original);
  await withDirectory(async (directory) => {
    const path = join(directory, 'model.onnx');
    await writeOnnxModel(original, path);
    const [scores] = await runLowered(lowered, [{ batch: 3, feeds }]);
    expect(maxDifference(await runOriginal(path, feeds), scores ?? {})).toBeLessThan(1e-6);
  });
  return lowered;
}

describe('ids that depend on their place', () => {
  const cases: [string, OnnxNode[], number][] = [
    ['a position times a mask', [...kept, node('h = Mul(range, mask)')], 1],
    [
      'a moved position times a mask',
      [...kept, node('p = Add(range, two)'), node('h = Mul(mask, p)')],
      1,
    ],
    ['a mask', [...kept, node('h = Identity(mask)')], 1],
    ['a position or a number', [isPad, node('h = Where(pad, seven, range)')], 1],
    [
      'a position where an id is large',
      [node('m = Greater(hist, two)'), node('h = Where(m, range, one)')],
      2,
    ],
    [
      'a position where an id is not',
      [node('m = LessOrEqual(hist, two)'), node('h = Where(m, range, zero)')],
      1,
    ],
    [
      'a position where it is one number',
      [node('m = Equal(hist, seven)'), node('h = Where(m, range, zero)')],
      1,
    ],
    ['a count', [...kept, node('h = CumSum(mask, axis)')], 1],
    [
      'a count where it counts',
      [...kept, node('c = CumSum(mask, axis)'), node('d = Mul(c, mask)'), node('h = Add(d, one)')],
      1,
    ],
    [
      'a later part of a count',
      [...kept, node('c = CumSum(mask, axis)'), node('h = Slice(c, begin2, end, axis1)')],
      1,
    ],
    [
      'a position before a length',
      [node('m = Less(range, length)'), node('h = Where(m, range, zero)')],
      2,
    ],
    ['a position counted back', [node('d = Sub(length, range)'), node('h = Max(d, zero)')], 2],
    [
      'a position counted back before a length',
      [
        node('m = Less(range, length)'),
        node('d = Sub(length, range)'),
        node('c = Cast(m)', { to: 7n }),
        node('p = Mul(range, c)'),
        node('h = Identity(p)'),
      ],
      2,
    ],
  ];
  // Where the place is 0 a graph may do less: a bag of its own.
  it.each(cases)('are taken out: %s', async (_, nodes, bags) => {
    const lowered = await expectSame(places(nodes));
    expect(lowered.tables.map(({ name }) => name).sort()).toEqual(['lengths', 'table']);
    expect(lowered.bags.filter(({ table }) => table === 'table')).toHaveLength(bags);
  });

  it('are written as places of one step', () => {
    const lowered = analyze(
      places([...kept, node('p = Add(range, two)'), node('h = Mul(mask, p)')]),
    );
    expect(lowered.bags.find(({ table }) => table === 'table')).toMatchObject({
      start: 0,
      step: 1,
      count: L,
      map: [{ op: 'replace', if: 'ne', value: 0, with: 2, place: 1 }],
    });
  });

  it('are read from the end of a free history', async () => {
    const original = places([node('h = Slice(hist, last, end, axis1)')], 'n');
    const lowered = await expectSame(original);
    expect(lowered.bags.find(({ table }) => table === 'table')).toMatchObject({
      start: -1,
      count: 1,
    });
  });

  it('are not joined from both ends', async () => {
    const first = [node('x = Gather(hist, zero)', { axis: 1n }), node('a = Unsqueeze(x, axis1)')];
    const end = [node('b = Slice(hist, last, end, axis1)'), node('h = Concat(b, a)', { axis: 1n })];
    const lowered = await expectSame(places([...first, ...end], 'n'));
    expect(lowered.bags.filter(({ table }) => table === 'table')).toHaveLength(2);
  });

  it.each([
    ['backward', { reverse: 1n }],
    ['without itself', { exclusive: 1n }],
  ])('stay when a count runs %s', async (_, attributes) => {
    const lowered = await expectSame(places([...kept, node('h = CumSum(mask, axis)', attributes)]));
    expect(lowered.tables.map(({ name }) => name)).toEqual(['lengths']);
    expect(lowered.report[0]?.text).toContain("its ids are computed by CumSum 'h'");
  });

  it('are columns like any other after a slice of the whole batch', async () => {
    const original = places([
      node('x = Gather(hist, one)', { axis: 1n }),
      node('whole = Slice(x, begin0, end, axis0)'),
      node('h = Unsqueeze(whole, axis1)'),
    ]);
    original.graph.initializers.set('begin0', int64s('begin0', [1], [0]));
    original.graph.initializers.set('axis0', int64s('axis0', [1], [0]));
    const lowered = await expectSame(original);
    expect(lowered.bags.find(({ table }) => table === 'table')).toMatchObject({ start: 1 });
  });

  it('follow their steps', () => {
    expect(mapId([{ op: 'add', value: 3, place: -2 }], 10, 4)).toBe(5);
    expect(mapId([{ op: 'replace', if: 'ne', value: 0, with: 1, place: 1 }], 9, 4)).toBe(5);
    expect(mapId([{ op: 'replace', if: 'ne', value: 0, with: 1, place: 1 }], 0, 4)).toBe(0);
  });
});
