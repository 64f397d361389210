import type { PoolingName, StorageName } from './import/manifest.js';
import { type NativeTable, native, type OutOfRangePolicy } from './native.js';
import { integer, invalid, oneOf } from './options.js';

const STORAGES = ['f32', 'f16', 'bf16', 'int8', 'int4'] as const;

export interface BagOptions {
  /** One weight for each index. */
  weights?: Float32Array;
  /** Where the result goes, [bags, dim]; a new array otherwise. */
  out?: Float32Array;
  /** 'sum' unless said otherwise; 'mean' divides by the bag's length, also with weights. */
  pooling?: Exclude<PoolingName, 'none'>;
  /** 'error' unless said otherwise; 'zero' lets an id outside the table contribute nothing. */
  outOfRange?: OutOfRangePolicy;
}

/** An embedding table in native memory, for lookups without a model. Immutable. */
export class EmbeddingTable implements Disposable {
  readonly #native: NativeTable;

  private constructor(handle: NativeTable) {
    this.#native = handle;
  }

  /**
   * Loads one tensor of a safetensors file: F32, F16 or BF16 [rows, dim], or U8 rows of `storage`
   * int8 or int4 in the layout of docs/bundle-format.md.
   * @throws INVALID_ARGUMENT, DTYPE_MISMATCH, SHAPE_MISMATCH, BUNDLE_INVALID, IO_ERROR, OUT_OF_MEMORY
   */
  static async fromSafetensors(
    path: string,
    options: { tensor: string; storage?: StorageName; dim?: number; residency?: 'copy' | 'map' },
  ): Promise<EmbeddingTable> {
    const storage = oneOf(options.storage, STORAGES, 'f32', 'storage');
    const dim = options.dim === undefined ? 0 : integer(options.dim, 1, 16384, 'dim');
    const map = oneOf(options.residency, ['copy', 'map'], 'copy', 'residency') === 'map';
    return new EmbeddingTable(
      await native().tableFromFile(path, options.tensor, storage, dim, map),
    );
  }

  /**
   * Makes a table of rows [rows, dim]. A Float32Array is encoded as `storage` (f32 by default); a
   * Uint16Array holds the bits of f16 or bf16 rows, a Uint8Array whole int8 or int4 rows.
   * @throws INVALID_ARGUMENT, SHAPE_MISMATCH, DTYPE_MISMATCH, LIMIT_EXCEEDED, OUT_OF_MEMORY
   */
  static from(
    data: Float32Array | Uint16Array | Uint8Array,
    options: { dim: number; storage?: StorageName },
  ): EmbeddingTable {
    const dim = integer(options.dim, 1, 16384, 'dim');
    const storage = oneOf(options.storage, STORAGES, 'f32', 'storage');
    const rowBytes = encodedRowBytes(data, dim, storage);
    const rows = data.byteLength / rowBytes;
    if (!Number.isInteger(rows) || rows < 1) {
      throw invalid(`whole rows of ${rowBytes} bytes`, data.byteLength);
    }
    const encoded = !(data instanceof Float32Array);
    return new EmbeddingTable(native().tableFromRows(data, encoded, rows, dim, storage));
  }

  get rows(): number {
    return this.#native.rows;
  }

  get dim(): number {
    return this.#native.dim;
  }

  get storage(): StorageName {
    return this.#native.storage;
  }

  /** Memory of the rows. */
  get bytes(): number {
    return this.#native.bytes;
  }

  /**
   * Pools bags: bag b has the ids indices[offsets[b]] up to indices[offsets[b + 1] - 1]. An empty
   * bag is zeros. Runs on this thread.
   * @param offsets [bags + 1]
   * @returns [bags, dim]
   * @throws INDEX_OUT_OF_RANGE, INVALID_OFFSETS, SHAPE_MISMATCH, DTYPE_MISMATCH, DETACHED_BUFFER,
   * MODEL_CLOSED
   */
  bag(
    indices: Int32Array | BigInt64Array,
    offsets: Int32Array | BigInt64Array,
    options: BagOptions = {},
  ): Float32Array {
    if (offsets === undefined) throw invalid('offsets [bags + 1]', offsets);
    const out = options.out ?? new Float32Array(Math.max(0, offsets.length - 1) * this.dim);
    const pooling = oneOf(options.pooling, ['sum', 'mean'], 'sum', 'pooling');
    this.#native.bag(indices, offsets, options.weights, out, pooling, policy(options.outOfRange));
    return out;
  }

  /**
   * Gathers one row for each id, times its weight where weights are given.
   * @returns [indices, dim]
   * @throws as bag
   */
  lookup(
    indices: Int32Array | BigInt64Array,
    options: Omit<BagOptions, 'pooling'> = {},
  ): Float32Array {
    const out = options.out ?? new Float32Array(indices.length * this.dim);
    const bounds = policy(options.outOfRange);
    this.#native.bag(indices, undefined, options.weights, out, 'none', bounds);
    return out;
  }

  /** Frees the table's memory; later lookups are MODEL_CLOSED. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function policy(value: OutOfRangePolicy | undefined): OutOfRangePolicy {
  return oneOf(value, ['error', 'zero'], 'error', 'outOfRange');
}

function encodedRowBytes(data: unknown, dim: number, storage: StorageName): number {
  if (data instanceof Float32Array) return 4 * dim;
  if (data instanceof Uint16Array && (storage === 'f16' || storage === 'bf16')) return 2 * dim;
  if (data instanceof Uint8Array && storage === 'int8') return dim + 8;
  if (data instanceof Uint8Array && storage === 'int4') return Math.ceil(dim / 2) + 4;
  throw invalid(`a Float32Array, or rows already encoded as ${storage}`, data);
}
