import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { importModel, loadModel, type Model } from '../../lib/index.js';

const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-model-cache-'));
const bundle = join(folder, 'model');
const CAPACITY = 64;
// biome-ignore lint/suspicious/noExplicitAny: inputs are found by what the model says of them
type Any = any;

beforeAll(async () => {
  const onnx = fileURLToPath(new URL('../models/dlrm-separate.dynamo.onnx', import.meta.url));
  await importModel(onnx, bundle, { overwrite: true });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Most ids are small ones. */
function fill(batch: Any, model: Model<Any, Any>, seed: number): void {
  let at = seed;
  const next = () => {
    at = (at * 1103515245 + 12345) % 2147483648;
    return at / 2147483648;
  };
  const least = Math.min(...model.info.tables.map(({ rows }) => rows));
  for (const { name } of model.info.inputs) {
    const data = batch.inputs[name];
    for (let i = 0; i < data.length; i++) {
      if (data instanceof Float32Array) data[i] = next();
      else {
        const id = Math.floor(next() * (next() < 0.8 ? 4 : least));
        data[i] = data instanceof BigInt64Array ? BigInt(id) : id;
      }
    }
  }
}

function caches(model: Model<Any, Any>, cacheRows: number) {
  return Object.fromEntries(model.info.tables.map(({ name }) => [name, { cacheRows }]));
}

test('scores of batches in flight are those of the CPU while rows come and go', async () => {
  const cpu = await loadModel<Any, Any>(bundle);
  const cached = await loadModel<Any, Any>(bundle, { device: 'cuda:0', caches: caches(cpu, 16) });
  const lanes = [1, 2, 3].map((seed) => {
    const batch = cached.createBatch(CAPACITY);
    fill(batch, cached, seed);
    batch.rows = CAPACITY;
    const reference = cpu.createBatch(CAPACITY);
    fill(reference, cpu, seed);
    reference.rows = CAPACITY;
    const expected = Object.values(cpu.scoreSync(reference)).map((each) =>
      Float32Array.from(each as Float32Array),
    );
    return { batch, expected };
  });
  const done = () => cached.stats().caches.every(({ occupied }) => occupied > 0);
  let rounds = 0;
  for (; rounds < 2000 && !(done() && rounds > 20); rounds++) {
    await Promise.all(
      lanes.map(async ({ batch, expected }) => {
        const got = Object.values(await cached.score(batch)) as Float32Array[];
        for (const [i, values] of expected.entries()) {
          for (const [j, value] of values.entries()) expect(got[i]?.[j]).toBeCloseTo(value, 5);
        }
      }),
    );
  }
  expect(done()).toBe(true);
  const { caches: found, deviceBytes } = cached.stats();
  expect(found.map(({ table }) => table)).toEqual(cpu.info.tables.map(({ name }) => name));
  expect(deviceBytes).toBeGreaterThan(0);
  expect(cached.explain().tables.map(({ memory }) => memory)).toEqual(found.map(() => 'cached'));
  await Promise.all([cpu.close(), cached.close()]);
}, 120_000);

test('hot rows are there before the first score, of the table that is named', async () => {
  const cpu = await loadModel(bundle);
  const names = cpu.info.tables.map(({ name }) => name);
  await cpu.close();
  const [first = '', second = ''] = names;
  const model = await loadModel<Any, Any>(bundle, {
    device: 'cuda:0',
    caches: { [first]: { cacheRows: 16 } },
  });
  expect(model.explain().tables.slice(0, 2)).toMatchObject([
    { memory: 'cached' },
    { memory: 'device' },
  ]);
  model.warm(first, Int32Array.of(1, 2));
  expect(model.stats().caches).toMatchObject([{ table: first, occupied: 2, slots: 16 }]);
  const invalid = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
  expect(() => model.warm(second, Int32Array.of(1))).toThrow(invalid);
  expect(() => model.warm('nothing', Int32Array.of(1))).toThrow(invalid);
  const range = expect.objectContaining({ code: 'INDEX_OUT_OF_RANGE' });
  expect(() => model.warm(first, Int32Array.of(-1))).toThrow(range);
  const dtype = expect.objectContaining({ code: 'DTYPE_MISMATCH' });
  expect(() => model.warm(first, Float32Array.of(1) as never)).toThrow(dtype);
  await model.close();
  const closed = expect.objectContaining({ code: 'MODEL_CLOSED' });
  expect(() => model.warm(first, Int32Array.of(1))).toThrow(closed);
});

test('caches that cannot be are refused', async () => {
  const model = await loadModel(bundle);
  const { name = '' } = model.info.tables[0] ?? {};
  const code = (code: string) => expect.objectContaining({ code });
  const load = (caches: Any, device = 'cuda:0') => loadModel(bundle, { device, caches });
  await expect(load({ [name]: { cacheRows: 16 } }, 'cpu')).rejects.toEqual(
    code('INVALID_ARGUMENT'),
  );
  await expect(load({ nothing: { cacheRows: 16 } })).rejects.toEqual(code('INVALID_ARGUMENT'));
  await expect(load({ [name]: {} })).rejects.toEqual(code('INVALID_ARGUMENT'));
  await expect(load({ [name]: { cacheRows: 16, cacheBytes: 999 } })).rejects.toEqual(
    code('INVALID_ARGUMENT'),
  );
  await expect(load({ [name]: { cacheRows: 0 } })).rejects.toEqual(code('INVALID_ARGUMENT'));
  await expect(load({ [name]: { cacheBytes: 1 } })).rejects.toEqual(code('LIMIT_EXCEEDED'));
  await model.close();
  await expect(load(7)).rejects.toEqual(code('INVALID_ARGUMENT'));
});
