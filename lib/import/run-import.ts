/** The steps of an import, with the parts that need the addon passed in. */
import { basename, resolve } from 'node:path';

import { GyrfalconError } from '../errors.js';
import { fillDirectory } from './atomic-directory.js';
import { MANIFEST_FILE, writeBundle } from './bundle-writer.js';
import { type CalibrateRequest, replaceFused } from './calibrate.js';
import { type CalibrationRows, calibrationRows } from './calibration-rows.js';
import type { TableCodec } from './codec.js';
import { type Emitted, lowerDense } from './lower/index.js';
import type { AnalyzeOptions, LoweredModel } from './lowered.js';
import type { Manifest, PrecisionName, ReportEntry, StorageName } from './manifest.js';
import { FileSource } from './onnx/byte-source.js';
import { readOnnxModel, throwIfAborted } from './onnx/read.js';
import { tensorBytes } from './onnx/tensor-data.js';
import type { OnnxModel } from './onnx/types.js';
import { storedRow } from './storage.js';
import { chooseStorage, type TableDtypes } from './table-storage.js';

/**
 * What the import is busy with; `done` and `total` are bytes, in `verify` rows, in `calibrate` rows
 * of a number that is not known: `total` is `done`.
 */
export interface ImportProgress {
  stage: 'read' | 'hash' | 'analyze' | 'tables' | 'dense' | 'calibrate' | 'verify';
  done: number;
  total: number;
}

export interface ImportOptions extends AnalyzeOptions {
  /** Storage of all tables or of each by name (`*`: the others); as in the model by default. */
  tableDtype?: TableDtypes | undefined;
  /** Random rows to run through the original and the bundle; 0, the default, skips it. */
  verify?: number | undefined;
  /** The error that verification accepts; by default that of the tables' storages and the precision. */
  tolerance?: number | undefined;
  /** Replace a bundle that is at the destination. */
  overwrite?: boolean | undefined;
  /** Write the dense network for the fused engine too, where that covers it; the default. */
  fused?: boolean | undefined;
  /**
   * What the fused engine's products are computed in unless `loadModel` is told otherwise; 'f32' by
   * default.
   */
  precision?: PrecisionName | undefined;
  /**
   * Representative rows, as `gyrfalcon score` reads them: a JSONL or CSV file, or objects. Scales that
   * make 'int8' more accurate are found on them.
   */
  calibrate?: CalibrationRows | undefined;
  /** ONNX Runtime's shared library, for verification. */
  onnxruntime?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: ImportProgress) => void) | undefined;
}

export interface ImportedTable {
  name: string;
  rows: number;
  dim: number;
  storage: StorageName;
  bytes: number;
}

export interface VerifyResult {
  /** Rows that were compared. */
  rows: number;
  /** Largest error over all outputs, as `tolerance` measures it. */
  maxError: number;
  /** Largest |bundle − original| over all outputs. */
  maxAbsError: number;
  tolerance: number;
  perOutput: { name: string; maxAbsError: number; maxError: number }[];
  /**
   * The same for every engine and precision that the bundle can be run in. The first is what runs
   * by default, which the fields above are about; it and those of f32 must be within the tolerance.
   */
  runs: {
    engine: 'fused' | 'onnxruntime';
    precision: PrecisionName;
    maxError: number;
    maxAbsError: number;
    tolerance: number;
  }[];
}

export interface ImportResult {
  /** The bundle's directory, absolute. */
  bundle: string;
  manifest: Manifest;
  tables: ImportedTable[];
  report: ReportEntry[];
  verify?: VerifyResult;
}

export interface VerifyRequest {
  modelPath: string;
  bundle: string;
  manifest: Manifest;
  /** See LoweredModel. */
  batchAxes: Readonly<Record<string, number>>;
  /** See LoweredModel. */
  stacks: LoweredModel['stacks'];
  rows: number;
  tolerance: number | undefined;
  library: string | undefined;
  signal: AbortSignal | undefined;
  onRows: (done: number) => void;
}

export interface ImportParts {
  codec: TableCodec;
  analyze(model: OnnxModel, options: AnalyzeOptions): LoweredModel;
  /** @throws VERIFY_FAILED */
  verify(request: VerifyRequest): Promise<VerifyResult>;
  /** Finds the products' scales on rows. */
  calibrate(request: CalibrateRequest): Promise<Emitted>;
  /** Goes into the manifest. */
  producer: string;
}

