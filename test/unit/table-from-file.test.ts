import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EmbeddingTable, type StorageName } from '../../lib/index.js';
import { native } from '../../lib/native.js';
import { code } from './example-bundle.js';

const ROWS = 6;
const DIM = 5;
const values = Float32Array.from({ length: ROWS * DIM }, (_, i) => (i % 7) - 3);
const all = Int32Array.from({ length: ROWS }, (_, i) => i);
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'gyrfalcon-table-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Tensor {
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}

/** A safetensors file whose data begins at a multiple of `align`. */
function write(tensors: Record<string, Tensor>, align = 64, shift = 0): string {
  let end = 0;
  const header = JSON.stringify(
    Object.fromEntries(
      Object.entries(tensors).map(([name, { dtype, shape, bytes }]) => {
        const begin = end;
        end += bytes.byteLength;
        return [name, { dtype, shape, data_offsets: [begin, end] }];
      }),
    ),
  );
  const length = Math.ceil((8 + header.length) / align) * align - 8 + shift;
  const size = new Uint8Array(BigUint64Array.of(BigInt(length)).buffer);
  const path = join(directory, `${Math.random()}.safetensors`);
  const data = Object.values(tensors).map(({ bytes }) => bytes);
  writeFileSync(path, Buffer.concat([size, Buffer.from(header.padEnd(length)), ...data]));
  return path;
}

const stored: Record<StorageName, { dtype: string; columns: number }> = {
  f32: { dtype: 'F32', columns: DIM },
  f16: { dtype: 'F16', columns: DIM },
  bf16: { dtype: 'BF16', columns: DIM },
  int8: { dtype: 'U8', columns: DIM + 8 },
  int4: { dtype: 'U8', columns: Math.ceil(DIM / 2) + 4 },
};

function tensor(storage: StorageName): Tensor {
  const { dtype, columns } = stored[storage];
  const bytes = native().encodeRows(values, ROWS, DIM, storage);
  return { dtype, shape: [ROWS, columns], bytes };
}

test.each([
  ['f32', 'copy'],
  ['f32', 'map'],
  ['f16', 'copy'],
  ['f16', 'map'],
  ['bf16', 'copy'],
  ['bf16', 'map'],
  ['int8', 'copy'],
  ['int8', 'map'],
  ['int4', 'copy'],
  ['int4', 'map'],
] as const)('%s rows by %s are those that from() encodes', async (storage, residency) => {
  const path = write({ t: tensor(storage) });
  const options = { tensor: 't', storage, dim: DIM, residency };
  using table = await EmbeddingTable.fromSafetensors(path, options);
  using expected = EmbeddingTable.from(values, { dim: DIM, storage });
  expect([table.rows, table.dim, table.storage]).toEqual([ROWS, DIM, storage]);
  expect(table.bytes).toBe(expected.bytes);
  expect(table.lookup(all)).toEqual(expected.lookup(all));
});

test('the dim follows from the columns; int4 rows of an odd dim have to be told', async () => {
  for (const storage of ['f32', 'f16', 'bf16', 'int8'] as const) {
    const path = write({ t: tensor(storage) });
    using table = await EmbeddingTable.fromSafetensors(path, { tensor: 't', storage });
    expect(table.dim).toBe(DIM);
  }
  const path = write({ t: tensor('int4') });
  using even = await EmbeddingTable.fromSafetensors(path, { tensor: 't', storage: 'int4' });
  expect(even.dim).toBe(DIM + 1);
  const wrong = EmbeddingTable.fromSafetensors(path, { tensor: 't', storage: 'int4', dim: 7 });
  await expect(wrong).rejects.toEqual(code('SHAPE_MISMATCH'));
});

test('the storage has to agree with the tensor; f32 is assumed', async () => {
  const load = (options: { tensor: string; storage?: StorageName; dim?: number }) =>
    EmbeddingTable.fromSafetensors(path, options);
  const path = write({ half: tensor('f16'), full: tensor('f32'), bytes: tensor('int8') });
  await expect(load({ tensor: 'half' })).rejects.toEqual(code('DTYPE_MISMATCH'));
  await expect(load({ tensor: 'half' })).rejects.toThrow(/expected F32 .* received F16/);
  await expect(load({ tensor: 'full', storage: 'bf16' })).rejects.toEqual(code('DTYPE_MISMATCH'));
  await expect(load({ tensor: 'bytes', dim: 6, storage: 'int8' })).rejects.toEqual(
    code('SHAPE_MISMATCH'),
  );
  await expect(load({ tensor: 'none' })).rejects.toEqual(code('INVALID_ARGUMENT'));
  await expect(load({ tensor: '' })).rejects.toEqual(code('INVALID_ARGUMENT'));
  using half = await load({ tensor: 'half', storage: 'f16' });
  expect(half.lookup(all)).toHaveLength(ROWS * DIM);
});

test('a mapped tensor has to begin at a multiple of 64 bytes; a copied one need not', async () => {
  const load = (path: string, tensor: string, residency: 'copy' | 'map') =>
    EmbeddingTable.fromSafetensors(path, { tensor, residency });
  const shifted = write({ t: tensor('f32') }, 64, 8);
  await expect(load(shifted, 't', 'map')).rejects.toEqual(code('BUNDLE_INVALID'));
  await expect(load(shifted, 't', 'map')).rejects.toThrow(/64-byte boundary/);
  using copied = await load(shifted, 't', 'copy');
  expect(copied.rows).toBe(ROWS);
  // 120 bytes of the first tensor before the second.
  const second = write({ a: tensor('f32'), b: tensor('f32') });
  await expect(load(second, 'b', 'map')).rejects.toEqual(code('BUNDLE_INVALID'));
  using first = await load(second, 'a', 'map');
  expect(first.rows).toBe(ROWS);
});

test('files that are not there, or not safetensors', async () => {
  const load = (path: string) => EmbeddingTable.fromSafetensors(path, { tensor: 't' });
  await expect(load(join(directory, 'none'))).rejects.toEqual(code('IO_ERROR'));
  await expect(load(directory)).rejects.toEqual(code('IO_ERROR'));
  const empty = join(directory, 'empty');
  writeFileSync(empty, '');
  await expect(load(empty)).rejects.toEqual(code('BUNDLE_INVALID'));
  const scalar = write({ t: { dtype: 'F32', shape: [], bytes: new Uint8Array(4) } });
  await expect(load(scalar)).rejects.toEqual(code('SHAPE_MISMATCH'));
});
