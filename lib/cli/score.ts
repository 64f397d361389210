/** `gyrfalcon score` */
import type { Writable } from 'node:stream';

import type { TypedArray } from '../batch.js';
import { GyrfalconError } from '../errors.js';
import type { LoadOptions } from '../options.js';
import { Batches, rowBatches } from '../rows/batches.js';
import { fillBatch } from '../rows/fill.js';
import { formatOf, openRows, type RowFormat } from '../rows/source.js';
import type { Row } from '../rows/values.js';
import { type Io, write } from './io.js';
import { type OutputFile, openOutput } from './output-file.js';
import { type OutputValue, outputRows } from './output-rows.js';

export interface ScoreFlags {
  input: string;
  inputFormat?: RowFormat;
  output?: string;
  outputFormat?: RowFormat;
  batch: number;
  outOfRange: 'error' | 'zero';
  ignoreExtra?: boolean;
  threads: number;
  engine?: LoadOptions['engine'];
  precision?: LoadOptions['precision'];
  onnxruntime?: string;
  json?: boolean;
}

export async function score(bundle: string, flags: ScoreFlags, io: Io): Promise<void> {
  const { loadModel } = await import('../index.js');
  const model = await loadModel(bundle, {
    outOfRange: flags.outOfRange,
    threads: flags.threads,
    ...(flags.engine === undefined ? {} : { engine: flags.engine }),
    ...(flags.precision === undefined ? {} : { precision: flags.precision }),
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
    for await (const rows of rowBatches(source, inputs, flags.batch, flags.ignoreExtra ?? false)) {
      await flush(rows);
    }
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
