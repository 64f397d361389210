import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { importModel, loadModel, type Model } from '../../lib/index.js';

const models = fileURLToPath(new URL('../models/', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'gyrfalcon-fused-'));
afterEach(() => vi.unstubAllEnvs());
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
  const { verify } = await importModel(join(models, file), bundle, { verify: 4 });
  for (const { engine, precision, maxError, tolerance } of verify?.runs ?? []) {
    expect(maxError, `${engine} in ${precision}`).toBeLessThan(tolerance);
  }
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

test('without ONNX Runtime a lowered bundle loads and scores; others say what is missing', async () => {
  vi.stubEnv('GYRFALCON_ORT_LIBRARY', '/missing/libonnxruntime.so.1');
  const lowered = await loadModel(join(directory, 'dcn-v1.dynamo.onnx'));
  expect(lowered.info.engine).toBe('fused');
  await lowered.close();
  await expect(loadModel(join(directory, 'gru4rec.dynamo.onnx'))).rejects.toMatchObject({
    code: 'ENGINE_UNAVAILABLE',
    message: expect.stringContaining('/missing/libonnxruntime.so.1'),
  });
});

test('reduced precisions stay close, and are refused for ONNX Runtime', async () => {
  const bundle = join(directory, 'dcn-v1.dynamo.onnx');
  const exact = await loadModel(bundle);
  expect(exact.info.precision).toBe('f32');
  const rows = exact.info.batch ?? 40;
  const expected = fill(exact, rows, rows);
  for (const precision of ['bf16', 'int8'] as const) {
    const model = await loadModel(bundle, { precision });
    expect(model.info.precision).toBe(precision);
    const received = fill(model, rows, rows);
    for (const [name, values] of Object.entries(expected)) {
      values.forEach((value, i) => {
        expect(Math.abs((received[name]?.[i] as number) - value)).toBeLessThan(0.05);
      });
    }
    await model.close();
    await expect(loadModel(bundle, { precision, engine: 'onnxruntime' })).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
    });
  }
  await exact.close();
  await expect(loadModel(bundle, { precision: 'f16' as never })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
});

test.each([
  ['fused.json', 60],
  ['fused.safetensors', -4],
])('a changed byte of %s is CHECKSUM_MISMATCH', async (file, at) => {
  const bundle = join(directory, `changed-${file}`);
  cpSync(join(directory, 'dcn-v1.dynamo.onnx'), bundle, { recursive: true });
  const path = join(bundle, file);
  const bytes = readFileSync(path);
  const place = at < 0 ? bytes.length + at : at;
  bytes[place] = (bytes[place] as number) ^ 1;
  writeFileSync(path, bytes);
  await expect(loadModel(bundle)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
});
