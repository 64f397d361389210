import { Batch, type BatchInputs, type Scores } from './batch.js';
import { cacheSizes } from './cache-options.js';
import { openDevice, progressListener, withProgress } from './device.js';
import { type ErrorCode, GyrfalconError } from './errors.js';
import { type Asked, type Explanation, explain } from './explain.js';
import { type NativeModel, type NativeModelInfo, native } from './native.js';
import {
  type BatchOptions,
  flag,
  integer,
  invalid,
  type LoadOptions,
  oneOf,
  path,
  record,
  type ScoreOptions,
  show,
} from './options.js';
import { findOrtLibrary } from './ort-library.js';
import { vigil } from './vigil.js';

/** What only this file has: nobody else makes models. */
const OWN = Symbol('model');

/** Inputs, tables and outputs of a model, and what runs it. */
export type ModelInfo = NativeModelInfo;

/** Counters since the model was loaded, and the memory of its tables in bytes. */
export type ModelStats = ReturnType<NativeModel['stats']>;

/**
 * Loads a bundle. Long work happens off the JS thread. The types of inputs and outputs, which only
 * the bundle knows, may be given: `loadModel<{ user: Int32Array }, { score: Float32Array }>(dir)`.
 * @throws BUNDLE_NOT_FOUND, BUNDLE_INVALID, BUNDLE_VERSION, CHECKSUM_MISMATCH, PATH_ESCAPE,
 * LIMIT_EXCEEDED: the bundle
 * @throws ENGINE_UNAVAILABLE, ENGINE_FAILED, DEVICE_UNAVAILABLE, DEVICE_FAILED, OUT_OF_MEMORY,
 * INVALID_ARGUMENT
 */
export async function loadModel<
  Inputs extends object = BatchInputs,
  Outputs extends object = Scores,
>(directory: string, options: LoadOptions = {}): Promise<Model<Inputs, Outputs>> {
  const bundle = path(directory, 'the bundle');
  const given = record(options, 'options') ?? {};
  const engines = ['auto', 'fused', 'onnxruntime'] as const;
  const engine = available(given.engine ?? 'auto', engines, 'engine', 'ENGINE_UNAVAILABLE');
  const library =
    engine === 'fused'
      ? {}
      : ortLibrary(given.onnxruntime, engine === 'auto' && given.onnxruntime === undefined);
  const settings = {
    map: oneOf(given.tables, ['copy', 'map'], 'copy', 'tables') === 'map',
    verify: flag(given.verify, true, 'verify'),
    outOfRange: oneOf(given.outOfRange, ['error', 'zero'], 'error', 'outOfRange'),
    threads: integer(given.threads ?? 1, 1, 1024, 'threads'),
    engine,
    precision: oneOf(given.precision, ['auto', 'f32', 'bf16', 'int8'], 'auto', 'precision'),
    ortLibrary: library.path ?? '',
    ortMissing: library.missing ?? '',
  };
  const asked = { device: given.device ?? 'auto', engine };
  const listener = progressListener(given.onProgress);
  const device = await openDevice(asked.device);
  const caches = cacheSizes(given.caches, device);
  const handle = await withProgress(listener, (progress) =>
    native().loadModel(bundle, { ...settings, device, caches, progress }),
  );
  return new Model(OWN, handle, settings.threads, asked);
}

/** @throws INVALID_ARGUMENT, or `code` for a name that this build does not have */
function available<Name extends string>(
  value: unknown,
  has: readonly Name[],
  name: string,
  code: ErrorCode,
): Name {
  if (typeof value !== 'string') throw invalid(`a name for ${name}`, value);
  const found = has.find((each) => each === value);
  if (found !== undefined) return found;
  throw new GyrfalconError(
    code,
    `expected ${name} ${has.join(' or ')}, which this build has, but received ${show(value)}`,
  );
}

// Without `optional`, a library that is not there is an error now; with it, when a model needs it.
function ortLibrary(
  given: string | undefined,
  optional: boolean,
): { path?: string; missing?: string } {
  try {
    return { path: findOrtLibrary(given) };
  } catch (error) {
    if (!optional || !(error instanceof GyrfalconError) || error.code !== 'ENGINE_UNAVAILABLE') {
      throw error;
    }
    return { missing: error.message };
  }
}

