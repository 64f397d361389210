import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EmbeddingTable } from '../../lib/index.js';

const ROWS = 500;
const DIM = 4;

/** Row r of version v; every element says both. */
function row(r: number, v = 0): number[] {
  return Array.from({ length: DIM }, (_, d) => r + d / 16 + v * 1000);
}

function table(options: { cacheRows?: number; cacheBytes?: number; device?: string }) {
  const rows = Float32Array.from({ length: ROWS }, (_, r) => r).reduce<number[]>(
    (all, r) => all.concat(row(r)),
    [],
  );
  return EmbeddingTable.from(Float32Array.from(rows), { dim: DIM, device: 'cuda:0', ...options });
}

/** Many of a few rows, some of all. */
function skewed(count: number, seed: number): Int32Array {
  let at = seed;
  const next = () => {
    at = (at * 1103515245 + 12345) % 2147483648;
    return at / 2147483648;
  };
  return Int32Array.from({ length: count }, () => Math.floor((next() < 0.8 ? 20 : ROWS) * next()));
}

test('rows are those of the table, while they come into the cache, go, and are updated', () => {
  const cached = table({ cacheRows: 64 });
  const versions = new Array<number>(ROWS).fill(0);
  expect(cached.stats().cache).toMatchObject({ slots: 64, occupied: 0, hits: 0, misses: 0 });
  for (let round = 0; round < 9; round++) {
    const ids = skewed(4096, round + 1);
    const values = cached.lookup(ids);
    for (const [i, id] of ids.entries()) {
      const got = values[i * DIM + 3];
      if (got !== row(id, versions[id])[3]) expect([round, id, got]).toBe(versions[id]);
    }
    const changed = [round, 3, 400 + round];
    for (const id of changed) versions[id] = round + 1;
    cached.update(
      Int32Array.from(changed),
      Float32Array.from(changed.flatMap((id) => row(id, versions[id]))),
    );
  }
  const { cache, deviceBytes } = cached.stats();
  expect(cache?.occupied).toBeGreaterThan(20);
  expect(cache?.occupied).toBe((cache?.insertions ?? 0) - (cache?.evictions ?? 0));
  expect(cache?.hits).toBeGreaterThan(0);
  expect(cache?.misses).toBeGreaterThan(0);
  expect(cache?.updated).toBe(27);
  expect(cache?.hitRate).toBeCloseTo(
    (cache?.hits ?? 0) / ((cache?.hits ?? 0) + (cache?.misses ?? 0)),
  );
  // 64 rows of 16 bytes, and not the table's 500.
  expect(deviceBytes).toBeGreaterThan(64 * 18);
  expect(deviceBytes).toBeLessThan(64 * 18 + 1024);
  cached.close();
});

test('hot rows are there from the first lookup', () => {
  const cached = table({ cacheRows: 64 });
  cached.warm(Int32Array.of(1, 2, 3));
  expect(cached.stats().cache).toMatchObject({ occupied: 3, insertions: 3 });
  expect(Array.from(cached.lookup(Int32Array.of(2, 9)))).toEqual([...row(2), ...row(9)]);
  const error = expect.objectContaining({ code: 'INDEX_OUT_OF_RANGE' });
  expect(() => cached.warm(Int32Array.of(4, ROWS))).toThrow(error);
  expect(() => cached.warm(BigInt64Array.of(-1n))).toThrow(error);
  cached.warm(BigInt64Array.of(BigInt(ROWS - 1)));
  expect(cached.stats().cache?.occupied).toBe(4);
  cached.close();
  const closed = expect.objectContaining({ code: 'MODEL_CLOSED' });
  expect(() => cached.warm(Int32Array.of(1))).toThrow(closed);
  const resident = table({});
  expect(resident.stats().cache).toBeUndefined();
  const none = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
  expect(() => resident.warm(Int32Array.of(1))).toThrow(none);
  resident.close();
});

test('sizes', () => {
  for (const [options, slots] of [
    [{ cacheRows: 1 }, 16],
    [{ cacheRows: 17 }, 24],
    [{ cacheBytes: 768 + 16 * 18 }, 16],
    [{ cacheBytes: 768 + 24 * 18 - 1 }, 16],
    [{ cacheBytes: 768 + 24 * 18 }, 24],
  ] as const) {
    const cached = table(options);
    const { cache, deviceBytes } = cached.stats();
    expect(cache?.slots).toBe(slots);
    if ('cacheBytes' in options) expect(deviceBytes).toBeLessThanOrEqual(options.cacheBytes);
    cached.close();
  }
  const code = (name: string) => expect.objectContaining({ code: name });
  expect(() => table({ cacheBytes: 768 + 16 * 18 - 1 })).toThrow(code('LIMIT_EXCEEDED'));
  for (const options of [
    { cacheRows: 0 },
    { cacheRows: 2 ** 31 + 1 },
    { cacheRows: 1.5 },
    { cacheBytes: 0 },
    { cacheRows: 16, cacheBytes: 4096 },
    { cacheRows: 16, device: 'cpu' },
  ]) {
    expect(() => table(options)).toThrow(code('INVALID_ARGUMENT'));
  }
});

test('rows of a file behind a cache, mapped and copied', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-row-cache-'));
  const file = join(folder, 'rows.safetensors');
  const values = Float32Array.from({ length: ROWS * DIM }, (_, i) => i);
  const bytes = Buffer.from(values.buffer);
  const tensor = { dtype: 'F32', shape: [ROWS, DIM], data_offsets: [0, bytes.length] };
  const header = Buffer.from(JSON.stringify({ t: tensor }).padEnd(120));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(file, Buffer.concat([length, header, bytes]));
  try {
    for (const residency of ['copy', 'map'] as const) {
      const heard: number[] = [];
      const cached = await EmbeddingTable.fromSafetensors(file, {
        tensor: 't',
        residency,
        device: 'cuda:0',
        cacheRows: 16,
        onProgress: (done, total) => heard.push(done / total),
      });
      cached.warm(Int32Array.of(7));
      const ids = Int32Array.of(7, 0, ROWS - 1);
      const expected = [...ids].flatMap((id) => [...values.subarray(id * DIM, (id + 1) * DIM)]);
      expect([...cached.lookup(ids)]).toEqual(expected);
      expect(heard.at(-1)).toBe(1);
      cached.update(Int32Array.of(7), new Float32Array(DIM));
      expect([...cached.lookup(Int32Array.of(7))]).toEqual([0, 0, 0, 0]);
      expect(cached.stats().cache).toMatchObject({ slots: 16, updated: 1 });
      cached.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a cache that does not fit is OUT_OF_MEMORY, before anything is made', () => {
  process.env['CUSIM_LIMIT'] = String(64 * 18);
  try {
    expect(() => table({ cacheRows: 64 })).toThrow(
      expect.objectContaining({
        code: 'OUT_OF_MEMORY',
        message: expect.stringMatching(/expected room for tables of 1\.\d KiB .* are free/),
      }),
    );
    table({ cacheRows: 16 }).close();
  } finally {
    process.env['CUSIM_LIMIT'] = String(2 ** 33);
  }
});
