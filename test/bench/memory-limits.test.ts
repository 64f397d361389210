/** What touching the rows of a table takes, measured by the program that is made for it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildProgram, measureRows } from '../../bench/peers/memory-limits.js';

const ROWS = 1000;
const HEADER = 128;
const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-limits-'));
const file = join(folder, 'table');
const ids = join(folder, 'ids');
let program = '';

beforeAll(() => {
  const source = new URL('../../bench/peers/memory_limits.cc', import.meta.url);
  const built = buildProgram(folder, fileURLToPath(source));
  if ('why' in built) throw new Error(built.why);
  program = built.program;
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function touch(rowBytes: number, list: number[], threads = 1): number | string {
  writeFileSync(file, Buffer.alloc(HEADER + ROWS * rowBytes, 1));
  writeFileSync(ids, Int32Array.from(list));
  const cores = Array.from({ length: threads }, (_, core) => core);
  return measureRows(program, cores, { file, dataOffset: HEADER, rowBytes, ids });
}

const REFUSED = 'expected figures but the program ended with 1';

describe('touching rows', () => {
  it.each([68, 72, 136, 256, 512])(
    'of %i bytes takes some time, from the first to the last',
    (bytes) => {
      const list = Array.from({ length: 20_000 }, (_, i) => (i * 7919) % ROWS);
      for (const threads of [1, 2]) {
        const found = touch(bytes, [0, ROWS - 1, ...list], threads);
        expect(found).toBeGreaterThan(0);
        expect(found).toBeLessThan(1e5);
      }
    },
  );

  it.each([
    ['an id before the first row', 72, [0, -1]],
    ['an id behind the last row', 72, [ROWS, 0]],
    ['no id', 72, []],
    ['fewer ids than threads', 72, [1], 2],
    ['a size that no bag has', 80, [0]],
  ])('is refused for %s', (_, bytes, list, threads = 1) => {
    expect(touch(bytes, list, threads)).toBe(REFUSED);
  });

  it('is refused for a file that is not there', () => {
    const table = { file: join(folder, 'none'), dataOffset: 0, rowBytes: 72, ids };
    expect(measureRows(program, [0], table)).toBe(REFUSED);
  });
});

describe('without a compiler', () => {
  it('the reason names it', () => {
    const before = process.env['CXX'];
    process.env['CXX'] = 'no-such-compiler';
    try {
      expect(buildProgram(folder)).toEqual({ why: expect.stringContaining('no-such-compiler') });
    } finally {
      if (before === undefined) delete process.env['CXX'];
      else process.env['CXX'] = before;
    }
  });
});
