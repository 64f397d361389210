/**
 * Every argument and option of every public function is given every hostile value. What comes back
 * is a result or a GyrfalconError of the closed list, and the object still works.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  Batch,
  capabilities,
  EmbeddingTable,
  Engine,
  ERROR_CODES,
  GyrfalconError,
  importModel,
  loadModel,
  Model,
} from '../../lib/index.js';

setFlagsFromString('--allow-natives-syntax');
const detach: (buffer: ArrayBuffer) => void = new Function('b', '%ArrayBufferDetach(b)') as never;

class Theirs extends Error {}
const theirs = () => {
  throw new Theirs('an error of the caller');
};
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
function detached<T extends ArrayBufferView>(view: T): T {
  detach(view.buffer as ArrayBuffer);
  return view;
}
/** A length-tracking view whose buffer shrank below it. */
function shrunk(type: typeof Int32Array | typeof Float32Array): unknown {
  const Resizable = ArrayBuffer as never as new (
    bytes: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & { resize(bytes: number): void };
  const buffer = new Resizable(64, { maxByteLength: 128 });
  const view = new type(buffer, 16, 8);
  buffer.resize(20);
  return view;
}
class Liar extends Int32Array {
  override get length(): number {
    return 2 ** 31;
  }
  override get byteLength(): number {
    return theirs();
  }
}

const hostile: [string, () => unknown][] = [
  ['undefined', () => undefined],
  ['null', () => null],
  ['NaN', () => Number.NaN],
  ['Infinity', () => Number.POSITIVE_INFINITY],
  ['-0', () => -0],
  ['-1', () => -1],
  ['0.5', () => 0.5],
  ['2 ** 32', () => 2 ** 32],
  ['2 ** 53', () => 2 ** 53],
  ['1e300', () => 1e300],
  ['empty string', () => ''],
  ['x', () => 'x'],
  ['NUL', () => 'a\0b'],
  ['lone surrogate', () => '\ud800'],
  ['long string', () => 'y'.repeat(100_000)],
  ['__proto__', () => '__proto__'],
  ['true', () => true],
  ['symbol', () => Symbol('s')],
  ['bigint', () => 1n],
  ['huge bigint', () => 2n ** 70n],
  ['object', () => ({})],
  ['object without a prototype', () => Object.create(null)],
  ['array', () => []],
  // biome-ignore lint/suspicious/noSparseArray: the point
  ['array with holes', () => [, , 2]],
  ['huge array', () => new Array(2 ** 32 - 1)],
  ['function', () => () => 1],
  ['class', () => Int32Array],
  ['promise', () => Promise.resolve(1)],
  ['date', () => new Date(0)],
  ['throwing proxy', () => new Proxy({}, { get: theirs, has: theirs, ownKeys: theirs })],
  ['proxy of a typed array', () => new Proxy(new Int32Array(2), {})],
  ['revoked proxy', revoked],
  ['throwing valueOf', () => ({ valueOf: theirs, toString: theirs, [Symbol.toPrimitive]: theirs })],
  ['throwing toJSON', () => ({ toJSON: theirs })],
  ['Int32Array', () => new Int32Array(2)],
  ['Uint32Array', () => new Uint32Array(2)],
  ['Float32Array', () => new Float32Array(6)],
  ['Float64Array', () => new Float64Array(2)],
  ['Uint8ClampedArray', () => new Uint8ClampedArray(2)],
  ['BigUint64Array', () => new BigUint64Array(2)],
  ['BigInt64Array', () => BigInt64Array.of(0n, 1n)],
  ['DataView', () => new DataView(new ArrayBuffer(8))],
  ['ArrayBuffer', () => new ArrayBuffer(8)],
  ['shared Int32Array', () => new Int32Array(new SharedArrayBuffer(8))],
  ['shared Float32Array', () => new Float32Array(new SharedArrayBuffer(24))],
  ['detached Int32Array', () => detached(new Int32Array(2))],
  ['detached Float32Array', () => detached(new Float32Array(6))],
  ['detached Uint8Array', () => detached(new Uint8Array(6))],
  ['shrunk Int32Array', () => shrunk(Int32Array)],
  ['shrunk Float32Array', () => shrunk(Float32Array)],
  ['lying subclass', () => new Liar(2)],
  ['impostor', () => Object.create(Float32Array.prototype)],
  ['impostor signal', () => Object.create(AbortSignal.prototype)],
];

/** A bag of options with `value` under `key`, or an accessor that throws it. */
const option = (key: string, value: unknown, rest: object = {}) => ({ ...rest, [key]: value });

let directory: string;
let bundle: string;
let model: Model;
let batch: Batch;
let table: EmbeddingTable;
let engine: Engine;
const here = process.cwd();
const onnx = (name: string) => fileURLToPath(new URL(`../models/${name}.onnx`, import.meta.url));
const dense = () => ({ dense: { data: new Float32Array(8), dims: [2, 4] } });
const ids = () => Int32Array.of(1, 2);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gyrfalcon-hostile-'));
  process.chdir(directory); // "x" is a path, too
  bundle = join(directory, 'bundle');
  await importModel(onnx('ncf.torchscript'), bundle);
  model = await loadModel(bundle);
  batch = model.createBatch(4);
  table = EmbeddingTable.from(new Float32Array(15), { dim: 3 });
  engine = await Engine.load(onnx('no-tables.dynamo'));
});

