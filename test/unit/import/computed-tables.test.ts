/** Tables that a graph computes from constants. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import { readTensorBytes } from '../../../lib/import/onnx/tensor-bytes.js';
import { readTensor, tensorBytes, tensorRows } from '../../../lib/import/onnx/tensor-data.js';
import type { OnnxModel, OnnxNode, OnnxTensor } from '../../../lib/import/onnx/types.js';
import { writeOnnxModel } from '../../../lib/import/onnx/write.js';
import { floats, ids, int64s, model, node, real } from './analyze-graphs.js';
import { maxDifference, runLowered, runOriginal } from './analyze-support.js';
import { withDirectory } from './onnx-builder.js';

// More floats than are known by value anyway.
const ROWS = 1200;
const D = 4;
const one = (name: string, value: number): OnnxTensor => floats(name, [1], [value]);

/** Rows of the matrix `t`, which `nodes` compute from constants. */
function lookup(nodes: readonly OnnxNode[], constants: readonly OnnxTensor[] = []): OnnxModel {
  return model({
    inputs: [ids('x', 'batch')],
    outputs: [real('score', 'batch', D)],
    constants: [
      floats('a', [ROWS, D]),
      floats('tall', [ROWS, D]),
      floats('stack', [3, ROWS, D]),
      floats('flat', [ROWS * D]),
      floats('wide', [D, ROWS]),
      floats('column', [ROWS, 1]),
      int64s('order', [ROWS], [...Array(ROWS).keys()].reverse()),
      int64s('order2', [ROWS, 1], [...Array(ROWS).keys()].reverse()),
      int64s('axis1', [1], [1]),
      int64s('shape', [2], [-1, D]),
      int64s('begin', [1], [1]),
      int64s('end', [1], [ROWS]),
      int64s('axis0', [1], [0]),
      int64s('i1', [], [1]),
      int64s('halves', [2], [2, 2]),
      one('two', 2),
      one('low', -0.5),
      floats('zeros', [1, D], [0, 0, 0, 0]),
      ...constants,
    ],
    nodes: [...nodes, node('e = Gather(t, x)'), node('score = Tanh(e)')],
  });
}

