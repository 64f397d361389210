import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import type { DtypeName, Manifest } from '../../../lib/import/manifest.js';
import { readOnnxModel } from '../../../lib/import/onnx/read.js';
import type { VerifyRequest } from '../../../lib/import/run-import.js';
import { verifyBundle } from '../../../lib/import/verify.js';
import { openLowered, openOriginal } from './bundle-scorer.js';

const MODELS = join(import.meta.dirname, '../../models');

interface Fixture {
  name: string;
  file: string;
  inputs: { name: string; dtype: string; shape: (number | string)[] }[];
}

const fixtures = JSON.parse(readFileSync(join(MODELS, 'manifest.json'), 'utf8')) as Fixture[];

const DTYPES: Record<string, DtypeName> = {
  float32: 'f32',
  float64: 'f64',
  float16: 'f16',
  int8: 'i8',
  uint8: 'u8',
  int16: 'i16',
  int32: 'i32',
  int64: 'i64',
  bool: 'bool',
};

describe('a lowered model scores as the original does', () => {
  it.each(fixtures)('$name', async (fixture) => {
    const modelPath = join(MODELS, fixture.file);
    const lowered = analyze(await readOnnxModel(modelPath), {});
    const manifest: Manifest = {
      ...lowered,
      format: 'gyrfalcon-bundle',
      version: 1,
      producer: 'test',
      tables: lowered.tables.map(({ name, rows, dim }) => ({
        name,
        rows,
        dim,
        storage: 'f32',
        file: 'none',
        tensor: 'table',
        xxh64: '0'.repeat(16),
      })),
      dense: { file: 'none', xxh64: '0'.repeat(16), inputs: lowered.denseInputs },
    };
    const request: VerifyRequest = {
      modelPath,
      bundle: 'none',
      manifest,
      rows: 40,
      tolerance: undefined,
      library: undefined,
      signal: undefined,
      onRows: () => undefined,
    };
    const inputs = fixture.inputs.map(({ name, dtype, shape }) => ({
      name,
      dtype: DTYPES[dtype] as DtypeName,
      dims: shape,
    }));
    const result = await verifyBundle(request, {
      openOriginal: () => openOriginal(modelPath, inputs),
      openBundle: () => openLowered(lowered),
    });
    expect(result.rows).toBeGreaterThanOrEqual(40);
  });
});