afterAll(async () => {
  process.chdir(here);
  await model.close();
  rmSync(directory, { recursive: true, force: true });
});

// biome-ignore lint/suspicious/noExplicitAny: hostile values have no type
type Call = (value: any) => unknown;

const scores = () => expect(Object.values(model.scoreSync(batch))[0]?.length).toBeGreaterThan(0);
const looksUp = () => expect(table.lookup(ids())).toHaveLength(6);
const runs = () => expect(engine.runSync(dense())['score']?.dims).toEqual([2, 1]);

const calls: Record<string, { still: () => void; with: Record<string, Call> }> = {
  loadModel: {
    still: () => scores(),
    with: {
      directory: (v) => loadModel(v),
      options: (v) => loadModel(bundle, v),
      device: (v) => loadModel(bundle, option('device', v)),
      engine: (v) => loadModel(bundle, option('engine', v)),
      threads: (v) => loadModel(bundle, option('threads', v)),
      outOfRange: (v) => loadModel(bundle, option('outOfRange', v)),
      tables: (v) => loadModel(bundle, option('tables', v)),
      verify: (v) => loadModel(bundle, option('verify', v)),
      onnxruntime: (v) => loadModel(bundle, option('onnxruntime', v)),
    },
  },
  Model: {
    still: () => scores(),
    with: {
      capacity: (v) => model.createBatch(v),
      'createBatch options': (v) => model.createBatch(2, v),
      symbols: (v) => model.createBatch(2, option('symbols', v)),
      'a size': (v) => model.createBatch(2, option('symbols', { batch: v })),
      indices: (v) => model.createBatch(2, option('indices', v)),
      'an index room': (v) => model.createBatch(2, option('indices', { user: v })),
      scoreSync: (v) => model.scoreSync(v),
      score: (v) => model.score(v),
      'score options': (v) => model.score(batch, v),
      signal: (v) => model.score(batch, option('signal', v)),
      make: (v) => new (Model as never as new (...given: unknown[]) => unknown)(v, v),
    },
  },
  Batch: {
    still: () => {
      batch.rows = 4;
      scores();
    },
    with: {
      rows: (v) => {
        batch.rows = v;
      },
      make: (v) => new (Batch as never as new (...given: unknown[]) => unknown)(v, v, v, v),
    },
  },
  EmbeddingTable: {
    still: () => looksUp(),
    with: {
      from: (v) => EmbeddingTable.from(v, { dim: 3 }).close(),
      'from options': (v) => EmbeddingTable.from(new Float32Array(6), v).close(),
      dim: (v) => EmbeddingTable.from(new Float32Array(6), option('dim', v) as never).close(),
      storage: (v) =>
        EmbeddingTable.from(new Float32Array(6), option('storage', v, { dim: 3 }) as never),
      'encoded rows': (v) => EmbeddingTable.from(v, { dim: 3, storage: 'int8' }).close(),
      fromSafetensors: (v) => EmbeddingTable.fromSafetensors(v, { tensor: 't' }),
      'fromSafetensors options': (v) => EmbeddingTable.fromSafetensors('x', v),
      tensor: (v) => EmbeddingTable.fromSafetensors('x', { tensor: v }),
      'file storage': (v) => EmbeddingTable.fromSafetensors('x', { tensor: 't', storage: v }),
      'file dim': (v) => EmbeddingTable.fromSafetensors('x', { tensor: 't', dim: v }),
      residency: (v) => EmbeddingTable.fromSafetensors('x', { tensor: 't', residency: v }),
      'bag indices': (v) => table.bag(v, Int32Array.of(0, 1)),
      'bag offsets': (v) => table.bag(ids(), v),
      'bag options': (v) => table.bag(ids(), Int32Array.of(0, 2), v),
      'bag weights': (v) => table.bag(ids(), Int32Array.of(0, 2), option('weights', v)),
      'bag out': (v) => table.bag(ids(), Int32Array.of(0, 2), option('out', v)),
      pooling: (v) => table.bag(ids(), Int32Array.of(0, 2), option('pooling', v)),
      outOfRange: (v) => table.bag(ids(), Int32Array.of(0, 2), option('outOfRange', v)),
      'lookup indices': (v) => table.lookup(v),
      'lookup options': (v) => table.lookup(ids(), v),
      'lookup weights': (v) => table.lookup(ids(), option('weights', v)),
      'lookup out': (v) => table.lookup(ids(), option('out', v)),
      make: (v) => new (EmbeddingTable as never as new (...given: unknown[]) => unknown)(v, v),
    },
  },
  Engine: {
    still: () => runs(),
    with: {
      load: (v) => Engine.load(v),
      'load trusted': (v) => Engine.load(v, { allowExternalData: true }),
      options: (v) => Engine.load(onnx('no-tables.dynamo'), v),
      threads: (v) => Engine.load(onnx('no-tables.dynamo'), option('threads', v)),
      onnxruntime: (v) => Engine.load(onnx('no-tables.dynamo'), option('onnxruntime', v)),
      allowExternalData: (v) =>
        Engine.load(onnx('no-tables.dynamo'), option('allowExternalData', v)),
      feeds: (v) => engine.runSync(v),
      feed: (v) => engine.runSync({ dense: v }),
      data: (v) => engine.runSync({ dense: { data: v, dims: [2, 4] } }),
      dims: (v) => engine.runSync({ dense: { data: new Float32Array(8), dims: v } }),
      dim: (v) => engine.runSync({ dense: { data: new Float32Array(8), dims: [v, 4] } }),
      'a feed that is not an input': (v) => engine.runSync({ ...dense(), [String(typeof v)]: v }),
      make: (v) => new (Engine as never as new (...given: unknown[]) => unknown)(v, v),
    },
  },
  importModel: {
    still: () => scores(),
    with: {
      path: (v) => importModel(v, join(directory, 'out')),
      directory: (v) => importModel(onnx('ncf.torchscript'), v, { overwrite: true }),
      options: (v) => importInto(v),
      tableDtype: (v) => importInto(option('tableDtype', v)),
      'a storage': (v) => importInto(option('tableDtype', { '*': v })),
      dims: (v) => importInto(option('dims', v)),
      'a dim': (v) => importInto(option('dims', { batch: v })),
      ids: (v) => importInto(option('ids', v)),
      verify: (v) => importInto(option('verify', v)),
      tolerance: (v) => importInto(option('tolerance', v, { verify: 1 })),
      overwrite: (v) => importInto(option('overwrite', v)),
      fused: (v) => importInto(option('fused', v)),
      precision: (v) => importInto(option('precision', v)),
      calibrate: (v) => importInto(option('calibrate', v)),
      'a row': (v) => importInto(option('calibrate', [v])),
      onnxruntime: (v) => importInto(option('onnxruntime', v)),
      signal: (v) => importInto(option('signal', v)),
      onProgress: (v) => importInto(option('onProgress', v)),
    },
  },
  capabilities: {
    still: () => expect(capabilities().cpu.isa).not.toBe(''),
    with: { nothing: (v) => (capabilities as Call)(v) },
  },
};

