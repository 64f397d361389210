/** ONNX model → bundle, with the addon's and the scorer's parts put together. */
import { analyze } from './analyze/index.js';
import { calibrate } from './calibrate.js';
import type { TableCodec } from './codec.js';
import { type ImportOptions, type ImportResult, runImport } from './run-import.js';
import { verifyBundle } from './verify.js';
import { type VerifyRuntime, verifyParts } from './verify-runtime.js';

export type {
  ImportedTable,
  ImportOptions,
  ImportProgress,
  ImportResult,
  VerifyResult,
} from './run-import.js';

/** What an import needs from the rest of the package. */
export interface ImportRuntime extends VerifyRuntime {
  /** The package's version, for the manifest. */
  version: string;
  native: {
    encodeRows: TableCodec['encodeRows'];
    Xxh64: new () => ReturnType<TableCodec['createHash']>;
  };
}

/**
 * Imports the ONNX model at `path` as a bundle at `destination`. What can be taken out of the graph
 * as an embedding lookup becomes a table, the rest stays in the dense graph; `report` tells why.
 * The bundle appears complete or not at all, verified where `verify` is given. Memory stays under
 * one table's size.
 * @throws ONNX_INVALID, ONNX_UNSUPPORTED, LIMIT_EXCEEDED, PATH_ESCAPE: the model
 * @throws INVALID_ARGUMENT: options, or a destination that is in the way
 * @throws VERIFY_FAILED, ENGINE_UNAVAILABLE, IO_ERROR, ABORTED
 */
export async function importModelWith(
  runtime: ImportRuntime,
  path: string,
  destination: string,
  options: ImportOptions = {},
): Promise<ImportResult> {
  const { native } = runtime;
  const parts = verifyParts(runtime);
  const codec: TableCodec = {
    encodeRows: (src, rows, dim, storage) => native.encodeRows(src, rows, dim, storage),
    createHash: () => new native.Xxh64(),
  };
  return await runImport(path, destination, options, {
    codec,
    analyze,
    calibrate: (request) =>
      calibrate(request, {
        codec,
        loadModel: async (directory) =>
          await runtime.loadModel(directory, {
            library: undefined,
            engine: 'fused',
            precision: 'f32',
          }),
      }),
    verify: (request) => verifyBundle(request, parts),
    producer: `gyrfalcon ${runtime.version}`,
  });
}
