/**
 * Long random sequences of calls on batches, models, tables and engines, against a model of what
 * each call must say. Under ASan this is what shows that hostile buffers corrupt no memory.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EmbeddingTable, Engine, GyrfalconError, importModel, loadModel } from '../../lib/index.js';
import { times } from '../scale.js';
import {
  type ExampleBatch,
  type ExampleBundle,
  type ExampleModel,
  exampleBundle,
  loadExample,
  type Untyped,
} from './example-bundle.js';

setFlagsFromString('--allow-natives-syntax');
const detach: (buffer: ArrayBuffer) => void = new Function('b', '%ArrayBufferDetach(b)') as never;

/** A seeded generator, so that a failure can be repeated. */
class Random {
  constructor(private state: number) {}
  /** 0 to n - 1. */
  below(n: number): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.state / 2 ** 32) * n);
  }
  chance(p: number): boolean {
    return this.below(1 << 20) < p * (1 << 20);
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/** 'ok' or the code of the GyrfalconError; anything else is thrown on. */
function outcome(call: () => unknown): string {
  try {
    call();
    return 'ok';
  } catch (error) {
    if (error instanceof GyrfalconError) return error.code;
    throw error;
  }
}

async function settled(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'ok';
  } catch (error) {
    return outcome(() => {
      throw error;
    });
  }
}

let example: ExampleBundle;
let ragged: string;

beforeAll(async () => {
  example = await exampleBundle();
  ragged = join(example.directory, 'ragged');
  const file = new URL('../models/bag-sum-offsets.torchscript.onnx', import.meta.url);
  await importModel(fileURLToPath(file), ragged);
});

afterAll(() => example.remove());

const LONG = 3_600_000;
const ITEMS = 9743;

/** What is known of one batch: enough to say how each call must end. */
interface Known {
  batch: ExampleBatch;
  detached: boolean;
  badIds: Set<number>;
  rows: number;
}

function expected({ detached, badIds, rows }: Known, closed: boolean): string {
  if (closed) return 'MODEL_CLOSED';
  if (detached) return 'DETACHED_BUFFER';
  return [...badIds].some((row) => row < rows) ? 'INDEX_OUT_OF_RANGE' : 'ok';
}

test(
  'batches and models',
  async () => {
    const random = new Random(20260);
    const calls = times(4000, 250_000);
    for (let done = 0; done < calls; ) {
      const model: ExampleModel = await loadExample(example.bundle);
      const known: Known[] = [];
      const open = () => {
        const capacity = 1 + random.below(40);
        const batch = model.createBatch(capacity);
        known.push({ batch, detached: false, badIds: new Set(), rows: capacity });
      };
      open();
      for (let step = 0; step < 1000 && done < calls; step++, done++) {
        const one = random.pick(known);
        const { batch } = one;
        switch (random.below(9)) {
          case 0: {
            const row = random.below(batch.capacity);
            const bad = random.chance(0.3);
            const id = bad
              ? random.pick([-1, ITEMS, 2 ** 31 - 1, -(2 ** 31)])
              : random.below(ITEMS);
            if (!one.detached) {
              batch.inputs.item[row] = id;
              if (bad) one.badIds.add(row);
              else one.badIds.delete(row);
            }
            break;
          }
          case 1: {
            const rows = random.below(batch.capacity + 3) - 1;
            const fits = rows >= 0 && rows <= batch.capacity;
            const said = outcome(() => {
              batch.rows = rows;
            });
            expect(said).toBe(fits ? 'ok' : 'INVALID_ARGUMENT');
            if (fits) one.rows = rows;
            break;
          }
          case 2:
            if (random.chance(0.1)) {
              detach(batch.inputs.user.buffer);
              one.detached = true;
            }
            break;
          case 3:
            if (known.length < 20) open();
            else known.splice(random.below(known.length), 1);
            if (known.length === 0) open();
            break;
          case 4: {
            const first = model.score(batch);
            const stolen = !one.detached && random.chance(0.2);
            if (expected(one, false) !== 'DETACHED_BUFFER') {
              expect(outcome(() => model.scoreSync(batch))).toBe('BATCH_IN_FLIGHT');
            }
            const before = expected(one, false);
            if (stolen) {
              detach(batch.inputs.user.buffer);
              one.detached = true;
            }
            const said = await settled(first);
            expect(said).toBe(stolen && before === 'ok' ? 'DETACHED_BUFFER' : before);
            break;
          }
          case 5: {
            const controller = new AbortController();
            const scoring = model.score(batch, { signal: controller.signal });
            controller.abort();
            expect([expected(one, false), 'ABORTED']).toContain(await settled(scoring));
            break;
          }
          case 6:
            expect(outcome(() => model.createBatch(random.pick([0, -1, 0.5, 2 ** 24])))).toMatch(
              /INVALID_ARGUMENT|LIMIT_EXCEEDED/,
            );
            break;
          default:
            expect(outcome(() => model.scoreSync(batch))).toBe(expected(one, false));
        }
      }
      const scoring = known.map(({ batch }) => settled(model.score(batch)));
      const last = known.map((one) => expected(one, false));
      const closing = model.close();
      expect(await Promise.all(scoring)).toEqual(last);
      await closing;
      for (const one of known) {
        expect(outcome(() => model.scoreSync(one.batch))).toBe(expected(one, true));
        // What is left of the memory can still be read and written.
        if (!one.detached) one.batch.inputs.item.fill(1);
      }
    }
  },
  LONG,
);

