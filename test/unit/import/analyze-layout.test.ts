/** Which axis is the batch, and what becomes of it. */
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import type { OnnxDim, OnnxModel } from '../../../lib/import/onnx/types.js';
import { moveBatch } from '../../../lib/import/tensor-values.js';
import { floats, ids, int64s, model, node, real } from './analyze-graphs.js';

const table = floats('table', [12, 3]);

/** Rows of the ids `x`, added up along the axis that is not the batch. */
function summed(x: OnnxDim[], outputs: OnnxDim[], axis: number): OnnxModel {
  return model({
    inputs: [ids('x', ...x)],
    outputs: [real('score', ...outputs)],
    constants: [table, int64s('axis', [1], [axis])],
    nodes: [
      node('e = Gather(table, x)'),
      node('sum = ReduceSum(e, axis)', { keepdims: 0n }),
      node('score = Relu(sum)'),
    ],
  });
}

describe('the batch axis', () => {
  it.each<[string, OnnxDim[], OnnxDim[], number, OnnxDim[]]>([
    ['first', ['batch', 4], ['batch', 3], 1, ['batch', 4]],
    ['behind a number', [4, 'batch'], ['batch', 3], 0, ['batch', 4]],
    ['behind a number, by any name', [4, 's7'], ['s7', 3], 0, ['batch', 4]],
    ['behind a free dimension', ['length', 'batch'], ['batch', 3], 0, ['batch', 'length']],
    ['behind a dimension that exporters name', ['s1', 's0'], ['s0', 3], 0, ['batch', 's1']],
    ['in front, with another in the outputs', ['batch', 'k'], ['batch', 'k'], 1, ['batch', 'k']],
  ])('%s', (_, x, outputs, axis, shape) => {
    const { inputs, bags } = analyze(summed(x, outputs, axis));
    expect(inputs).toEqual([{ name: 'x', kind: 'tensor', dtype: 'i32', shape }]);
    expect(bags).toMatchObject([{ pooling: 'sum', start: 0, step: 1, count: shape[1] }]);
  });

  it('is told by the report where it moves', () => {
    const found = analyze(summed([4, 'batch'], ['batch', 3], 0));
    expect(found.batchAxes).toEqual({ x: 1 });
    expect(found.report).toEqual([
      {
        level: 'info',
        text: "input 'x' is [4, batch] in the model and [batch, 4] in batches: row by row",
      },
    ]);
  });

  it('is not guessed from a size', () => {
    const { batch, inputs } = analyze(summed([4, 5], [5, 3], 0));
    expect([batch, inputs]).toEqual([4, [expect.objectContaining({ shape: ['batch', 5] })]]);
  });
});

describe('moveBatch', () => {
  it('moves the rows behind other axes', () => {
    // rows r, elements [2, 3] a row: value 100 r + 10 i + j
    const values = Float64Array.from({ length: 24 }, (_, n) => {
      const [r, i, j] = [Math.floor(n / 6), Math.floor(n / 3) % 2, n % 3];
      return 100 * r + 10 * i + j;
    });
    const middle = moveBatch(values, [4, 2, 3], 1);
    expect(middle.dims).toEqual([2, 4, 3]);
    expect([...middle.values.subarray(0, 6)]).toEqual([0, 1, 2, 100, 101, 102]);
    expect(middle.values[12]).toBe(10);
    const behind = moveBatch(values, [4, 2, 3], 2);
    expect(behind.dims).toEqual([2, 3, 4]);
    expect([...behind.values.subarray(0, 5)]).toEqual([0, 100, 200, 300, 1]);
    expect(moveBatch(values, [4, 2, 3], 0)).toEqual({ values, dims: [4, 2, 3] });
    const one = values.subarray(0, 1);
    expect(moveBatch(one, [], 0)).toEqual({ values: one, dims: [] });
  });
});
