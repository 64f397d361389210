/**
 * The one file that names the addon's exports. Everything here is internal; the public classes wrap
 * it. A test compares this list with what the loaded addon has.
 */
import { GyrfalconError } from './errors.js';
import type { DtypeName, PoolingName, StorageName } from './import/manifest.js';
import { loadAddon } from './load.js';

export type OutOfRangePolicy = 'error' | 'zero';

/** Where a part of a batch lies in its buffer. */
export interface NativeField {
  readonly offset: number;
  /** At full capacity. */
  readonly elements: number;
  /** Elements of one batch row; 0 when the field does not grow with rows. */
  readonly rowElements: number;
  readonly dtype: DtypeName;
  /** -1 stands for the rows of the batch. */
  readonly dims: readonly number[];
}

export interface NativeInput {
  readonly name: string;
  readonly kind: 'tensor' | 'ragged';
  /** Ragged: the indices. */
  readonly data: NativeField;
  readonly offsets?: NativeField;
  readonly weights?: NativeField;
}

export interface NativeBatch {
  /** Over the batch's own memory, unless `copies`. */
  readonly buffer: ArrayBuffer;
  /**
   * Whether the runtime forbids buffers over native memory (or GYRFALCON_EXTERNAL_BUFFERS is off):
   * `buffer` is V8's, with the same layout; copyIn before each score, copyOut after it.
   */
  readonly copies: boolean;
  readonly inputs: readonly NativeInput[];
  readonly outputs: readonly (NativeField & { readonly name: string })[];
  /** Throws; returns nothing. The caller has checked that the batch is idle and its buffer attached. */
  scoreSync(rows: number): void;
  /** Settles on this thread once, with the work's nanoseconds; rejects with GyrfalconErrors only. */
  score(rows: number): Promise<number>;
  /** A queued score ends at once, a running one soon; both with ABORTED. Nothing if idle. */
  cancel(): void;
  /** What `rows` rows read, of tensors `tensorRows`. @throws DETACHED_BUFFER, BATCH_IN_FLIGHT */
  copyIn(buffer: ArrayBuffer, rows: number, tensorRows: number): void;
  /** What they wrote. @throws as copyIn */
  copyOut(buffer: ArrayBuffer, rows: number, tensorRows: number): void;
  /** Nanoseconds of the last score: [lookup, engine, queue]. */
  times(): [number, number, number];
}

export interface NativeExtentInfo {
  readonly name: string;
  readonly dtype: DtypeName;
  readonly shape: readonly (number | string | null)[];
}

export interface NativeModelInfo {
  readonly name: string;
  readonly batch: number | null;
  readonly symbols: Readonly<Record<string, number | null>>;
  readonly inputs: readonly (
    | (NativeExtentInfo & { readonly kind: 'tensor' })
    | {
        readonly name: string;
        readonly kind: 'ragged';
        readonly dtype: 'i32' | 'i64';
        readonly weights: boolean;
      }
  )[];
  readonly tables: readonly {
    readonly name: string;
    readonly rows: number;
    readonly dim: number;
    readonly storage: StorageName;
    readonly bytes: number;
  }[];
  readonly outputs: readonly NativeExtentInfo[];
  readonly engine: string;
  readonly engineVersion: string;
  /** Of the dense network's weights. */
  readonly precision: 'f32' | 'bf16' | 'int8';
  readonly isa: string;
  /** Where the tables lie and are looked up: 'cpu' or 'cuda:N'. */
  readonly device: string;
}

