/** Connects verification with the engine and the scorer, as far as it uses them. */
import type { DtypeName, PrecisionName } from './manifest.js';
import { type TensorData, toTensorData } from './tensor-values.js';
import type { NamedTensor, OriginalInput, ScoredBundle, VerifyParts } from './verify.js';
import type { Sample } from './verify-sample.js';

type Awaitable<T> = T | Promise<T>;

/** An ONNX graph in an engine. `runSync` throws ENGINE_FAILED for feeds that it refuses. */
export interface RuntimeEngine {
  readonly inputs: readonly OriginalInput[];
  runSync(feeds: Record<string, NamedTensor>): Awaitable<Record<string, NamedTensor>>;
  close(): Awaitable<void>;
}

/** A ragged input of a batch: `indices` has room for what was asked for. */
export interface RuntimeRagged {
  readonly indices: TensorData;
  /** [rows + 1] */
  readonly offsets: Int32Array;
  readonly weights?: Float32Array | undefined;
}

export interface RuntimeBatch {
  rows: number;
  readonly inputs: Readonly<Record<string, TensorData | RuntimeRagged>>;
}

export interface RuntimeModel<B extends RuntimeBatch = RuntimeBatch> {
  /** `indices`: room for ids of each ragged input, all rows together. */
  createBatch(
    rows: number,
    options: { symbols: Record<string, number>; indices: Record<string, number> },
  ): B;
  /** The views hold exactly the outputs of the batch's rows. */
  scoreSync(batch: B): Awaitable<Readonly<Record<string, TensorData>>>;
  close(): Awaitable<void>;
}

export interface RuntimeLoadOptions {
  library: string | undefined;
  engine: 'fused' | 'onnxruntime';
  precision: PrecisionName;
}

export interface VerifyRuntime {
  openEngine(
    path: string,
    options: { allowExternalData: true; library: string | undefined },
  ): Awaitable<RuntimeEngine>;
  loadModel(directory: string, options: RuntimeLoadOptions): Awaitable<RuntimeModel>;
}

export function verifyParts(runtime: VerifyRuntime): VerifyParts {
  return {
    openOriginal: async ({ modelPath, library }) => {
      const engine = await runtime.openEngine(modelPath, { allowExternalData: true, library });
      return {
        inputs: engine.inputs,
        run: (feeds) => engine.runSync(feeds),
        close: async () => await engine.close(),
      };
    },
    openBundle: async ({ bundle, manifest, library }, { engine, precision }) => {
      const dtypes = new Map(manifest.inputs.map(({ name, dtype }) => [name, dtype]));
      const model = await runtime.loadModel(bundle, { library, engine, precision });
      return scoredBundle(model, dtypes);
    },
  };
}

function scoredBundle(model: RuntimeModel, dtypes: ReadonlyMap<string, DtypeName>): ScoredBundle {
  return {
    score: (sample) => {
      const indices: Record<string, number> = {};
      for (const [name, value] of sample.inputs) {
        if (value.kind === 'ragged') indices[name] = value.indices.length;
      }
      const batch = model.createBatch(sample.rows, { symbols: sample.symbols, indices });
      batch.rows = sample.rows;
      fill(batch, sample, dtypes);
      return model.scoreSync(batch);
    },
    close: async () => await model.close(),
  };
}

function fill(batch: RuntimeBatch, sample: Sample, dtypes: ReadonlyMap<string, DtypeName>): void {
  for (const [name, value] of sample.inputs) {
    const target = batch.inputs[name];
    const dtype = dtypes.get(name);
    if (target === undefined || dtype === undefined) continue;
    if (value.kind === 'tensor') {
      put(target as TensorData, toTensorData(dtype, value.values));
    } else {
      const ragged = target as RuntimeRagged;
      put(ragged.indices, toTensorData(dtype, value.indices));
      ragged.offsets.set(value.offsets);
      if (value.weights !== undefined) ragged.weights?.set(value.weights);
    }
  }
}

function put(target: TensorData, values: TensorData): void {
  // Both have the manifest's dtype, so the element types agree.
  (target as Float32Array).set(values as Float32Array);
}
