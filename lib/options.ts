import { GyrfalconError } from './errors.js';
import type { OutOfRangePolicy } from './native.js';

/** How a model is loaded. */
export interface LoadOptions {
  /** 'auto' and 'cpu' are the CPU; a CUDA device is DEVICE_UNAVAILABLE in this build. */
  device?: string;
  /** Who runs the dense network. 'auto' is ONNX Runtime in this build. */
  engine?: 'auto' | 'onnxruntime';
  /** Threads that the dense network of one score may use; 1 unless said otherwise. */
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

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' || typeof value === 'boolean' || value == null)
    return String(value);
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
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
