import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { importModel, loadModel, type Model } from '../../lib/index.js';

const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-cuda-'));
const models = fileURLToPath(new URL('../models/', import.meta.url));
// biome-ignore lint/suspicious/noExplicitAny: inputs are found by what the model says of them
type Any = any;

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function bundleOf(name: string, options = {}): Promise<string> {
  const out = join(folder, name);
  await importModel(join(models, `${name}.onnx`), out, { overwrite: true, ...options });
  return out;
}

/** The same inputs for every model: ids up to `most`, bags of 0 to 3 ids. */
function fill(batch: Any, model: Model<Any, Any>, most: number): void {
  let at = 0;
  const next = () => {
    at = (at * 1103515245 + 12345) % 2147483648;
    return at / 2147483648;
  };
  for (const { name, kind } of model.info.inputs) {
    const input = batch.inputs[name];
    if (kind === 'ragged') {
      for (let row = 0; row < batch.capacity; row++)
        input.offsets[row + 1] = input.offsets[row] + (row % 4);
    }
    const data = kind === 'ragged' ? input.indices : input;
    for (let i = 0; i < data.length; i++) {
      const id = Math.floor(next() * most);
      data[i] =
        data instanceof BigInt64Array ? BigInt(id) : data instanceof Float32Array ? next() : id;
    }
    for (let i = 0; i < (input.weights?.length ?? 0); i++) input.weights[i] = next() - 0.5;
  }
}

async function scoreOn(device: string, bundle: string, rows: number[], capacity: number) {
  const model: Model<Any, Any> = await loadModel<Any, Any>(bundle, { device });
  const batch = model.createBatch(capacity);
  fill(batch, model, 2);
  const scores: Float32Array[][] = [];
  for (const count of rows) {
    batch.rows = model.info.batch ?? count;
    const all = await model.score(batch);
    scores.push(Object.values(all).map((each) => Float32Array.from(each as Float32Array)));
  }
  await model.close();
  return scores;
}

/** Whether every bag of a bundle is single rows: nothing is added up. */
function gathersOnly(bundle: string): boolean {
  const { bags } = JSON.parse(readFileSync(join(bundle, 'model.json'), 'utf8'));
  return bags.every((bag: Any) => bag.pooling === 'none' || bag.count === 1);
}

// Bags, histories, ragged inputs with weights, more than 27 groups, computed ids, 16-bit tables.
test.each([
  ['bag-weighted-offsets.dynamo', 12],
  ['pool-lengths-mean.dynamo', 9],
  ['hash-bag-sum.dynamo', 12],
])('%s scores as on the CPU', async (name, capacity) => {
  const bundle = await bundleOf(name);
  expect(gathersOnly(bundle)).toBe(false);
  const rows = [capacity, 1, 3];
  const cpu = await scoreOn('cpu', bundle, rows, capacity);
  const cuda = await scoreOn('cuda:0', bundle, rows, capacity);
  for (const [i, outputs] of cpu.entries()) {
    for (const [o, values] of outputs.entries()) {
      const others = cuda[i]?.[o] ?? new Float32Array();
      expect(others.length).toBe(values.length);
      for (const [at, value] of values.entries()) {
        if (Number.isNaN(value)) expect(others[at]).toBeNaN();
        if (Number.isNaN(value)) continue;
        // Sums of a few rows in another order, then a network that is the same.
        expect(Math.abs((others[at] ?? Number.NaN) - value)).toBeLessThanOrEqual(
          1e-5 * Math.max(1, Math.abs(value)),
        );
      }
    }
  }
});

