import { types } from 'node:util';
import { cacheSize } from './cache-options.js';
import { openDevice, openDeviceSync, progressListener, withProgress } from './device.js';
import { GyrfalconError } from './errors.js';
import type { PoolingName, StorageName } from './import/manifest.js';
import { type NativeTable, native, type OutOfRangePolicy } from './native.js';
import { type CacheOptions, integer, invalid, oneOf, path, record, show } from './options.js';
import { bytesOf, lengthOf } from './typed-arrays.js';

const STORAGES = ['f32', 'f16', 'bf16', 'int8', 'int4'] as const;

/** What only this file has: nobody else makes tables. */
const OWN = Symbol('table');

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

export type TableStats = ReturnType<NativeTable['stats']>;

/** An embedding table in native memory or on a CUDA device, for lookups without a model. */
export class EmbeddingTable implements Disposable {
  readonly #native: NativeTable;

  private constructor(key: typeof OWN, handle: NativeTable) {
    if (key !== OWN) throw invalid('EmbeddingTable.from or fromSafetensors to make a table', key);
    this.#native = handle;
  }

  /**
   * Loads one tensor of a safetensors file: F32, F16 or BF16 [rows, dim], or U8 rows in the layout
   * of docs/bundle-format.md.
   *
   * `storage` says how the tensor is stored ('f32' unless said otherwise) and has to agree with it:
   * an F16 tensor needs 'f16', U8 rows 'int8' or 'int4'. `dim` is needed for int4 rows of an odd
   * dim; it is checked where it is given. `residency: 'map'` maps the file instead of copying it,
   * for which the tensor must begin at a multiple of 64 bytes of the file, as gyrfalcon writes it.
   * `threads`, `device` and a row cache: as in `from`. `onProgress` hears how many bytes are on a CUDA device.
   * @throws INVALID_ARGUMENT, DTYPE_MISMATCH, SHAPE_MISMATCH, BUNDLE_INVALID, IO_ERROR,
   * OUT_OF_MEMORY, DEVICE_UNAVAILABLE, DEVICE_FAILED
   */
  static async fromSafetensors(
    file: string,
    options: {
      tensor: string;
      storage?: StorageName;
      dim?: number;
      residency?: 'copy' | 'map';
      threads?: number;
      device?: string;
      onProgress?: (bytes: number, total: number) => void;
    } & CacheOptions,
  ): Promise<EmbeddingTable> {
    const from = path(file, 'the safetensors file');
    const given = record(options, 'options');
    const tensor: unknown = given?.tensor;
    if (typeof tensor !== 'string') throw invalid('a name for tensor', tensor);
    const storage = oneOf(given?.storage, STORAGES, 'f32', 'storage');
    const size = given?.dim;
    const dim = size === undefined ? 0 : integer(size, 1, 16384, 'dim');
    const map = oneOf(given?.residency, ['copy', 'map'], 'copy', 'residency') === 'map';
    const threads = threadCount(given?.threads);
    const listener = progressListener(given?.onProgress);
    const device = await openDevice(given?.device);
    const cache = cacheSize(given, device);
    const handle = await withProgress(listener, (progress) =>
      native().tableFromFile(from, tensor, storage, dim, map, threads, device, progress, ...cache),
    );
    return new EmbeddingTable(OWN, handle);
  }

