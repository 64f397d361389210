import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { importModel } from '../../lib/index.js';

const models = new URL('../models/', import.meta.url);
const directory = mkdtempSync(join(tmpdir(), 'gyrfalcon-fixtures-'));

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('every kind of fixture agrees with ONNX Runtime through the public API', async () => {
  const list: { name: string; file: string }[] = JSON.parse(
    readFileSync(new URL('manifest.json', models), 'utf8'),
  );
  expect(list.length).toBeGreaterThan(300);
  const out = join(directory, 'fixture');
  for (const { name, file } of list) {
    const path = fileURLToPath(new URL(file, models));
    const { verify } = await importModel(path, out, { verify: 5, overwrite: true });
    expect(verify?.maxAbsError, name).toBeLessThanOrEqual(1e-5);
  }
}, 300_000);
