/** What the analysis makes of an ONNX model: the manifest less its files, and the dense graph. */
import type {
  ManifestBag,
  ManifestInput,
  ManifestOutput,
  ManifestSlot,
  ReportEntry,
} from './manifest.js';
import type { OnnxModel, OnnxTensor } from './onnx/types.js';

/** An embedding matrix that leaves the graph. */
export interface LoweredTable {
  /** Unique; the initializer's name where it has one. */
  name: string;
  rows: number;
  dim: number;
  /** [rows, dim], float, float16, bfloat16 or double. */
  tensor: OnnxTensor;
}

export interface AnalyzeOptions {
  /** Sizes for free dimensions other than the batch: symbol → size. They become fixed. */
  dims?: Readonly<Record<string, number>>;
  /** Element type of the ids in batches; 'i32' by default, 'i64' for 64-bit inputs that the model reduces. */
  ids?: 'i32' | 'i64';
}

export interface LoweredModel {
  name: string;
  batch: number | null;
  symbols: Record<string, number | null>;
  inputs: ManifestInput[];
  /** Where the batch is in the original's inputs that do not begin with it: input → axis. */
  batchAxes: Record<string, number>;
  /**
   * The original's inputs whose rows are ragged inputs, offsets or weights here, by name: those of
   * the rows, null for one that nothing reads.
   */
  stacks: Readonly<Record<string, readonly (string | null)[]>>;
  tables: LoweredTable[];
  slots: ManifestSlot[];
  bags: ManifestBag[];
  /** Names of the dense graph's inputs: slots and tensor inputs. */
  denseInputs: string[];
  /** Self-contained once its tensors are written inline: no functions, no custom domains. */
  dense: OnnxModel;
  outputs: ManifestOutput[];
  report: ReportEntry[];
}
