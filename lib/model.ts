import { Batch, type Scores } from './batch.js';
import { GyrfalconError } from './errors.js';
import { type NativeModel, type NativeModelInfo, native } from './native.js';
import {
  type BatchOptions,
  integer,
  invalid,
  type LoadOptions,
  oneOf,
  type ScoreOptions,
} from './options.js';
import { findOrtLibrary } from './ort-library.js';

/** Inputs, tables and outputs of a model, and what runs it. */
export type ModelInfo = NativeModelInfo;

/** Counters since the model was loaded, and the memory of its tables in bytes. */
export type ModelStats = ReturnType<NativeModel['stats']>;

/**
 * Loads a bundle. Long work happens off the JS thread.
 * @throws BUNDLE_NOT_FOUND, BUNDLE_INVALID, BUNDLE_VERSION, CHECKSUM_MISMATCH, PATH_ESCAPE,
 * LIMIT_EXCEEDED: the bundle
 * @throws ENGINE_UNAVAILABLE, ENGINE_FAILED, DEVICE_UNAVAILABLE, OUT_OF_MEMORY, INVALID_ARGUMENT
 */
export async function loadModel(directory: string, options: LoadOptions = {}): Promise<Model> {
  if (typeof directory !== 'string') throw invalid('a directory', directory);
  const device = options.device ?? 'auto';
  if (device !== 'auto' && device !== 'cpu') {
    throw new GyrfalconError(
      'DEVICE_UNAVAILABLE',
      `expected device auto or cpu, which this build has, but received ${JSON.stringify(device)}`,
    );
  }
  const engine: string = options.engine ?? 'auto';
  if (engine !== 'auto' && engine !== 'onnxruntime') {
    throw new GyrfalconError(
      'ENGINE_UNAVAILABLE',
      `expected engine auto or onnxruntime, which this build has, but received ${JSON.stringify(engine)}`,
    );
  }
  const settings = {
    map: oneOf(options.tables, ['copy', 'map'], 'copy', 'tables') === 'map',
    verify: options.verify ?? true,
    outOfRange: oneOf(options.outOfRange, ['error', 'zero'], 'error', 'outOfRange'),
    threads: integer(options.threads ?? 1, 1, 1024, 'threads'),
    ortLibrary: findOrtLibrary(options.onnxruntime),
  };
  return new Model(await native().loadModel(directory, settings));
}

/** A loaded model. Everything about it is immutable; any number of batches may be scored at once. */
export class Model implements AsyncDisposable {
  readonly info: ModelInfo;

  readonly #native: NativeModel;
  readonly #batches = new WeakSet<Batch>();
  readonly #pending = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(handle: NativeModel) {
    this.#native = handle;
    this.info = handle.info;
  }

  /**
   * Makes a batch with room for `capacity` rows.
   * @throws INVALID_ARGUMENT, LIMIT_EXCEEDED, OUT_OF_MEMORY, MODEL_CLOSED
   */
  createBatch(capacity: number, options: BatchOptions = {}): Batch {
    this.#open();
    const rows = integer(capacity, 1, 2 ** 24, 'capacity');
    const symbols = bySlot(Object.keys(this.info.symbols), options.symbols, 'symbols');
    const ragged = this.info.inputs.map(({ name, kind }) => (kind === 'ragged' ? name : undefined));
    const indices = bySlot(ragged, options.indices, 'indices');
    const handle = this.#native.createBatch(rows, symbols, indices);
    // A model that was exported with a fixed number of rows has room for exactly those.
    const batch = new Batch(handle, this.info.batch ?? rows);
    this.#batches.add(batch);
    return batch;
  }

  /**
   * Scores the batch's rows on this thread and returns views of its outputs, which the next score
   * of the batch overwrites.
   * @throws INDEX_OUT_OF_RANGE, INVALID_OFFSETS: the request
   * @throws BATCH_IN_FLIGHT, BATCH_MISMATCH, DETACHED_BUFFER, MODEL_CLOSED, ENGINE_FAILED
   */
  scoreSync(batch: Batch): Scores {
    this.#owns(batch);
    return Batch.scoreSync(batch);
  }

  /**
   * Scores on a worker thread of gyrfalcon's own. Batches of one model run in parallel.
   * @throws (rejects) as scoreSync, and ABORTED
   */
  async score(batch: Batch, options: ScoreOptions = {}): Promise<Scores> {
    this.#owns(batch);
    const scoring = Batch.score(batch, options.signal);
    this.#pending.add(scoring);
    try {
      return await scoring;
    } finally {
      this.#pending.delete(scoring);
    }
  }

  /** @throws MODEL_CLOSED */
  stats(): ModelStats {
    this.#open();
    return this.#native.stats();
  }

  /** Refuses new work, waits for what is in flight, then frees tables and engine. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.allSettled(this.#pending);
      this.#native.close();
    })();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #open(): void {
    if (this.#closing !== undefined) {
      throw new GyrfalconError('MODEL_CLOSED', `the model ${this.info.name} was closed`);
    }
  }

  #owns(batch: Batch): void {
    this.#open();
    if (this.#batches.has(batch)) return;
    if (!Batch.is(batch)) throw invalid('a batch made by createBatch', batch);
    throw new GyrfalconError(
      'BATCH_MISMATCH',
      "expected a batch of this model but received another's",
    );
  }
}

/** Sizes in the model's order; 0 where none is given. */
function bySlot(
  names: readonly (string | undefined)[],
  given: Readonly<Record<string, number>> | undefined,
  option: string,
): number[] {
  for (const name of Object.keys(given ?? {})) {
    if (!names.includes(name)) {
      const known = names.filter((n) => n !== undefined).join(', ') || 'none';
      throw invalid(`a name that the model has (${known}) in ${option}`, name);
    }
  }
  return names.map((name) => {
    const size = name === undefined ? undefined : given?.[name];
    return size === undefined ? 0 : integer(size, 1, 2 ** 31 - 1, `${option}.${name}`);
  });
}
