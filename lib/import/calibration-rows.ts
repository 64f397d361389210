/** The rows that a bundle is calibrated on, from where the caller has them. */
import { resolve } from 'node:path';
import { invalid } from '../options.js';
import { openRows, type RawRow } from '../rows/source.js';
import { ioError } from './onnx/byte-source.js';
import { throwIfAborted } from './onnx/read.js';

/** A JSONL or CSV file, or objects with a value for each input. */
export type CalibrationRows = string | Iterable<object> | AsyncIterable<object>;

/** @throws (while it is read) IO_ERROR, INVALID_ARGUMENT, LIMIT_EXCEEDED, ABORTED */
export function calibrationRows(
  given: CalibrationRows,
  signal: AbortSignal | undefined,
): AsyncIterable<RawRow> {
  return typeof given === 'string' ? fileRows(resolve(given), signal) : objectRows(given);
}

async function* fileRows(path: string, signal: AbortSignal | undefined): AsyncGenerator<RawRow> {
  try {
    yield* openRows(path, process.stdin, undefined, signal ?? new AbortController().signal);
  } catch (error) {
    throwIfAborted(signal);
    if (error instanceof Error && 'syscall' in error) throw ioError(`cannot read ${path}`, error);
    throw error;
  }
}

async function* objectRows(rows: Iterable<object> | AsyncIterable<object>): AsyncGenerator<RawRow> {
  let line = 1;
  for await (const row of rows) {
    if (typeof row !== 'object' || row === null) {
      throw invalid(`an object for row ${line} of calibrate`, row);
    }
    yield { line: line++, fields: new Map(Object.entries(row)) };
  }
}