test(
  'ragged inputs',
  async () => {
    const random = new Random(7);
    const calls = times(3000, 100_000);
    const model = await loadModel<Untyped>(ragged);
    const name = model.info.inputs.find(({ kind }) => kind === 'ragged')?.name ?? '';
    const rows = model.info.tables[0]?.rows ?? 0;
    for (let done = 0; done < calls; ) {
      const capacity = 1 + random.below(6);
      const room = 1 + random.below(12);
      const batch = model.createBatch(capacity, { indices: { [name]: room } });
      const { indices, offsets } = batch.inputs[name];
      for (let step = 0; step < 100 && done < calls; step++, done++) {
        for (let i = 0; i < room; i++) {
          indices[i] = random.chance(0.02)
            ? random.pick([-1, rows, 2 ** 31 - 1])
            : random.below(rows);
        }
        let at = 0;
        for (let r = 1; r <= capacity; r++) {
          at = random.chance(0.05)
            ? random.pick([-1, room + 1, 2 ** 31 - 1, -(2 ** 31)])
            : Math.min(room, Math.max(at, 0) + random.below(4));
          offsets[r] = at;
        }
        offsets[0] = random.chance(0.05) ? random.pick([1, -1]) : 0;
        batch.rows = random.below(capacity + 1);
        const used = [...offsets.subarray(0, batch.rows + 1)];
        const sound = used.every(
          (value, r) => (r === 0 ? value === 0 : value >= (used[r - 1] ?? 0)) && value <= room,
        );
        const inside = [...indices.subarray(0, used.at(-1))].every((id) => id >= 0 && id < rows);
        const said = outcome(() => model.scoreSync(batch));
        expect(said).toBe(sound ? (inside ? 'ok' : 'INDEX_OUT_OF_RANGE') : 'INVALID_OFFSETS');
      }
    }
    await model.close();
  },
  LONG,
);