// Rows and their dequantisation are exact, and the network behind them is the same.
test.each([
  ['dlrm-separate.dynamo', 12, 'f32'],
  ['dlrm-separate.dynamo', 12, 'bf16'],
  ['dlrm-separate.dynamo', 12, 'int8'],
  ['dlrm-separate.dynamo', 12, 'int4'],
  ['half-tables.dynamo', 5, undefined],
  ['din-fixed-batch.dynamo', 4, undefined],
] as const)(
  '%s, rows of which are only gathered, scores to the bit as on the CPU',
  async (name, capacity, tableDtype) => {
    const bundle = await bundleOf(name, { tableDtype });
    expect(gathersOnly(bundle)).toBe(true);
    const rows = [capacity, 1, 3];
    const cuda = await scoreOn('cuda:0', bundle, rows, capacity);
    expect(cuda).toEqual(await scoreOn('cpu', bundle, rows, capacity));
  },
);

test('explain says where everything is; stats count the memory', async () => {
  const bundle = await bundleOf('dlrm-separate.dynamo');
  const seen: [number, number][] = [];
  const onProgress = (bytes: number, total: number) => seen.push([bytes, total]);
  const model = await loadModel(bundle, { device: 'cuda', onProgress });
  const total = model.info.tables.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(seen.at(-1)).toEqual([total, total]);
  expect(model.info.device).toBe('cuda:0');
  const { tables, lookup, dense, batch, cuda } = model.explain();
  expect(tables).toHaveLength(model.info.tables.length);
  for (const table of tables) {
    expect(table).toMatchObject({ device: 'cuda:0', memory: 'device' });
    expect(table.bytes % 16).toBe(0);
  }
  expect(lookup).toMatchObject({ device: 'cuda:0', kernels: 'sm 8.0', threads: 1 });
  expect(lookup.why).toMatch(/'cuda' was asked for/);
  expect(dense).toMatchObject({ device: 'cpu', engine: 'fused', precision: 'f32' });
  expect(dense.why).toMatch(/no engine of this build runs on CUDA/);
  expect(batch.memory).toBe('pinned');
  const deviceBytes = tables.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(model.stats().deviceBytes).toBe(deviceBytes);
  expect(cuda).toMatchObject({
    model: 'Simulated device 0',
    computeCapability: '8.0',
    deviceBytes,
  });
  const before = cuda?.pinnedBytes ?? 0;
  model.createBatch(4);
  expect(model.explain().cuda?.pinnedBytes).toBeGreaterThan(before);
  await model.close();
  expect(() => model.explain()).toThrow(expect.objectContaining({ code: 'MODEL_CLOSED' }));

  const other = await loadModel(bundle, { tables: 'map' });
  const there = other.explain();
  expect(there.tables[0]).toMatchObject({ device: 'cpu', memory: 'mapped' });
  expect(there.lookup).toMatchObject({ device: 'cpu', kernels: other.info.isa });
  expect(there.lookup.why).toMatch(/'auto' is the CPU/);
  expect(there.batch.memory).toBe('heap');
  expect(there.cuda).toBeUndefined();
  expect(other.stats().deviceBytes).toBe(0);
  await other.close();
});

test('a listener that throws ends the load with what it threw', async () => {
  const bundle = await bundleOf('dlrm-separate.dynamo');
  const onProgress = () => {
    throw new RangeError('enough');
  };
  await expect(loadModel(bundle, { device: 'cuda:0', onProgress })).rejects.toThrow('enough');
  const bad = loadModel(bundle, { onProgress: 3 as never });
  await expect(bad).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('tables that do not fit are OUT_OF_MEMORY, with what would', async () => {
  const bundle = await bundleOf('dlrm-separate.dynamo');
  const fits = await loadModel(bundle, { device: 'cuda:0' });
  const sizes = fits.explain().tables.map(({ bytes }) => bytes);
  await fits.close();
  const all = sizes.reduce((sum, bytes) => sum + bytes, 0);
  process.env['CUSIM_LIMIT'] = String(all - 1);
  try {
    await expect(loadModel(bundle, { device: 'cuda:0' })).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(
        /expected room for tables of .* are free; \d+ of \d+ would fit: /,
      ),
    });
    process.env['CUSIM_LIMIT'] = '8';
    await expect(loadModel(bundle, { device: 'cuda:0' })).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(/none of the tables would fit/),
    });
  } finally {
    process.env['CUSIM_LIMIT'] = String(2 ** 33);
  }
  const again = await loadModel(bundle, { device: 'cuda:0' });
  await again.close();
});

