/** Ids that the graph computes before the lookup. */
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import type { OnnxModel, OnnxNode } from '../../../lib/import/onnx/types.js';
import { floats, ids, info, int64s, model, node, real } from './analyze-graphs.js';

const D = 3;
const table = floats('table', [12, D]);
const axis1 = int64s('axis1', [1], [1]);

/** Rows of ids `h`, which `nodes` make of `hist` or `w`, pooled. */
function history(nodes: readonly OnnxNode[]): OnnxModel {
  return model({
    inputs: [ids('hist', 'batch', 4), real('w', 'batch', 4)],
    outputs: [real('score', 'batch', D)],
    constants: [table, axis1, int64s('zero', [], [0]), int64s('seven', [], [7])],
    nodes: [
      ...nodes,
      node('e = Gather(table, h)'),
      node('rows = ReduceSum(e, axis1)', { keepdims: 0n }),
      node('score = Relu(rows)'),
    ],
  });
}

describe('computed ids', () => {
  it.each([
    ['Mod', [node('h = Mod(hist, seven)')], [{ op: 'mod', by: 7 }], 'i64'],
    ['C-like Mod', [node('h = Mod(hist, seven)', { fmod: 1n })], [{ op: 'rem', by: 7 }], 'i64'],
    ['Div', [node('h = Div(hist, seven)')], [{ op: 'div', by: 7 }], 'i32'],
    ['Abs', [node('h = Abs(hist)')], [{ op: 'abs' }], 'i32'],
    ['Min', [node('h = Min(hist, seven)')], [{ op: 'clamp', max: 7 }], 'i32'],
    ['Max', [node('h = Max(seven, hist)')], [{ op: 'clamp', min: 7 }], 'i32'],
    [
      'Clip',
      [node('h = Clip(hist, zero, seven)')],
      [
        { op: 'clamp', min: 0 },
        { op: 'clamp', max: 7 },
      ],
      'i32',
    ],
    [
      'Add and Mod',
      [node('s = Add(hist, seven)'), node('h = Mod(s, seven)')],
      [
        { op: 'add', value: 7 },
        { op: 'mod', by: 7 },
      ],
      'i64',
    ],
    [
      'Where',
      [node('known = Less(hist, seven)'), node('h = Where(known, hist, zero)')],
      [{ op: 'replace', if: 'ge', value: 7, with: 0 }],
      'i32',
    ],
  ])('takes a table out whose ids come through %s', (_, nodes, map, dtype) => {
    const found = analyze(history(nodes as OnnxNode[]));
    expect(found.tables).toMatchObject([{ name: 'table' }]);
    expect(found.bags).toMatchObject([{ input: 'hist', pooling: 'sum', map }]);
    expect(found.inputs.find(({ name }) => name === 'hist')).toMatchObject({ dtype });
  });

  it('reads ids from a float input', () => {
    const found = analyze(history([node('h = Cast(w)', { to: 7n })]));
    expect(found.bags).toMatchObject([{ input: 'w', pooling: 'sum' }]);
    expect(found.bags[0]).not.toHaveProperty('map');
    expect(found.inputs.find(({ name }) => name === 'w')).toMatchObject({ dtype: 'f32' });
  });

  it('keeps hashed ids in 32 bits when told to', () => {
    const found = analyze(history([node('h = Mod(hist, seven)')]), { ids: 'i32' });
    expect(found.inputs.find(({ name }) => name === 'hist')).toMatchObject({ dtype: 'i32' });
  });

  it.each([
    [
      'a product with a fraction',
      [
        node('f = Cast(hist)', { to: 1n }),
        node('g = Mul(f, half)'),
        node('h = Cast(g)', { to: 7n }),
      ],
      "Mul 'g'",
    ],
    [
      'a choice by another input',
      [node('far = Less(item, seven)'), node('h = Where(far, hist, zero)')],
      "Where 'h'",
    ],
    ['a negative divisor', [node('h = Mod(hist, minus)')], "Mod 'h'"],
  ])('keeps a table whose ids come through %s, and says why', (_, nodes, by) => {
    const base = history(nodes as OnnxNode[]);
    base.graph.initializers.set('half', floats('half', [], [0.5]));
    base.graph.initializers.set('minus', int64s('minus', [], [-7]));
    if (by.startsWith('Where')) base.graph.inputs.push(ids('item', 'batch', 1));
    const found = analyze(base);
    expect(found.tables).toEqual([]);
    expect(found.dense.graph.initializers.has('table')).toBe(true);
    expect(found.report).toEqual([
      {
        level: 'warn',
        text: `table 'table' [12, 3] stays in the dense graph: its ids are computed by ${by} (Gather 'e')`,
      },
    ]);
  });

  it.each([
    [
      'a length',
      info('limit', 7, [4]),
      [node('far = Greater(limit, seven)'), node('m = Cast(far)', { to: 1n })],
    ],
    ['weights', info('limit', 1, [4]), [node('m = Identity(limit)')]],
  ])('does not take %s from an input without a batch', (_, input, nodes) => {
    const base = model({
      inputs: [ids('hist', 'batch', 4), input],
      outputs: [real('score', 'batch', D)],
      constants: [table, axis1, int64s('last', [1], [-1]), int64s('seven', [], [7])],
      nodes: [
        node('e = Gather(table, hist)'),
        ...nodes,
        node('m3 = Unsqueeze(m, last)'),
        node('em = Mul(e, m3)'),
        node('rows = ReduceSum(em, axis1)', { keepdims: 0n }),
        node('score = Relu(rows)'),
      ],
    });
    const found = analyze(base);
    expect(found.bags).toMatchObject([{ input: 'hist', pooling: 'none' }]);
    expect(found.bags[0]).not.toHaveProperty('length');
    expect(found.bags[0]).not.toHaveProperty('weights');
    expect(found.denseInputs).toContain('limit');
  });
});