test(
  'embedding tables',
  () => {
    const random = new Random(11);
    const calls = times(10_000, 300_000);
    const buffers = (bytes: number): ArrayBufferLike => {
      switch (random.below(4)) {
        case 0:
          return new SharedArrayBuffer(bytes);
        case 1:
          return new (ArrayBuffer as never as new (n: number, o: object) => ArrayBuffer)(bytes, {
            maxByteLength: bytes + 64,
          });
        default:
          return new ArrayBuffer(bytes);
      }
    };
    let table: EmbeddingTable | undefined;
    let rows = 0;
    let dim = 0;
    let closed = false;
    for (let done = 0; done < calls; done++) {
      if (table === undefined || random.chance(0.005)) {
        table?.close();
        rows = 1 + random.below(50);
        dim = 1 + random.below(40);
        const storage = random.pick(['f32', 'f16', 'bf16', 'int8', 'int4'] as const);
        const data = new Float32Array(buffers(4 * rows * dim));
        table = EmbeddingTable.from(data.map((_, i) => i % 5) as never, { dim, storage });
        closed = false;
      }
      if (random.chance(0.002)) {
        table.close();
        closed = true;
      }
      const wide = random.chance(0.3);
      const count = random.below(20);
      const indices = wide
        ? new BigInt64Array(buffers(8 * count))
        : new Int32Array(buffers(4 * count));
      let bad = false;
      for (let i = 0; i < count; i++) {
        const outside = random.chance(0.02);
        const id = outside ? random.pick([-1, rows, rows + 1, 2 ** 31 - 1]) : random.below(rows);
        bad ||= outside;
        indices[i] = wide ? BigInt(id) : id;
      }
      const gone = random.chance(0.03) && !(indices.buffer instanceof SharedArrayBuffer);
      if (gone) detach(indices.buffer as ArrayBuffer);
      const cut = random.chance(0.03) ? 1 : 0;
      const out = new Float32Array(buffers(4 * (count * dim + cut)));
      const weights = random.chance(0.3) ? new Float32Array(buffers(4 * count)) : undefined;
      const lenient = random.chance(0.2);
      const given = {
        out,
        ...(weights === undefined ? {} : { weights }),
        outOfRange: lenient ? ('zero' as const) : ('error' as const),
      };
      const say = closed
        ? 'MODEL_CLOSED'
        : gone
          ? 'DETACHED_BUFFER'
          : cut
            ? 'SHAPE_MISMATCH'
            : bad && !lenient
              ? 'INDEX_OUT_OF_RANGE'
              : 'ok';
      const look = random.chance(0.5);
      const each = Int32Array.from({ length: count + 1 }, (_, i) => i);
      const here = table;
      const said = outcome(() =>
        look ? here.lookup(indices, given) : here.bag(indices, each, given),
      );
      expect(said).toBe(say);
      if (closed) table = undefined;
    }
    table?.close();
  },
  LONG,
);

test(
  'engines',
  async () => {
    const random = new Random(13);
    const calls = times(2000, 50_000);
    const file = fileURLToPath(new URL('../models/no-tables.dynamo.onnx', import.meta.url));
    for (let done = 0; done < calls; ) {
      const engine = await Engine.load(file);
      for (let step = 0; step < 500 && done < calls; step++, done++) {
        const rows = 1 + random.below(5);
        const memory = random.chance(0.3)
          ? new SharedArrayBuffer(16 * rows)
          : new ArrayBuffer(16 * rows);
        const data = new Float32Array(memory);
        const gone = random.chance(0.1) && !(memory instanceof SharedArrayBuffer);
        const dims = random.chance(0.1)
          ? random.pick([[], [rows], [4, rows + 1], [-1, 4]])
          : [rows, 4];
        if (gone) detach(memory as ArrayBuffer);
        const said = outcome(() => engine.runSync({ dense: { data, dims } }));
        const fits = dims.length === 2 && dims[0] === rows && dims[1] === 4;
        if (fits) expect(said).toBe(gone ? 'DETACHED_BUFFER' : 'ok');
        else expect(said).toMatch(/^(SHAPE_MISMATCH|DETACHED_BUFFER)$/);
      }
      engine.close();
      const data = new Float32Array(4);
      expect(outcome(() => engine.runSync({ dense: { data, dims: [1, 4] } }))).toBe('MODEL_CLOSED');
    }
  },
  LONG,
);
