import { expect, test } from 'vitest';
import { EmbeddingTable } from '../../lib/embedding-table.js';

const rows = Float32Array.from({ length: 5 * 3 }, (_, i) => i - 4);
// The same tests run for every device.
const device = process.env['GYRFALCON_TEST_DEVICE'] ?? 'cpu';
const code = (name: string) => expect.objectContaining({ code: name });

const bits = (values: Float32Array) =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength);

/** The naive sum that a bag stands for. */
function pooled(ids: number[], weights?: number[], mean = false): number[] {
  const sum = [0, 0, 0];
  ids.forEach((id, i) => {
    for (let d = 0; d < 3; d++)
      sum[d] = (sum[d] ?? 0) + (weights?.[i] ?? 1) * (rows[id * 3 + d] ?? 0);
  });
  return mean && ids.length > 0 ? sum.map((value) => value / ids.length) : sum;
}

test('bags sum, mean, weights and empty bags', () => {
  using table = EmbeddingTable.from(rows, { device, dim: 3 });
  expect([table.rows, table.dim, table.storage, table.bytes]).toEqual([5, 3, 'f32', 60]);
  const ids = Int32Array.of(1, 2, 4, 0);
  const offsets = Int32Array.of(0, 2, 2, 4);
  expect([...table.bag(ids, offsets)]).toEqual([...pooled([1, 2]), 0, 0, 0, ...pooled([4, 0])]);
  expect([...table.bag(ids, offsets, { pooling: 'mean' })]).toEqual([
    ...pooled([1, 2], undefined, true),
    0,
    0,
    0,
    ...pooled([4, 0], undefined, true),
  ]);
  const weights = Float32Array.of(0.5, 2, -1, 4);
  expect([...table.bag(ids, offsets, { weights })]).toEqual([
    ...pooled([1, 2], [0.5, 2]),
    0,
    0,
    0,
    ...pooled([4, 0], [-1, 4]),
  ]);
});

test('64-bit ids and offsets give what 32-bit ones give, into a given array', () => {
  using table = EmbeddingTable.from(rows, { device, dim: 3 });
  const out = new Float32Array(6).fill(7);
  const same = table.bag(BigInt64Array.of(3n, 1n, 1n), BigInt64Array.of(0n, 1n, 3n), { out });
  expect(same).toBe(out);
  expect([...out]).toEqual([...pooled([3]), ...pooled([1, 1])]);
  expect([...table.lookup(Int32Array.of(4, 0))]).toEqual([...pooled([4]), ...pooled([0])]);
});

test.each([
  ['f16', 0],
  ['bf16', 0],
  ['int8', 0.03],
  ['int4', 0.2],
] as const)('%s rows decode within their step', (storage, bound) => {
  using table = EmbeddingTable.from(rows, { device, dim: 3, storage });
  const values = table.lookup(Int32Array.of(0, 1, 2, 3, 4));
  for (let i = 0; i < rows.length; i++) {
    expect(Math.abs((values[i] ?? Number.NaN) - (rows[i] ?? 0))).toBeLessThanOrEqual(bound);
  }
});

test('ids on both sides of each limit', () => {
  using table = EmbeddingTable.from(rows, { device, dim: 3 });
  const at = (id: number) => () => table.lookup(Int32Array.of(0, id));
  expect(at(4)).not.toThrow();
  expect(at(5)).toThrow(code('INDEX_OUT_OF_RANGE'));
  expect(at(-1)).toThrow(/received -1/);
  const zeroed = table.lookup(Int32Array.of(5, 1), { outOfRange: 'zero' });
  expect([...zeroed]).toEqual([0, 0, 0, ...pooled([1])]);
});

test('bad offsets, lengths, types and a closed table', () => {
  const table = EmbeddingTable.from(rows, { device, dim: 3 });
  const ids = Int32Array.of(0, 1);
  expect(() => table.bag(ids, Int32Array.of(1, 2))).toThrow(code('INVALID_OFFSETS'));
  expect(() => table.bag(ids, Int32Array.of(0, 2, 1))).toThrow(code('INVALID_OFFSETS'));
  expect(() => table.bag(ids, Int32Array.of(0, 3))).toThrow(code('INVALID_OFFSETS'));
  expect(() => table.bag(ids, new Int32Array(0))).toThrow(code('INVALID_OFFSETS'));
  expect(() => table.lookup(ids, { out: new Float32Array(5) })).toThrow(code('SHAPE_MISMATCH'));
  expect(() => table.lookup(ids, { weights: new Float32Array(3) })).toThrow(code('SHAPE_MISMATCH'));
  expect(() => table.lookup(new Float32Array(2) as never)).toThrow(code('DTYPE_MISMATCH'));
  const gone = new Int32Array(2);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  expect(() => table.bag(gone, Int32Array.of(0, 1))).toThrow(code('DETACHED_BUFFER'));
  expect(() => EmbeddingTable.from(rows, { device, dim: 4 })).toThrow(code('INVALID_ARGUMENT'));
  expect(() => EmbeddingTable.from(rows, { device, dim: 0 })).toThrow(code('INVALID_ARGUMENT'));
  for (const threads of [0, 1025, 1.5, '2'] as number[]) {
    const make = () => EmbeddingTable.from(rows, { device, dim: 3, threads });
    expect(make).toThrow(code('INVALID_ARGUMENT'));
  }
  table.close();
  expect(() => table.lookup(ids)).toThrow(code('MODEL_CLOSED'));
  expect(() => table.stats()).toThrow(code('MODEL_CLOSED'));
});

