/** A lowered model made by hand: one table behind ids [batch, 2], the dense graph adds a bias. */
import type { LoweredModel } from '../../../lib/import/lowered.js';
import { parseOnnxModel } from '../../../lib/import/onnx/read.js';
import type { OnnxModel, OnnxTensor } from '../../../lib/import/onnx/types.js';
import { model, node, raw, tensor, valueInfo } from './onnx-builder.js';

export const ROWS = 5;
export const DIM = 3;
export const TABLE_VALUES = Float32Array.from({ length: ROWS * DIM }, (_, i) => i * 0.5 - 2);

const table = tensor({ name: 'emb', dims: [ROWS, DIM], data: [raw(...TABLE_VALUES)] });

/** The original: Gather of the table. */
export const ORIGINAL = model({
  nodes: [node({ op: 'Gather', inputs: ['emb', 'ids'], outputs: ['y'] })],
  initializers: [table],
  inputs: [valueInfo('ids', ['batch', 2], 7)],
  outputs: [valueInfo('y', ['batch', 2, DIM])],
});

const DENSE = model({
  nodes: [node({ op: 'Identity', inputs: ['slot'], outputs: ['y'] })],
  inputs: [valueInfo('slot', ['batch', 2, DIM])],
  outputs: [valueInfo('y', ['batch', 2, DIM])],
});

/** Stands in for the analysis. */
export function lower(original: OnnxModel): LoweredModel {
  return {
    name: 'fixture',
    batch: null,
    symbols: {},
    inputs: [{ name: 'ids', kind: 'tensor', dtype: 'i32', shape: ['batch', 2] }],
    batchAxes: {},
    stacks: {},
    tables: [
      {
        name: 'emb',
        rows: ROWS,
        dim: DIM,
        tensor: original.graph.initializers.get('emb') as OnnxTensor,
      },
    ],
    slots: [{ name: 'slot', shape: ['batch', 2, DIM] }],
    bags: [
      {
        table: 'emb',
        input: 'ids',
        pooling: 'none',
        start: 0,
        step: 1,
        count: 2,
        slot: 'slot',
        offset: 0,
      },
    ],
    denseInputs: ['slot'],
    dense: parseOnnxModel(DENSE),
    outputs: [{ name: 'y', dtype: 'f32', shape: ['batch', 2, DIM] }],
    report: [{ level: 'info', text: 'made by hand' }],
  };
}
