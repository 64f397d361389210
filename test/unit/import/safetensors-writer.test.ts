import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { LoweredTable } from '../../../lib/import/lowered.js';
import type { StorageName } from '../../../lib/import/manifest.js';
import { safetensorsHeader, writeTable } from '../../../lib/import/safetensors-writer.js';
import { referenceCodec, xxh64 } from './bundle-codec.js';
import { codeOf, withDirectory } from './onnx-builder.js';

function tableOf(values: Float32Array, rows: number): LoweredTable {
  const dim = values.length / rows;
  return {
    name: 't',
    rows,
    dim,
    tensor: {
      name: 't',
      dataType: 1,
      dims: [rows, dim],
      source: { kind: 'inline', bytes: new Uint8Array(values.buffer) },
    },
  };
}

async function write(table: LoweredTable, storage: StorageName, signal?: AbortSignal) {
  return await withDirectory(async (directory) => {
    const path = join(directory, 't.safetensors');
    let rows = 0;
    const onRows = (more: number): void => {
      rows += more;
    };
    const result = await writeTable(table, path, {
      storage,
      codec: referenceCodec,
      signal,
      onRows,
    });
    const file = readFileSync(path);
    const headerEnd = 8 + Number(file.readBigUInt64LE(0));
    const header: unknown = JSON.parse(file.toString('utf8', 8, headerEnd));
    return { ...result, rowsSeen: rows, header, headerEnd, data: file.subarray(headerEnd) };
  });
}

describe('writeTable', () => {
  const values = Float32Array.of(1, -2, 3.5, 4, 5, 6);

  it('writes f32 as it is, aligned to 64 bytes, with its hash', async () => {
    const written = await write(tableOf(values, 2), 'f32');
    expect(written.headerEnd % 64).toBe(0);
    expect(written.header).toEqual({
      table: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
    });
    expect([...new Float32Array(Uint8Array.from(written.data).buffer)]).toEqual([...values]);
    expect(written.xxh64).toBe(xxh64(written.data));
    expect(written.bytes).toBe(24);
    expect(written.rowsSeen).toBe(2);
  });

  it('writes int8 rows with scale and bias inside', async () => {
    const written = await write(tableOf(values, 2), 'int8');
    expect(written.header).toEqual({
      table: { dtype: 'U8', shape: [2, 11], data_offsets: [0, 22] },
    });
    expect(Buffer.compare(written.data, referenceCodec.encodeRows(values, 2, 3, 'int8'))).toBe(0);
    expect(written.data.readFloatLE(3)).toBeCloseTo(5.5 / 255, 6);
    expect(written.data.readFloatLE(7)).toBe(-2);
  });

  it('streams a file larger than a block without holding it', async () => {
    await withDirectory(async (directory) => {
      const rows = 3_000_000;
      const big = new Float32Array(rows * 4).map((_, i) => i % 1009);
      const source = join(directory, 'w.bin');
      writeFileSync(source, new Uint8Array(big.buffer));
      const base = tableOf(new Float32Array(4), 1);
      const table: LoweredTable = {
        ...base,
        rows,
        tensor: {
          ...base.tensor,
          dims: [rows, 4],
          source: { kind: 'file', path: source, offset: 0, length: big.byteLength },
        },
      };
      const path = join(directory, 't.safetensors');
      const blocks: number[] = [];
      const codec = {
        ...referenceCodec,
        // The hash of 48 MB is not the point here, and slow in this codec.
        createHash: () => ({ update: () => undefined, digest: () => '0'.repeat(16) }),
        encodeRows: (src: Float32Array, count: number) => {
          blocks.push(src.byteLength);
          return new Uint8Array(count * 8);
        },
      };
      await writeTable(table, path, { storage: 'f16', codec });
      expect(blocks.length).toBeGreaterThan(1);
      expect(Math.max(...blocks)).toBeLessThanOrEqual(16 * 1024 * 1024);
      expect(blocks.reduce((sum, bytes) => sum + bytes, 0)).toBe(big.byteLength);
      await writeTable(table, `${path}.f32`, { storage: 'f32', codec });
      const file = readFileSync(`${path}.f32`);
      const data = file.subarray(file.byteLength - big.byteLength);
      expect(Buffer.compare(data, new Uint8Array(big.buffer))).toBe(0);
    });
  });

  it('takes rows of 16384 and no longer ones', async () => {
    const wide = (dim: number) => tableOf(new Float32Array(dim), 1);
    expect((await write(wide(16384), 'f32')).bytes).toBe(65536);
    expect(await codeOf(() => write(wide(16385), 'f32'))).toBe('LIMIT_EXCEEDED');
  });

  it('is ABORTED by its signal', async () => {
    await withDirectory(async (directory) => {
      writeFileSync(join(directory, 'w.bin'), new Uint8Array(24));
      const base = tableOf(values, 2);
      const table: LoweredTable = {
        ...base,
        tensor: {
          ...base.tensor,
          source: { kind: 'file', path: join(directory, 'w.bin'), offset: 0, length: 24 },
        },
      };
      expect(await codeOf(() => write(table, 'f32', AbortSignal.abort()))).toBe('ABORTED');
    });
  });
});

describe('safetensorsHeader', () => {
  it('keeps data aligned whatever the length of the text', () => {
    for (let digits = 1; digits < 16; digits++) {
      const header = safetensorsHeader([
        { name: 't', dtype: 'F32', shape: [1, 1], bytes: 10 ** digits },
      ]);
      expect(header.byteLength % 64).toBe(0);
      expect(Buffer.from(header).readBigUInt64LE(0)).toBe(BigInt(header.byteLength - 8));
      expect(Buffer.from(header).toString('utf8', 8)).toMatch(/^\{.*\} *$/);
    }
  });
});
