/** Requests that fail or are aborted, among requests that do not notice. */
import { afterAll, beforeAll, expect, test } from 'vitest';

import { times } from '../scale.js';
import {
  code,
  type ExampleBatch,
  type ExampleBundle,
  type ExampleModel,
  exampleBundle,
  loadExample,
} from './example-bundle.js';

const LONG = 3_600_000;
const LANES = 8;
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

function filled(seed: number): ExampleBatch {
  const batch = model.createBatch(8);
  for (let i = 0; i < 8; i++) {
    batch.inputs.user[i] = (seed * 31 + i * 7) % 611;
    batch.inputs.item[i] = (seed * 17 + i * 13) % 9743;
    batch.inputs.year[i] = (seed + i) % 31;
    batch.inputs.dense[i * 27] = Math.sin(seed + i);
    batch.inputs.history[i * 32] = 1 + ((seed * 5 + i) % 9742);
  }
  return batch;
}

const bits = (view: Float32Array) => [...new Uint32Array(view.slice().buffer)];

test(
  'bad requests mixed with good ones: each its own error, the good ones bit-identical',
  async () => {
    const good = Array.from({ length: LANES }, (_, seed) => filled(seed));
    const right = good.map((batch) => bits(model.scoreSync(batch).score));
    const bad = Array.from({ length: LANES }, (_, seed) => filled(seed));
    const before = model.stats();
    const rounds = Math.ceil(times(4000, 100_000) / LANES);
    for (let round = 0; round < rounds; round++) {
      const pairs = good.map(async (batch, lane) => {
        const wrong = bad[lane] as ExampleBatch;
        const row = (round + lane) % 8;
        const value = [-1, 9743, 2 ** 31 - 1][round % 3] as number;
        wrong.inputs.item[row] = value;
        const failing = model.score(wrong);
        const scoring = model.score(batch);
        await expect(failing).rejects.toMatchObject({
          code: 'INDEX_OUT_OF_RANGE',
          message: expect.stringContaining(`row ${row}, position 0 but received ${value}`),
        });
        wrong.inputs.item[row] = row;
        expect(bits((await scoring).score)).toEqual(right[lane]);
      });
      await Promise.all(pairs);
    }
    const { requests, failed } = model.stats();
    expect(failed - before.failed).toBe(rounds * LANES);
    expect(requests - before.requests).toBe(2 * rounds * LANES);
  },
  LONG,
);

test(
  'an abort, whenever it comes, settles its score exactly once',
  async () => {
    const batches = Array.from({ length: LANES }, (_, seed) => filled(seed));
    const right = batches.map((batch) => bits(model.scoreSync(batch).score));
    const rounds = Math.ceil(times(4000, 100_000) / LANES);
    let settled = 0;
    const ends = { done: 0, aborted: 0 };
    for (let round = 0; round < rounds; round++) {
      const controllers = batches.map(() => new AbortController());
      const scores = batches.map((batch, lane) =>
        model.score(batch, { signal: (controllers[lane] as AbortController).signal }),
      );
      const all = scores.map((score, lane) =>
        score.then(
          ({ score: view }) => {
            settled++;
            ends.done++;
            expect(bits(view)).toEqual(right[lane]);
          },
          (error: unknown) => {
            settled++;
            ends.aborted++;
            expect(error).toEqual(code('ABORTED'));
            expect((error as Error).cause).toBe(lane);
          },
        ),
      );
      // At once, after a turn of the loop, or when some have finished.
      const abort = () => {
        for (const [lane, controller] of controllers.entries()) {
          controller.abort(lane);
          controller.abort('again');
        }
      };
      if (round % 3 === 1) await new Promise(setImmediate);
      if (round % 3 === 2) await Promise.race(all);
      abort();
      await Promise.all(all);
      abort();
      expect(settled).toBe((round + 1) * LANES);
      expect(batches.some(({ inFlight }) => inFlight)).toBe(false);
    }
    expect(ends.done).toBeGreaterThan(0);
    expect(ends.aborted).toBeGreaterThan(0);
    for (const [lane, batch] of batches.entries()) {
      expect(bits(model.scoreSync(batch).score)).toEqual(right[lane]);
    }
  },
  LONG,
);
