import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { GyrfalconError } from '../../../lib/errors.js';
import type { Manifest } from '../../../lib/import/manifest.js';
import { parseOnnxModel } from '../../../lib/import/onnx/read.js';
import { type ImportOptions, type ImportParts, runImport } from '../../../lib/import/run-import.js';
import { referenceCodec, xxh64 } from './bundle-codec.js';
import { DIM, lower, ORIGINAL, ROWS } from './bundle-fixture.js';
import { codeOf, withDirectory } from './onnx-builder.js';

const parts: ImportParts = {
  codec: referenceCodec,
  analyze: lower,
  verify: async (request) => ({
    rows: request.rows,
    maxError: 0,
    maxAbsError: 0,
    tolerance: request.tolerance ?? 1e-5,
    perOutput: [],
    runs: [],
  }),
  calibrate: async (request) => request.fused,
  producer: 'test',
};

type Run = (options?: ImportOptions, more?: Partial<ImportParts>) => ReturnType<typeof runImport>;

/** Calls `use` in a directory with a model; `run` imports it to `out`. */
async function imported<T>(
  use: (at: { root: string; out: string; run: Run }) => Promise<T>,
): Promise<T> {
  return await withDirectory(async (root) => {
    const path = join(root, 'm.onnx');
    const out = join(root, 'bundle');
    writeFileSync(path, ORIGINAL);
    const run: Run = (options = {}, more = {}) =>
      runImport(path, out, options, { ...parts, ...more });
    return await use({ root, out, run });
  });
}

const manifestOf = (out: string) =>
  JSON.parse(readFileSync(join(out, 'model.json'), 'utf8')) as Manifest;

