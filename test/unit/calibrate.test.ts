import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { scaleOf } from '../../lib/import/calibrate.js';
import { type ImportOptions, importModel, loadModel } from '../../lib/index.js';
import { xxh64 } from './import/bundle-codec.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const movielens = join(root, 'examples/movielens/model.onnx');
const requests = join(root, 'examples/movielens/requests.jsonl');
const rows: Record<string, number | number[]>[] = readFileSync(requests, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line));
const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-calibrate-'));
afterAll(() => rmSync(folder, { recursive: true }));

let made = 0;
/** A bundle of the film ranker. */
async function films(options: ImportOptions): Promise<string> {
  const bundle = join(folder, `films-${made++}`);
  await importModel(movielens, bundle, options);
  return bundle;
}

const contents = (bundle: string) =>
  ['fused.json', 'fused.safetensors', 'model.json'].map((file) =>
    readFileSync(join(bundle, file), 'latin1'),
  );

async function scores(bundle: string, precision: 'auto' | 'f32' | 'bf16' | 'int8') {
  const model = await loadModel(bundle, { precision });
  const batch = model.createBatch(rows.length);
  const inputs = batch.inputs as unknown as Record<string, Int32Array>;
  rows.forEach((row, r) => {
    for (const [name, array] of Object.entries(inputs)) {
      const values = [row[name] as number | number[]].flat();
      array.set(values, r * values.length);
    }
  });
  const { score } = model.scoreSync(batch) as { score: Float32Array };
  const copy = score.slice();
  await model.close();
  return copy;
}

const worst = (a: Float32Array, b: Float32Array) =>
  a.reduce((max, value, i) => Math.max(max, Math.abs(value - (b[i] as number))), 0);
const mean = (a: Float32Array, b: Float32Array) =>
  a.reduce((sum, value, i) => sum + Math.abs(value - (b[i] as number)), 0) / a.length;

let plain: string;
let calibrated: string;
beforeAll(async () => {
  plain = await films({});
  calibrated = await films({ precision: 'int8', calibrate: rows.slice(0, 200) });
});

describe('a calibrated bundle', () => {
  test('is the same whatever form and order the rows come in', async () => {
    const jsonl = join(folder, 'rows.jsonl');
    writeFileSync(
      jsonl,
      rows
        .slice(0, 200)
        .map((row) => JSON.stringify(row))
        .join('\n'),
    );
    const csv = join(folder, 'rows.csv');
    const names = Object.keys(rows[0] as object);
    const line = (row: (typeof rows)[number]) =>
      names.map((name) => [row[name]].flat().join(' ')).join(',');
    writeFileSync(csv, [names.join(','), ...rows.slice(0, 200).map(line)].join('\n'));
    async function* backwards() {
      yield* rows.slice(0, 200).reverse();
    }
    for (const calibrate of [rows.slice(0, 200), jsonl, csv, backwards()]) {
      const again = await films({ precision: 'int8', calibrate });
      expect(contents(again)).toEqual(contents(calibrated));
    }
    const fewer = await films({ precision: 'int8', calibrate: rows.slice(0, 3) });
    expect(contents(fewer)).not.toEqual(contents(calibrated));
  });

  test('differs from another in scales and precision alone', () => {
    const manifests = [plain, calibrated].map((bundle) => {
      const { fused, ...rest } = JSON.parse(readFileSync(join(bundle, 'model.json'), 'utf8'));
      return { fused, rest };
    });
    expect(manifests[1]?.rest).toEqual(manifests[0]?.rest);
    expect(manifests[0]?.fused).not.toHaveProperty('precision');
    expect(manifests[1]?.fused.precision).toBe('int8');
    expect(readdirSync(calibrated).sort()).toEqual(readdirSync(plain).sort());
    const graph = JSON.parse(readFileSync(join(calibrated, 'fused.json'), 'utf8'));
    const first = graph.inputs.length;
    const scaled = graph.nodes.filter((node: { x_scale?: number }) => node.x_scale !== undefined);
    expect(scaled.length).toBeGreaterThan(0);
    for (const { in: operands, x_scale } of scaled) {
      const [k, n] = graph.constants[operands[1] - first].shape;
      expect(graph.constants[x_scale - first].shape).toEqual([k]);
      expect(k).toBeGreaterThan(32);
      expect(n).toBeGreaterThan(4);
    }
  });

  test('runs in its precision unless told otherwise', async () => {
    const precisionOf = async (bundle: string, options: Parameters<typeof loadModel>[1]) => {
      const model = await loadModel(bundle, options);
      await model.close();
      return `${model.info.engine} ${model.info.precision}`;
    };
    expect(await precisionOf(calibrated, {})).toBe('fused int8');
    expect(await precisionOf(calibrated, { precision: 'auto' })).toBe('fused int8');
    expect(await precisionOf(calibrated, { precision: 'f32' })).toBe('fused f32');
    expect(await precisionOf(calibrated, { precision: 'bf16' })).toBe('fused bf16');
    expect(await precisionOf(calibrated, { engine: 'onnxruntime' })).toBe('onnxruntime f32');
    expect(await precisionOf(plain, {})).toBe('fused f32');
    expect(await precisionOf(plain, { precision: 'int8' })).toBe('fused int8');
  });

  test('scores in f32 and bf16 as if it were not, and in int8 closer than without', async () => {
    const exact = await scores(plain, 'f32');
    expect(await scores(calibrated, 'f32')).toEqual(exact);
    expect(await scores(calibrated, 'bf16')).toEqual(await scores(plain, 'bf16'));
    const dynamic = await scores(plain, 'int8');
    const scaled = await scores(calibrated, 'auto');
    // Measured: 2.7e-3 and 4e-4 for bf16, 3.5e-3 and 7e-4 for int8, 2.5e-3 and 4e-4 calibrated.
    expect(worst(await scores(plain, 'bf16'), exact)).toBeLessThan(0.01);
    expect(worst(dynamic, exact)).toBeLessThan(0.01);
    expect(worst(scaled, exact)).toBeLessThan(0.01);
    expect(mean(scaled, exact)).toBeLessThan(1e-3);
    expect(mean(scaled, exact)).toBeLessThanOrEqual(mean(dynamic, exact));
  });
});