test('ids that are out of range are named as on the CPU, large batches included', async () => {
  const bundle = await bundleOf('hash-bag-sum.dynamo');
  const other = await bundleOf('bag-weighted-offsets.dynamo');
  for (const each of [bundle, other]) {
    const messages: string[] = [];
    for (const device of ['cpu', 'cuda:0']) {
      const model: Model<Any, Any> = await loadModel<Any, Any>(each, { device });
      const batch: Any = model.createBatch(8);
      fill(batch, model, 2);
      for (const { name, kind } of model.info.inputs) {
        const data = kind === 'ragged' ? batch.inputs[name].indices : batch.inputs[name];
        if (data instanceof Float32Array) continue;
        data[data.length > 7 ? 5 : 0] = data instanceof BigInt64Array ? -5_000_000_000n : -500_000;
      }
      let message = '';
      try {
        model.scoreSync(batch);
      } catch (error) {
        message = `${(error as { code: string }).code} ${(error as Error).message}`;
      }
      messages.push(message);
      await model.close();
    }
    expect(messages[1]).toBe(messages[0]);
  }
});

test('several batches in flight, an abort, and a close that waits', async () => {
  const bundle = await bundleOf('dlrm-separate.dynamo');
  const model: Model<Any, Any> = await loadModel<Any, Any>(bundle, { device: 'cuda:0' });
  const batches = Array.from({ length: 4 }, () => model.createBatch(4));
  for (const batch of batches) fill(batch, model, 2);
  const expected = Object.values(model.scoreSync(batches[0]!)).map((each) => [
    ...(each as Float32Array),
  ]);
  const aborting = new AbortController();
  const scores = batches.map((batch, i) =>
    model.score(batch, i === 3 ? { signal: aborting.signal } : {}),
  );
  aborting.abort();
  const closing = model.close();
  const settled = await Promise.allSettled(scores);
  await closing;
  for (const each of settled.slice(0, 3)) {
    expect(each.status).toBe('fulfilled');
    const values = Object.values((each as PromiseFulfilledResult<object>).value);
    expect(values.map((value) => [...value])).toEqual(expected);
  }
  const last = settled[3];
  if (last?.status === 'rejected') expect(last.reason).toMatchObject({ code: 'ABORTED' });
});

test('a driver that fails while scoring is a typed error, and the next score works', async () => {
  const bundle = await bundleOf('dlrm-separate.dynamo');
  const model: Model<Any, Any> = await loadModel<Any, Any>(bundle, { device: 'cuda:0' });
  const batch = model.createBatch(4);
  fill(batch, model, 2);
  const expected = Object.values(model.scoreSync(batch)).map((each) => [...(each as Float32Array)]);
  try {
    for (const name of [
      'cuGraphLaunch',
      'cuEventRecord',
      'cuEventSynchronize',
      'cuCtxPushCurrent',
    ]) {
      for (const error of [1, 2, 201, 400, 700, 999]) {
        process.env['CUSIM_FAIL'] = `${name}:1:${error}`;
        const code = error === 2 ? 'OUT_OF_MEMORY' : 'DEVICE_FAILED';
        expect(() => model.scoreSync(batch)).toThrow(expect.objectContaining({ code }));
        await expect(model.score(batch)).resolves.toBeDefined();
      }
    }
  } finally {
    process.env['CUSIM_FAIL'] = '';
  }
  const after = Object.values(model.scoreSync(batch)).map((each) => [...(each as Float32Array)]);
  expect(after).toEqual(expected);
  await model.close();
});
