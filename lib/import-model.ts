import { Engine } from './engine.js';
import { type ImportOptions, type ImportResult, importModelWith } from './import/import.js';
import type { PrecisionName, StorageName } from './import/manifest.js';
import { isStorageName, STORAGE_NAMES } from './import/storage.js';
import { loadModel } from './model.js';
import { native } from './native.js';
import { flag, integer, invalid, isAborted, oneOf, path, record } from './options.js';

/**
 * Imports the ONNX model at `file` as a bundle at `directory`: embedding lookups become tables, the
 * rest stays an ONNX graph, and what was not taken out is reported with the reason. The bundle
 * appears complete or not at all.
 * @throws ONNX_INVALID, ONNX_UNSUPPORTED, LIMIT_EXCEEDED, PATH_ESCAPE: the model
 * @throws INVALID_ARGUMENT: the options, or a destination that is in the way
 * @throws VERIFY_FAILED, ENGINE_UNAVAILABLE, IO_ERROR, ABORTED
 */
export async function importModel(
  file: string,
  directory: string,
  options: ImportOptions = {},
): Promise<ImportResult> {
  const source = path(file, 'the model');
  const destination = path(directory, 'the bundle');
  const given = checked(record(options, 'options') ?? {});
  const addon = native();
  return await importModelWith(
    {
      version: addon.version,
      native: addon,
      openEngine: (model, { allowExternalData, library }) =>
        Engine.load(model, {
          allowExternalData,
          ...(library === undefined ? {} : { onnxruntime: library }),
        }),
      loadModel: (bundle, { library, engine, precision }) =>
        loadModel(bundle, {
          engine,
          precision,
          // Several are open at a time; nobody changes the files meanwhile.
          tables: 'map',
          ...(library === undefined ? {} : { onnxruntime: library }),
        }),
    },
    source,
    destination,
    given,
  );
}

/** The options, each read once. @throws INVALID_ARGUMENT */
function checked(options: ImportOptions): ImportOptions {
  const { tableDtype, dims, ids, verify, tolerance, overwrite, onnxruntime } = options;
  const { fused, precision, calibrate, signal, onProgress } = options;
  if (tolerance !== undefined && !(typeof tolerance === 'number' && tolerance >= 0)) {
    throw invalid('a number of at least 0 for tolerance', tolerance);
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw invalid('a function for onProgress', onProgress);
  }
  if (signal !== undefined) isAborted(signal);
  return {
    tableDtype:
      tableDtype === undefined || typeof tableDtype === 'object'
        ? entries(tableDtype, 'tableDtype', storage)
        : storage(tableDtype, 'tableDtype'),
    ...(dims === undefined ? {} : { dims: entries(dims, 'dims', size) }),
    ids: oneOf(ids, ['i32', 'i64'], 'i32', 'ids'),
    verify: verify === undefined ? undefined : integer(verify, 0, 2 ** 31 - 1, 'verify'),
    tolerance,
    fused: flag(fused, true, 'fused'),
    precision:
      precision === undefined
        ? undefined
        : oneOf<PrecisionName>(precision, ['f32', 'bf16', 'int8'], 'f32', 'precision'),
    calibrate: calibrate === undefined ? undefined : rows(calibrate),
    overwrite: flag(overwrite, false, 'overwrite'),
    onnxruntime: onnxruntime === undefined ? undefined : path(onnxruntime, 'onnxruntime'),
    signal,
    onProgress,
  };
}

/** Has rows of numbers, and may be detached. */
const TypedArray = Object.getPrototypeOf(Uint8Array) as new () => object;

function rows(value: unknown): ImportOptions['calibrate'] {
  if (typeof value === 'string') return path(value, 'calibrate');
  const isRows =
    typeof value === 'object' &&
    value !== null &&
    !(value instanceof TypedArray) &&
    (Symbol.iterator in value || Symbol.asyncIterator in value);
  if (isRows) return value as Iterable<object>;
  throw invalid('a path or rows for calibrate', value);
}

function storage(value: unknown, name: string): StorageName {
  if (isStorageName(value)) return value;
  throw invalid(`${STORAGE_NAMES.join(', ')} for ${name}`, value);
}

function size(value: unknown, name: string): number {
  return integer(value, 1, 2 ** 28, name);
}

/** A copy whose values were checked. @throws INVALID_ARGUMENT */
function entries<T>(
  given: Readonly<Record<string, T>> | undefined,
  name: string,
  check: (value: unknown, name: string) => T,
): Record<string, T> {
  const copy: Record<string, T> = Object.create(null);
  for (const [key, value] of Object.entries(record(given, name) ?? {})) {
    copy[key] = check(value, `${name}.${key}`);
  }
  return copy;
}
