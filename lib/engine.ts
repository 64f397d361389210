import { readFile } from 'node:fs/promises';
import { types } from 'node:util';
import { GyrfalconError } from './errors.js';
import type { DtypeName } from './import/manifest.js';
import { type NativeEngine, native } from './native.js';
import { flag, integer, invalid, path, record } from './options.js';
import { findOrtLibrary } from './ort-library.js';
import { TYPED_ARRAYS, type TypedArray } from './typed-arrays.js';

export interface EngineOptions {
  /** Threads that one run may use; 1 unless said otherwise. */
  threads?: number;
  /** Path of ONNX Runtime's shared library; found in an installed onnxruntime-node by default. */
  onnxruntime?: string;
  /**
   * Lets the engine read the model's file, and files that it names, by itself, without the checks
   * that untrusted graphs go through. For models that you trust.
   */
  allowExternalData?: boolean;
}

export interface EngineTensor {
  data: TypedArray;
  /** Row-major; its product is data's length. */
  dims: readonly number[];
}

export type EngineFeeds = Readonly<Record<string, EngineTensor>>;

/** What only this file has: nobody else makes engines. */
const OWN = Symbol('engine');

/** Any ONNX graph with named tensors, run by ONNX Runtime. A model with tables is `loadModel`'s. */
export class Engine implements Disposable {
  readonly #native: NativeEngine;

  private constructor(key: typeof OWN, handle: NativeEngine) {
    if (key !== OWN) throw invalid('Engine.load to make an engine', key);
    this.#native = handle;
  }

  /**
   * Loads a graph from a file or from its bytes.
   * @throws ONNX_INVALID, ONNX_UNSUPPORTED: the graph
   * @throws ENGINE_UNAVAILABLE, ENGINE_FAILED, IO_ERROR, INVALID_ARGUMENT
   */
  static async load(model: string | Uint8Array, options: EngineOptions = {}): Promise<Engine> {
    const from = types.isUint8Array(model) ? model : path(model, 'the model (or its bytes)');
    const given = record(options, 'options') ?? {};
    const threads = integer(given.threads ?? 1, 1, 1024, 'threads');
    const allowed = flag(given.allowExternalData, false, 'allowExternalData');
    const library = findOrtLibrary(given.onnxruntime);
    if (typeof from === 'string' && allowed) {
      return new Engine(OWN, await native().engineFromFile(from, threads, library));
    }
    const bytes = typeof from === 'string' ? await read(from) : from;
    return new Engine(OWN, await native().engineFromBytes(bytes, threads, library));
  }

  /** Of the graph: -1 stands for a free dimension, whose symbolic name is in `names`. */
  get inputs(): NativeEngine['inputs'] {
    return this.#native.inputs;
  }

  get outputs(): NativeEngine['outputs'] {
    return this.#native.outputs;
  }

  /** The engine's name and version. */
  get runtime(): { name: string; version: string } {
    return { name: this.#native.name, version: this.#native.version };
  }

  /**
   * Runs the graph on this thread, on the given memory, and returns outputs with memory of their own.
   * @throws DTYPE_MISMATCH, SHAPE_MISMATCH, DETACHED_BUFFER, INVALID_ARGUMENT: the feeds
   * @throws MODEL_CLOSED, ENGINE_FAILED
   */
  runSync(feeds: EngineFeeds): Record<string, { data: TypedArray; dims: number[] }> {
    const dtypes = new Map<string, DtypeName>(this.inputs.map(({ name, dtype }) => [name, dtype]));
    const tensors = Object.entries(fed(feeds, 'feeds')).map(([name, tensor]) => {
      const dtype = dtypes.get(name);
      if (dtype === undefined) throw invalid(`an input of the graph (${[...dtypes.keys()]})`, name);
      const { data, dims } = fed(tensor, `input ${name}`);
      return { name, dtype, dims, data };
    });
    const outputs: Record<string, { data: TypedArray; dims: number[] }> = Object.create(null);
    for (const { name, dtype, dims, data } of this.#native.runSync(tensors)) {
      outputs[name] = { data: new TYPED_ARRAYS[dtype](data), dims };
    }
    return outputs;
  }

  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** @throws INVALID_ARGUMENT */
function fed<T extends object>(value: T, name: string): T {
  if (typeof value === 'object' && value !== null) return value;
  throw invalid(`an object for ${name}`, value);
}

async function read(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new GyrfalconError('IO_ERROR', `could not read ${file}: ${(cause as Error).message}`, {
      cause,
    });
  }
}
