import { PassThrough, Readable } from 'node:stream';

import { describe, expect, it } from 'vitest';

import { outputRows } from '../../lib/cli/output-rows.js';
import { RowPrinter } from '../../lib/cli/score.js';
import { halfValue } from '../../lib/import/half.js';
import { Batches } from '../../lib/rows/batches.js';
import { fillBatch, halfBits } from '../../lib/rows/fill.js';
import { cellValue, csvRows, jsonlRows } from '../../lib/rows/source.js';
import { type Row, type RowInput, readRow } from '../../lib/rows/values.js';

const INPUTS: RowInput[] = [
  { name: 'dense', kind: 'tensor', dtype: 'f32', shape: ['batch', 3] },
  { name: 'user', kind: 'tensor', dtype: 'i32', shape: ['batch'] },
  { name: 'history', kind: 'tensor', dtype: 'i64', shape: ['batch', 'length'] },
  { name: 'tags', kind: 'ragged', dtype: 'i32', weights: true },
];
const GOOD = {
  dense: [0.5, -1, 2],
  user: 7,
  history: [1, 2],
  tags: { indices: [4, 5, 6], weights: [1, 0.5, 0] },
};

function read(changes: Record<string, unknown>, ignoreExtra = false): Row {
  const fields = new Map(Object.entries({ ...GOOD, ...changes }));
  for (const [name, value] of fields) if (value === undefined) fields.delete(name);
  return readRow(INPUTS, fields, 12, ignoreExtra);
}

async function collect<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

describe('readRow', () => {
  it('reads every kind of input, and free sizes from the arrays', () => {
    const row = read({});
    expect(row.tensors.get('dense')).toEqual([0.5, -1, 2]);
    expect(row.tensors.get('user')).toEqual([7]);
    expect(row.ragged.get('tags')).toEqual({ indices: [4, 5, 6], weights: [1, 0.5, 0] });
    expect(row.symbols).toEqual({ length: 2 });
    expect(read({ history: [1, 2, 3] }).group).not.toBe(row.group);
    expect(read({ user: 8 }).group).toBe(row.group);
  });

  it.each([
    [{ user: undefined }, 'INVALID_ARGUMENT', /^line 12: expected a value for user/],
    [{ label: 1 }, 'INVALID_ARGUMENT', /^line 12: .*received "label"/],
    [{ dense: [1, 2] }, 'SHAPE_MISMATCH', /^line 12: expected 3 values for dense but received 2$/],
    [{ dense: [1, 2, 3, 4] }, 'SHAPE_MISMATCH', /expected 3 values for dense but received 4$/],
    [{ dense: 1 }, 'SHAPE_MISMATCH', /for dense but received 1$/],
    [
      { dense: [1, null, 3] },
      'DTYPE_MISMATCH',
      /expected a number of f32 for dense but received null/,
    ],
    [{ user: 1.5 }, 'DTYPE_MISMATCH', /^line 12: expected an integer of i32 .* user .*1\.5/],
    [{ user: 2 ** 31 }, 'DTYPE_MISMATCH', /user but received 2147483648/],
    [{ user: '7' }, 'DTYPE_MISMATCH', /user but received "7"/],
    [{ history: [] }, 'SHAPE_MISMATCH', /for history/],
    [{ history: [2 ** 53] }, 'DTYPE_MISMATCH', /i64/],
    [{ tags: [1] }, 'INVALID_ARGUMENT', /tags but received no weights/],
    [{ tags: { indices: [1], weights: [] } }, 'SHAPE_MISMATCH', /1 weights for tags .* 0/],
    [{ tags: 'x' }, 'DTYPE_MISMATCH', /array for tags/],
  ])('refuses %j', (changes, code, text) => {
    expect(() => read(changes)).toThrow(expect.objectContaining({ code }));
    expect(() => read(changes)).toThrow(text);
  });

  it('accepts the ends of a dtype, and extra fields when told to', () => {
    expect(read({ user: 2 ** 31 - 1 }).tensors.get('user')).toEqual([2147483647]);
    expect(read({ user: -(2 ** 31) }).tensors.get('user')).toEqual([-2147483648]);
    expect(read({ label: 1 }, true).tensors.has('label')).toBe(false);
  });

  it('checks nested arrays level by level', () => {
    const inputs: RowInput[] = [
      { name: 'x', kind: 'tensor', dtype: 'f32', shape: ['batch', 2, 'n'] },
    ];
    const parse = (x: unknown) => readRow(inputs, new Map([['x', x]]), 1, false);
    expect(
      parse([
        [1, 2, 3],
        [4, 5, 6],
      ]).symbols,
    ).toEqual({ n: 3 });
    expect(parse([1, 2, 3, 4]).symbols).toEqual({ n: 2 });
    expect(() => parse([[1, 2], [3]])).toThrow(/line 1: expected arrays of 2 for x/);
    expect(() => parse([[1], [2], [3]])).toThrow(/\[2, n\] for x but received 3×1/);
    expect(() => parse([1, 2, 3])).toThrow(/for x/);
  });
});