test('several threads give the same bits, the same counts and the same errors', () => {
  const dim = 64;
  const data = Float32Array.from({ length: 1000 * dim }, (_, i) => Math.sin(i));
  using one = EmbeddingTable.from(data, { device, dim, storage: 'int8' });
  using four = EmbeddingTable.from(data, { device, dim, storage: 'int8', threads: 4 });
  const ids = Int32Array.from({ length: 20_000 }, (_, i) => (i * 7919) % 1000);
  const offsets = Int32Array.from({ length: 1001 }, (_, bag) => bag * 20);
  const same = (a: Float32Array, b: Float32Array) => Buffer.compare(bits(a), bits(b)) === 0;
  expect(same(four.bag(ids, offsets), one.bag(ids, offsets))).toBe(true);
  expect(same(four.lookup(ids), one.lookup(ids))).toBe(true);
  ids[12_345] = 1000;
  ids[15_000] = -1;
  expect(() => four.bag(ids, offsets)).toThrow(/bag 617, position 5 but received 1000/);
  const outOfRange = 'zero';
  const [a, b] = [four, one].map((table) => table.bag(ids, offsets, { outOfRange }));
  expect(a !== undefined && b !== undefined && same(a, b)).toBe(true);
});

test('stats say how much memory the rows take and how much of it is on huge pages', () => {
  using small = EmbeddingTable.from(rows, { device, dim: 3 });
  expect(small.stats()).toEqual({
    tableBytes: 60,
    hugePageBytes: 0,
    // Rows of three floats, padded to 16 bytes.
    deviceBytes: device === 'cpu' ? 0 : 80,
  });
  using large = EmbeddingTable.from(new Uint8Array(8 << 20), { device, dim: 56, storage: 'int8' });
  const { tableBytes, hugePageBytes } = large.stats();
  expect(tableBytes).toBe(8 << 20);
  // Whole pages of 2 MiB, or none where the system gives none.
  expect([0, 1, 2, 3, 4].map((pages) => pages << 21)).toContain(hugePageBytes);
});

test('rows are replaced, the last of equal ids stays, and a bad request writes nothing', () => {
  for (const storage of ['f32', 'f16', 'bf16', 'int8', 'int4'] as const) {
    using table = EmbeddingTable.from(rows, { device, dim: 3, storage });
    using other = EmbeddingTable.from(Float32Array.of(1, 2, 3, -7, 0, 7), {
      device,
      dim: 3,
      storage,
    });
    const [before, after] = [table, other].map((each) => each.lookup(Int32Array.of(0, 1)));
    const bad = (ids: unknown, data: unknown) => () => table.update(ids as never, data as never);
    const two = Float32Array.of(1, 2, 3, -7, 0, 7);
    expect(bad(Int32Array.of(0, 5), two)).toThrow(code('INDEX_OUT_OF_RANGE'));
    expect(bad(BigInt64Array.of(0n, -1n), two)).toThrow(/position 1 but received -1/);
    expect(bad(Int32Array.of(0), two)).toThrow(code('SHAPE_MISMATCH'));
    expect(bad(Float32Array.of(0, 1), two)).toThrow(code('DTYPE_MISMATCH'));
    expect(bad(Int32Array.of(0, 1), [1, 2])).toThrow(code('INVALID_ARGUMENT'));
    expect([...table.lookup(Int32Array.of(0, 1))]).toEqual([...(before ?? [])]);
    table.update(Int32Array.of(1, 1, 0), Float32Array.of(9, 9, 9, -7, 0, 7, 1, 2, 3));
    expect([...table.lookup(Int32Array.of(0, 1))]).toEqual([...(after ?? [])]);
    table.update(new Int32Array(0), new Float32Array(0));
    table.close();
    expect(bad(Int32Array.of(0, 1), two)).toThrow(code('MODEL_CLOSED'));
  }
});

test('encoded rows replace rows as they are', () => {
  using table = EmbeddingTable.from(rows, { device, dim: 3, storage: 'f16' });
  table.update(BigInt64Array.of(2n), Uint16Array.of(0x3c00, 0xc000, 0x7bff));
  expect([...table.lookup(Int32Array.of(2))]).toEqual([1, -2, 65504]);
  expect(() => table.update(Int32Array.of(2), new Uint8Array(6))).toThrow(code('INVALID_ARGUMENT'));
});

test('a table says where it is', () => {
  using table = EmbeddingTable.from(rows, { device, dim: 3 });
  expect(table.device).toBe(device);
  const make = (name: unknown) => () =>
    EmbeddingTable.from(rows, { dim: 3, device: name as string });
  expect(make('gpu')).toThrow(code('DEVICE_UNAVAILABLE'));
  expect(make('cuda:')).toThrow(code('DEVICE_UNAVAILABLE'));
  expect(make(0)).toThrow(code('INVALID_ARGUMENT'));
});
