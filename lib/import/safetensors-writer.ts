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
    const shape = [table.rows, row.width];
    await file.write(safetensorsHeader([{ name: TABLE_TENSOR, dtype: row.dtype, shape, bytes }]));
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

export interface HeaderTensor {
  name: string;
  dtype: string;
  shape: readonly number[];
  bytes: number;
}

/** The length prefix and header of a file; the tensors follow in order at a multiple of 64. */
export function safetensorsHeader(tensors: readonly HeaderTensor[]): Uint8Array {
  let at = 0;
  const entries = tensors.map(({ name, dtype, shape, bytes }) => {
    const start = at;
    at += bytes;
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [start, at] })}`;
  });
  // Put together by hand: an object would sort names that are numbers to the front.
  const text = Buffer.from(`{${entries.join(',')}}`, 'utf8');
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
