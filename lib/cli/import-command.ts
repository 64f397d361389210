/** `gyrfalcon import` */
import type { PrecisionName, StorageName } from '../import/manifest.js';
import type { ImportResult } from '../import/run-import.js';
import { type Io, Progress, write } from './io.js';
import { formatBytes, formatTable, printable } from './text.js';

export interface ImportFlags {
  out: string;
  tableDtype?: Record<string, StorageName>;
  dim?: Record<string, number>;
  ids?: 'i32' | 'i64';
  verify?: number;
  tolerance?: number;
  overwrite?: boolean;
  fused?: boolean;
  precision?: PrecisionName;
  calibrate?: string;
  onnxruntime?: string;
  json?: boolean;
}

export async function importCommand(model: string, flags: ImportFlags, io: Io): Promise<void> {
  const { importModel } = await import('../index.js');
  const progress = new Progress(io.stderr);
  try {
    const result = await importModel(model, flags.out, {
      tableDtype: flags.tableDtype,
      ...(flags.dim === undefined ? {} : { dims: flags.dim }),
      ...(flags.ids === undefined ? {} : { ids: flags.ids }),
      verify: flags.verify,
      tolerance: flags.tolerance,
      overwrite: flags.overwrite,
      fused: flags.fused,
      precision: flags.precision,
      calibrate: flags.calibrate,
      onnxruntime: flags.onnxruntime,
      signal: io.signal,
      onProgress: ({ stage, done, total }) => progress.show(stage, done, total),
    });
    progress.clear();
    const { bundle, tables, report, verify } = result;
    await write(
      io.stdout,
      flags.json === true
        ? `${JSON.stringify({ bundle, tables, report, verify })}\n`
        : printable(renderImport(result)),
    );
  } finally {
    progress.clear();
  }
}

export function renderImport({ bundle, tables, report, verify }: ImportResult): string {
  const total = tables.reduce((sum, table) => sum + table.bytes, 0);
  return [
    `${bundle}: ${tables.length} ${tables.length === 1 ? 'table' : 'tables'}, ${formatBytes(total)}\n`,
    formatTable(
      ['name', 'rows', 'dim', 'dtype', 'size'],
      tables.map((t) => [t.name, t.rows, t.dim, t.storage, formatBytes(t.bytes)]),
    ),
    ...report.map(({ level, text }) => `${level}: ${text}\n`),
    verify === undefined
      ? ''
      : `verified on ${verify.rows} rows: error ${verify.maxError.toPrecision(3)}, ` +
        `accepted ${verify.tolerance.toPrecision(3)}; ` +
        `largest difference ${verify.maxAbsError.toPrecision(3)}\n` +
        formatTable(
          ['engine', 'precision', 'error', 'accepted', 'largest difference'],
          verify.runs.map((run, i) => [
            run.engine,
            run.precision + (i === 0 ? ' (default)' : ''),
            run.maxError.toPrecision(3),
            run.tolerance.toPrecision(3),
            run.maxAbsError.toPrecision(3),
          ]),
        ),
  ].join('');
}