/** See importModel. Verification runs before the bundle gets its name. */
export async function runImport(
  path: string,
  destination: string,
  options: ImportOptions,
  parts: ImportParts,
): Promise<ImportResult> {
  const { signal } = options;
  const progress = (stage: ImportProgress['stage'], done: number, total: number): void =>
    options.onProgress?.({ stage, done, total });
  const verifyRows = checkCount(options.verify ?? 0, 'verify');
  if (options.tolerance !== undefined && !(options.tolerance >= 0)) {
    throw new GyrfalconError(
      'INVALID_ARGUMENT',
      `expected a number of at least 0 for tolerance but received ${options.tolerance}`,
    );
  }
  const modelPath = resolve(path);
  return await fillDirectory(
    destination,
    { overwrite: options.overwrite ?? false, marker: MANIFEST_FILE },
    async (directory) => {
      const model = await readOnnxModel(modelPath, {
        ...(signal === undefined ? {} : { signal }),
        onProgress: (done, total) => progress('read', done, total),
      });
      progress('analyze', 0, 1);
      const lowered = parts.analyze(model, {
        ...(options.dims === undefined ? {} : { dims: options.dims }),
        ...(options.ids === undefined ? {} : { ids: options.ids }),
      });
      progress('analyze', 1, 1);
      const storage = chooseStorage(lowered.tables, options.tableDtype);
      const source = await describeSource(modelPath, parts.codec, signal, (done, total) =>
        progress('hash', done, total),
      );
      // Exporters call every graph the same; people know the model by its file.
      lowered.name = basename(path).replace(/\.onnx$/, '');
      const fused = (options.fused ?? true) ? lowerDense(lowered) : undefined;
      if (fused === undefined) checkFused(options, lowered.report);
      let manifest = await writeBundle(lowered, directory, {
        storage,
        fused,
        precision: options.precision,
        codec: parts.codec,
        producer: parts.producer,
        source,
        signal,
        onProgress: progress,
      });
      throwIfAborted(signal);
      if (fused !== undefined && options.calibrate !== undefined) {
        const scaled = await parts.calibrate({
          directory,
          manifest,
          fused,
          rows: calibrationRows(options.calibrate, signal),
          signal,
          onRows: (done) => progress('calibrate', done, done),
        });
        manifest = await replaceFused(manifest, directory, scaled, parts.codec);
        throwIfAborted(signal);
      }
      const summary = {
        manifest,
        tables: manifest.tables.map(tableSummary),
        report: lowered.report,
      };
      if (verifyRows === 0) return summary;
      progress('verify', 0, verifyRows);
      const verify = await parts.verify({
        modelPath,
        bundle: directory,
        manifest,
        batchAxes: lowered.batchAxes,
        stacks: lowered.stacks,
        rows: verifyRows,
        tolerance: options.tolerance,
        library: options.onnxruntime,
        signal,
        onRows: (done) => progress('verify', done, verifyRows),
      });
      throwIfAborted(signal);
      return { ...summary, verify };
    },
  ).then(({ directory, result }) => ({ bundle: directory, ...result }));
}

/** @throws ONNX_UNSUPPORTED, INVALID_ARGUMENT: what only the fused engine does was asked for */
function checkFused({ fused, precision, calibrate }: ImportOptions, report: ReportEntry[]): void {
  if ((precision ?? 'f32') === 'f32' && calibrate === undefined) return;
  const what = calibrate === undefined ? `precision ${precision}` : 'calibrate';
  if (fused === false) {
    throw new GyrfalconError('INVALID_ARGUMENT', `expected fused to be true for ${what}`);
  }
  const reason = report[report.length - 1]?.text ?? '';
  throw new GyrfalconError(
    'ONNX_UNSUPPORTED',
    `expected a dense network that the fused engine covers for ${what}, but the ${reason}`,
  );
}

function tableSummary(table: Manifest['tables'][number]): ImportedTable {
  const { name, rows, dim, storage } = table;
  return { name, rows, dim, storage, bytes: storedRow(storage, dim).bytes * rows };
}

async function describeSource(
  path: string,
  codec: TableCodec,
  signal: AbortSignal | undefined,
  onBytes: (done: number, total: number) => void,
): Promise<NonNullable<Manifest['source']>> {
  const file = new FileSource(path);
  const bytes = file.size;
  file.close();
  const hash = codec.createHash();
  let done = 0;
  for await (const block of tensorBytes(
    { kind: 'file', path, offset: 0, length: bytes },
    { signal },
  )) {
    hash.update(block);
    done += block.byteLength;
    onBytes(done, bytes);
  }
  return { file: basename(path), bytes, xxh64: hash.digest() };
}

function checkCount(value: number, name: string): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new GyrfalconError(
      'INVALID_ARGUMENT',
      `expected a whole number of at least 0 for ${name} but received ${value}`,
    );
  }
  return value;
}