/** A loaded model. Everything about it is immutable; any number of batches may be scored at once. */
export class Model<Inputs extends object = BatchInputs, Outputs extends object = Scores>
  implements AsyncDisposable
{
  readonly info: ModelInfo;

  readonly #native: NativeModel;
  readonly #threads: number;
  readonly #asked: Asked;
  readonly #batches = new WeakSet<Batch<object>>();
  readonly #pending = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(key: typeof OWN, handle: NativeModel, threads: number, asked: Asked) {
    if (key !== OWN) throw invalid('loadModel to make a model', key);
    this.#native = handle;
    this.#asked = asked;
    this.#threads = threads;
    this.info = handle.info;
  }

  /**
   * Makes a batch with room for `capacity` rows.
   * @throws INVALID_ARGUMENT, LIMIT_EXCEEDED, OUT_OF_MEMORY, DEVICE_FAILED, MODEL_CLOSED
   */
  createBatch(capacity: number, options: BatchOptions = {}): Batch<Inputs> {
    const rows = integer(capacity, 1, 2 ** 24, 'capacity');
    const given = record(options, 'options') ?? {};
    const symbols = sizes(Object.keys(this.info.symbols), given.symbols, 'symbols');
    const ragged = this.info.inputs.filter(({ kind }) => kind === 'ragged');
    const indices = sizes(
      ragged.map(({ name }) => name),
      given.indices,
      'indices',
    );
    // After the last of the caller's code: an accessor could have closed the model.
    this.#open();
    const handle = this.#native.createBatch(rows, symbols, indices);
    // A model that was exported with a fixed number of rows has room for exactly those.
    const batch = Batch.make<Inputs>(handle, this.info.batch ?? rows, this.info.batch !== null);
    this.#batches.add(batch);
    return batch;
  }

  /**
   * Scores the batch's rows on this thread and returns views of its outputs, which the next score
   * of the batch overwrites.
   * @throws INDEX_OUT_OF_RANGE, INVALID_OFFSETS: the request
   * @throws BATCH_IN_FLIGHT, BATCH_MISMATCH, DETACHED_BUFFER, MODEL_CLOSED, ENGINE_FAILED,
   * DEVICE_FAILED
   */
  scoreSync(batch: Batch<Inputs>): Outputs {
    this.#owns(batch);
    return Batch.scoreSync(batch) as Outputs;
  }

  /**
   * Scores on a worker thread of gyrfalcon's own. Batches of one model run in parallel.
   * @throws (rejects) as scoreSync, and ABORTED
   */
  async score(batch: Batch<Inputs>, options: ScoreOptions = {}): Promise<Outputs> {
    const signal = record(options, 'options')?.signal;
    this.#owns(batch);
    const scoring = Batch.score(batch, signal);
    this.#pending.add(scoring);
    vigil.begin(this.#threads, Batch.workOf(batch));
    try {
      return (await scoring) as Outputs;
    } finally {
      vigil.end(this.#threads);
      this.#pending.delete(scoring);
    }
  }

  /** Where tables, lookups and the dense network are, and why. @throws MODEL_CLOSED */
  explain(): Explanation {
    this.#open();
    return explain(this.#native, this.info, this.#asked);
  }

  /** @throws MODEL_CLOSED */
  stats(): ModelStats {
    this.#open();
    return this.#native.stats();
  }

  /**
   * Puts rows of a table into its row cache, the first ids with preference, where there is room. Those
   * that are asked for more often take their places later. Scores may be under way.
   * @throws INVALID_ARGUMENT (no such table, or one without a row cache), INDEX_OUT_OF_RANGE,
   * DTYPE_MISMATCH, DETACHED_BUFFER, MODEL_CLOSED, DEVICE_FAILED
   */
  warm(table: string, ids: Int32Array | BigInt64Array): void {
    this.#open();
    const names = this.info.tables.map(({ name }) => name);
    const number = names.indexOf(table);
    if (number < 0) throw invalid(`a table of ${names.join(', ')}`, table);
    this.#native.warm(number, ids);
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

  #owns(batch: Batch<Inputs>): void {
    this.#open();
    if (this.#batches.has(batch)) return;
    if (!Batch.is(batch)) throw invalid('a batch made by createBatch', batch);
    throw new GyrfalconError(
      'BATCH_MISMATCH',
      "expected a batch of this model but received another's",
    );
  }
}

/** The given sizes, each of a name that the model has. @throws INVALID_ARGUMENT */
function sizes(
  names: readonly string[],
  given: Readonly<Record<string, number>> | undefined,
  option: string,
): Record<string, number> {
  const sizes: Record<string, number> = Object.create(null);
  for (const [name, size] of Object.entries(record(given, option) ?? {})) {
    if (!names.includes(name)) {
      throw invalid(`a name that the model has (${names.join(', ') || 'none'}) in ${option}`, name);
    }
    sizes[name] = integer(size, 1, 2 ** 31 - 1, `${option}.${name}`);
  }
  return sizes;
}
