import { describe, expect, it } from 'vitest';

import { GyrfalconError } from '../../../lib/errors.js';
import type { DtypeName, Manifest, ManifestInput } from '../../../lib/import/manifest.js';
import type { VerifyRequest } from '../../../lib/import/run-import.js';
import { toNumbers, toTensorData } from '../../../lib/import/tensor-values.js';
import { type NamedTensor, verifyBundle } from '../../../lib/import/verify.js';
import { defaultTolerance } from '../../../lib/import/verify-runs.js';
import { makeSample, Random, type Sample } from '../../../lib/import/verify-sample.js';

const TABLE = Float64Array.from({ length: 10 }, (_, i) => i * 1.25 - 3);

const manifest = (more: Partial<Manifest> = {}): Manifest => ({
  format: 'gyrfalcon-bundle',
  version: 1,
  producer: 'test',
  name: 'm',
  batch: null,
  symbols: {},
  inputs: [{ name: 'ids', kind: 'tensor', dtype: 'i32', shape: ['batch'] }],
  tables: [
    {
      name: 't',
      rows: 10,
      dim: 1,
      storage: 'f32',
      file: 'f',
      tensor: 'table',
      xxh64: '0'.repeat(16),
    },
  ],
  slots: [{ name: 's', shape: ['batch', 1] }],
  bags: [
    {
      table: 't',
      input: 'ids',
      pooling: 'none',
      start: 0,
      step: 1,
      count: 1,
      slot: 's',
      offset: 0,
    },
  ],
  dense: { file: 'dense.onnx', xxh64: '0'.repeat(16), inputs: ['s'] },
  outputs: [{ name: 'y', dtype: 'f32', shape: ['batch'] }],
  ...more,
});

const request = (of: Manifest, rows = 100, more: Partial<VerifyRequest> = {}): VerifyRequest => ({
  modelPath: 'm.onnx',
  bundle: 'bundle',
  manifest: of,
  rows,
  batchAxes: {},
  stacks: {},
  tolerance: undefined,
  library: undefined,
  signal: undefined,
  onRows: () => undefined,
  ...more,
});

type Feeds = Record<string, NamedTensor>;

/** Models as functions of what they are fed. */
function models(
  inputs: [string, DtypeName][],
  original: (feeds: Feeds) => NamedTensor,
  bundle: (sample: Sample) => number[],
) {
  const closed: string[] = [];
  return {
    closed,
    openOriginal: async () => ({
      inputs: inputs.map(([name, dtype]) => ({ name, dtype, dims: [null] })),
      run: (feeds: Feeds) => ({ y: original(feeds) }),
      close: async () => void closed.push('original'),
    }),
    openBundle: async () => ({
      score: (sample: Sample) => ({ y: Float32Array.from(bundle(sample)) }),
      close: async () => void closed.push('bundle'),
    }),
  };
}

const idsOf = (sample: Sample): number[] => {
  const ids = sample.inputs.get('ids');
  if (ids?.kind !== 'tensor') throw new Error('expected a tensor');
  return [...ids.values];
};
const lookup = (id: number): number => {
  const value = TABLE[id];
  if (value === undefined) throw new GyrfalconError('ENGINE_FAILED', `no row ${id}`);
  return value;
};
const gather = (feeds: Feeds): NamedTensor => {
  const ids = [...toNumbers('i64', feeds['ids']?.data as BigInt64Array)];
  return { data: Float32Array.from(ids, lookup), dims: [ids.length] };
};

