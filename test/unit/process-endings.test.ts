import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ExampleBundle, exampleBundle } from './example-bundle.js';

const child = fileURLToPath(new URL('../lifetime/child.mjs', import.meta.url));
let example: ExampleBundle;

beforeAll(async () => {
  example = await exampleBundle();
});

afterAll(() => example.remove());

test.each([
  ['natural', 0, 2],
  ['unawaited', 0, 2],
  ['exit', 7, 5],
  ['throws', 1, 5],
  ['collected', 0, 1],
  ['views', 0, 1],
  ['terminated', 0, 1],
  ['workers', 0, 1],
] as const)(
  'a process that ends by "%s" ends with code %i',
  (ending, code, times) => {
    for (let i = 0; i < times; i++) {
      const { status, signal, stderr } = spawnSync(
        process.execPath,
        ['--expose-gc', child, ending, example.bundle],
        { encoding: 'utf8', timeout: 240_000 },
      );
      expect({ status, signal, stderr: status === code ? '' : stderr }).toEqual({
        status: code,
        signal: null,
        stderr: '',
      });
    }
  },
  300_000,
);
