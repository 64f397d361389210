/** What is generated for the comparisons with peers: the same from the same seed, and what it says. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { DATA_FILE, generateBag, generateModel, MODEL_FILE } from '../../bench/peers/generate.js';
import { seedFor } from '../../bench/peers/random.js';
import { type Access, drawIds, makeRing, ringSize, sweepRing } from '../../bench/peers/requests.js';
import { readRows } from '../../bench/peers/rows.js';
import {
  BAGS,
  capTables,
  idsPerRow,
  rowBytes,
  tableBytes,
  WORKLOADS,
  type Workload,
} from '../../bench/peers/workloads.js';
import { native } from '../../lib/native.js';

const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-peers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const named = (name: string): Workload => {
  const found = WORKLOADS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`expected a workload ${name}`);
  return found;
};
const digest = (...names: string[]): string =>
  names.reduce((hash, name) => hash.update(readFileSync(name)), createHash('sha256')).digest('hex');

describe('workloads', () => {
  it('look up as many ids as they are known for', () => {
    const ids = Object.fromEntries(WORKLOADS.map((one) => [one.name, idsPerRow(one)]));
    expect(ids).toEqual({
      ...{ kaggle: 26, terabyte64: 26, dcnv2: 214, lookup26: 26 },
      ...{ rm1: 8 * 80, rm2: 32 * 120, rm3: 10 * 20 },
    });
    expect(Math.max(...named('terabyte64').tables.map(({ rows }) => rows))).toBe(10_000_000);
  });

  it.each(WORKLOADS.map((one) => [one.name, one] as const))(
    '%s is capped to what fits, no further',
    (_, one) => {
      for (const bytes of [4e6, 1e9, 1e12]) {
        const { workload, cap } = capTables(one, bytes);
        expect(tableBytes(workload)).toBeLessThanOrEqual(bytes);
        if (cap === null) {
          expect(workload).toBe(one);
          continue;
        }
        const larger = one.tables.map(({ rows, hotness }) => ({
          rows: Math.min(rows, cap + 1),
          hotness,
        }));
        expect(tableBytes({ ...one, tables: larger })).toBeGreaterThan(bytes);
      }
    },
  );
});

describe('models and tables', () => {
  const small = capTables(named('kaggle'), 1e6).workload;

  it('are the same from one seed and others from another', async () => {
    const made: string[] = [];
    for (const [i, seed] of [1, 1, 2].entries()) {
      const directory = join(folder, `model${i}`);
      await generateModel(small, directory, seed);
      made.push(digest(join(directory, MODEL_FILE), join(directory, DATA_FILE)));
    }
    expect(made[1]).toBe(made[0]);
    expect(made[2]).not.toBe(made[0]);
  });

  it.each(BAGS.map((bag) => [bag.name, bag] as const))(
    '%s too, with rows of about -1 to 1',
    async (_, bag) => {
      const made: string[] = [];
      for (const [i, seed] of [1, 1, 2].entries()) {
        const table = await generateBag(bag, join(folder, `${bag.name}${i}`), seed, 1e5);
        expect(table.rows).toBe(Math.floor(1e5 / rowBytes(bag.storage, bag.dim)));
        made.push(digest(table.file));
        const stored = { path: table.file, offset: table.dataOffset, ...bag };
        const values = await readRows(stored, [0, 1, table.rows - 1]);
        expect(values.every((value) => Math.abs(value) <= 2)).toBe(true);
        expect(new Set(values).size).toBeGreaterThan(10);
      }
      expect(made[1]).toBe(made[0]);
      expect(made[2]).not.toBe(made[0]);
    },
  );

  it.each(['f32', 'f16', 'bf16', 'int8', 'int4'] as const)(
    'rows in %s are read as they were written',
    async (storage) => {
      const dim = 12;
      const rows = Float32Array.from(
        { length: 5 * dim },
        (_, i) => Math.sin(i * 7) * 10 ** (i % 3),
      );
      const bytes = native().encodeRows(rows, 5, dim, storage);
      const path = join(folder, `rows-${storage}`);
      const { writeFileSync } = await import('node:fs');
      writeFileSync(path, bytes);
      const read = await readRows({ path, offset: 0, storage, dim }, [4, 0]);
      // Of the row's range, which is under 200: half a step of the storage, and rounding.
      const step = { f32: 0, f16: 2 ** -4, bf16: 2 ** -1, int8: 200 / 255 / 2, int4: 200 / 15 / 2 };
      for (const [at, row] of [4, 0].entries()) {
        for (let i = 0; i < dim; i++) {
          const error = Math.abs((read[at * dim + i] ?? Number.NaN) - (rows[row * dim + i] ?? 0));
          expect(error).toBeLessThanOrEqual(step[storage] * 1.1);
        }
      }
    },
  );
});

const UNIFORM: Access = { kind: 'uniform' };
const ZIPF: Access = { kind: 'zipf', exponent: 1.05 };
const shape = {
  batch: 3,
  dense: 2,
  tables: [
    { rows: 1, hotness: 1 },
    { rows: 1000, hotness: 4 },
    { rows: 7919, hotness: 2 },
  ],
};

describe('requests', () => {
  it.each([UNIFORM, ZIPF])(
    'are the same from one seed, and others from another: $kind',
    (access) => {
      const [first, again, other] = [1, 1, 2].map((seed) => makeRing(shape, 50, access, seed));
      expect(again).toEqual(first);
      expect(other?.ids).not.toEqual(first?.ids);
      expect(other?.dense).not.toEqual(first?.dense);
      expect(first?.ids).toHaveLength(50 * 3 * 7);
    },
  );

  it('have seeds of their own for each purpose', () => {
    const seeds = ['a', 'b', 'ab', 'ba', ''].flatMap((purpose) =>
      [1, 2].map((s) => seedFor(s, purpose)),
    );
    expect(new Set(seeds).size).toBe(seeds.length);
  });

  it.each([UNIFORM, ZIPF])('have ids of their own tables: $kind', (access) => {
    const { ids } = makeRing(shape, 200, access, 5);
    const limits = shape.tables.flatMap(({ rows, hotness }) => Array<number>(hotness).fill(rows));
    ids.forEach((id, i) => {
      expect(id >= 0 && id < (limits[i % limits.length] ?? 0)).toBe(true);
    });
  });

  it('follow their law', () => {
    const draws = 100_000;
    const counts = (access: Access): number[] => {
      const draw = drawIds(1000, access);
      const found = Array<number>(1000).fill(0);
      for (let i = 0; i < draws; i++) {
        const id = draw((i + 0.5) / draws);
        found[id] = (found[id] ?? 0) + 1;
      }
      return found.sort((a, b) => b - a);
    };
    expect(counts(UNIFORM).every((count) => Math.abs(count - draws / 1000) <= 1)).toBe(true);
    const zipf = counts(ZIPF);
    // Every id is drawn; ranks 10 and 100 are some 10^1.05 times apart.
    expect(zipf.every((count) => count > 0)).toBe(true);
    expect((zipf[0] ?? 0) / (zipf[99] ?? 1)).toBeGreaterThan(60);
    expect((zipf[9] ?? 0) / (zipf[99] ?? 1)).toBeGreaterThan(8);
    expect((zipf[9] ?? 0) / (zipf[99] ?? 1)).toBeLessThan(14);
  });

  it('read more rows than fit the target, unless that takes too many', () => {
    const wide = { batch: 16, dense: 13, tables: [{ rows: 1e6, hotness: 20 }] };
    for (const target of [1e6, 1e8]) {
      const count = ringSize(wide, 256, target);
      expect(count * 16 * 20 * 256).toBeGreaterThanOrEqual(target);
      expect(count * 16 * 20 * 256).toBeLessThan(3 * target);
    }
    expect(ringSize({ ...wide, tables: [{ rows: 10, hotness: 1 }] }, 4, 1e9)).toBeLessThan(2 ** 21);
  });

  it('of the sweep read every page of every table', () => {
    const bytes = 64;
    const sweep = sweepRing(shape, bytes);
    const pages = shape.tables.map(() => new Set<number>());
    let at = 0;
    for (let row = 0; row < sweep.count * sweep.batch; row++) {
      for (const [table, { hotness }] of shape.tables.entries()) {
        for (let k = 0; k < hotness; k++) {
          pages[table]?.add(Math.floor(((sweep.ids[at++] ?? 0) * bytes) / 4096));
        }
      }
    }
    expect(pages.map((set) => set.size)).toEqual(
      shape.tables.map(({ rows }) => Math.ceil((rows * bytes) / 4096)),
    );
  });
});
