import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { run } from '../../lib/cli/program.js';

const example = fileURLToPath(new URL('../../examples/movielens/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-cli-'));
const bundle = join(folder, 'movielens');
const rows = readFileSync(join(example, 'requests.jsonl'), 'utf8').trim().split('\n').slice(0, 5);

async function call(
  args: string[],
  input = '',
): Promise<{ code: number; out: string; err: string }> {
  const stdout = new PassThrough({ highWaterMark: 2 ** 22 });
  const stderr = new PassThrough({ highWaterMark: 2 ** 22 });
  const stdin = Readable.from([Buffer.from(input)]);
  const { signal } = new AbortController();
  const code = await run(args, { stdin, stdout, stderr, signal });
  return { code, out: stdout.read()?.toString() ?? '', err: stderr.read()?.toString() ?? '' };
}

const score = (input: string, ...flags: string[]) =>
  call(['score', bundle, '--input', '-', '--ignore-extra', ...flags], input);

let imported: Awaited<ReturnType<typeof call>>;
beforeAll(async () => {
  const model = join(example, 'model.onnx');
  imported = await call(['import', model, '--out', bundle, '--verify', '16', '--json']);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the example model', () => {
  it('is imported and verified, once', async () => {
    expect(imported).toMatchObject({ code: 0, err: '' });
    const result = JSON.parse(imported.out);
    expect(result.bundle).toBe(bundle);
    expect(result.tables.length).toBeGreaterThan(0);
    expect(result.verify.rows).toBe(16);
    const again = await call(['import', join(example, 'model.onnx'), '--out', bundle]);
    expect(again.code).toBe(1);
    expect(again.err).toMatch(/^error INVALID_ARGUMENT: /);
  });

  it('is inspected', async () => {
    const summary = JSON.parse((await call(['inspect', bundle, '--json'])).out);
    const { tables } = JSON.parse(imported.out);
    expect(summary.tables).toEqual(tables);
    const ops: number[] = Object.values(summary.dense.ops);
    expect(ops.reduce((a, b) => a + b, 0)).toBe(summary.dense.nodes);
    const text = (await call(['inspect', bundle])).out;
    for (const { name } of summary.tables) expect(text).toContain(name);
  });

  it('scores rows in order, the same in any batch and from CSV', async () => {
    const whole = await score(rows.join('\n'));
    expect(whole).toMatchObject({ code: 0, err: '' });
    const lines = whole.out.trim().split('\n');
    expect(lines).toHaveLength(rows.length);
    const one = (await score(rows.join('\n'), '--batch', '2')).out.trim().split('\n');
    const cells = rows.map((row) => Object.values(JSON.parse(row)).map((v) => JSON.stringify(v)));
    const header = Object.keys(JSON.parse(rows[0] ?? '{}')).join(',');
    const csv = [header, ...cells.map((row) => row.map((cell) => `"${cell}"`).join(','))];
    const fromCsv = (await score(csv.join('\n'), '--input-format', 'csv')).out.trim().split('\n');
    lines.forEach((line, i) => {
      for (const other of [one[i], fromCsv[i]]) {
        const expected = Object.entries<number>(JSON.parse(line));
        const received = JSON.parse(other ?? '{}');
        expect(expected.length).toBeGreaterThan(0);
        for (const [name, value] of expected) expect(received[name]).toBeCloseTo(value, 5);
      }
    });
  });

  it('writes a file and sums up', async () => {
    const output = join(folder, 'scores.jsonl');
    const input = join(folder, 'rows.jsonl');
    writeFileSync(input, rows.join('\n'));
    const flags = ['--input', input, '--output', output, '--ignore-extra', '--json'];
    const { code, out } = await call(['score', bundle, ...flags]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ rows: rows.length, output });
    expect(readFileSync(output, 'utf8')).toBe((await score(rows.join('\n'))).out);
  });

  it('names the line of a bad row and of an id outside its table', async () => {
    const bad = JSON.stringify({ ...JSON.parse(rows[1] ?? '{}'), user: 2 ** 31 - 1 });
    const outside = await score([rows[0], bad].join('\n'), '--batch', '1');
    expect(outside.code).toBe(1);
    expect(outside.err).toMatch(/^error INDEX_OUT_OF_RANGE: line 2: /);
    expect((await score(bad, '--out-of-range', 'zero')).code).toBe(0);
    const extra = await call(['score', bundle, '--input', '-', '--json'], rows[0]);
    expect(extra.code).toBe(1);
    expect(JSON.parse(extra.err).error.message).toMatch(/^line 1: .*"label"/);
  });

  it('is measured', async () => {
    const flags = [
      '--batch',
      '1,8',
      '--duration',
      '0.1',
      '--warm-up',
      '0.01',
      '--skew',
      'zipf:1.05',
      '--json',
    ];
    const { code, out } = await call(['bench', bundle, ...flags]);
    expect(code).toBe(0);
    const { runs, environment } = JSON.parse(out);
    expect(runs.map((entry: { batch: number }) => entry.batch)).toEqual([1, 8]);
    for (const { latency, stages } of runs) {
      expect(latency.p50).toBeLessThanOrEqual(latency.p999);
      expect(stages.lookup + stages.engine).toBeGreaterThan(0);
    }
    expect(environment.engineVersion).toMatch(/^\d/);
  });

  it('has capabilities', async () => {
    const found = JSON.parse((await call(['info', '--json'])).out);
    expect((await call(['info'])).out).toContain(`gyrfalcon ${found.version}`);
  });
});
