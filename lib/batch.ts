import { setMaxListeners } from 'node:events';
import { GyrfalconError } from './errors.js';
import type { NativeBatch, NativeField } from './native.js';
import { invalid, isAborted } from './options.js';
import { TYPED_ARRAYS, type TypedArray } from './typed-arrays.js';

export type { TypedArray } from './typed-arrays.js';

/** Ids of all rows back to back; row r owns indices [offsets[r], offsets[r + 1]). */
export interface RaggedInput<
  Ids extends Int32Array | BigInt64Array = Int32Array | BigInt64Array,
  Weights extends Float32Array | undefined = Float32Array | undefined,
> {
  readonly indices: Ids;
  /** [capacity + 1]; offsets[0] is 0. */
  readonly offsets: Int32Array;
  /** One weight for each index, where the model has weights. */
  readonly weights: Weights;
}

/** What every typed array can do, where only the loaded model knows which one it is. */
export interface AnyArray extends Iterable<number | bigint> {
  readonly length: number;
  readonly buffer: ArrayBufferLike;
  readonly byteLength: number;
  readonly byteOffset: number;
  [index: number]: number | bigint;
  set(values: ArrayLike<number> | ArrayLike<bigint>, offset?: number): void;
  fill(value: number | bigint, start?: number, end?: number): unknown;
  subarray(begin?: number, end?: number): AnyArray;
}

/** A tensor, or the parts of a ragged input: only the loaded model knows which. */
export interface AnyInput extends AnyArray {
  readonly indices: AnyArray;
  readonly offsets: Int32Array;
  readonly weights: Float32Array;
}

/** By input name. `loadModel<{ user: Int32Array; genres: RaggedInput<Int32Array> }>` says more. */
export type BatchInputs = Readonly<Record<string, AnyInput>>;

/** By output name, with exactly the outputs of the batch's rows, row-major. */
export type Scores = Readonly<Record<string, TypedArray>>;

/** What only this file has: nobody else makes batches. */
const OWN = Symbol('batch');

function view(buffer: ArrayBuffer, field: NativeField, elements = field.elements): TypedArray {
  return new TYPED_ARRAYS[field.dtype](buffer, field.offset, elements);
}

/**
 * The memory of one request: inputs to fill, outputs to read, both views over native memory that
 * the score path uses in place. Make it once with `model.createBatch` and use it again and again.
 *
 * While an asynchronous score is under way the batch is in flight: scoring it again is
 * BATCH_IN_FLIGHT, and what is written to its inputs meanwhile may give wrong scores.
 */
export class Batch<Inputs extends object = BatchInputs> {
  /** Rows that the batch has room for. */
  readonly capacity: number;
  /**
   * By the names of the ONNX model: a typed array [capacity, …] for each tensor input, and
   * { indices, offsets, weights? } for each ragged one.
   */
  readonly inputs: Inputs;

  readonly #native: NativeBatch;
  readonly #buffer: ArrayBuffer;
  readonly #copies: boolean;
  /** The model always runs all rows that it was exported with. */
  readonly #fixed: boolean;
  #rows: number;
  #busy = false;
  /** Nanoseconds of the last asynchronous score that succeeded, without waiting. */
  #work = Number.POSITIVE_INFINITY;
  /** Output views by number of rows, made when first needed. */
  readonly #scores = new Map<number, object>();

