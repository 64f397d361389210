/** `gyrfalcon score` */
import type { Writable } from 'node:stream';

import type { Batch, TypedArray } from '../batch.js';
import { GyrfalconError } from '../errors.js';
import { countIndices, fillBatch, type OutputValue, outputRows } from './fill.js';
import { type Io, write } from './io.js';
import { type OutputFile, openOutput } from './output-file.js';
import { formatOf, openRows, type RowFormat } from './row-source.js';
import { type Row, readRow } from './row-values.js';

export interface ScoreFlags {
  input: string;
  inputFormat?: RowFormat;
  output?: string;
  outputFormat?: RowFormat;
  batch: number;
  outOfRange: 'error' | 'zero';
  ignoreExtra?: boolean;
  threads: number;
  onnxruntime?: string;
  json?: boolean;
}

export async function score(bundle: string, flags: ScoreFlags, io: Io): Promise<void> {
  const { loadModel } = await import('../index.js');
  const model = await loadModel(bundle, {
    outOfRange: flags.outOfRange,
    threads: flags.threads,
    ...(flags.onnxruntime === undefined ? {} : { onnxruntime: flags.onnxruntime }),
  });
  let file: OutputFile | undefined;
  try {
    if (flags.output !== undefined) file = await openOutput(flags.output);
    const { inputs, outputs } = model.info;
    const batches = new Batches((symbols, indices) =>
      model.createBatch(flags.batch, { symbols, indices }),
    );
    const format = flags.outputFormat ?? formatOf(flags.output ?? '');
    const printer = new RowPrinter(format, file?.stream ?? io.stdout);
    let total = 0;
    const flush = async (rows: readonly Row[]): Promise<void> => {
      const batch = batches.forRows(rows);
      fillBatch(batch, inputs, rows);
      const scores = await model.score(batch, { signal: io.signal }).catch((error: unknown) => {
        throw withLines(error, rows);
      });
      const columns = outputs.map((output): [string, OutputValue[]] => [
        output.name,
        outputRows(output, scores[output.name] as TypedArray, rows.length),
      ]);
      await printer.print(columns, rows.length);
      total += rows.length;
    };
    const source = openRows(flags.input, io.stdin, flags.inputFormat, io.signal);
    let pending: Row[] = [];
    for await (const { fields, line } of source) {
      const row = readRow(inputs, fields, line, flags.ignoreExtra ?? false);
      if (
        pending.length === flags.batch ||
        (pending.length > 0 && pending[0]?.group !== row.group)
      ) {
        await flush(pending);
        pending = [];
      }
      pending.push(row);
    }
    if (pending.length > 0) await flush(pending);
    if (file === undefined) return;
    io.signal.throwIfAborted();
    await file.commit();
    const { failed, outOfRangeZeroed } = model.stats();
    const summary = { rows: total, failed, outOfRangeZeroed, output: flags.output };
    await write(
      io.stdout,
      flags.json === true
        ? `${JSON.stringify(summary)}\n`
        : `${total} rows scored into ${flags.output}\n`,
    );
  } finally {
    await file?.discard();
    await model.close();
  }
}

/** Batch rows mean nothing to a reader of the file; its lines do. */
function withLines(error: unknown, rows: readonly Row[]): unknown {
  if (!(error instanceof GyrfalconError) || error.code === 'ABORTED') return error;
  const first = rows[0]?.line;
  const last = rows[rows.length - 1]?.line;
  const lines = first === last ? `line ${first}` : `lines ${first} to ${last}`;
  return new GyrfalconError(error.code, `${lines}: ${error.message}`, { cause: error });
}

/** Keeps one batch and makes another only when free sizes change or ids do not fit. */
export class Batches<B extends Pick<Batch<object>, 'inputs'>> {
  #batch: B | undefined;
  #key = '';
  #room: Record<string, number> = {};

  constructor(
    private readonly make: (symbols: Record<string, number>, indices: Record<string, number>) => B,
  ) {}

  forRows(rows: readonly Row[]): B {
    const symbols = rows[0]?.symbols ?? {};
    const key = JSON.stringify(Object.entries(symbols).sort());
    const needed = countIndices(rows);
    const fits = Object.entries(needed).every(([name, n]) => n <= (this.#room[name] ?? 0));
    if (this.#batch !== undefined && key === this.#key && fits) return this.#batch;
    for (const [name, n] of Object.entries(needed)) {
      // Half as much again, so that rows which grow slowly do not need a batch each.
      if (n > (this.#room[name] ?? 0)) this.#room[name] = Math.ceil(n * 1.5);
      this.#room[name] = Math.max(1, this.#room[name] ?? 0);
    }
    this.#batch = this.make(symbols, { ...this.#room });
    this.#key = key;
    return this.#batch;
  }
}

/** Writes scores row by row; CSV has one column for each element. */
export class RowPrinter {
  #header = false;

  constructor(
    private readonly format: RowFormat,
    private readonly stream: Writable,
  ) {}

  async print(columns: readonly (readonly [string, OutputValue[]])[], rows: number): Promise<void> {
    let text = '';
    if (this.format === 'csv' && !this.#header) {
      text += `${columns.flatMap(([name, values]) => headerCells(name, values[0])).join(',')}\n`;
      this.#header = true;
    }
    for (let r = 0; r < rows; r++) {
      if (this.format === 'csv') {
        text += `${columns.map(([, values]) => [values[r]].flat().join(',')).join(',')}\n`;
      } else {
        text += `${JSON.stringify(Object.fromEntries(columns.map(([name, values]) => [name, values[r]])))}\n`;
      }
    }
    await write(this.stream, text);
  }
}

function headerCells(name: string, value: OutputValue | undefined): string[] {
  const names = Array.isArray(value) ? value.map((_, i) => `${name}[${i}]`) : [name];
  return names.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell));
}
