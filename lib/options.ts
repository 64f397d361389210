import { types } from 'node:util';
import { GyrfalconError } from './errors.js';
import type { OutOfRangePolicy } from './native.js';

/** Of a table on a CUDA device, for one that is larger than its memory. One of them at most. */
export interface CacheOptions {
  /** Rows that the device keeps, rounded up to sets of 8. */
  cacheRows?: number;
  /** The device's memory that may be used for them. */
  cacheBytes?: number;
}

/** How a model is loaded. */
export interface LoadOptions {
  /**
   * Where tables lie and are looked up: 'cpu', or 'cuda:0' and so on ('cuda' is 'cuda:0'). 'auto', the
   * default, is the CPU as long as the dense network runs there. A CUDA device that cannot be used is
   * DEVICE_UNAVAILABLE with the reason, tables that do not fit it are OUT_OF_MEMORY.
   */
  device?: string;
  /**
   * Tables, by name, that stay in this machine's memory, pinned, with a row cache on the CUDA device:
   * for those that are larger than its memory. All others are copied to it.
   */
  caches?: Readonly<Record<string, CacheOptions>>;
  /** Hears how many bytes of the tables are on a CUDA device, and how many there are. */
  onProgress?: (bytes: number, total: number) => void;
  /**
   * Who runs the dense network: our own fused engine, which knows the operators of most
   * recommenders, or ONNX Runtime. 'auto' is the fused engine when the bundle is lowered for it; ONNX
   * Runtime is not even opened then.
   */
  engine?: 'auto' | 'fused' | 'onnxruntime';
  /**
   * Weights of the fused engine: 'f32', 'bf16' (also activations, where the CPU multiplies bf16), or
   * 'int8' (per column; activations per row, where the CPU multiplies 8 bits). 'auto', the default,
   * is what the bundle was imported with; ONNX Runtime has f32 alone.
   */
  precision?: 'auto' | 'f32' | 'bf16' | 'int8';
  /** Threads that the lookups and the dense network of one score may use; 1 unless said otherwise. */
  threads?: number;
  /**
   * What an id outside its table does: 'error' fails the request and names input, row and value;
   * 'zero' lets it contribute nothing and counts it in `stats().outOfRangeZeroed`.
   */
  outOfRange?: OutOfRangePolicy;
  /**
   * 'copy' (default) loads tables into huge-page memory. 'map' maps the files: quicker to start, and
   * truncating a mapped file ends the process, so replace files only by renaming.
   */
  tables?: 'copy' | 'map';
  /** Compare tables with their checksums while loading; true unless said otherwise. */
  verify?: boolean;
  /** Path of ONNX Runtime's shared library; found in an installed onnxruntime-node by default. */
  onnxruntime?: string;
}

/** Sizes of a batch besides its rows. */
export interface BatchOptions {
  /** Sizes of the model's free dimensions, by name. */
  symbols?: Readonly<Record<string, number>>;
  /** Room for ids of each ragged input, all rows together; 32 a row unless said otherwise. */
  indices?: Readonly<Record<string, number>>;
}

export interface ScoreOptions {
  /** Aborts: a queued score ends at once, a running one soon. The promise rejects with ABORTED. */
  signal?: AbortSignal;
}

export function invalid(expected: string, received: unknown): GyrfalconError {
  return new GyrfalconError(
    'INVALID_ARGUMENT',
    `expected ${expected} but received ${show(received)}`,
  );
}

/** A value as messages show it: short, and without running any of the caller's code. */
export function show(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  }
  if (typeof value === 'number' || typeof value === 'boolean' || value == null) {
    return Object.is(value, -0) ? '-0' : String(value);
  }
  if (typeof value !== 'object') return `a ${typeof value}`;
  if (ArrayBuffer.isView(value)) return types.isTypedArray(value) ? 'a typed array' : 'a DataView';
  if (types.isProxy(value)) return 'a proxy';
  return Array.isArray(value) ? 'an array' : 'an object';
}

/** Options as given; none when undefined. @throws INVALID_ARGUMENT */
export function record<T extends object>(value: T | undefined, name: string): T | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'object' && value !== null) return value;
  throw invalid(`an object for ${name}`, value);
}

/** @throws INVALID_ARGUMENT */
export function flag(value: unknown, fallback: boolean, name: string): boolean {
  if (value === undefined) return fallback;
  if (typeof value === 'boolean') return value;
  throw invalid(`true or false for ${name}`, value);
}

/** A path: a string that the system could take. @throws INVALID_ARGUMENT */
export function path(value: unknown, name: string): string {
  if (typeof value === 'string' && /^[^\0]{1,4096}$/.test(value)) return value;
  throw invalid(`a path of 1 to 4096 characters without NUL for ${name}`, value);
}

/** @throws INVALID_ARGUMENT */
export function oneOf<T extends string>(
  value: unknown,
  choices: readonly T[],
  fallback: T,
  name: string,
): T {
  if (value === undefined) return fallback;
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw invalid(`one of ${choices.join(', ')} for ${name}`, value);
  return found;
}

/** @throws INVALID_ARGUMENT */
export function integer(value: unknown, least: number, most: number, name: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) {
    return value;
  }
  throw invalid(`an integer from ${least} to ${most} for ${name}`, value);
}

const aborted = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')?.get;

/** By the platform's own accessor, whatever a signal claims. @throws INVALID_ARGUMENT: no signal */
export function isAborted(signal: AbortSignal): boolean {
  try {
    return Reflect.apply(aborted as () => boolean, signal, []);
  } catch {
    throw invalid('an AbortSignal', signal);
  }
}