async function importInto(options: unknown): Promise<void> {
  const out = mkdtempSync(join(directory, 'import-'));
  try {
    await importModel(onnx('ncf.torchscript'), out, options as never);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** What is wrong with how a call ended; undefined if nothing is. */
async function complaint(call: () => unknown): Promise<string | undefined> {
  let error: unknown;
  try {
    await call();
    return undefined;
  } catch (thrown) {
    error = thrown;
  }
  // What the caller's own accessors and proxies throw passes through.
  const own = /has been revoked|requires 'new'/.test(String(error));
  if (error instanceof Theirs || own) return undefined;
  if (!(error instanceof GyrfalconError)) return `threw ${(error as Error)?.stack ?? error}`;
  if (!ERROR_CODES.includes(error.code) || error.code === 'INTERNAL') return `code ${error.code}`;
  if (/0x[0-9a-f]{6}|\[object|undefined is not/.test(error.message)) return error.message;
  const kind = /^(INVALID_ARGUMENT|DTYPE_MISMATCH)$/.test(error.code);
  if (kind && !/expected [\s\S]+ but received/.test(error.message)) return error.message;
  return error.message.length < 2000 ? undefined : `a text of ${error.message.length}`;
}

// What copies is the batch; the rest is the same.
const batchesOnly = process.env['GYRFALCON_EXTERNAL_BUFFERS'] === 'off';
const chosen = Object.entries(calls).filter(
  ([name]) => !batchesOnly || /^(Model|Batch)$/.test(name),
);
const positions = chosen.flatMap(([name, { still, with: arguments_ }]) =>
  Object.entries(arguments_).map(([position, call]) => ({ name, position, call, still })),
);

test.each(positions)('$name, $position', async ({ call, still }) => {
  const complaints: string[] = [];
  for (const [name, make] of hostile) {
    const said = await complaint(() => call(make()));
    if (said !== undefined) complaints.push(`${name}: ${said}`);
    still();
  }
  expect(complaints).toEqual([]);
});

test.each(positions)('$name, $position: an accessor that throws', async ({ call, still }) => {
  const trap = new Proxy(Object.create(null), {
    get: (_, key) => (key === 'then' ? undefined : theirs()),
    getPrototypeOf: theirs,
    ownKeys: theirs,
    getOwnPropertyDescriptor: theirs,
  });
  expect(await complaint(() => call(trap))).toBeUndefined();
  still();
});

test('an accessor that closes what it is read for', async () => {
  const code = (name: string) => expect.objectContaining({ code: name });
  const closing = await loadModel(bundle);
  const spare = closing.createBatch(2);
  const symbols = {
    get symbols() {
      void closing.close();
      return {};
    },
  };
  expect(() => closing.createBatch(2, symbols)).toThrow(code('MODEL_CLOSED'));
  await closing.close();
  await expect(closing.score(spare)).rejects.toEqual(code('MODEL_CLOSED'));

  const other = await loadModel(bundle);
  const one = other.createBatch(2);
  const signal = {
    get signal() {
      void other.close();
      return undefined as never;
    },
  };
  await expect(other.score(one, signal)).rejects.toEqual(code('MODEL_CLOSED'));
  await other.close();

  const gone = EmbeddingTable.from(new Float32Array(6), { dim: 3 });
  const weights = {
    get weights() {
      gone.close();
      return new Float32Array(2);
    },
  };
  expect(() => gone.lookup(ids(), weights)).toThrow(code('MODEL_CLOSED'));
  expect(() => gone.bag(ids(), ids())).toThrow(code('MODEL_CLOSED'));
});

test('an accessor that scores the batch it is read for', async () => {
  let inner: Promise<unknown> = Promise.resolve();
  const options = {
    get signal() {
      inner = model.score(batch);
      return undefined as never;
    },
  };
  await expect(model.score(batch, options)).rejects.toMatchObject({ code: 'BATCH_IN_FLIGHT' });
  await inner;
  scores();
});

test('arrays that lie over one memory, and over one that is shared', () => {
  const memory = new SharedArrayBuffer(256);
  const indices = new Int32Array(memory, 0, 6);
  const offsets = Int32Array.of(0, 2, 6);
  indices.set([4, 0, 3, 3, 1, 2]);
  const rows = Float32Array.from({ length: 15 }, (_, i) => i);
  const shared = new Float32Array(new SharedArrayBuffer(60));
  shared.set(rows);
  using own = EmbeddingTable.from(shared, { dim: 3, storage: 'int8' });
  const expected = own.bag(Int32Array.from(indices), offsets);
  expect(own.bag(indices, offsets)).toEqual(expected);
  // The result replaces ids while they are read: any sum, or an id out of range.
  for (let at = 0; at < 6; at++) {
    indices.set([4, 0, 3, 3, 1, 2]);
    const out = new Float32Array(memory, at * 4, 6);
    try {
      own.bag(indices, offsets, { out, weights: new Float32Array(memory, 4, 6) });
    } catch (error) {
      expect(error).toMatchObject({ code: 'INDEX_OUT_OF_RANGE' });
    }
  }
});

test('a shared array as an input of a graph is read as it was when the run began', () => {
  const data = new Float32Array(new SharedArrayBuffer(32));
  expect(engine.runSync({ dense: { data, dims: [2, 4] } })).toEqual(engine.runSync(dense()));
});
