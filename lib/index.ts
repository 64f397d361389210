export type { AnyArray, AnyInput, BatchInputs, RaggedInput, Scores } from './batch.js';
export { Batch } from './batch.js';
export type { Capabilities } from './capabilities.js';
export { capabilities } from './capabilities.js';
export type { BagOptions, TableStats } from './embedding-table.js';
export { EmbeddingTable } from './embedding-table.js';
export type { EngineFeeds, EngineOptions, EngineTensor } from './engine.js';
export { Engine } from './engine.js';
export type { ErrorCode } from './errors.js';
export { ERROR_CODES, GyrfalconError } from './errors.js';
export type { Explanation } from './explain.js';
export type {
  ImportedTable,
  ImportOptions,
  ImportProgress,
  ImportResult,
  VerifyResult,
} from './import/import.js';
export type { DtypeName, PoolingName, ReportEntry, StorageName } from './import/manifest.js';
export { importModel } from './import-model.js';
export type { ModelInfo, ModelStats } from './model.js';
export { loadModel, Model } from './model.js';
export type { BatchOptions, CacheOptions, LoadOptions, ScoreOptions } from './options.js';
export type { TypedArray } from './typed-arrays.js';
