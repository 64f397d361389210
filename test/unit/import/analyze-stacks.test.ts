/** Inputs whose rows belong to one table each. */
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import { unstack } from '../../../lib/import/analyze/stacks.js';
import type { OnnxModel } from '../../../lib/import/onnx/types.js';
import { floats, ids, int64s, model, node, real } from './analyze-graphs.js';

const NONE = new Set<string>();
const CONSTANTS = [
  floats('table', [12, 3]),
  int64s('zero', [], [0]),
  int64s('last', [], [-1]),
  int64s('two', [], [2]),
  int64s('first', [1], [0]),
  int64s('one', [1], [1]),
  int64s('three', [1], [3]),
];

/** A [2, n] input `x` and an output that `lines` make of it. */
function reads(lines: readonly string[], attributes: Record<string, bigint> = {}): OnnxModel {
  return model({
    inputs: [ids('x', 2, 'n'), ids('pick')],
    outputs: [real('y', 'n')],
    constants: CONSTANTS,
    nodes: lines.map((line) => node(line, attributes)),
  });
}

const rowsOf = (found: OnnxModel): unknown => unstack(found, NONE)?.rows;

describe('rows of a stack', () => {
  it.each<[string, string[], Record<string, bigint>, (string | null)[]]>([
    ['picked by a number', ['y = Gather(x, zero)'], {}, ['x[0]', null]],
    ['picked from the end', ['y = Gather(x, last)'], {}, [null, 'x[1]']],
    ['picked by a list of one', ['y = Gather(x, one)'], {}, [null, 'x[1]']],
    ['sliced', ['y = Slice(x, first, one, first, one)'], {}, ['x[0]', null]],
    ['sliced to the end', ['y = Slice(x, one, three, first, one)'], {}, [null, 'x[1]']],
    ['split', ['a, y = Split(x)'], {}, ['x[0]', 'x[1]']],
    ['behind a cast', ['c = Cast(x)', 'y = Gather(c, zero)'], { to: 6n }, ['x[0]', null]],
    ['read twice', ['a = Gather(x, last)', 'y = Gather(x, last)'], {}, [null, 'x[1]']],
  ])('%s', (_, lines, attributes, names) => {
    expect(rowsOf(reads(lines, attributes))).toEqual({ x: names });
  });

  it('become inputs with the axis behind', () => {
    const found = unstack(reads(['y = Gather(x, zero)', 'z = Gather(x, last)']), NONE)?.model;
    expect(found?.graph.inputs).toEqual([ids('x[0]', 'n'), ids('x[1]', 'n'), ids('pick')]);
    expect(
      found?.graph.nodes.map(({ opType, inputs, outputs }) => [opType, inputs, outputs]),
    ).toEqual([
      ['Identity', ['x[0]'], ['y']],
      ['Identity', ['x[1]'], ['z']],
    ]);
  });

  it.each<[string, string[], Record<string, bigint>]>([
    ['past the end', ['y = Gather(x, two)'], {}],
    ['picked by an input', ['y = Gather(x, pick)'], {}],
    ['picked along the other axis', ['y = Gather(x, zero)'], { axis: 1n }],
    ['of which two are sliced', ['y = Slice(x, first, three, first, one)'], {}],
    ['read whole beside', ['a = Gather(x, zero)', 'y = Neg(x)'], {}],
    ['used as an index', ['y = Gather(table, x)'], {}],
    ['that nothing reads', ['y = Neg(pick)'], {}],
    ['whose name is taken', ['x[0] = Neg(pick)', 'y = Gather(x, zero)'], {}],
  ])('stay together %s', (_, lines, attributes) => {
    expect(unstack(reads(lines, attributes), NONE)).toBeNull();
  });

  it('stay together where a loop or a branch reads them, and where they are an output', () => {
    const inside = reads(['y = Gather(x, zero)']);
    const branch = { ...inside.graph, nodes: [node('b = Neg(x)')], inputs: [] };
    inside.graph.nodes.push(node('z = If(pick)', { then_branch: branch, else_branch: branch }));
    expect(unstack(inside, NONE)).toBeNull();
    const output = reads(['y = Gather(x, zero)']);
    output.graph.outputs = [real('x', 2, 'n')];
    expect(unstack(output, NONE)).toBeNull();
  });
});

describe('stacks that are no ragged bags', () => {
  it('are left as they were, with the batch behind', () => {
    const rows = model({
      inputs: [ids('x', 2, 'batch')],
      outputs: [real('y', 'batch', 6)],
      constants: CONSTANTS,
      nodes: [
        node('a = Gather(x, zero)'),
        node('b = Gather(x, last)'),
        node('p = Gather(table, a)'),
        node('q = Gather(table, b)'),
        node('y = Concat(p, q)', { axis: 1n }),
      ],
    });
    expect(rowsOf(rows)).toEqual({ x: ['x[0]', 'x[1]'] });
    const found = analyze(rows);
    expect(found.stacks).toEqual({});
    expect(found.inputs).toEqual([
      { name: 'x', kind: 'tensor', dtype: 'i32', shape: ['batch', 2] },
    ]);
    expect(found.tables).toHaveLength(1);
  });
});
