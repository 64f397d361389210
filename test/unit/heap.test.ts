/** What a score leaves on the JavaScript heap, measured in a process of its own. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ExampleBundle, exampleBundle } from './example-bundle.js';

const child = fileURLToPath(new URL('../lifetime/heap.mjs', import.meta.url));
let example: ExampleBundle;

beforeAll(async () => {
  example = await exampleBundle();
});

afterAll(() => example.remove());

/** Bytes of a call, by what was called. */
async function measure(engine: string, external: string): Promise<Record<string, number>> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      ...['--expose-gc', '--min-semi-space-size=32', '--max-semi-space-size=32'],
      ...[child, example.bundle, engine],
    ],
    { env: { ...process.env, GYRFALCON_EXTERNAL_BUFFERS: external } },
  );
  return JSON.parse(stdout) as Record<string, number>;
}

test.each([
  ['fused', 'on'],
  ['fused', 'off'],
  ['onnxruntime', 'on'],
])('scoreSync takes no JavaScript memory: %s, external buffers %s', async (engine, external) => {
  const { scoreSync, object, copy, times, reading } = await measure(engine, external);
  // The smallest object has a header of three words and a field: it is seen, so would one be here.
  expect(object).toBeGreaterThanOrEqual(16);
  expect(copy).toBeGreaterThan(object as number);
  expect(times).toBeGreaterThan(object as number);
  expect((scoreSync as number) - (reading as number)).toBeLessThan(0.5);
});
