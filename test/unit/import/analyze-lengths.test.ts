/** Offsets that the graph computes from lengths. */
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import type { OnnxModel, OnnxNode } from '../../../lib/import/onnx/types.js';
import { floats, graph, ids, info, int64s, model, node, real } from './analyze-graphs.js';

const BODY = graph({
  inputs: [info('i', 7, []), info('go', 9, [])],
  outputs: [info('on', 9, []), real('pooled', 3)],
  nodes: [
    node('from = Gather(ends, i)'),
    node('to = Gather(tails, i)'),
    node('from1 = Unsqueeze(from, zero1)'),
    node('to1 = Unsqueeze(to, zero1)'),
    node('own = Slice(values, from1, to1, zero1)'),
    node('rows = Gather(table, own)'),
    node('pooled = ReduceSum(rows, zero1)', { keepdims: 0n }),
    node('on = Identity(go)'),
  ],
});

/** Bags between `starts`, which `nodes` make, and the number of ids. */
function bags(nodes: readonly OnnxNode[], outputs: readonly string[] = []): OnnxModel {
  return model({
    inputs: [ids('values', 'nnz'), ids('lengths', 'batch'), ids('others', 'batch')],
    outputs: [real('y', 'batch', 3), ...outputs.map((name) => ids(name, 'batch'))],
    constants: [
      floats('table', [12, 3]),
      int64s('axis', [], [0]),
      int64s('last', [], [-1]),
      int64s('zero1', [1], [0]),
      int64s('one1', [1], [1]),
      int64s('front', [2], [1, 0]),
      int64s('behind', [2], [0, 1]),
      int64s('minus1', [1], [-1]),
      int64s('minus2', [1], [-2]),
      int64s('max', [1], [2 ** 40]),
      { name: 'true', dataType: 9, dims: [], source: { kind: 'inline', bytes: Uint8Array.of(1) } },
    ],
    nodes: [
      ...nodes,
      node('total = Shape(values)'),
      node('ends = Concat(starts, total)', { axis: 0n }),
      node('tails = Slice(ends, one1, max, zero1)'),
      node('bags = Size(lengths)'),
      node('pooled = Loop(bags, true)', { body: BODY }),
      node('y = Relu(pooled)'),
      node('rest = Add(others, lengths)'),
    ],
  });
}

const axis0 = { axis: 0n };
const sum = node('sum = CumSum(lengths, axis)');
const cut = 'Slice(whole, zero1, minus1, zero1)';

describe('offsets from lengths', () => {
  it.each<[string, OnnxNode[]]>([
    ['exclusive sums', [node('starts = CumSum(lengths, axis)', { exclusive: 1n })]],
    ['along the last axis', [node('starts = CumSum(lengths, last)', { exclusive: 1n })]],
    ['sums less lengths', [sum, node('starts = Sub(sum, lengths)')]],
    [
      'all sums behind a 0, less the last',
      [sum, node('whole = Concat(zero1, sum)', axis0), node(`starts = ${cut}`)],
    ],
    [
      'the first sums behind a 0',
      [sum, node('s = Slice(sum, zero1, minus1)'), node('starts = Concat(zero1, s)', axis0)],
    ],
    [
      'sums of a 0 and the first lengths',
      [
        node('l = Slice(lengths, zero1, minus1)'),
        node('z = Concat(zero1, l)', axis0),
        node('starts = CumSum(z, axis)'),
      ],
    ],
    [
      'padded and cast',
      [
        node('p = Pad(lengths, front)'),
        node('s = CumSum(p, axis)'),
        node('whole = Cast(s)', { to: 6n }),
        node(`starts = ${cut}`),
      ],
    ],
    ['reshaped', [sum, node('d = Sub(sum, lengths)'), node('starts = Reshape(d, minus1)')]],
  ])('%s', (_, nodes) => {
    const found = analyze(bags(nodes));
    expect(found.inputs.map(({ name }) => name)).toEqual(['values', 'others']);
    expect(found.inputs[0]).toMatchObject({ kind: 'ragged', source: { lengths: 'lengths' } });
    expect(found.bags).toEqual([
      { table: 'table', input: 'values', pooling: 'sum', slot: 'lookup_0', offset: 0 },
    ]);
    const values = { offsets: 'lengths', includesLast: false, areLengths: true };
    expect(found.raggedSources).toEqual({ values });
    expect(found.report).toEqual([
      {
        level: 'info',
        text: "input 'lengths' has the lengths of rows of 'values'; batches have their offsets",
      },
    ]);
  });

  it.each<[string, OnnxNode[]]>([
    ['sums with their own', [node('starts = CumSum(lengths, axis)')]],
    ['sums from behind', [node('starts = CumSum(lengths, axis)', { exclusive: 1n, reverse: 1n })]],
    ['sums less other numbers', [sum, node('starts = Sub(sum, others)')]],
    [
      'sums behind a 1',
      [node('s = Slice(sum, zero1, minus1)'), node('starts = Concat(one1, s)', axis0)].toSpliced(
        0,
        0,
        sum,
      ),
    ],
    [
      'padded behind',
      [
        node('p = Pad(lengths, behind)'),
        node('s = CumSum(p, axis)'),
        node('whole = Identity(s)'),
        node(`starts = ${cut}`),
      ],
    ],
    [
      'padded by copies',
      [
        node('p = Pad(lengths, front)', { mode: 'edge' }),
        node('whole = CumSum(p, axis)'),
        node(`starts = ${cut}`),
      ],
    ],
    [
      'two missing',
      [
        sum,
        node('whole = Concat(zero1, sum)', axis0),
        node('starts = Slice(whole, zero1, minus2, zero1)'),
      ],
    ],
    [
      'lengths themselves',
      [node('whole = Concat(zero1, lengths)', axis0), node(`starts = ${cut}`)],
    ],
  ])('are not %s', (_, nodes) => {
    const found = analyze(bags(nodes));
    expect(found.tables).toEqual([]);
    expect(found.report.map(({ level }) => level)).toEqual(['warn']);
  });

  it('stay where the dense graph reads the lengths as well', () => {
    const starts = node('starts = CumSum(lengths, axis)', { exclusive: 1n });
    const found = analyze(bags([starts], ['rest']));
    expect(found.tables).toEqual([]);
    expect(found.report[0]?.text).toContain("input 'values' is used in another way too");
  });
});
