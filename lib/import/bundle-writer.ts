/** Writes the files of a bundle; docs/bundle-format.md is the specification. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { GyrfalconError } from '../errors.js';
import { insidePath, syncDirectory } from './atomic-directory.js';
import type { TableCodec } from './codec.js';
import { FileWriter } from './file-writer.js';
import type { Emitted } from './lower/index.js';
import { writeFused } from './lower/write.js';
import type { LoweredModel } from './lowered.js';
import type { Manifest, ManifestTable, PrecisionName, StorageName } from './manifest.js';
import { writeOnnxModel } from './onnx/write.js';
import { TABLE_TENSOR, writeTable } from './safetensors-writer.js';
import { storedRow } from './storage.js';

export const MANIFEST_FILE = 'model.json';
const DENSE_FILE = 'dense.onnx';
const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;

export interface WriteBundleOptions {
  /** The storage of each of the model's tables, by name. */
  storage: ReadonlyMap<string, StorageName>;
  codec: TableCodec;
  producer: string;
  source?: Manifest['source'];
  /** The dense network once more, for the fused engine. */
  fused?: Emitted | undefined;
  /** That it runs with by default. */
  precision?: PrecisionName | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: (stage: 'tables' | 'dense', done: number, total: number) => void;
}

/**
 * Writes tables, dense graph and manifest into `directory`, which exists and is empty, and makes
 * the files durable. At most two blocks of a table are in memory.
 * @throws LIMIT_EXCEEDED, ONNX_UNSUPPORTED, IO_ERROR, ABORTED
 */
export async function writeBundle(
  model: LoweredModel,
  directory: string,
  options: WriteBundleOptions,
): Promise<Manifest> {
  const tables = await writeTables(model, directory, options);
  const dense = await writeOnnxModel(model.dense, join(directory, DENSE_FILE), {
    hash: options.codec.createHash(),
    signal: options.signal,
    onProgress: (done, total) => options.onProgress?.('dense', done, total),
  });
  const fused =
    options.fused === undefined
      ? undefined
      : await writeFused(options.fused, directory, {
          codec: options.codec,
          signal: options.signal,
          onProgress: (done, total) => options.onProgress?.('dense', done, total),
        });
  const manifest: Manifest = {
    format: 'gyrfalcon-bundle',
    version: 1,
    producer: options.producer,
    name: model.name,
    ...(options.source === undefined ? {} : { source: options.source }),
    batch: model.batch,
    symbols: model.symbols,
    inputs: model.inputs,
    tables,
    slots: model.slots,
    bags: model.bags,
    dense: { file: DENSE_FILE, xxh64: dense.xxh64, inputs: model.denseInputs },
    ...(fused === undefined
      ? {}
      : {
          fused:
            options.precision === undefined ? fused : { ...fused, precision: options.precision },
        }),
    outputs: model.outputs,
    ...(model.report.length === 0 ? {} : { report: model.report }),
  };
  await writeManifest(manifest, join(directory, MANIFEST_FILE));
  return manifest;
}

async function writeTables(
  model: LoweredModel,
  directory: string,
  options: WriteBundleOptions,
): Promise<ManifestTable[]> {
  if (model.tables.length === 0) return [];
  await mkdir(join(directory, 'tables'));
  const rowBytes = model.tables.map(
    (table) => storedRow(storageOf(table.name, options), table.dim).bytes,
  );
  const total = model.tables.reduce((sum, t, i) => sum + t.rows * (rowBytes[i] as number), 0);
  let done = 0;
  const entries: ManifestTable[] = [];
  for (const [i, table] of model.tables.entries()) {
    const storage = storageOf(table.name, options);
    const file = `tables/${String(i).padStart(5, '0')}.safetensors`;
    const { xxh64 } = await writeTable(table, insidePath(directory, file), {
      storage,
      codec: options.codec,
      signal: options.signal,
      onRows: (rows) => {
        done += rows * (rowBytes[i] as number);
        options.onProgress?.('tables', done, total);
      },
    });
    const { name, rows, dim } = table;
    entries.push({ name, rows, dim, storage, file, tensor: TABLE_TENSOR, xxh64 });
  }
  await syncDirectory(join(directory, 'tables'));
  return entries;
}

function storageOf(name: string, options: WriteBundleOptions): StorageName {
  const storage = options.storage.get(name);
  if (storage === undefined) {
    throw new GyrfalconError('INTERNAL', `expected a storage for table ${JSON.stringify(name)}`);
  }
  return storage;
}

export async function writeManifest(manifest: Manifest, path: string): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`, 'utf8');
  if (bytes.byteLength > MAX_MANIFEST_BYTES) {
    throw new GyrfalconError(
      'LIMIT_EXCEEDED',
      `expected a manifest of at most ${MAX_MANIFEST_BYTES} bytes but received ${bytes.byteLength}`,
    );
  }
  const file = await FileWriter.create(path);
  try {
    await file.write(bytes);
    await file.finish();
  } catch (error) {
    await file.abandon();
    throw error;
  }
}
