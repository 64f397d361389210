import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';

import { afterAll, describe, expect, it } from 'vitest';

import {
  dims,
  numberList,
  seconds,
  skew,
  tableDtypes,
  wholeNumber,
} from '../../lib/cli/arguments.js';
import { ZipfRandom } from '../../lib/cli/bench-random.js';
import { exitCodeOf } from '../../lib/cli/io.js';
import { run } from '../../lib/cli/program.js';
import { GyrfalconError } from '../../lib/errors.js';

const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-cli-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function call(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const stdout = new PassThrough({ highWaterMark: 2 ** 20 });
  const stderr = new PassThrough({ highWaterMark: 2 ** 20 });
  const signal = new AbortController().signal;
  const code = await run(args, { stdin: Readable.from([]), stdout, stderr, signal });
  const text = (stream: PassThrough): string => stream.read()?.toString() ?? '';
  return { code, out: text(stdout), err: text(stderr) };
}

describe('option values', () => {
  it('reads table dtypes, for all and by name, and gathers repetitions', () => {
    expect(tableDtypes('int8')).toEqual({ '*': 'int8' });
    expect(tableDtypes('f16,user=int4', { item: 'bf16' })).toEqual({
      '*': 'f16',
      user: 'int4',
      item: 'bf16',
    });
    expect(tableDtypes('a=b=int8')).toEqual({ 'a=b': 'int8' });
    expect(() => tableDtypes('int3')).toThrow(/expected f32, f16.*"int3"/);
    expect(() => tableDtypes('=int8')).toThrow(/NAME=DTYPE/);
  });

  it('reads sizes of dimensions', () => {
    expect(dims('length=20', { other: 3 })).toEqual({ length: 20, other: 3 });
    expect(() => dims('length')).toThrow(/expected NAME=SIZE but received "length"/);
    expect(() => dims('length=0')).toThrow(/"0"/);
    expect(() => dims('=4')).toThrow(/NAME=SIZE/);
  });

  it('reads whole numbers on both sides of their limits', () => {
    const parse = wholeNumber(1, 8);
    expect([parse('1'), parse('8')]).toEqual([1, 8]);
    for (const text of ['0', '9', '1.5', '-1', '', 'x'])
      expect(() => parse(text)).toThrow(/1 to 8/);
    expect(numberList(128)('1, 16,128')).toEqual([1, 16, 128]);
    expect(() => numberList(127)('1,128')).toThrow(/1 to 127/);
    expect(() => numberList(128)('1,,2')).toThrow(/whole number/);
  });

  it('reads skew and seconds', () => {
    expect(skew('uniform')).toEqual({ kind: 'uniform' });
    expect(skew('zipf:1.05')).toEqual({ kind: 'zipf', exponent: 1.05 });
    for (const text of ['zipf', 'zipf:0', 'zipf:11', 'normal']) expect(() => skew(text)).toThrow();
    expect(seconds('0.5')).toBe(0.5);
    for (const text of ['0', '-1', '', '3601', 'x']) expect(() => seconds(text)).toThrow();
  });
});

describe('statistics', () => {
  it('draws ids inside their range, the frequent ones as often as the law says', () => {
    const random = new ZipfRandom(7, 1.05);
    const counts = new Map<number, number>();
    for (let i = 0; i < 20_000; i++) {
      const id = random.integer(5, 1005);
      expect(id).toBeGreaterThanOrEqual(5);
      expect(id).toBeLessThan(1005);
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    // P(rank 1) = (2^p - 1) / (1000^p - 1) of the continuous law, p = -0.05: 0.117.
    const top = Math.max(...counts.values()) / 20_000;
    expect(top).toBeCloseTo((2 ** -0.05 - 1) / (1000 ** -0.05 - 1), 1);
    expect(counts.size).toBeGreaterThan(300);
  });
});

describe('exit codes', () => {
  const idle = new AbortController().signal;

  it('prints help, with the codes, and the version on standard output', async () => {
    const help = await call('--help');
    expect(help).toMatchObject({ code: 0, err: '' });
    for (const name of ['info', 'import', 'inspect', 'score', 'bench', 'Exit codes']) {
      expect(help.out).toContain(name);
    }
    expect((await call('score', '--help')).out).toContain('--out-of-range');
    expect((await call('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    [[]],
    [['fly']],
    [['import', 'model.onnx']],
    [['score', 'bundle']],
    [['score', 'bundle', '--input', 'x', '--batch', '0']],
    [['bench', 'bundle', '--skew', 'odd']],
    [['info', '--odd']],
  ])('gives 2 for wrong usage: %j', async (args) => {
    const { code, out, err } = await call(...args);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(/^error USAGE: \S/);
  });

  it('gives 1 with the code of what failed, as JSON too', async () => {
    const missing = join(folder, 'none');
    const plain = await call('inspect', missing);
    expect(plain.code).toBe(1);
    expect(plain.err).toMatch(/^error BUNDLE_NOT_FOUND: .*none\n$/);
    const json = await call('inspect', missing, '--json');
    expect(json).toMatchObject({ code: 1, out: '' });
    expect(JSON.parse(json.err).error.code).toBe('BUNDLE_NOT_FOUND');
    expect(existsSync(missing)).toBe(false);
  });

  it('tells failed verification and interruption apart', () => {
    expect(exitCodeOf(new GyrfalconError('VERIFY_FAILED', 'x'), idle)).toBe(3);
    expect(exitCodeOf(new Error('x'), idle)).toBe(1);
    expect(exitCodeOf(new GyrfalconError('ABORTED', 'x'), AbortSignal.abort())).toBe(130);
  });
});
