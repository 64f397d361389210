/** Writes one table as a safetensors file, row block by row block. */
import { GyrfalconError } from '../errors.js';
import type { TableCodec } from './codec.js';
import { FileWriter } from './file-writer.js';
import type { LoweredTable } from './lowered.js';
import type { StorageName } from './manifest.js';
import { tensorBytes, tensorRows } from './onnx/tensor-data.js';
import { sameStorage, storedRow } from './storage.js';

/** The tensor's name in every file that is written here. */
export const TABLE_TENSOR = 'table';
/** Readers map the file; aligned data lets kernels use aligned loads. */
const ALIGNMENT = 64;
/** docs/bundle-format.md; native/core/limits.h has the same numbers. */
const MAX_DIM = 16384;
const MAX_ROWS = 2 ** 40;

export interface WriteTableOptions {
  storage: StorageName;
  codec: TableCodec;
  signal?: AbortSignal | undefined;
  /** Rows written since the last call. */
  onRows?: (rows: number) => void;
}

/**
 * Writes `table` to `path`, which must not exist. At most two blocks of rows are in memory.
 * @returns the data's bytes and their XXH64
 * @throws LIMIT_EXCEEDED, ONNX_UNSUPPORTED (element type), IO_ERROR, ABORTED
 */
export async function writeTable(
  table: LoweredTable,
  path: string,
  options: WriteTableOptions,
): Promise<{ bytes: number; xxh64: string }> {
  const { storage, codec, signal } = options;
  checkTable(table);
  const row = storedRow(storage, table.dim);
  const bytes = row.bytes * table.rows;
  const hash = codec.createHash();
  const file = await FileWriter.create(path);
  try {
    await file.write(safetensorsHeader(TABLE_TENSOR, row.dtype, [table.rows, row.width], bytes));
    const headerBytes = file.bytes;
    const put = async (block: Uint8Array): Promise<void> => {
      hash.update(block);
      await file.write(block);
    };
    if (sameStorage(table.tensor.dataType) === storage) {
      let rows = 0;
      for await (const block of tensorBytes(table.tensor.source, { signal })) {
        await put(block);
        const whole = Math.floor((file.bytes - headerBytes) / row.bytes);
        options.onRows?.(whole - rows);
        rows = whole;
      }
    } else {
      for await (const block of tensorRows(table.tensor, { signal })) {
        await put(codec.encodeRows(block.values, block.rows, table.dim, storage));
        options.onRows?.(block.rows);
      }
    }
    if (file.bytes - headerBytes !== bytes) {
      throw new GyrfalconError(
        'INTERNAL',
        `expected ${bytes} bytes for table ${JSON.stringify(table.name)} ` +
          `but received ${file.bytes - headerBytes}`,
      );
    }
    await file.finish();
  } catch (error) {
    await file.abandon();
    throw error;
  }
  return { bytes, xxh64: hash.digest() };
}

/** The length prefix and header of a file with one tensor; data follows at a multiple of 64. */
export function safetensorsHeader(
  name: string,
  dtype: string,
  shape: readonly number[],
  bytes: number,
): Uint8Array {
  const json = JSON.stringify({ [name]: { dtype, shape, data_offsets: [0, bytes] } });
  const text = Buffer.from(json, 'utf8');
  const total = Math.ceil((8 + text.byteLength) / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(total, ' ');
  header.writeBigUInt64LE(BigInt(total - 8), 0);
  text.copy(header, 8);
  return header;
}

function checkTable(table: LoweredTable): void {
  const { name, rows, dim, tensor } = table;
  const label = JSON.stringify(name);
  if (dim > MAX_DIM || rows > MAX_ROWS) {
    throw new GyrfalconError(
      'LIMIT_EXCEEDED',
      `expected at most ${MAX_ROWS} rows of ${MAX_DIM} for table ${label} ` +
        `but received ${rows} of ${dim}`,
    );
  }
  if (tensor.dims.length !== 2 || tensor.dims[0] !== rows || tensor.dims[1] !== dim) {
    throw new GyrfalconError(
      'INTERNAL',
      `expected dims [${rows}, ${dim}] for table ${label} but received [${tensor.dims.join(', ')}]`,
    );
  }
}
