/** model.json of a bundle, field by field; docs/bundle-format.md is the specification. */

export type DtypeName =
  | 'f32'
  | 'f64'
  | 'f16'
  | 'bf16'
  | 'i8'
  | 'u8'
  | 'i16'
  | 'u16'
  | 'i32'
  | 'i64'
  | 'bool';

export type StorageName = 'f32' | 'f16' | 'bf16' | 'int8' | 'int4';

/** Of the fused engine's products. */
export type PrecisionName = 'f32' | 'bf16' | 'int8';

export type PoolingName = 'sum' | 'mean' | 'none';

/** A size, `'batch'` (first only), a symbol's name, or (outputs only) null: known after a run. */
export type Extent = number | string;

export interface TensorInput {
  name: string;
  kind: 'tensor';
  dtype: DtypeName;
  shape: Extent[];
}

export interface RaggedInput {
  name: string;
  kind: 'ragged';
  dtype: 'i32' | 'i64';
  weights: boolean;
  source?: { offsets?: string; lengths?: string; weights?: string };
}

export type ManifestInput = TensorInput | RaggedInput;

export interface ManifestTable {
  name: string;
  rows: number;
  dim: number;
  storage: StorageName;
  file: string;
  tensor: string;
  xxh64: string;
}

export interface ManifestSlot {
  name: string;
  shape: Extent[];
}

/** One step from the number that an input holds to an id. */
export type IdStep =
  | { op: 'add'; value: number; place?: number }
  | { op: 'mul'; value: number }
  | { op: 'mod' | 'rem' | 'div' | 'floordiv'; by: number }
  | { op: 'abs' }
  | { op: 'clamp'; min?: number; max?: number }
  | { op: 'replace'; if: IdTest; value: number; with: number; place?: number }
  | { op: 'sum'; before: number; step: number; zeros: boolean };

export type IdTest = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge';

export interface ManifestBag {
  table: string;
  input: string;
  pooling: PoolingName;
  start?: number;
  step?: number;
  count?: number | string;
  map?: IdStep[];
  add?: number | number[];
  padding?: number;
  paddingOf?: 'input' | 'id';
  length?: { input: string; element: number; from?: number };
  weights?: true | { input: string; start: number; step: number };
  slot: string;
  offset: number;
}

export interface ManifestOutput {
  name: string;
  dtype: DtypeName;
  shape: (Extent | null)[];
}

/** Something that the importer wants a reader to know, e.g. why a table stayed in the graph. */
export interface ReportEntry {
  level: 'info' | 'warn';
  text: string;
}

export interface Manifest {
  format: 'gyrfalcon-bundle';
  version: 1;
  producer: string;
  name: string;
  source?: { file: string; bytes: number; xxh64: string };
  batch: number | null;
  symbols: Record<string, number | null>;
  inputs: ManifestInput[];
  tables: ManifestTable[];
  slots: ManifestSlot[];
  bags: ManifestBag[];
  dense: { file: string; xxh64: string; inputs: string[] };
  fused?: {
    file: string;
    xxh64: string;
    weights: string;
    weightsXxh64: string;
    precision?: PrecisionName;
  };
  outputs: ManifestOutput[];
  report?: ReportEntry[];
}
