import { Engine } from './engine.js';
import { type ImportOptions, type ImportResult, importModelWith } from './import/import.js';
import { loadModel } from './model.js';
import { native } from './native.js';

/**
 * Imports the ONNX model at `path` as a bundle at `directory`: embedding lookups become tables, the
 * rest stays an ONNX graph, and what was not taken out is reported with the reason. The bundle
 * appears complete or not at all.
 * @throws ONNX_INVALID, ONNX_UNSUPPORTED, LIMIT_EXCEEDED, PATH_ESCAPE: the model
 * @throws INVALID_ARGUMENT: the options, or a destination that is in the way
 * @throws VERIFY_FAILED, ENGINE_UNAVAILABLE, IO_ERROR, ABORTED
 */
export async function importModel(
  path: string,
  directory: string,
  options: ImportOptions = {},
): Promise<ImportResult> {
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
      loadModel: (bundle, { library }) =>
        loadModel(bundle, library === undefined ? {} : { onnxruntime: library }),
    },
    path,
    directory,
    options,
  );
}