describe('verifyBundle', () => {
  it('passes equal models, over requests of several sizes, and closes both', async () => {
    const sizes: number[] = [];
    const parts = models([['ids', 'i64']], gather, (sample) => {
      sizes.push(sample.rows);
      return idsOf(sample).map(lookup);
    });
    const result = await verifyBundle(request(manifest(), 100), parts);
    expect(result).toEqual({
      rows: 100,
      maxError: 0,
      maxAbsError: 0,
      tolerance: 1e-5,
      perOutput: [{ name: 'y', maxError: 0, maxAbsError: 0 }],
      runs: [
        { engine: 'onnxruntime', precision: 'f32', maxError: 0, maxAbsError: 0, tolerance: 1e-5 },
      ],
    });
    expect(sizes).toEqual([1, 7, 64, 28]);
    expect(parts.closed.sort()).toEqual(['bundle', 'original']);
  });

  it.each([
    ['one row off', (id: number) => lookup((id + 1) % 10)],
    ['a constant of 2e-4', (id: number) => lookup(id) + 2e-4],
    ['NaN for one id', (id: number) => (id === 3 ? NaN : lookup(id))],
    ['infinity for one id', (id: number) => (id === 3 ? Infinity : lookup(id))],
    ['the last row as zeros', (id: number) => (id === 9 ? 0 : lookup(id))],
  ])('fails %s, and closes both', async (_name, wrong) => {
    const parts = models([['ids', 'i64']], gather, (sample) => idsOf(sample).map(wrong));
    await expect(verifyBundle(request(manifest()), parts)).rejects.toMatchObject({
      code: 'VERIFY_FAILED',
      message: expect.stringContaining('"y"'),
    });
    expect(parts.closed.sort()).toEqual(['bundle', 'original']);
  });

  it('measures against the largest element, and accepts what the tolerance says', async () => {
    const parts = models([['ids', 'i64']], gather, (sample) =>
      idsOf(sample).map((id) => lookup(id) + 0.5),
    );
    const passing = await verifyBundle(request(manifest(), 100, { tolerance: 0.5 / 8 }), parts);
    expect(passing.maxAbsError).toBeCloseTo(0.5, 6);
    expect(passing.maxError).toBeLessThan(0.5);
    const run = verifyBundle(request(manifest(), 100, { tolerance: passing.maxError / 2 }), parts);
    await expect(run).rejects.toMatchObject({ code: 'VERIFY_FAILED' });
  });

  it('fails when the number of elements differs', async () => {
    const parts = models([['ids', 'i64']], gather, (sample) => idsOf(sample).slice(1).map(lookup));
    await expect(verifyBundle(request(manifest()), parts)).rejects.toThrow(/elements of output/);
  });

  it('fails when the original has an input that the bundle lost', async () => {
    const inputs: [string, DtypeName][] = [
      ['ids', 'i64'],
      ['lost', 'f32'],
    ];
    const parts = models(inputs, gather, (sample) => idsOf(sample).map(lookup));
    await expect(verifyBundle(request(manifest()), parts)).rejects.toThrow(/lost/);
  });

  it('runs whole batches where the batch is fixed', async () => {
    const parts = models([['ids', 'i64']], gather, (sample) => {
      expect(sample.rows).toBe(8);
      return idsOf(sample).map(lookup);
    });
    expect((await verifyBundle(request(manifest({ batch: 8 }), 10), parts)).rows).toBe(16);
  });

  it.each([false, true])('finds out that offsets end with the last row: %s', async (last) => {
    const ragged: ManifestInput[] = [
      {
        name: 'ids',
        kind: 'ragged',
        dtype: 'i32',
        weights: true,
        source: { offsets: 'o', weights: 'w' },
      },
    ];
    const of = manifest({
      inputs: ragged,
      bags: [{ table: 't', input: 'ids', pooling: 'sum', weights: true, slot: 's', offset: 0 }],
    });
    const sums = (indices: ArrayLike<number>, offsets: number[], weights: ArrayLike<number>) =>
      offsets.slice(0, -1).map((start, row) => {
        let sum = 0;
        for (let i = start; i < (offsets[row + 1] as number); i++) {
          sum += lookup(indices[i] as number) * (weights[i] as number);
        }
        return sum;
      });
    const original = (feeds: Feeds): NamedTensor => {
      const indices = toNumbers('i64', feeds['ids']?.data as BigInt64Array);
      const offsets = [...toNumbers('i64', feeds['o']?.data as BigInt64Array)];
      if (!last) offsets.push(indices.length);
      const result = sums(indices, offsets, feeds['w']?.data as Float32Array);
      return { data: Float32Array.from(result), dims: [result.length] };
    };
    const inputs: [string, DtypeName][] = [
      ['ids', 'i64'],
      ['o', 'i64'],
      ['w', 'f32'],
    ];
    const parts = models(inputs, original, (sample) => {
      const ids = sample.inputs.get('ids');
      if (ids?.kind !== 'ragged') throw new Error('expected ragged ids');
      return sums(ids.indices, [...ids.offsets], ids.weights as Float32Array);
    });
    expect((await verifyBundle(request(of), parts)).maxError).toBeLessThan(1e-6);
  });

  it('asks again with tamer ids when the original refuses the first ones', async () => {
    // The dense graph has a table of two rows behind the same ids, which no bag tells.
    const strict = (feeds: Feeds): NamedTensor => {
      for (const id of toNumbers('i64', feeds['ids']?.data as BigInt64Array)) {
        if (id > 1) throw new GyrfalconError('ENGINE_FAILED', 'out of the second table');
      }
      return gather(feeds);
    };
    const parts = models([['ids', 'i64']], strict, (sample) => idsOf(sample).map(lookup));
    expect((await verifyBundle(request(manifest()), parts)).rows).toBe(100);
    const never = (): NamedTensor => {
      throw new GyrfalconError('ENGINE_FAILED', 'never runs');
    };
    const broken = models([['ids', 'i64']], never, () => []);
    await expect(verifyBundle(request(manifest()), broken)).rejects.toThrow(/never runs/);
  });

  it('is ABORTED by its signal and reports rows', async () => {
    const parts = models([['ids', 'i64']], gather, (sample) => idsOf(sample).map(lookup));
    const controller = new AbortController();
    const seen: number[] = [];
    const onRows = (done: number): void => {
      seen.push(done);
      if (done > 5) controller.abort();
    };
    const run = verifyBundle(
      request(manifest(), 1000, { signal: controller.signal, onRows }),
      parts,
    );
    await expect(run).rejects.toMatchObject({ code: 'ABORTED' });
    expect(seen).toEqual([1, 8]);
    expect(parts.closed.sort()).toEqual(['bundle', 'original']);
  });
});