export interface NativeModel {
  readonly info: NativeModelInfo;
  /** Sizes by name, of the names that the model has; objects without a prototype. */
  createBatch(
    capacity: number,
    symbols: Readonly<Record<string, number>>,
    indices: Readonly<Record<string, number>>,
  ): NativeBatch;
  explain(): {
    /** Of tables on CUDA. */
    device?: {
      model: string;
      computeCapability: string;
      deviceBytes: number;
      pinnedBytes: number;
    };
    /** As in `info`. */
    tables: { mapped: boolean; cached: boolean; deviceBytes: number }[];
    bags: number;
    computedIds: boolean;
    threads: number;
    fused: boolean;
  };
  stats(): {
    requests: number;
    rows: number;
    failed: number;
    outOfRangeZeroed: number;
    tableBytes: number;
    hugePageBytes: number;
    deviceBytes: number;
    /** Of tables with a row cache. Hits and misses are those of sampled touches. */
    caches: (NativeCacheStats & { table: string })[];
  };
  /** `table` counts `info.tables`. Hot ids first. @throws INVALID_ARGUMENT: no row cache */
  warm(table: number, ids: Int32Array | BigInt64Array): void;
  /** Precondition: nothing in flight. Frees tables and engine at once. */
  close(): void;
}

/** Of a row cache on a CUDA device. */
export interface NativeCacheStats {
  slots: number;
  occupied: number;
  hits: number;
  misses: number;
  hitRate: number;
  insertions: number;
  evictions: number;
  updated: number;
}

export interface NativeTable {
  readonly rows: number;
  readonly dim: number;
  readonly storage: StorageName;
  readonly bytes: number;
  readonly device: string;
  /** offsets undefined: fixed hotness `count`. out: [bags, dim] (none: [indices, dim]). */
  bag(
    indices: Int32Array | BigInt64Array,
    offsets: Int32Array | BigInt64Array | undefined,
    weights: Float32Array | undefined,
    out: Float32Array,
    pooling: PoolingName,
    policy: OutOfRangePolicy,
  ): number;
  /** `rows` in the table's storage when `encoded`, else f32 rows. */
  update(ids: Int32Array | BigInt64Array, rows: ArrayBufferView, encoded: boolean): void;
  /** Hot ids first. @throws INVALID_ARGUMENT: no row cache */
  warm(ids: Int32Array | BigInt64Array): void;
  stats(): {
    tableBytes: number;
    hugePageBytes: number;
    deviceBytes: number;
    /** Of a table with a row cache. Hits and misses are those of sampled touches. */
    cache?: NativeCacheStats;
  };
  close(): void;
}

export interface NativeTensor {
  readonly name: string;
  readonly dtype: DtypeName;
  readonly dims: readonly number[];
  readonly data: ArrayBufferView;
}

export interface NativeEngine {
  readonly name: string;
  readonly version: string;
  /** -1 for a free dimension, whose symbolic name is in `names`. */
  readonly inputs: readonly {
    name: string;
    dtype: DtypeName;
    dims: readonly number[];
    names: readonly string[];
  }[];
  readonly outputs: NativeEngine['inputs'];
  /** Outputs have fresh buffers. */
  runSync(
    feeds: readonly NativeTensor[],
  ): { name: string; dtype: DtypeName; dims: number[]; data: ArrayBuffer }[];
  close(): void;
}

export interface NativeHash {
  update(bytes: Uint8Array): void;
  /** 16 lower-case hexadecimal digits. */
  digest(): string;
}

export interface NativeCudaProbe {
  /** Why CUDA cannot be used at all. */
  readonly reason?: string;
  /** 1000 * major + 10 * minor; 0 when there is no driver. */
  readonly driverVersion: number;
  readonly devices: readonly {
    readonly ordinal: number;
    readonly model: string;
    readonly computeCapability: string;
    readonly memoryBytes: number;
    /** Why this one cannot be used. */
    readonly reason?: string;
  }[];
}

export interface NativeCacheTrace {
  /** At least as many as asked for. */
  readonly slots: number;
  readonly counted: number;
  readonly hits: number;
  readonly lruHits: number;
  readonly topHits: number;
  readonly insertions: number;
  readonly evictions: number;
}

