/** A model with next to nothing to do: what is left of a call is the way there and back. */
import { writeFile } from 'node:fs/promises';
import { GraphBuilder } from '../peers/onnx-file.js';

const ROWS = 64;
const DIM = 8;

/** One id a row, one row of a table, a sigmoid. */
export async function writeNoWorkModel(path: string): Promise<void> {
  const graph = new GraphBuilder();
  const table = Float32Array.from({ length: ROWS * DIM }, (_, i) => i / (ROWS * DIM));
  const bytes = new Uint8Array(table.buffer);
  graph.initializer({ name: 'table', type: 'f32', dims: [ROWS, DIM], bytes });
  graph.node('Sigmoid', [graph.node('Gather', ['table', 'id'], { axis: 0 })], {}, 'score');
  const input = { name: 'id', type: 'i64', dims: ['batch'] } as const;
  const output = { name: 'score', type: 'f32', dims: ['batch', DIM] } as const;
  await writeFile(path, graph.encode([input], [output], 'none'));
}