describe('verification', () => {
  test('covers every engine and precision, the default first', async () => {
    const { verify } = await importModel(movielens, join(folder, 'verified'), {
      precision: 'bf16',
      verify: 64,
    });
    expect(verify?.runs.map(({ engine, precision }) => `${engine} ${precision}`)).toEqual([
      'fused bf16',
      'fused f32',
      'fused int8',
      'onnxruntime f32',
    ]);
    for (const { precision, maxError, tolerance } of verify?.runs ?? []) {
      expect(maxError).toBeLessThan(tolerance);
      expect(maxError > 1e-5).toBe(precision !== 'f32');
    }
    expect(verify?.maxError).toBe(verify?.runs[0]?.maxError);
    expect(verify?.tolerance).toBe(verify?.runs[0]?.tolerance);
  });

  test('fails for the precision that was asked for, not for others', async () => {
    const options = { verify: 16, tolerance: 1e-5 };
    await importModel(movielens, join(folder, 'strict'), options);
    await expect(
      importModel(movielens, join(folder, 'too-strict'), { ...options, precision: 'int8' }),
    ).rejects.toMatchObject({
      code: 'VERIFY_FAILED',
      message: expect.stringContaining('engine fused and precision int8'),
    });
  });
});

describe('refused are', () => {
  const failing = (options: ImportOptions, model = movielens) =>
    importModel(model, join(folder, 'refused'), options).then(
      () => 'imported',
      ({ code, message }) => `${code}: ${message}`,
    );
  const [row] = rows as [(typeof rows)[number]];

  test.each<[string, ImportOptions, RegExp]>([
    ['no rows', { calibrate: [] }, /^INVALID_ARGUMENT: expected rows/],
    [
      'a row without an input',
      { calibrate: [row, { ...row, item: undefined }] },
      /^INVALID_ARGUMENT: line 2: .*item/,
    ],
    [
      'a row of another shape',
      { calibrate: [{ ...row, dense: [1] }] },
      /^SHAPE_MISMATCH: line 1: .*dense/,
    ],
    ['a row that is no object', { calibrate: [row, 7 as never] }, /^INVALID_ARGUMENT: .*row 2/],
    ['an id out of range', { calibrate: [{ ...row, item: 10 ** 6 }] }, /^INDEX_OUT_OF_RANGE/],
    ['a number for rows', { calibrate: 7 as never }, /^INVALID_ARGUMENT: .*calibrate/],
    ['a file that is not there', { calibrate: join(folder, 'missing') }, /^IO_ERROR: .*missing/],
    ['another precision', { precision: 'f16' as never }, /^INVALID_ARGUMENT: .*precision/],
    [
      'int8 without the fused engine',
      { fused: false, precision: 'int8' },
      /^INVALID_ARGUMENT: .*fused/,
    ],
    ['calibration without it', { fused: false, calibrate: rows }, /^INVALID_ARGUMENT: .*fused/],
  ])('%s, and nothing is left', async (_name, options, message) => {
    expect(await failing(options)).toMatch(message);
    expect(readdirSync(folder).filter((name) => name.startsWith('refused'))).toEqual([]);
  });

  test('a precision for a network that the fused engine does not cover', async () => {
    const model = join(root, 'test/models/gru4rec.dynamo.onnx');
    expect(await failing({ precision: 'bf16' }, model)).toMatch(
      /^ONNX_UNSUPPORTED: .*bf16.*Runtime/,
    );
    expect(await failing({ calibrate: [] }, model)).toMatch(/^ONNX_UNSUPPORTED: .*calibrate/);
  });

  test('an import that is aborted while it calibrates', async () => {
    const controller = new AbortController();
    async function* endless() {
      for (let i = 0; ; i++) {
        if (i === 300) controller.abort();
        yield row;
      }
    }
    expect(await failing({ calibrate: endless(), signal: controller.signal })).toMatch(/^ABORTED/);
    expect(readdirSync(folder).filter((name) => name.startsWith('refused'))).toEqual([]);
  });

  // Both files with checksums that fit, as an attacker would write them.
  test.each([
    ['0', 0],
    ['negative', -1],
    ['infinite', Infinity],
    ['no number', NaN],
    ['too small', 2 ** -65],
    ['too large', 2 ** 65],
  ])('scales that are %s, in every precision', async (_name, value) => {
    const bundle = join(folder, `hostile-${value}`);
    cpSync(calibrated, bundle, { recursive: true });
    const weights = readFileSync(join(bundle, 'fused.safetensors'));
    const start = 8 + Number(weights.readBigUInt64LE(0));
    const header = JSON.parse(weights.subarray(8, start).toString());
    const scale = Object.keys(header).find((name) => name.endsWith('.x_scale')) as string;
    weights.writeFloatLE(value, start + header[scale].data_offsets[1] - 4);
    writeFileSync(join(bundle, 'fused.safetensors'), weights);
    const manifest = JSON.parse(readFileSync(join(bundle, 'model.json'), 'utf8'));
    manifest.fused.weightsXxh64 = xxh64(weights.subarray(start));
    writeFileSync(join(bundle, 'model.json'), JSON.stringify(manifest));
    for (const precision of ['auto', 'f32', 'bf16'] as const) {
      await expect(loadModel(bundle, { precision })).rejects.toMatchObject({
        code: 'BUNDLE_INVALID',
        message: expect.stringContaining(scale),
      });
    }
  });
});

