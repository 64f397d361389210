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

  it('is imported in another precision, calibrated, and says so', async () => {
    const out = join(folder, 'int8');
    const flags = ['--precision', 'int8', '--calibrate', join(example, 'requests.jsonl')];
    const model = join(example, 'model.onnx');
    const text = await call(['import', model, '--out', out, ...flags, '--verify', '4']);
    expect(text).toMatchObject({ code: 0, err: '' });
    expect(text.out).toMatch(/fused +int8 \(default\)/);
    expect(text.out).toMatch(/onnxruntime +f32/);
    const { fused } = JSON.parse((await call(['inspect', out, '--json'])).out);
    expect(fused.precision).toBe('int8');
    expect(fused.calibrated).toBeGreaterThan(0);
    expect((await call(['inspect', bundle])).out).toContain('precision f32, 0 products calibrated');

    const input = rows.join('\n');
    const scores = async (from: string, ...more: string[]) => {
      const command = ['score', from, '--input', '-', '--ignore-extra', ...more];
      const { code, out: lines } = await call(command, input);
      expect(code).toBe(0);
      return lines
        .trim()
        .split('\n')
        .map((line): number => JSON.parse(line).score);
    };
    const exact = await scores(bundle);
    expect(await scores(out, '--precision', 'f32')).toEqual(exact);
    const reduced = await scores(out);
    expect(reduced).not.toEqual(exact);
    for (const [i, score] of reduced.entries()) expect(score).toBeCloseTo(exact[i] as number, 1);
    const other = await scores(out, '--engine', 'onnxruntime');
    for (const [i, score] of other.entries()) expect(score).toBeCloseTo(exact[i] as number, 5);
    const wrong = ['score', out, '--input', '-', '--engine=onnxruntime', '--precision=int8'];
    expect(await call(wrong, input)).toMatchObject({
      code: 1,
      err: expect.stringContaining('ENGINE_UNAVAILABLE'),
    });
    for (const usage of [
      ['--precision', 'f16'],
      ['--engine', 'none'],
    ])
      expect((await call(['score', out, '--input', '-', ...usage], input)).code).toBe(2);
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
    expect(environment.precision).toBe('f32');
  });

  it('holds measurements against objectives and earlier ones, and writes files', async () => {
    const short = ['bench', bundle, '--duration', '0.05', '--warm-up', '0.01', '--full'];
    const file = (name: string): string => join(folder, name);
    const text = (name: string): string => readFileSync(file(name), 'utf8');
    const [csv, html, hgrm] = ['b.csv', 'b.html', 'b.hgrm'].map(file) as [string, string, string];
    const written = ['--csv', csv, '--html', html, '--hgrm', hgrm];
    const closed = [...short, '--batch', '8', '--concurrency', '2'];
    const both = [...closed, '--batch', '1,8'];
    const first = await call([...both, ...written, '--slo', 'p50=9s', '--assert', '--json']);
    expect(first.code).toBe(0);
    expect(JSON.parse(first.out).mode).toBe('closed');
    expect(text('b.csv').trim().split('\n')).toHaveLength(3);
    expect(text('b.html')).not.toMatch(/(src|href)=|https?:/);
    expect(text('b-b8-t1.hgrm')).toMatch(/#\[Total count +=/);

    const missed = await call([...closed, '--slo', 'p50=1ns', '--assert', '--json']);
    expect(missed.code).toBe(1);
    expect(JSON.parse(missed.err).error.code).toBe('ASSERTION_FAILED');
    expect(JSON.parse(missed.out).runs[0].slo[0].met).toBe(false);

    // A past that was a million times as fast is not reached, one that was as slow is.
    const [fast, slow] = [1e-6, 1e6].map((factor) => {
      const earlier = JSON.parse(first.out);
      for (const { latency } of earlier.runs)
        for (const key of ['p50', 'p99']) latency[key] *= factor;
      for (const run of earlier.runs) run.rowsPerSecond /= factor;
      writeFileSync(file(`${factor}.json`), JSON.stringify(earlier));
      return file(`${factor}.json`);
    }) as [string, string];
    expect((await call([...closed, '--compare', fast, '--assert'])).code).toBe(1);
    expect((await call([...closed, '--compare', slow, '--assert'])).code).toBe(0);
    // Another load is not comparable.
    const open = await call([
      ...short,
      '--batch',
      '1',
      '--rate',
      '2000',
      '--compare',
      slow,
      '--json',
    ]);
    expect(JSON.parse(open.err).error.code).toBe('INVALID_ARGUMENT');
  });

  it('has capabilities', async () => {
    const found = JSON.parse((await call(['info', '--json'])).out);
    expect((await call(['info'])).out).toContain(`gyrfalcon ${found.version}`);
  });
});
