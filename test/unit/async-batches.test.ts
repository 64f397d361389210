import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { importModel, loadModel } from '../../lib/index.js';

import {
  code,
  type ExampleBatch,
  type ExampleBundle,
  type ExampleModel,
  exampleBundle,
  loadExample,
} from './example-bundle.js';

let example: ExampleBundle;
let bundle: string;
let model: ExampleModel;

beforeAll(async () => {
  example = await exampleBundle();
  bundle = example.bundle;
  model = await loadExample(bundle);
});

afterAll(async () => {
  await model.close();
  example.remove();
});

function filled(seed: number, rows = 64): ExampleBatch {
  const batch = model.createBatch(rows);
  for (let i = 0; i < rows; i++) {
    batch.inputs.user[i] = (seed * 31 + i * 7) % 611;
    batch.inputs.item[i] = (seed * 17 + i * 13) % 9743;
    batch.inputs.year[i] = (seed + i) % 31;
    batch.inputs.dense[i * 27] = Math.sin(seed + i);
    batch.inputs.genres[i * 10] = 1 + ((seed + i) % 19);
    batch.inputs.history[i * 32] = 1 + ((seed * 5 + i) % 9742);
  }
  return batch;
}

test('asynchronous scores equal synchronous ones, many batches at once', async () => {
  const batches = Array.from({ length: 8 }, (_, seed) => filled(seed));
  const expected = batches.map((batch) => [...model.scoreSync(batch).score]);
  for (let round = 0; round < 20; round++) {
    for (const batch of batches) model.scoreSync(batch).score.fill(-1);
    const scores = await Promise.all(batches.map((batch) => model.score(batch)));
    expect(scores.map(({ score }) => [...score])).toEqual(expected);
  }
});

test('a batch in flight is refused until it settles', async () => {
  const batch = filled(1);
  const first = model.score(batch);
  expect(batch.inFlight).toBe(true);
  expect(() => model.scoreSync(batch)).toThrow(code('BATCH_IN_FLIGHT'));
  await expect(model.score(batch)).rejects.toEqual(code('BATCH_IN_FLIGHT'));
  await first;
  expect(batch.inFlight).toBe(false);
  expect(() => model.scoreSync(batch)).not.toThrow();
});

test('aborts settle once, with ABORTED or a result, and leave the batch usable', async () => {
  const before = new AbortController();
  before.abort(new Error('too late'));
  await expect(model.score(filled(2), { signal: before.signal })).rejects.toEqual(code('ABORTED'));
  const batches = Array.from({ length: 16 }, (_, seed) => filled(seed, 512));
  let aborted = 0;
  for (let round = 0; round < 10; round++) {
    const controller = new AbortController();
    const all = batches.map((batch) => model.score(batch, { signal: controller.signal }));
    controller.abort();
    for (const result of await Promise.allSettled(all)) {
      if (result.status === 'fulfilled') continue;
      expect(result.reason).toEqual(code('ABORTED'));
      aborted++;
    }
  }
  expect(aborted).toBeGreaterThan(0);
  for (const batch of batches) await model.score(batch);
});

test('a value that is no AbortSignal is refused before the batch is submitted', async () => {
  const batch = filled(6);
  for (const signal of [{}, null, 'abort']) {
    await expect(model.score(batch, { signal: signal as never })).rejects.toEqual(
      code('INVALID_ARGUMENT'),
    );
    expect(batch.inFlight).toBe(false);
  }
  await model.score(batch);
});

test('a bad request rejects with its own code and disturbs no other', async () => {
  const good = filled(3);
  const expected = [...model.scoreSync(good).score];
  const bad = filled(4);
  bad.inputs.item[5] = 9743;
  for (let round = 0; round < 50; round++) {
    const [fine, failed] = await Promise.allSettled([model.score(good), model.score(bad)]);
    expect(fine.status === 'fulfilled' && [...fine.value.score]).toEqual(expected);
    expect(failed).toMatchObject({ status: 'rejected', reason: { code: 'INDEX_OUT_OF_RANGE' } });
  }
  bad.inputs.item[5] = 9742;
  await model.score(bad);
});

test('ids that change while they are scored never do worse than a wrong score', async () => {
  const batch = filled(5, 512);
  for (let round = 0; round < 100; round++) {
    const scoring = model.score(batch).catch((error: unknown) => error);
    for (let i = 0; i < 512; i++) batch.inputs.item[i] = (i * 2654435761) | 0;
    const outcome = await scoring;
    if (outcome instanceof Error) expect(outcome).toEqual(code('INDEX_OUT_OF_RANGE'));
    for (let i = 0; i < 512; i++) batch.inputs.item[i] = i;
  }
});

test('ids that stay in the dense graph may change while they are read there, too', async () => {
  const out = join(example.directory, 'remapped');
  const file = new URL('../models/ids-remapped.torchscript.onnx', import.meta.url);
  await importModel(fileURLToPath(file), out);
  const remapped = await loadModel<{ user: BigInt64Array }>(out);
  const batch = remapped.createBatch(100_000);
  for (let round = 0; round < 30; round++) {
    batch.inputs.user.fill(1n);
    const scoring = remapped.score(batch).catch((error: unknown) => error);
    for (let i = 0; i < round * 1000; i++) Math.sqrt(i); // another moment of the run each time
    for (let i = batch.inputs.user.length - 1; i >= 0; i--) batch.inputs.user[i] = 2n ** 40n;
    const outcome = await scoring;
    if (outcome instanceof Error) expect(outcome).toEqual(code('ENGINE_FAILED'));
  }
  await remapped.close();
});

test('close waits for what is in flight and refuses the rest', async () => {
  const closing = await loadExample(bundle);
  const batch = closing.createBatch(512);
  const scoring = closing.score(batch);
  const closed = closing.close();
  expect(() => closing.scoreSync(batch)).toThrow(code('MODEL_CLOSED'));
  expect(() => closing.createBatch(1)).toThrow(code('MODEL_CLOSED'));
  expect((await scoring).score).toHaveLength(512);
  await closed;
  await closing.close();
  await expect(closing.score(batch)).rejects.toEqual(code('MODEL_CLOSED'));
  expect(batch.inputs.user).toHaveLength(512); // the views outlive the model
  await expect(
    (async () => {
      await using scoped = await loadExample(bundle);
      return scoped;
    })().then((gone) => gone.createBatch(1)),
  ).rejects.toEqual(code('MODEL_CLOSED'));
});