export interface Native {
  readonly version: string;
  errorCodes(): string[];
  setErrorClass(errorClass: typeof GyrfalconError): void;
  /** Cancels what is in flight here, waits for it, and takes no more asynchronous scores. */
  shutdown(): void;
  cpu(): {
    isa: string | null;
    products: string | null;
    available: string[];
    unavailable: { name: string; reason: string }[];
    prefetch: {
      lines: number;
      order: 'bursts' | 'steady' | 'near' | 'mixed';
      source: 'default' | 'environment' | 'cached' | 'tuned';
    } | null;
  };
  /** Where the addon was loaded from; empty where the system does not tell. */
  addonPath(): string;
  /** Whether the addon carries CUDA kernels. */
  cudaBuilt(): boolean;
  /** Opens the driver and runs a kernel on one device, or on all (-1). It may crash, or hang. */
  cudaProbe(device: number): NativeCudaProbe;
  /** What was remembered for `key` in this process, first of all `text` if nothing was yet. */
  cudaVerdict(key: string, text?: string): string | undefined;
  /** Version of ONNX Runtime at `path`; throws ENGINE_UNAVAILABLE with the reason. */
  ortVersion(path: string): string;
  loadModel(
    directory: string,
    options: {
      map: boolean;
      verify: boolean;
      outOfRange: OutOfRangePolicy;
      threads: number;
      engine: 'auto' | 'fused' | 'onnxruntime';
      /** 'auto': the bundle's, or what the engine has. */
      precision: 'auto' | 'f32' | 'bf16' | 'int8';
      ortLibrary: string;
      /** Of CUDA; -1: the CPU. */
      device: number;
      /** [table, rows, bytes]: row caches, by one of the two sizes. */
      caches: readonly (readonly [string, number, number])[];
      progress: object;
      /** Why there is no ortLibrary: thrown as ENGINE_UNAVAILABLE by a model that needs it. */
      ortMissing: string;
    },
  ): Promise<NativeModel>;
  tableFromFile(
    path: string,
    tensor: string,
    storage: StorageName,
    dim: number,
    map: boolean,
    threads: number,
    device: number,
    progress: object,
    /** 0 and 0: no row cache. */
    cacheRows: number,
    cacheBytes: number,
  ): Promise<NativeTable>;
  newProgress(): object;
  /** Bytes copied to a device, and bytes in all: 0 until the load knows. */
  readProgress(progress: object): [number, number];
  /** `data` holds rows in `storage`, or f32 rows that are encoded. */
  tableFromRows(
    data: ArrayBufferView,
    encoded: boolean,
    rows: number,
    dim: number,
    storage: StorageName,
    threads: number,
    device: number,
    cacheRows: number,
    cacheBytes: number,
  ): NativeTable;
  engineFromBytes(bytes: Uint8Array, threads: number, ortLibrary: string): Promise<NativeEngine>;
  engineFromFile(path: string, threads: number, ortLibrary: string): Promise<NativeEngine>;
  encodeRows(src: Float32Array, rows: number, dim: number, storage: StorageName): Uint8Array;
  Xxh64: new () => NativeHash;
  /**
   * What a device's row cache would find of ids that are looked up in turn; hits count from id
   * `warmUp` on. Works on this thread. @throws LIMIT_EXCEEDED, INDEX_OUT_OF_RANGE
   */
  traceCache(
    ids: Int32Array,
    tableRows: number,
    cacheRows: number,
    warmUp: number,
  ): NativeCacheTrace;
}

let loaded: Native | undefined;

/**
 * The addon, loaded at first use so that importing the package cannot fail.
 * @throws NATIVE_UNAVAILABLE
 */
export function native(): Native {
  if (loaded === undefined) {
    const addon = loadAddon() as Native;
    addon.setErrorClass(GyrfalconError);
    // process.exit destroys C++ statics without running an addon's cleanup hooks first; a worker
    // must not be inside ONNX Runtime then.
    process.once('exit', () => addon.shutdown());
    loaded = addon;
  }
  return loaded;
}
