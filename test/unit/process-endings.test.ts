import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { importModel } from '../../lib/index.js';

const source = fileURLToPath(new URL('../../examples/movielens/model.onnx', import.meta.url));
const child = fileURLToPath(new URL('../lifetime/child.mjs', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'gyrfalcon-endings-'));
const bundle = join(directory, 'bundle');

beforeAll(async () => {
  await importModel(source, bundle);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

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
        ['--expose-gc', child, ending, bundle],
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