describe('defaultTolerance', () => {
  it.each([
    [[], 1e-5],
    [['f32'], 1e-5],
    [['f32', 'f16'], 1e-5 + 4 / 2048],
    [['bf16'], 1e-5 + 4 / 256],
    [['int8', 'f16'], 1e-5 + 4 / 255],
    [['int8', 'int4'], 1e-5 + 4 / 15],
  ] as const)('follows from the worst of %j', (storages, expected) => {
    const [table] = manifest().tables as [Manifest['tables'][number]];
    const tables = storages.map((storage) => ({ ...table, storage }));
    expect(defaultTolerance(manifest({ tables }))).toBeCloseTo(expected, 12);
  });
});

describe('makeSample', () => {
  const ids = (of: Manifest, mode: 'padded' | 'inside' | 'narrow' = 'padded'): number[] =>
    idsOf(makeSample(of, 500, {}, mode, new Random(1)));
  const withBags = (...bags: Partial<Manifest['bags'][number]>[]) =>
    manifest({
      inputs: [{ name: 'ids', kind: 'tensor', dtype: 'i32', shape: ['batch', 2] }],
      bags: bags.map((bag) => ({
        table: 't',
        input: 'ids',
        pooling: 'sum',
        count: 2,
        slot: 's',
        offset: 0,
        ...bag,
      })),
    });

  it('covers the table to both ends and no further', () => {
    const seen = new Set(ids(withBags({})));
    expect([...seen].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('takes what is added to the ids into account, per column', () => {
    const values = ids(withBags({ add: [0, 6] }));
    expect(Math.max(...values.filter((_, i) => i % 2 === 0))).toBe(9);
    expect(Math.max(...values.filter((_, i) => i % 2 === 1))).toBe(3);
    const shifted = ids(withBags({ add: -4 }));
    expect([Math.min(...shifted), Math.max(...shifted)]).toEqual([4, 13]);
  });

  it('keeps to the smaller of two ranges', () => {
    expect(Math.max(...ids(withBags({}, { add: 5 })))).toBe(4);
  });

  it('mixes padding in where every bag takes it', () => {
    expect(ids(withBags({ padding: -1 }))).toContain(-1);
    expect(ids(withBags({ padding: -1 }), 'inside')).not.toContain(-1);
    expect(ids(withBags({ padding: -1 }, {}))).not.toContain(-1);
  });

  it('keeps to two ids when asked for narrow ones', () => {
    expect(new Set(ids(withBags({}), 'narrow'))).toEqual(new Set([0, 1]));
  });
});

describe('tensor values', () => {
  it.each(['f32', 'f64', 'f16', 'bf16', 'i8', 'i16', 'i32', 'i64'] as const)(
    'go into %s and back',
    (dtype) => {
      const values = [0, 1, -2, 3, -16];
      expect([...toNumbers(dtype, toTensorData(dtype, values))]).toEqual(values);
    },
  );

  it('keep eighths in f16 and bf16', () => {
    const eighths = Array.from({ length: 33 }, (_, i) => (i - 16) / 8);
    for (const dtype of ['f16', 'bf16'] as const) {
      expect([...toNumbers(dtype, toTensorData(dtype, eighths))]).toEqual(eighths);
    }
  });
});