describe('runImport', () => {
  it('writes manifest, tables and dense graph that agree with each other', async () => {
    await imported(async ({ root, out, run }) => {
      const result = await run();
      expect(result.bundle).toBe(out);
      expect(readdirSync(root).sort()).toEqual(['bundle', 'm.onnx']);
      expect(readdirSync(out).sort()).toEqual([
        'dense.onnx',
        'fused.json',
        'fused.safetensors',
        'model.json',
        'tables',
      ]);
      const manifest = manifestOf(out);
      expect(manifest).toEqual(result.manifest);
      expect(manifest.format).toBe('gyrfalcon-bundle');
      expect(manifest.source).toEqual({
        file: 'm.onnx',
        bytes: ORIGINAL.byteLength,
        xxh64: xxh64(ORIGINAL),
      });
      const dense = readFileSync(join(out, manifest.dense.file));
      expect(manifest.dense.xxh64).toBe(xxh64(dense));
      expect(parseOnnxModel(dense).graph.inputs[0]?.name).toBe('slot');
      const [table] = manifest.tables;
      expect(table).toMatchObject({ name: 'emb', rows: ROWS, dim: DIM, storage: 'f32' });
      const file = readFileSync(join(out, table?.file as string));
      expect(table?.xxh64).toBe(xxh64(file.subarray(file.byteLength - ROWS * DIM * 4)));
      expect(result.tables).toEqual([
        { name: 'emb', rows: ROWS, dim: DIM, storage: 'f32', bytes: ROWS * DIM * 4 },
      ]);
      expect(result.report).toEqual(manifest.report);
    });
  });

  it('reports every stage to its end', async () => {
    await imported(async ({ run }) => {
      const last = new Map<string, number>();
      await run({
        verify: 3,
        onProgress: ({ stage, done, total }) => {
          expect(done).toBeLessThanOrEqual(total);
          last.set(stage, done / total);
        },
      });
      expect([...last.keys()]).toEqual(['read', 'analyze', 'hash', 'tables', 'dense', 'verify']);
      last.delete('verify');
      expect(new Set(last.values())).toEqual(new Set([1]));
    });
  });

  it.each([
    ['int8', 'int8'],
    [{ emb: 'int8' }, 'int8'],
    [{ '*': 'int8' }, 'int8'],
    [{ '*': 'int8', emb: 'f32' }, 'f32'],
    [{}, 'f32'],
  ] as const)('stores tables as tableDtype %j says', async (tableDtype, storage) => {
    await imported(async ({ run }) => {
      expect((await run({ tableDtype })).tables[0]?.storage).toBe(storage);
    });
  });

  it.each([
    [{ other: 'int8' }, /emb.*"other"/],
    ['int3', /f32, f16, bf16, int8, int4.*int3/],
    [{ emb: 'F32' }, /F32/],
  ])('refuses tableDtype %j', async (tableDtype, says) => {
    await imported(async ({ root, run }) => {
      const promise = run({ tableDtype: tableDtype as never });
      await expect(promise).rejects.toThrow(says);
      await expect(promise).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      expect(readdirSync(root)).toEqual(['m.onnx']);
    });
  });

  it.each([-1, 0.5, NaN, Infinity])('refuses verify %d', async (verify) => {
    await imported(async ({ run }) => {
      expect(await codeOf(() => run({ verify }))).toBe('INVALID_ARGUMENT');
    });
  });

  it('refuses a negative tolerance', async () => {
    await imported(async ({ run }) => {
      expect(await codeOf(() => run({ tolerance: -1 }))).toBe('INVALID_ARGUMENT');
    });
  });

  it('takes an empty directory, makes missing parents, follows a link', async () => {
    await imported(async ({ root, out, run }) => {
      mkdirSync(out);
      await run();
      expect(existsSync(join(out, 'model.json'))).toBe(true);
      const deep = join(root, 'a', 'b', 'c');
      await runImport(join(root, 'm.onnx'), deep, {}, parts);
      expect(existsSync(join(deep, 'model.json'))).toBe(true);
      mkdirSync(join(root, 'real'));
      symlinkSync('real', join(root, 'link'));
      const linked = await runImport(join(root, 'm.onnx'), join(root, 'link'), {}, parts);
      expect(linked.bundle.endsWith('/real')).toBe(true);
      expect(existsSync(join(root, 'link', 'model.json'))).toBe(true);
    });
  });

  it('keeps what is at the destination unless told to overwrite', async () => {
    await imported(async ({ root, out, run }) => {
      await run();
      const before = readFileSync(join(out, 'model.json'), 'utf8');
      expect(await codeOf(() => run({ tableDtype: 'int8' }))).toBe('INVALID_ARGUMENT');
      expect(readFileSync(join(out, 'model.json'), 'utf8')).toBe(before);
      await run({ tableDtype: 'int8', overwrite: true });
      expect(manifestOf(out).tables[0]?.storage).toBe('int8');
      expect(readdirSync(root).sort()).toEqual(['bundle', 'm.onnx']);
    });
  });

  it('never overwrites a directory that is no bundle, nor a file', async () => {
    await imported(async ({ root, out, run }) => {
      mkdirSync(out);
      writeFileSync(join(out, 'thesis.txt'), 'years of work');
      expect(await codeOf(() => run({ overwrite: true }))).toBe('INVALID_ARGUMENT');
      expect(readdirSync(out)).toEqual(['thesis.txt']);
      const file = join(root, 'm.onnx');
      expect(await codeOf(() => runImport(file, file, { overwrite: true }, parts))).toBe(
        'INVALID_ARGUMENT',
      );
      expect(readFileSync(file)).toEqual(Buffer.from(ORIGINAL));
    });
  });

  it.each([
    ['the analysis', { analyze: () => fail('ONNX_UNSUPPORTED') }],
    ['the codec', { codec: { ...referenceCodec, createHash: () => fail('INTERNAL') } }],
    ['verification', { verify: async () => fail('VERIFY_FAILED') }],
  ] as const)(
    'leaves nothing behind, and an old bundle as it was, when %s fails',
    async (_name, more) => {
      await imported(async ({ root, out, run }) => {
        const failing = (options: ImportOptions) =>
          codeOf(() => run({ verify: 1, ...options }, more));
        expect(await failing({})).not.toBe('none');
        expect(readdirSync(root)).toEqual(['m.onnx']);
        await run();
        const before = readFileSync(join(out, 'model.json'), 'utf8');
        expect(await failing({ overwrite: true, tableDtype: 'int8' })).not.toBe('none');
        expect(readFileSync(join(out, 'model.json'), 'utf8')).toBe(before);
        expect(readdirSync(root).sort()).toEqual(['bundle', 'm.onnx']);
      });
    },
  );

  it.each(['read', 'analyze', 'hash', 'tables', 'dense', 'verify'] as const)(
    'leaves nothing behind when aborted in stage %s',
    async (stage) => {
      await imported(async ({ root, run }) => {
        const controller = new AbortController();
        const onProgress = (progress: { stage: string }): void => {
          if (progress.stage === stage) controller.abort();
        };
        const options = { signal: controller.signal, onProgress, verify: 1 };
        expect(await codeOf(() => run(options))).toBe('ABORTED');
        expect(readdirSync(root)).toEqual(['m.onnx']);
      });
    },
  );
});

function fail(code: 'ONNX_UNSUPPORTED' | 'INTERNAL' | 'VERIFY_FAILED'): never {
  throw new GyrfalconError(code, 'made to fail');
}

describe('the reference codec', () => {
  it.each([
    ['', 'ef46db3751d8e999'],
    ['a', 'd24ec4f1a98c6e5b'],
    ['abc', '44bc2cf5ad770999'],
  ])('hashes %j as XXH64 does', (text, digest) => {
    expect(xxh64(Buffer.from(text))).toBe(digest);
  });
});
