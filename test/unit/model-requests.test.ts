import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { importModel, type LoadOptions, loadModel } from '../../lib/index.js';
import {
  code,
  type ExampleBundle,
  type ExampleModel,
  exampleBundle,
  loadExample,
  type Untyped,
} from './example-bundle.js';

const models = new URL('../models/', import.meta.url);
let example: ExampleBundle;
let bundle: string;
let directory: string;
let model: ExampleModel;

beforeAll(async () => {
  example = await exampleBundle();
  ({ bundle, directory } = example);
  model = await loadExample(bundle);
});

afterAll(async () => {
  await model.close();
  example.remove();
});

test('a model is called what its file is called', () => {
  expect(model.info.name).toBe('model');
});

test('views hold exactly the rows, and are made once', () => {
  const batch = model.createBatch(8);
  const all = model.scoreSync(batch);
  expect(all.score).toHaveLength(8);
  batch.rows = 3;
  const some = model.scoreSync(batch);
  expect(some.score).toHaveLength(3);
  expect(model.scoreSync(batch)).toBe(some);
  batch.rows = 0;
  expect(model.scoreSync(batch).score).toHaveLength(0);
  batch.rows = 8;
  expect(model.scoreSync(batch)).toBe(all);
});

test('capacity and rows on both sides of their limits', () => {
  expect(model.createBatch(1).capacity).toBe(1);
  for (const bad of [0, -1, 1.5, 2 ** 24 + 1, Number.NaN, '3' as never]) {
    expect(() => model.createBatch(bad)).toThrow(code('INVALID_ARGUMENT'));
  }
  const batch = model.createBatch(4);
  for (const bad of [-1, 5, 0.5, Number.NaN]) {
    expect(() => {
      batch.rows = bad;
    }).toThrow(code('INVALID_ARGUMENT'));
  }
  expect(batch.rows).toBe(4);
  expect(() => model.createBatch(1, { symbols: { nope: 3 } })).toThrow(code('INVALID_ARGUMENT'));
  expect(() => model.createBatch(1, { indices: { user: 3 } })).toThrow(code('INVALID_ARGUMENT'));
});

test('a batch past what an ArrayBuffer holds is refused before its memory is allocated', () => {
  expect(() => model.createBatch(2 ** 24)).toThrow(code('LIMIT_EXCEEDED'));
});

test('an id outside its table names input, row and value; the last row of the table is inside', () => {
  const batch = model.createBatch(4);
  batch.inputs.item[2] = 9742;
  expect(() => model.scoreSync(batch)).not.toThrow();
  batch.inputs.item[2] = 9743;
  expect(() => model.scoreSync(batch)).toThrow(/input item, row 2, .* received 9743/);
  expect(() => model.scoreSync(batch)).toThrow(code('INDEX_OUT_OF_RANGE'));
  batch.inputs.item[2] = -1;
  expect(() => model.scoreSync(batch)).toThrow(/received -1/);
});

test("outOfRange 'zero' scores as if the row were zeros, and counts", async () => {
  const lenient = await loadExample(bundle, { outOfRange: 'zero' });
  const batch = lenient.createBatch(2);
  batch.inputs.user[1] = 2 ** 31 - 1;
  expect(lenient.scoreSync(batch).score.every(Number.isFinite)).toBe(true);
  expect(lenient.stats()).toMatchObject({ requests: 1, rows: 2, failed: 0, outOfRangeZeroed: 1 });
  await lenient.close();
});

test('ragged offsets on both sides of each rule', async () => {
  const out = join(directory, 'ragged');
  const file = fileURLToPath(new URL('bag-sum-offsets.torchscript.onnx', models));
  await importModel(file, out, { verify: 8 });
  const bags = await loadModel<Untyped>(out);
  const ragged = bags.info.inputs.find(({ kind }) => kind === 'ragged')?.name ?? '';
  expect(ragged).not.toBe('');
  const batch = bags.createBatch(2, { indices: { [ragged]: 3 } });
  const { offsets, indices } = batch.inputs[ragged];
  expect([offsets.length, indices.length]).toEqual([3, 3]);
  const score = (...values: number[]) => {
    offsets.set(values);
    return () => bags.scoreSync(batch);
  };
  expect(score(0, 1, 3)).not.toThrow();
  expect(score(0, 0, 0)).not.toThrow();
  expect(score(1, 1, 3)).toThrow(code('INVALID_OFFSETS'));
  expect(score(0, 2, 1)).toThrow(code('INVALID_OFFSETS'));
  expect(score(0, 1, 4)).toThrow(code('INVALID_OFFSETS'));
  const none = { indices: { [ragged]: 0 } };
  expect(() => bags.createBatch(2, none)).toThrow(code('INVALID_ARGUMENT'));
  await bags.close();
});

test('foreign batches, other values and closed models are refused', async () => {
  const other = await loadExample(bundle, { tables: 'map', threads: 2 });
  const theirs = other.createBatch(2);
  expect(() => model.scoreSync(theirs)).toThrow(code('BATCH_MISMATCH'));
  expect(() => model.scoreSync({} as never)).toThrow(code('INVALID_ARGUMENT'));
  const ours = model.createBatch(2);
  expect([...other.scoreSync(theirs).score]).toEqual([...model.scoreSync(ours).score]);
  await other.close();
  expect(() => other.scoreSync(theirs)).toThrow(code('MODEL_CLOSED'));
});

test('options that cannot be met', async () => {
  const load = (options: object) => loadExample(bundle, options as LoadOptions);
  await expect(load({ device: 'cuda:9999' })).rejects.toEqual(code('DEVICE_UNAVAILABLE'));
  await expect(load({ engine: 'tensorrt' })).rejects.toEqual(code('ENGINE_UNAVAILABLE'));
  await expect(load({ onnxruntime: '/nowhere' })).rejects.toEqual(code('ENGINE_UNAVAILABLE'));
  await expect(load({ threads: 0 })).rejects.toEqual(code('INVALID_ARGUMENT'));
  await expect(load({ outOfRange: 'wrap' })).rejects.toEqual(code('INVALID_ARGUMENT'));
});

test.each([
  ['BUNDLE_NOT_FOUND', (at: string) => rmSync(join(at, 'model.json'))],
  ['BUNDLE_INVALID', (at: string) => rmSync(join(at, 'dense.onnx')), 'onnxruntime'],
  ['BUNDLE_INVALID', (at: string) => rmSync(join(at, 'fused.json')), 'auto'],
  ['BUNDLE_INVALID', (at: string) => truncateSync(join(at, 'tables/00001.safetensors'), 1000)],
  ['CHECKSUM_MISMATCH', (at: string) => flip(join(at, 'tables/00001.safetensors'))],
  ['CHECKSUM_MISMATCH', (at: string) => flip(join(at, 'dense.onnx')), 'onnxruntime'],
  ['CHECKSUM_MISMATCH', (at: string) => flip(join(at, 'fused.safetensors')), 'auto'],
  ['BUNDLE_VERSION', (at: string) => edit(at, (manifest) => ({ ...manifest, version: 2 }))],
  ['BUNDLE_INVALID', (at: string) => edit(at, (manifest) => ({ ...manifest, more: 1 }))],
] as const)('a damaged bundle is %s', async (expected, damage, engine = 'auto') => {
  const copy = mkdtempSync(join(directory, 'damaged-'));
  cpSync(bundle, copy, { recursive: true });
  damage(copy);
  await expect(loadExample(copy, { engine })).rejects.toEqual(code(expected));
});

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}

function edit(at: string, change: (manifest: object) => object): void {
  const path = join(at, 'model.json');
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))));
}
