/**
 * What the answers should be. For a model: the same graph over small tables that hold the rows of a
 * few requests, dequantised by rows.ts, in ONNX Runtime. For one table: sums in double precision.
 */
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DATA_FILE, MODEL_FILE, type ModelSpec } from './generate.js';
import { buildGraph, weights } from './graph.js';
import type { Ring } from './requests.js';
import { bundleTables, readRows, type StoredTable } from './rows.js';
import { PEERS, startPeer } from './sides.js';
import type { BagWorkload } from './workloads.js';

/** Where a model's f32 tables are. */
export function originalTables(spec: ModelSpec, directory: string): Map<string, StoredTable> {
  const path = join(directory, DATA_FILE);
  const { tables, dim } = spec.workload;
  return new Map(
    tables.map((_, i) => {
      const offset = spec.tensors[`table${i}`]?.offset ?? 0;
      return [`table${i}`, { path, offset, storage: 'f32', dim }];
    }),
  );
}

export async function tablesOfBundle(bundle: string): Promise<Map<string, StoredTable>> {
  return await bundleTables(bundle, JSON.parse(await readFile(join(bundle, 'model.json'), 'utf8')));
}

/** Outputs of the ring's first `rows` rows. `directory` is made and takes the small model. */
export async function referenceOutputs(
  spec: ModelSpec,
  model: string,
  tables: ReadonlyMap<string, StoredTable>,
  ring: Ring,
  rows: number,
  directory: string,
): Promise<Float32Array> {
  await mkdir(directory, { recursive: true });
  const { workload } = spec;
  const ids = new Int32Array(rows * ring.idWidth);
  const small: Float32Array[] = [];
  let column = 0;
  for (const [i, { hotness }] of workload.tables.entries()) {
    const known = new Map<number, number>();
    for (let row = 0; row < rows; row++) {
      for (let k = column; k < column + hotness; k++) {
        const id = ring.ids[row * ring.idWidth + k] ?? 0;
        if (!known.has(id)) known.set(id, known.size);
        ids[row * ring.idWidth + k] = known.get(id) ?? 0;
      }
    }
    column += hotness;
    const table = tables.get(`table${i}`);
    if (table === undefined) throw new Error(`expected a table${i} in the bundle`);
    small.push(await readRows(table, [...known.keys()]));
  }
  await writeSmall(spec, model, small, directory);
  const peer = PEERS.find(({ name }) => name === 'onnxruntime-node');
  if (peer === undefined) throw new Error('expected onnxruntime-node among the peers');
  const child = startPeer(peer, [0], '');
  try {
    await child.load({ kind: 'model', model: directory, threads: 1 });
    const dense = ring.dense.subarray(0, rows * ring.denseWidth);
    await child.ring({ ...ring, batch: rows, count: 1, dense, ids });
    return await child.outputs(1);
  } finally {
    await child.close();
  }
}

async function writeSmall(
  spec: ModelSpec,
  model: string,
  small: readonly Float32Array[],
  directory: string,
): Promise<void> {
  const { workload } = spec;
  const file = await open(join(model, DATA_FILE));
  const bytes = new Map<string, Uint8Array>();
  for (const { name, dims, table } of weights(workload)) {
    const length = 4 * dims.reduce((product, dim) => product * dim, 1);
    if (table) continue;
    const data = Buffer.alloc(length);
    await file.read(data, 0, length, spec.tensors[name]?.offset ?? 0);
    bytes.set(name, data);
  }
  await file.close();
  const shrunk = {
    ...workload,
    tables: workload.tables.map(({ hotness }, i) => ({
      rows: (small[i]?.length ?? 0) / workload.dim,
      hotness,
    })),
  };
  const encoded = buildGraph(
    shrunk,
    ({ name, dims, table }) => {
      const values = table ? small[Number(name.slice('table'.length))] : undefined;
      const data = values === undefined ? bytes.get(name) : new Uint8Array(values.buffer);
      return { name, type: 'f32', dims, bytes: data ?? new Uint8Array() };
    },
    DATA_FILE,
  );
  await writeFile(join(directory, MODEL_FILE), encoded);
}

/** Sums of the ring's first `count` requests, and of their absolute values: what rounding scales with. */
export async function referenceBags(
  bag: BagWorkload,
  table: StoredTable,
  ring: Ring,
  count: number,
): Promise<{ values: Float32Array; magnitudes: Float32Array }> {
  const bags = count * ring.batch;
  const used = ring.ids.subarray(0, bags * bag.hotness);
  const rows = await readRows(table, used);
  const values = new Float32Array(bags * bag.dim);
  const magnitudes = new Float32Array(bags * bag.dim);
  for (let b = 0; b < bags; b++) {
    for (let d = 0; d < bag.dim; d++) {
      let sum = 0;
      let size = 0;
      for (let k = 0; k < bag.hotness; k++) {
        const value = rows[(b * bag.hotness + k) * bag.dim + d] ?? 0;
        sum += value;
        size += Math.abs(value);
      }
      values[b * bag.dim + d] = sum;
      magnitudes[b * bag.dim + d] = size;
    }
  }
  return { values, magnitudes };
}