  private constructor(key: typeof OWN, native: NativeBatch, capacity: number, fixed: boolean) {
    if (key !== OWN) throw invalid('createBatch to make a batch', key);
    this.#native = native;
    this.#buffer = native.buffer;
    this.#copies = native.copies;
    this.#fixed = fixed;
    this.capacity = capacity;
    this.#rows = capacity;
    const inputs: Record<string, unknown> = Object.create(null);
    for (const input of native.inputs) {
      const data = view(this.#buffer, input.data);
      if (input.kind === 'tensor' || input.offsets === undefined) {
        inputs[input.name] = data;
        continue;
      }
      const offsets = view(this.#buffer, input.offsets, capacity + 1);
      inputs[input.name] = Object.freeze(
        input.weights === undefined
          ? { indices: data, offsets }
          : { indices: data, offsets, weights: view(this.#buffer, input.weights) },
      );
    }
    this.inputs = Object.freeze(inputs) as Inputs;
  }

  /** @internal */
  static make<I extends object>(native: NativeBatch, capacity: number, fixed: boolean): Batch<I> {
    return new Batch<I>(OWN, native, capacity, fixed);
  }

  /** Rows that the next score covers, 0 to `capacity`; `capacity` at first. */
  get rows(): number {
    return this.#rows;
  }

  set rows(rows: number) {
    if (!Number.isInteger(rows) || rows < 0 || rows > this.capacity) {
      throw invalid(`0 to ${this.capacity} rows`, rows);
    }
    this.#rows = rows;
  }

  /** Whether an asynchronous score of this batch has not settled. */
  get inFlight(): boolean {
    return this.#busy;
  }

  /** Nanoseconds that the stages of the last score took. */
  get times(): { lookup: number; engine: number; queue: number } {
    const [lookup, engine, queue] = this.#native.times();
    return { lookup, engine, queue };
  }

  /** @internal */
  static scoreSync(batch: Batch<object>): object {
    batch.#ready();
    const rows = batch.#rows;
    if (batch.#copies) batch.#copyIn(rows);
    batch.#native.scoreSync(rows);
    if (batch.#copies) batch.#native.copyOut(batch.#buffer, rows, rows);
    return batch.#outputs(rows);
  }

  /** @internal */
  static async score(batch: Batch<object>, signal: AbortSignal | undefined): Promise<object> {
    // Before anything is submitted: what throws later would leave the batch in flight.
    if (signal !== undefined) {
      rejectAborted(signal);
      // One signal commonly stands for a whole request of many batches; Node would warn at eleven.
      setMaxListeners(0, signal);
    }
    batch.#ready();
    const rows = batch.#rows;
    if (batch.#copies) batch.#copyIn(rows);
    const cancel = () => batch.#native.cancel();
    const done = batch.#native.score(rows);
    batch.#busy = true;
    if (signal !== undefined) Reflect.apply(addListener, signal, ['abort', cancel, { once: true }]);
    try {
      batch.#work = await done;
    } catch (error) {
      if (signal !== undefined && isAbort(error)) rejectAborted(signal);
      throw error;
    } finally {
      batch.#busy = false;
      if (signal !== undefined) Reflect.apply(removeListener, signal, ['abort', cancel]);
    }
    batch.#attached();
    if (batch.#copies) batch.#native.copyOut(batch.#buffer, rows, rows);
    return batch.#outputs(rows);
  }

  /** @internal Nanoseconds that the last asynchronous score took; Infinity before the first. */
  static workOf(batch: Batch<object>): number {
    return batch.#work;
  }

  /** @internal Whether `value` is a Batch, whatever realm its prototype is from. */
  static is(value: unknown): value is Batch<object> {
    return typeof value === 'object' && value !== null && #native in value;
  }

  #ready(): void {
    if (this.#busy) {
      throw new GyrfalconError(
        'BATCH_IN_FLIGHT',
        'expected an idle batch but this one was submitted and has not settled',
      );
    }
    this.#attached();
  }

  #attached(): void {
    if (this.#buffer.byteLength === 0) {
      throw new GyrfalconError(
        'DETACHED_BUFFER',
        "expected the batch's own buffer but it was detached (transferred); create a new batch",
      );
    }
  }

  #copyIn(rows: number): void {
    this.#native.copyIn(this.#buffer, rows, this.#fixed ? this.capacity : rows);
  }

  #outputs(rows: number): object {
    const known = this.#scores.get(rows);
    if (known !== undefined) return known;
    const scores: Record<string, unknown> = Object.create(null);
    for (const output of this.#native.outputs) {
      const elements = output.rowElements === 0 ? output.elements : rows * output.rowElements;
      scores[output.name] = view(this.#buffer, output, elements);
    }
    const made = Object.freeze(scores);
    this.#scores.set(rows, made);
    return made;
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof GyrfalconError && error.code === 'ABORTED';
}

// The platform's own, whatever a signal claims to have.
const { addEventListener: addListener, removeEventListener: removeListener } =
  EventTarget.prototype;

/** @throws INVALID_ARGUMENT: no AbortSignal; ABORTED, with the signal's reason as cause */
function rejectAborted(signal: AbortSignal): void {
  if (!isAborted(signal)) return;
  throw new GyrfalconError('ABORTED', 'the score was aborted', { cause: signal.reason });
}