  /**
   * Makes a table of rows [rows, dim]. A Float32Array is encoded as `storage` (f32 by default); a
   * Uint16Array holds the bits of f16 or bf16 rows, a Uint8Array whole int8 or int4 rows.
   * `threads` (1 unless said otherwise) is how many one large call may use, this one included.
   * `device`: 'cpu' (also 'auto'), or a CUDA device as 'cuda:0', whose first use in a process keeps
   * this thread while it is tried. With `cacheRows` or `cacheBytes` the rows stay in this machine's
   * memory and those asked for most are kept on the device too: see docs/cuda.md.
   * @throws INVALID_ARGUMENT, SHAPE_MISMATCH, DTYPE_MISMATCH, LIMIT_EXCEEDED, OUT_OF_MEMORY,
   * DEVICE_UNAVAILABLE, DEVICE_FAILED
   */
  static from(
    data: Float32Array | Uint16Array | Uint8Array,
    options: {
      dim: number;
      storage?: StorageName;
      threads?: number;
      device?: string;
    } & CacheOptions,
  ): EmbeddingTable {
    const given = record(options, 'options');
    const dim = integer(given?.dim, 1, 16384, 'dim');
    const storage = oneOf(given?.storage, STORAGES, 'f32', 'storage');
    const threads = threadCount(given?.threads);
    const device = openDeviceSync(given?.device);
    const cache = cacheSize(given, device);
    const rowBytes = encodedRowBytes(data, dim, storage);
    const bytes = bytesOf(data);
    const rows = bytes / rowBytes;
    // A detached array has no bytes either; the addon tells the two apart.
    if (!Number.isInteger(rows)) throw invalid(`whole rows of ${rowBytes} bytes`, bytes);
    const encoded = !types.isFloat32Array(data);
    const handle = native().tableFromRows(
      data,
      encoded,
      rows,
      dim,
      storage,
      threads,
      device,
      ...cache,
    );
    return new EmbeddingTable(OWN, handle);
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

  /** Where the rows lie: 'cpu' or 'cuda:N'. */
  get device(): string {
    return this.#native.device;
  }

  /** Memory of the rows. */
  get bytes(): number {
    return this.#native.bytes;
  }

  /**
   * Pools bags: bag b has the ids indices[offsets[b]] up to indices[offsets[b + 1] - 1]. An empty
   * bag is zeros. Returns when all is done; helps itself to the table's other threads meanwhile.
   * @param offsets [bags + 1]
   * @returns [bags, dim]
   * @throws INDEX_OUT_OF_RANGE, INVALID_OFFSETS, SHAPE_MISMATCH, DTYPE_MISMATCH, DETACHED_BUFFER,
   * MODEL_CLOSED, OUT_OF_MEMORY, DEVICE_FAILED
   */
  bag(
    indices: Int32Array | BigInt64Array,
    offsets: Int32Array | BigInt64Array,
    options: BagOptions = {},
  ): Float32Array {
    const given = record(options, 'options') ?? {};
    const pooling = oneOf(given.pooling, ['sum', 'mean'], 'sum', 'pooling');
    const bounds = policy(given.outOfRange);
    const { weights, out } = given;
    const bags = Math.max(0, idCount(offsets, 'offsets') - 1);
    const result = out ?? this.#rows(bags);
    this.#native.bag(indices, offsets, weights, result, pooling, bounds);
    return result;
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
    const given = record(options, 'options') ?? {};
    const bounds = policy(given.outOfRange);
    const { weights, out } = given;
    const result = out ?? this.#rows(idCount(indices, 'indices'));
    this.#native.bag(indices, undefined, weights, result, 'none', bounds);
    return result;
  }

  /**
   * Replaces the rows of `ids`; `rows` [ids, dim] in any form that `from` takes. Of equal ids the
   * last one stays. Returns when all is done; a lookup on another thread sees all of it or nothing.
   * @throws INDEX_OUT_OF_RANGE, SHAPE_MISMATCH, DTYPE_MISMATCH, INVALID_ARGUMENT (also of a mapped
   * table), DETACHED_BUFFER, MODEL_CLOSED: nothing was written
   * @throws DEVICE_FAILED, OUT_OF_MEMORY: some rows may have been
   */
  update(ids: Int32Array | BigInt64Array, rows: Float32Array | Uint16Array | Uint8Array): void {
    idCount(ids, 'ids');
    encodedRowBytes(rows, this.dim, this.storage);
    this.#native.update(ids, rows, !types.isFloat32Array(rows));
  }

  /**
   * Puts rows into the row cache, the first ids with preference, where there is room. Those that are
   * asked for more often take their places later.
   * @throws INVALID_ARGUMENT (a table without a row cache), INDEX_OUT_OF_RANGE, DTYPE_MISMATCH,
   * DETACHED_BUFFER, MODEL_CLOSED, DEVICE_FAILED
   */
  warm(ids: Int32Array | BigInt64Array): void {
    idCount(ids, 'ids');
    this.#native.warm(ids);
  }

  /**
   * Memory of the rows in bytes, how much of it lies on huge pages now, and how a row cache does.
   * @throws MODEL_CLOSED
   */
  stats(): TableStats {
    return this.#native.stats();
  }

  /** Frees the table's memory; later lookups are MODEL_CLOSED. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #rows(count: number): Float32Array {
    try {
      return new Float32Array(count * this.dim);
    } catch (cause) {
      throw new GyrfalconError('OUT_OF_MEMORY', `could not allocate ${count} rows`, { cause });
    }
  }
}

/** @throws DTYPE_MISMATCH */
function idCount(ids: unknown, name: string): number {
  if (types.isInt32Array(ids) || types.isBigInt64Array(ids)) return lengthOf(ids);
  throw new GyrfalconError(
    'DTYPE_MISMATCH',
    `expected an Int32Array or BigInt64Array for ${name} but received ${show(ids)}`,
  );
}

function threadCount(value: number | undefined): number {
  return integer(value ?? 1, 1, 1024, 'threads');
}

function policy(value: OutOfRangePolicy | undefined): OutOfRangePolicy {
  return oneOf(value, ['error', 'zero'], 'error', 'outOfRange');
}

function encodedRowBytes(data: unknown, dim: number, storage: StorageName): number {
  if (types.isFloat32Array(data)) return 4 * dim;
  if (types.isUint16Array(data) && (storage === 'f16' || storage === 'bf16')) return 2 * dim;
  if (types.isUint8Array(data) && storage === 'int8') return dim + 8;
  if (types.isUint8Array(data) && storage === 'int4') return Math.ceil(dim / 2) + 4;
  throw invalid(`a Float32Array, or rows already encoded as ${storage}`, data);
}