describe('JSONL', () => {
  it('reads lines over chunk borders and passes over empty ones', async () => {
    const text = '\uFEFF{"a":"é"}\r\n\n{"a":2}';
    const bytes = [...Buffer.from(text)].map((byte) => Buffer.from([byte]));
    const rows = await collect(jsonlRows(Readable.from(bytes)));
    expect(rows.map(({ line, fields }) => [line, fields.get('a')])).toEqual([
      [1, 'é'],
      [3, 2],
    ]);
  });

  it.each(['{"a":', '[1]', 'null'])('names the line of %j', async (text) => {
    await expect(collect(jsonlRows(Readable.from([`{}\n${text}\n`])))).rejects.toThrow(
      /^line 2: expected a JSON object/,
    );
  });
});

describe('CSV', () => {
  it('reads numbers, JSON arrays and lists', async () => {
    const text = 'a,b,c\n1,"[1, 2]",3 4\n-2.5e1,[],\n';
    const rows = await collect(csvRows(Readable.from([text])));
    expect(rows.map(({ line, fields }) => [line, ...fields.values()])).toEqual([
      [2, 1, [1, 2], [3, 4]],
      [3, -25, [], []],
    ]);
  });

  it('leaves what is no number for the row check', () => {
    expect(['x', '0x10', '1 b', '[1', 'true'].map(cellValue)).toEqual([
      'x',
      '0x10',
      [1, 'b'],
      '[1',
      true,
    ]);
  });

  it.each([
    ['a,b\n1,2\n3\n', /^line 3: expected 2 cells but received 1/],
    ['a,a\n1,2\n', /^line 1: expected column "a" once/],
    ['a\n"1\n', /^line \d+: expected CSV/],
  ])('refuses %j', async (text, message) => {
    await expect(collect(csvRows(Readable.from([text])))).rejects.toThrow(message);
  });
});

describe('batches', () => {
  const rows = [read({}), read({ user: 8, tags: { indices: [9], weights: [2] } })];
  const make = () => ({
    rows: 0,
    inputs: {
      dense: new Float32Array(6),
      user: new Int32Array(2),
      history: new BigInt64Array(4),
      tags: {
        indices: new Int32Array(4),
        offsets: new Int32Array(3),
        weights: new Float32Array(4),
      },
    },
  });

  it('fills every input', () => {
    const batch = make();
    fillBatch(batch, INPUTS, rows);
    expect(batch.rows).toBe(2);
    expect([...batch.inputs.dense]).toEqual([0.5, -1, 2, 0.5, -1, 2]);
    expect([...batch.inputs.user]).toEqual([7, 8]);
    expect([...batch.inputs.history]).toEqual([1n, 2n, 1n, 2n]);
    expect([...batch.inputs.tags.indices]).toEqual([4, 5, 6, 9]);
    expect([...batch.inputs.tags.offsets]).toEqual([0, 3, 4]);
    expect([...batch.inputs.tags.weights]).toEqual([1, 0.5, 0, 2]);
  });

  it('makes a batch only when sizes change or ids do not fit', () => {
    const asked: unknown[] = [];
    const batches = new Batches((symbols, indices) => {
      asked.push([symbols, indices]);
      return make();
    });
    const first = batches.forRows(rows);
    expect(batches.forRows(rows.slice(0, 1))).toBe(first);
    expect(batches.forRows([...rows, ...rows])).not.toBe(first);
    batches.forRows([read({ history: [1] })]);
    expect(asked).toEqual([
      [{ length: 2 }, { tags: 6 }],
      [{ length: 2 }, { tags: 12 }],
      [{ length: 1 }, { tags: 12 }],
    ]);
  });

  it('rounds to binary16: every value is its own, ties go to even', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = halfValue(bits);
      if (!Number.isNaN(value) && halfBits(value) !== bits) expect(halfBits(value)).toBe(bits);
    }
    expect([65519, 65520, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -25].map(halfBits)).toEqual([
      0x7bff, 0x7c00, 0x3c00, 0x3c02, 0,
    ]);
  });

  it('prints scores row by row', async () => {
    const scores = outputRows({ dtype: 'f32', shape: ['batch', 1] }, new Float32Array([0.1, 2]), 2);
    const pair = outputRows(
      { dtype: 'i64', shape: ['batch', 2] },
      BigInt64Array.of(1n, 2n, 3n, 4n),
      2,
    );
    const print = async (format: 'jsonl' | 'csv') => {
      const stream = new PassThrough();
      await new RowPrinter(format, stream).print(
        [
          ['p', scores],
          ['q,r', pair],
        ],
        2,
      );
      return stream.read().toString();
    };
    expect(await print('jsonl')).toBe('{"p":0.1,"q,r":[1,2]}\n{"p":2,"q,r":[3,4]}\n');
    expect(await print('csv')).toBe('p,"q,r[0]","q,r[1]"\n0.1,1,2\n2,3,4\n');
  });
});