describe('a table that is computed from constants', () => {
  const cases: [string, OnnxNode[]][] = [
    ['shards', [node('t = Concat(a, tall)', { axis: 0n })]],
    [
      'columns of shards',
      [
        node('l, m = Split(a, halves)', { axis: 1n }),
        node('n, r = Split(tall, halves)', { axis: 1n }),
        node('t = Concat(l, r)', { axis: 1n }),
      ],
    ],
    ['Transpose', [node('t = Transpose(wide)', { perm: [1, 0] })]],
    [
      'a padding row of zeros',
      [node('rest = Slice(a, begin, end, axis0)'), node('t = Concat(zeros, rest)', { axis: 0n })],
    ],
    [
      'a mask',
      [node('m = Greater(column, low)'), node('f = Cast(m)', { to: 1n }), node('t = Mul(a, f)')],
    ],
    ['a choice', [node('m = Greater(column, low)'), node('t = Where(m, a, tall)')]],
    [
      'arithmetic',
      [
        node('s = Div(a, two)'),
        node('u = Sub(s, tall)'),
        node('v = Sqrt(two)'),
        node('w = Add(u, v)'),
        node('t = Neg(w)'),
      ],
    ],
    [
      'normal rows',
      [
        node('n = ReduceL2(a, axis1)', { keepdims: 1n }),
        node('c = Clip(n, two, )'),
        node('t = Div(a, c)'),
      ],
    ],
    ['a layer of a stack', [node('t = Gather(stack, i1)', { axis: 0n })]],
    ['another order', [node('t = Gather(a, order)', { axis: 0n })]],
    ['GatherND', [node('t = GatherND(a, order2)')]],
    ['Reshape', [node('t = Reshape(flat, shape)')]],
    ['a double', [node('d = Cast(a)', { to: 11n }), node('t = Cast(d)', { to: 1n })]],
    ['a product', [node('t = MatMul(a, square)')]],
  ];
  it.each(cases)('is taken out: %s', async (_, nodes) => {
    const original = lookup(nodes, [floats('square', [D, D])]);
    const lowered = analyze(original);
    expect(lowered.tables).toMatchObject([{ name: 't', dim: D }]);
    expect(lowered.dense.graph.nodes.map(({ opType }) => opType)).toEqual(['Tanh']);
    expect(lowered.dense.graph.initializers.size).toBe(0);
    const data = [0, 1, 7, 650, ROWS - 1];
    const feeds = { x: { dtype: 'int64' as const, dims: [data.length], data } };
    await withDirectory(async (directory) => {
      const path = join(directory, 'model.onnx');
      await writeOnnxModel(original, path);
      const [scores] = await runLowered(lowered, [{ batch: data.length, feeds }]);
      expect(maxDifference(await runOriginal(path, feeds), scores ?? {})).toBeLessThan(1e-6);
    });
  });

  it('of shards holds no copy of them', () => {
    const [table] = analyze(lookup([node('t = Concat(a, tall)', { axis: 0n })])).tables;
    expect(table?.tensor.source).toMatchObject({ kind: 'joined', length: 2 * ROWS * D * 4 });
  });

  it('of shards is read like a whole one', async () => {
    const [table] = analyze(lookup([node('t = Concat(a, tall)', { axis: 0n })])).tables;
    const tensor = table?.tensor as OnnxTensor;
    const whole = readTensorBytes(tensor, 2 * ROWS * D * 4);
    expect(await readTensor(tensor)).toEqual(whole);
    const blocks: Uint8Array[] = [];
    for await (const block of tensorBytes(tensor.source)) blocks.push(block.slice());
    expect(Buffer.concat(blocks).equals(whole)).toBe(true);
    let rows = 0;
    const values = new Float32Array(2 * ROWS * D);
    for await (const block of tensorRows(tensor, { blockBytes: 7 * D * 4 })) {
      expect(block.start).toBe(rows);
      values.set(block.values, block.start * D);
      rows += block.rows;
    }
    expect(rows).toBe(2 * ROWS);
    expect(Buffer.from(values.buffer).equals(whole)).toBe(true);
  });

  it('is reported when it stays', () => {
    const found = analyze(lookup([node('t = Sin(a)')]));
    expect(found.tables).toEqual([]);
    expect(found.report).toEqual([
      {
        level: 'warn',
        text: `table 't' [${ROWS}, ${D}], made by Sin 't' from constants, stays in the dense graph: it is not computed at import (Gather 'e')`,
      },
    ]);
  });

  it('is reported when its ids are not known', () => {
    const original = lookup([node('t = Mul(a, two)')]);
    original.graph.nodes.splice(1, 1, node('y = Mul(x, x)'), node('e = Gather(t, y)'));
    const found = analyze(original);
    expect(found.tables).toEqual([]);
    expect(found.report).toEqual([
      {
        level: 'warn',
        text: `table 't' [${ROWS}, ${D}], made by Mul 't' from constants, stays in the dense graph: its ids are computed by Mul 'y' (Gather 'e')`,
      },
    ]);
  });

  it('past the limit is reported, not computed', () => {
    const file = { kind: 'file', path: '/nowhere', offset: 0, length: 2 ** 34 } as const;
    const huge: OnnxTensor = { name: 'huge', dataType: 1, dims: [2 ** 30, D], source: file };
    const found = analyze(lookup([node('t = Mul(huge, two)')], [huge]));
    expect(found.tables).toEqual([]);
    expect(found.report[0]?.text).toContain('it is not computed at import');
  });

  it('is no table when an input is part of it', () => {
    const original = lookup([node('t = Mul(a, w)')]);
    original.graph.inputs.push(real('w', 'batch', D));
    expect(analyze(original).tables).toEqual([]);
  });
});
