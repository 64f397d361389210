import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { Engine } from '../../lib/engine.js';
import type { TypedArray } from '../../lib/typed-arrays.js';

const model = (name: string) => fileURLToPath(new URL(`../models/${name}`, import.meta.url));
const path = model('no-tables.dynamo.onnx');
const code = (name: string) => expect.objectContaining({ code: name });
const values = Float32Array.from({ length: 8 }, (_, i) => i / 8 - 0.5);
const feeds = (data: TypedArray = values, dims: number[] = [2, 4]) => ({ dense: { data, dims } });

/** Dims whose first element runs `action` when it is read. */
function trapped(action: () => void): number[] {
  return Object.defineProperty([2, 4], 0, {
    get() {
      action();
      return 2;
    },
  });
}

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.load(path);
});

test('says what the graph takes and gives', () => {
  expect(engine.inputs).toEqual([
    { name: 'dense', dtype: 'f32', dims: [-1, 4], names: ['batch', ''] },
  ]);
  expect(engine.outputs.map(({ name, dims }) => [name, dims])).toEqual([['score', [-1, 1]]]);
  expect(engine.runtime.name).toBe('onnxruntime');
});

test('rows score alike in one run, one by one, and from bytes, into memory of their own', async () => {
  const both = engine.runSync(feeds())['score'];
  expect(both?.dims).toEqual([2, 1]);
  const first = engine.runSync(feeds(values.subarray(0, 4), [1, 4]))['score'];
  const second = engine.runSync(feeds(values.subarray(4), [1, 4]))['score'];
  expect(first?.data[0]).not.toBe(second?.data[0]);
  expect(both?.data[0]).toBeCloseTo(Number(first?.data[0]), 5);
  expect(both?.data[1]).toBeCloseTo(Number(second?.data[0]), 5);
  using other = await Engine.load(new Uint8Array(readFileSync(path)), { threads: 2 });
  expect(other.runSync(feeds())['score']?.data[0]).toBeCloseTo(Number(both?.data[0]), 5);
  expect(other.runSync(feeds())['score']?.data.buffer).not.toBe(both?.data.buffer);
});

test('feeds that do not fit', () => {
  const run = (data: TypedArray, dims: number[]) => () => engine.runSync(feeds(data, dims));
  expect(run(new Float64Array(8), [2, 4])).toThrow(code('DTYPE_MISMATCH'));
  expect(run(new Float32Array(7), [2, 4])).toThrow(code('SHAPE_MISMATCH'));
  expect(run(new Float32Array(9), [2, 4])).toThrow(code('SHAPE_MISMATCH'));
  expect(run(values, [2.5, 4])).toThrow(code('SHAPE_MISMATCH'));
  expect(run(values, [-2, -4])).toThrow(code('SHAPE_MISMATCH'));
  expect(run(values, [4, 2])).toThrow(code('SHAPE_MISMATCH'));
  expect(run(values, [2 ** 40, 2 ** 40])).toThrow(code('SHAPE_MISMATCH'));
  expect(() => engine.runSync({})).toThrow(code('INVALID_ARGUMENT'));
  expect(() => engine.runSync({ other: { data: values, dims: [2, 4] } })).toThrow(/"other"/);
});

test('memory that is gone, also when reading the dims takes it away', () => {
  const detach = ({ buffer }: Float32Array<ArrayBuffer>) =>
    structuredClone(buffer, { transfer: [buffer] });
  const gone = new Float32Array(8);
  detach(gone);
  expect(() => engine.runSync(feeds(gone))).toThrow(code('DETACHED_BUFFER'));
  const going = new Float32Array(8);
  const dims = trapped(() => going.length > 0 && detach(going));
  expect(() => engine.runSync(feeds(going, dims))).toThrow(code('DETACHED_BUFFER'));
});

test('a closed engine, also when reading the dims closes it', async () => {
  const closing = await Engine.load(path);
  const dims = trapped(() => closing.close());
  expect(() => closing.runSync(feeds(values, dims))).toThrow(code('MODEL_CLOSED'));
  closing.close();
  expect(() => closing.runSync(feeds())).toThrow(code('MODEL_CLOSED'));
});

test('external data only when it is allowed', async () => {
  const external = model('external-data.dynamo.onnx');
  await expect(Engine.load(external)).rejects.toThrow(code('ONNX_UNSUPPORTED'));
  using allowed = await Engine.load(external, { allowExternalData: true });
  expect(allowed.inputs.length).toBeGreaterThan(0);
});

test('graphs, files, libraries and options that are not there or not right', async () => {
  await expect(Engine.load(Uint8Array.of(1, 2, 3))).rejects.toThrow(code('ONNX_INVALID'));
  await expect(Engine.load(`${path}.missing`)).rejects.toThrow(code('IO_ERROR'));
  await expect(Engine.load(7 as never)).rejects.toThrow(code('INVALID_ARGUMENT'));
  for (const allowExternalData of [true, false]) {
    await expect(Engine.load('', { allowExternalData })).rejects.toThrow(code('INVALID_ARGUMENT'));
  }
  for (const threads of [0, 1025, 1.5]) {
    await expect(Engine.load(path, { threads })).rejects.toThrow(code('INVALID_ARGUMENT'));
  }
  const missing = Engine.load(path, { onnxruntime: '/missing/libonnxruntime.so.1' });
  await expect(missing).rejects.toThrow(code('ENGINE_UNAVAILABLE'));
  await expect(missing).rejects.toThrow(/npm install onnxruntime-node/);
});
