/** What only holds where batches copy: GYRFALCON_EXTERNAL_BUFFERS is off here. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { importModel, loadModel, type Model } from '../../lib/index.js';
import {
  code,
  type ExampleBundle,
  type ExampleModel,
  exampleBundle,
  loadExample,
  type Untyped,
} from '../unit/example-bundle.js';

let example: ExampleBundle;
let model: ExampleModel;

beforeAll(async () => {
  example = await exampleBundle();
  model = await loadExample(example.bundle);
});

afterAll(async () => {
  await model.close();
  example.remove();
});

async function imported(name: string): Promise<Model<Untyped, Untyped>> {
  const file = fileURLToPath(new URL(`../models/${name}.onnx`, import.meta.url));
  const bundle = join(example.directory, name);
  await importModel(file, bundle, { verify: 8 });
  return await loadModel<Untyped, Untyped>(bundle);
}

test('the buffer is of V8, so that a transfer moves it', () => {
  const { buffer } = model.createBatch(4).inputs.user;
  const moved = structuredClone(buffer, { transfer: [buffer] });
  expect(buffer.byteLength).toBe(0);
  expect(moved.byteLength).toBeGreaterThan(0);
});

test('what is written in flight does not change the score', async () => {
  const batch = model.createBatch(512);
  for (let i = 0; i < 512; i++) batch.inputs.item[i] = i;
  const expected = [...model.scoreSync(batch).score];
  for (let round = 0; round < 50; round++) {
    const scoring = model.score(batch);
    batch.inputs.item.fill(-1);
    expect([...(await scoring).score]).toEqual(expected);
    for (let i = 0; i < 512; i++) batch.inputs.item[i] = i;
  }
});

test('outputs appear with the score, and only those of its rows', () => {
  const batch = model.createBatch(4);
  const { score } = model.scoreSync(batch);
  const value = score[0];
  score.fill(-7);
  batch.rows = 2;
  model.scoreSync(batch);
  expect([...score]).toEqual([value, value, -7, -7]);
});

test('of ragged inputs, as many indices as the last offset says', async () => {
  const bags = await imported('bag-sum-offsets.torchscript');
  const ragged = bags.info.inputs.find(({ kind }) => kind === 'ragged')?.name ?? '';
  const batch = bags.createBatch(3, { indices: { [ragged]: 4 } });
  const { indices, offsets } = batch.inputs[ragged];
  const score = (ids: number[], ends: number[]) => {
    indices.set(ids);
    offsets.set(ends);
    return Object.values(bags.scoreSync(batch)).flatMap((view) => [...view]);
  };
  const all = score([1, 2, 3, 4], [0, 1, 3, 4]);
  expect(score([1, 2, 3, 4], [0, 1, 3, 4])).toEqual(all);
  expect(score([1, 3, 2, 4], [0, 1, 3, 4])).toHaveLength(all.length);
  expect(score([4, 2, 3, 1], [0, 1, 3, 4])).not.toEqual(all);
  // The id past the last offset is not looked at.
  expect(() => score([1, 2, 3, -1], [0, 1, 3, 3])).not.toThrow();
  expect(() => score([1, 2, 3, -1], [0, 1, 3, 4])).toThrow(code('INDEX_OUT_OF_RANGE'));
  for (const end of [-1, 5, 2 ** 31 - 1, -(2 ** 31)]) {
    expect(() => score([1, 2, 3, 4], [0, 1, 3, end])).toThrow(code('INVALID_OFFSETS'));
  }
  await bags.close();
});

test('a model with a fixed number of rows sees the inputs of all of them', async () => {
  const fixed = await imported('dlrm-columns-fixed-batch.torchscript');
  const scores = (rows: (capacity: number) => number) => {
    const batch = fixed.createBatch(1); // has room for all rows, whatever is asked
    for (const [i, input] of Object.values(batch.inputs).entries()) {
      if (!(input instanceof Float32Array)) continue;
      for (let at = 0; at < input.length; at++) input[at] = Math.sin(at + i);
    }
    batch.rows = rows(batch.capacity);
    fixed.scoreSync(batch);
    batch.rows = batch.capacity;
    return { batch, first: Object.values(fixed.scoreSync(batch)).map((view) => view[0]) };
  };
  const { batch, first } = scores((capacity) => capacity);
  expect(batch.capacity).toBeGreaterThan(1);
  expect(scores(() => 1).first).toEqual(first);
  await fixed.close();
});
