/** Rows from JSONL and CSV, read as they come. */
import { createReadStream } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

import { CsvError, parse } from 'csv-parse';

import { at, show } from './values.js';

export type RowFormat = 'jsonl' | 'csv';

export interface RawRow {
  line: number;
  fields: Map<string, unknown>;
}

/** Longest line, in characters: a bound on memory for a file that is no JSONL. */
export const MAX_LINE = 64 * 2 ** 20;
/** Longest CSV record, in bytes; its parser takes half a second for each MiB of one. */
export const MAX_RECORD = 4 * 2 ** 20;

/** `-` is standard input. The format is `given`, or what the name ends with, or JSONL. */
export function openRows(
  path: string,
  stdin: Readable,
  given: RowFormat | undefined,
  signal: AbortSignal,
): AsyncGenerator<RawRow> {
  // An interrupt must also end the wait for a writer that says nothing.
  const input = addAbortSignal(signal, path === '-' ? stdin : createReadStream(path));
  return (given ?? formatOf(path)) === 'csv' ? csvRows(input) : jsonlRows(input);
}

/** What a file's name says: CSV or, for any other, JSONL. */
export function formatOf(path: string): RowFormat {
  return path.toLowerCase().endsWith('.csv') ? 'csv' : 'jsonl';
}

/** Empty lines are passed over. @throws INVALID_ARGUMENT, LIMIT_EXCEEDED */
export async function* jsonlRows(input: AsyncIterable<Buffer | string>): AsyncGenerator<RawRow> {
  for await (const { text, line } of lines(input)) {
    if (text.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw at(line, 'INVALID_ARGUMENT', `expected a JSON object but received ${reason}`);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw at(line, 'INVALID_ARGUMENT', 'expected a JSON object but received another value');
    }
    yield { line, fields: new Map(Object.entries(value)) };
  }
}

async function* lines(
  input: AsyncIterable<Buffer | string>,
): AsyncGenerator<{ text: string; line: number }> {
  const decoder = new StringDecoder('utf8');
  // A line's chunks are joined once, at its end: joining at every chunk is quadratic.
  let pieces: string[] = [];
  let length = 0;
  let line = 1;
  const take = (): { text: string; line: number } => {
    const text = pieces.join('');
    pieces = [];
    length = 0;
    return { text: line === 1 ? text.replace(/^\uFEFF/, '') : text, line: line++ };
  };
  const add = (piece: string): void => {
    length += piece.length;
    if (length > MAX_LINE) {
      throw at(line, 'LIMIT_EXCEEDED', `expected at most ${MAX_LINE} characters in a line`);
    }
    pieces.push(piece);
  };
  for await (const chunk of input) {
    const parts = (typeof chunk === 'string' ? chunk : decoder.write(chunk)).split('\n');
    for (const [i, part] of parts.entries()) {
      add(part);
      if (i < parts.length - 1) yield take();
    }
  }
  add(decoder.end());
  if (length > 0) yield take();
}

/** The first record names the columns. @throws INVALID_ARGUMENT */
export async function* csvRows(input: Readable): AsyncGenerator<RawRow> {
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_RECORD,
  });
  input.on('error', (error) => parser.destroy(error));
  input.pipe(parser);
  let header: string[] | undefined;
  try {
    for await (const { record, info } of parser as AsyncIterable<{
      record: string[];
      info: { lines: number };
    }>) {
      const line = info.lines;
      if (header === undefined) {
        header = record.map((name) => name.trim());
        const twice = header.find((name, i) => header?.indexOf(name) !== i);
        if (twice !== undefined) {
          throw at(
            line,
            'INVALID_ARGUMENT',
            `expected column ${show(twice)} once but received it twice`,
          );
        }
        continue;
      }
      if (record.length !== header.length) {
        throw at(
          line,
          'INVALID_ARGUMENT',
          `expected ${header.length} cells but received ${record.length}`,
        );
      }
      const fields = new Map<string, unknown>();
      header.forEach((name, i) => {
        fields.set(name, cellValue(record[i] ?? ''));
      });
      yield { line, fields };
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line = typeof error['lines'] === 'number' ? error['lines'] : 1;
    if (error.code === 'CSV_MAX_RECORD_SIZE') {
      throw at(line, 'LIMIT_EXCEEDED', `expected at most ${MAX_RECORD} bytes in a record`);
    }
    throw at(line, 'INVALID_ARGUMENT', `expected CSV but received ${error.message}`);
  } finally {
    // A writer at the other end of a pipe would keep the process waiting.
    input.destroy();
    parser.destroy();
  }
}

/** A number, a JSON value, or numbers between spaces; an empty cell is an empty list. */
export function cellValue(cell: string): unknown {
  const text = cell.trim();
  if (text === '') return [];
  if (/^[[{]/.test(text) || text === 'true' || text === 'false') {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  const parts = text.split(/\s+/).map(cellNumber);
  return parts.length === 1 ? parts[0] : parts;
}

/** What is no number stays text, for the row's check to refuse. */
function cellNumber(text: string): number | string {
  return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : text;
}
