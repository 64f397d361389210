import { copyFileSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';

import { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';

import { type ImportRuntime, importModelWith } from '../../../lib/import/import.js';
import type { DtypeName, Manifest } from '../../../lib/import/manifest.js';
import { readOnnxModel } from '../../../lib/import/onnx/read.js';
import { toNumbers, toTensorData } from '../../../lib/import/tensor-values.js';
import type { RuntimeModel, RuntimeRagged } from '../../../lib/import/verify-runtime.js';
import { sizeOf } from '../../../lib/import/verify-sample.js';
import { referenceCodec, referenceHash } from './bundle-codec.js';
import { openLowered, openOriginal } from './bundle-scorer.js';
import { codeOf, withDirectory } from './onnx-builder.js';

const MODELS = join(import.meta.dirname, '../../models');

const ORT_DTYPES: Record<string, DtypeName> = {
  float32: 'f32',
  float64: 'f64',
  float16: 'f16',
  int32: 'i32',
  int64: 'i64',
  bool: 'bool',
};

/** Reads a bundle from its files, by the format's document, with nothing of the writer. */
async function loadBundle(directory: string, spoil: (values: Float32Array) => void) {
  const manifest = JSON.parse(readFileSync(join(directory, 'model.json'), 'utf8')) as Manifest;
  const scored = await openLowered({
    ...manifest,
    report: [],
    batchAxes: {},
    stacks: {},
    denseInputs: manifest.dense.inputs,
    dense: await readOnnxModel(join(directory, manifest.dense.file)),
    tables: manifest.tables.map(({ name, rows, dim, file, storage, tensor }) => {
      const data = readFileSync(join(directory, file));
      const start = 8 + Number(data.readBigUInt64LE(0));
      const header = JSON.parse(data.toString('utf8', 8, start)) as Record<
        string,
        { dtype: string; shape: number[]; data_offsets: [number, number] }
      >;
      const entry = header[tensor];
      if (storage !== 'f32' || entry?.dtype !== 'F32') throw new Error('expected f32');
      expect(entry.shape).toEqual([rows, dim]);
      const bytes = Uint8Array.from(data.subarray(start)).subarray(...entry.data_offsets);
      spoil(new Float32Array(bytes.buffer));
      const source = { kind: 'inline' as const, bytes };
      return { name, rows, dim, tensor: { name, dataType: 1, dims: [rows, dim], source } };
    }),
  });
  type Batch = ReturnType<RuntimeModel['createBatch']> & { symbols: Record<string, number> };
  const model: RuntimeModel<Batch> = {
    createBatch: (rows, { symbols, indices }) => ({
      rows,
      symbols,
      inputs: Object.fromEntries(
        manifest.inputs.map((input) => {
          if (input.kind === 'ragged') {
            const room = new Float64Array(indices[input.name] as number);
            const ragged = {
              indices: toTensorData(input.dtype, room),
              offsets: new Int32Array(rows + 1),
              weights: new Float32Array(room.length),
            };
            return [input.name, ragged];
          }
          const size = input.shape.reduce<number>((n, e) => n * sizeOf(e, rows, symbols), 1);
          return [input.name, toTensorData(input.dtype, new Float64Array(size))];
        }),
      ),
    }),
    scoreSync: (batch) => {
      const inputs = manifest.inputs.map((input) => {
        const value = batch.inputs[input.name];
        if (input.kind === 'ragged') {
          const { indices, offsets, weights } = value as Partial<RuntimeRagged>;
          if (indices === undefined || offsets === undefined) throw new Error('expected ragged');
          const ids = toNumbers(input.dtype, indices as Int32Array);
          return [input.name, { kind: 'ragged' as const, indices: ids, offsets, weights }] as const;
        }
        const dims = input.shape.map((extent) => sizeOf(extent, batch.rows, batch.symbols));
        const values = toNumbers(input.dtype, value as Int32Array);
        return [input.name, { kind: 'tensor' as const, values, dims }] as const;
      });
      return scored.score({
        rows: batch.rows,
        symbols: batch.symbols,
        inputs: new Map(inputs as never),
      });
    },
    close: () => scored.close(),
  };
  return model as unknown as RuntimeModel;
}

const runtime = (spoil: (values: Float32Array) => void = () => undefined): ImportRuntime => ({
  version: '0.0.0',
  native: {
    encodeRows: (...args) => referenceCodec.encodeRows(...args),
    Xxh64: class {
      private readonly hash = referenceHash();
      update = (bytes: Uint8Array): void => this.hash.update(bytes);
      digest = (): string => this.hash.digest();
    },
  },
  openEngine: async (path) => {
    const session = await InferenceSession.create(path, { logSeverityLevel: 4 });
    const inputs = session.inputMetadata.map((input) => {
      if (!input.isTensor) throw new Error('expected tensors');
      return { name: input.name, dtype: ORT_DTYPES[input.type] as DtypeName, dims: input.shape };
    });
    await session.release();
    const original = await openOriginal(path, inputs);
    return { inputs, runSync: original.run, close: original.close };
  },
  loadModel: (directory) => loadBundle(directory, spoil),
});

const fixtures = readdirSync(MODELS).filter((file) => file.endsWith('.onnx'));

describe('importModel', () => {
  it.each(fixtures)('writes a bundle of %s whose files score as the original', async (file) => {
    await withDirectory(async (directory) => {
      const out = join(directory, 'bundle');
      const options = { verify: 20, tableDtype: 'f32', fused: false } as const;
      const result = await importModelWith(runtime(), join(MODELS, file), out, options);
      expect(result.verify?.rows).toBeGreaterThanOrEqual(20);
      expect(result.verify?.maxError).toBeLessThanOrEqual(1e-5);
      expect(result.bundle).toBe(out);
    });
  });

  it('fails and leaves nothing when the tables are not those of the model', async () => {
    await withDirectory(async (directory) => {
      const path = join(MODELS, 'dlrm-separate.dynamo.onnx');
      const options = { verify: 20, fused: false };
      const spoiled = runtime((values) => {
        values[0] = (values[0] as number) + 1;
      });
      const out = join(directory, 'bundle');
      expect(await codeOf(() => importModelWith(spoiled, path, out, options))).toBe(
        'VERIFY_FAILED',
      );
      expect(readdirSync(directory)).toEqual([]);
    });
  });

  it('is typed when the model is cut short', async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, 'm.onnx');
      copyFileSync(join(MODELS, 'dlrm-separate.dynamo.onnx'), path);
      truncateSync(path, 1000);
      const out = join(directory, 'bundle');
      expect(await codeOf(() => importModelWith(runtime(), path, out))).toBe('ONNX_INVALID');
      expect(readdirSync(directory)).toEqual(['m.onnx']);
    });
  });
});