describe('scales', () => {
  const of = (x: number[], w: number[]) => scaleOf(Float64Array.from(x), Float64Array.from(w));

  test('share the range of x and weights, with a geometric mean of 1', () => {
    const scale = of([100, 1, 1], [1, 1, 1]) as Float32Array;
    expect(scale[1]).toBe(scale[2]);
    expect((scale[0] as number) / (scale[1] as number)).toBeCloseTo(100 ** 0.3, 5);
    expect(scale.reduce((product, s) => product * s, 1)).toBeCloseTo(1, 5);
    const weighted = of([1, 1], [16, 1]) as Float32Array;
    expect((weighted[1] as number) / (weighted[0] as number)).toBeCloseTo(16 ** 0.7, 5);
  });

  test('do not trust what was not seen', () => {
    const scale = of([128, 1, 0.001, 0], [1, 1, 1, 1]) as Float32Array;
    expect(scale[1]).toBe(scale[2]);
    expect(scale[2]).toBe(scale[3]);
    const weights = of([1, 1, 1], [128, 1, 0]) as Float32Array;
    expect(weights[1]).toBe(weights[2]);
  });

  test('are none where nothing was seen or is multiplied', () => {
    expect(of([0, 0], [1, 1])).toBeNull();
    expect(of([1, 1], [0, 0])).toBeNull();
    expect(of([1, 1], [NaN, NaN])).toBeNull();
  });

  test('stay numbers with weights that are none, and within their limits', () => {
    for (const scale of [
      of([1, 1], [NaN, 1]),
      of([1, 2], [Infinity, 1]),
      of([1e-300, 1e300], [1e300, 1e-300]),
    ]) {
      for (const s of scale as Float32Array) {
        expect(s).toBeGreaterThanOrEqual(2 ** -20);
        expect(s).toBeLessThanOrEqual(2 ** 20);
      }
    }
  });
});
