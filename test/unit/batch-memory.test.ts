import { setFlagsFromString } from 'node:v8';
import { afterAll, beforeAll, expect, test } from 'vitest';

import {
  code,
  type ExampleBatch,
  type ExampleBundle,
  type ExampleModel,
  exampleBundle,
  loadExample,
} from './example-bundle.js';

setFlagsFromString('--allow-natives-syntax');
// The engine's own way, for buffers that no function of JavaScript detaches.
const detach: (buffer: ArrayBuffer) => void = new Function('b', '%ArrayBufferDetach(b)') as never;

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

const bufferOf = (batch: ExampleBatch): ArrayBuffer => batch.inputs.user.buffer;

async function expectDetached(batch: ExampleBatch): Promise<void> {
  expect(() => model.scoreSync(batch)).toThrow(code('DETACHED_BUFFER'));
  await expect(model.score(batch)).rejects.toEqual(code('DETACHED_BUFFER'));
  expect(batch.inFlight).toBe(false);
}

async function expectUsable(batch: ExampleBatch): Promise<void> {
  expect(model.scoreSync(batch).score).toHaveLength(batch.rows);
  expect((await model.score(batch)).score).toHaveLength(batch.rows);
}

test('all views of a batch lie in one buffer of 64-byte-aligned parts', () => {
  const { inputs } = model.createBatch(3);
  const offsets = Object.values(inputs).map(({ buffer, byteOffset }) => {
    expect(buffer).toBe(inputs.user.buffer);
    return byteOffset % 64;
  });
  expect(offsets).toEqual(Object.keys(inputs).map(() => 0));
});

test('a detached batch is refused, and its neighbours are not', async () => {
  const [gone, stays] = [model.createBatch(4), model.createBatch(4)];
  model.scoreSync(gone);
  detach(bufferOf(gone));
  await expectDetached(gone);
  gone.rows = 2;
  await expectDetached(gone);
  expect(gone.inputs.user).toHaveLength(0);
  expect(gone.times.lookup).toBeGreaterThan(0);
  await expectUsable(stays);
});

test('a batch that is detached in flight rejects when it settles', async () => {
  for (let round = 0; round < 20; round++) {
    const batch = model.createBatch(512);
    const scoring = model.score(batch);
    detach(bufferOf(batch));
    await expect(scoring).rejects.toEqual(code('DETACHED_BUFFER'));
    await expectDetached(batch);
  }
  await expectUsable(model.createBatch(4));
});

/** Ways to take a buffer away; some runtimes refuse or copy instead. */
const thefts: [string, (buffer: ArrayBuffer) => void][] = [
  ['structuredClone', (buffer) => structuredClone(buffer, { transfer: [buffer] })],
  [
    'postMessage',
    (buffer) => {
      const { port1, port2 } = new MessageChannel();
      try {
        port1.postMessage(buffer, [buffer]);
      } finally {
        port1.close();
        port2.close();
      }
    },
  ],
  ['transfer', (buffer) => (buffer as { transfer?: () => void }).transfer?.()],
  ['resize', (buffer) => (buffer as { resize?: (bytes: number) => void }).resize?.(0)],
];

test.each(thefts)('%s of the buffer leaves a batch that scores or says so', async (_, steal) => {
  for (const inFlight of [false, true]) {
    const batch = model.createBatch(64);
    const before = [...model.scoreSync(batch).score];
    const scoring = inFlight ? model.score(batch) : undefined;
    try {
      steal(bufferOf(batch));
    } catch (error) {
      expect((error as Error).name).toMatch(/TypeError|DataCloneError/);
    }
    if (bufferOf(batch).byteLength === 0) {
      if (scoring !== undefined) await expect(scoring).rejects.toEqual(code('DETACHED_BUFFER'));
      await expectDetached(batch);
    } else {
      await scoring;
      await expectUsable(batch);
      expect([...model.scoreSync(batch).score]).toEqual(before);
    }
  }
  await expectUsable(model.createBatch(4));
});
