import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { importModel, loadModel, type Model } from '../../lib/index.js';

const models = fileURLToPath(new URL('../models/', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'gyrfalcon-fused-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** Ids that every table has, small integers and numbers around 0; the same for every engine. */
function fill(model: Model, rows: number, capacity: number): Record<string, Float32Array> {
  const batch = model.createBatch(capacity, {
    symbols: Object.fromEntries(Object.keys(model.info.symbols).map((name) => [name, 7])),
  });
  let seed = 12345;
  const next = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return Math.floor((seed / 2147483648) * below);
  };
  batch.rows = rows;
  for (const input of model.info.inputs) {
    const place = (batch.inputs as Record<string, unknown>)[input.name];
    const ragged = place as { indices: Int32Array; offsets: Int32Array; weights?: Float32Array };
    const data = (input.kind === 'ragged' ? ragged.indices : place) as Float32Array;
    for (let i = 0; i < data.length; i++) {
      const value = input.dtype === 'f32' ? next(2000) / 1000 - 1 : next(2);
      data[i] = (input.dtype === 'i64' ? BigInt(value) : value) as number;
    }
    if (input.kind === 'ragged') {
      for (let row = 0; row <= rows; row++) ragged.offsets[row] = row * 3;
      ragged.weights?.forEach((_, i) => {
        (ragged.weights as Float32Array)[i] = next(1000) / 1000;
      });
    }
  }
  const scores = model.scoreSync(batch) as Record<string, Float32Array>;
  return Object.fromEntries(Object.entries(scores).map(([name, view]) => [name, view.slice()]));
}

let fused = 0;

const files = readdirSync(models).filter((file) => file.endsWith('.onnx'));

test.each(files)('%s: both engines agree', { timeout: 60_000 }, async (file) => {
  const bundle = join(directory, file);
  await importModel(join(models, file), bundle, { fused: true, verify: 4 });
  const manifest = JSON.parse(readFileSync(join(bundle, 'model.json'), 'utf8'));
  if (manifest.fused === undefined) {
    await expect(loadModel(bundle, { engine: 'fused' })).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
    });
    return;
  }
  fused++;
  const judge = await loadModel(bundle, { engine: 'onnxruntime', outOfRange: 'zero' });
  for (const threads of [1, 2]) {
    const ours = await loadModel(bundle, { threads, outOfRange: 'zero' });
    expect(ours.info.engine).toBe('fused');
    const fixed = ours.info.batch;
    for (const rows of fixed === null ? [0, 1, 2, 63, 64, 65, 150] : [fixed]) {
      const capacity = fixed ?? 150;
      const expected = fill(judge, rows, capacity);
      const received = fill(ours, rows, capacity);
      for (const [name, values] of Object.entries(expected)) {
        const scores = received[name] as Float32Array;
        expect(scores).toHaveLength(values.length);
        let worst = 0;
        values.forEach((value, i) => {
          const score = scores[i] as number;
          if (Object.is(score, value)) return;
          const error = Math.abs(score - value) / Math.max(1, Math.abs(value));
          worst = Math.max(worst, Number.isNaN(error) ? Infinity : error);
        });
        expect(worst, `${name}, ${rows} rows`).toBeLessThan(1e-5);
      }
    }
    await ours.close();
  }
  await judge.close();
});

test('most fixtures run in the fused engine', () => {
  expect(fused).toBeGreaterThan(300);
});
