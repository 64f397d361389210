import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type Finished, gyrfalcon, main, start } from './cli-process.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const example = join(root, 'examples/movielens');
// One ragged input with weights: no row has a fixed size.
const weighted = join(root, 'test/models/bag-weighted-offsets.dynamo.onnx');
const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon cli '));
const films = join(folder, 'films');
const bags = join(folder, 'bags');
const requests = join(example, 'requests.jsonl');

let imported: Finished;
beforeAll(async () => {
  imported = await gyrfalcon(['import', join(example, 'model.onnx'), '--out', films, '--verify=8']);
  await gyrfalcon(['import', weighted, '--out', bags]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const row = (indices: number[], weights: number[]): string =>
  JSON.stringify({ indices: { indices, weights } });
const scoreBags = (input: string, ...flags: string[]): Promise<Finished> =>
  gyrfalcon(['score', bags, '--input', '-', ...flags], input);
const lines = ({ out }: Finished): unknown[] =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
const failure = ({ err }: Finished): { code: string; message: string } => {
  const { error } = JSON.parse(err) as { error: { code: string; message: string } };
  return error;
};
/** What a command that failed left behind. */
const leftovers = (name: string): string[] =>
  readdirSync(folder).filter((file) => file.startsWith(name));

describe('standard output and standard error', () => {
  it('hold the result and nothing', async () => {
    expect(imported).toMatchObject({ code: 0, err: '' });
    expect(imported.out).toContain('verified on 8 rows');
    for (const args of [
      ['info'],
      ['inspect', films],
      ['bench', bags, '--batch=2', '--seconds=0.01'],
      ['score', films, '--input', requests, '--ignore-extra'],
    ]) {
      const plain = await gyrfalcon(args);
      expect(plain, args[0]).toMatchObject({ code: 0, err: '' });
      expect(plain.out, args[0]).not.toBe('');
      expect(plain.out, args[0]).not.toContain('\u001b');
    }
  });

  it('hold one line of JSON where that was asked for', async () => {
    const shapes: [string[], string[]][] = [
      [['info'], ['version', 'node', 'platform', 'arch', 'cpu', 'devices', 'engines']],
      [
        ['inspect', films],
        [
          ...['name', 'producer', 'source', 'batch', 'symbols', 'inputs', 'tables', 'tableBytes'],
          ...['bags', 'slots', 'dense', 'fused', 'outputs', 'report'],
        ],
      ],
      [
        ['import', weighted, '--out', join(folder, 'json')],
        ['bundle', 'tables', 'report'],
      ],
      [
        ['bench', bags, '--batch=1', '--seconds=0.01'],
        [
          ...['format', 'environment', 'model', 'mode', 'concurrency', 'rate'],
          ...['skew', 'seed', 'runs'],
        ],
      ],
      [
        ['score', films, '--input', requests, '--ignore-extra', '--output', join(folder, 'j.csv')],
        ['rows', 'failed', 'outOfRangeZeroed', 'output'],
      ],
    ];
    for (const [args, keys] of shapes) {
      const { code, out, err } = await gyrfalcon([...args, '--json']);
      expect([code, err], args[0]).toEqual([0, '']);
      expect(out.indexOf('\n'), args[0]).toBe(out.length - 1);
      expect(Object.keys(JSON.parse(out) as object), args[0]).toEqual(keys);
    }
  });

  it('hold nothing and the error when a command fails', async () => {
    for (const [args, code, name] of [
      [['inspect', join(folder, 'none')], 1, 'BUNDLE_NOT_FOUND'],
      [['score', films, '--input', join(folder, 'none')], 1, 'IO_ERROR'],
      [['score', films, '--input', folder], 1, 'IO_ERROR'],
      [['import', join(folder, 'none'), '--out', join(folder, 'never')], 1, 'IO_ERROR'],
      [['bench', films, '--batch=0'], 2, 'USAGE'],
      [['bench', films, '--threads=1025'], 2, 'USAGE'],
    ] as const) {
      const json = await gyrfalcon([...args, '--json']);
      expect(json, args.join(' ')).toMatchObject({ code, out: '' });
      expect(failure(json).code).toBe(name);
    }
    const plain = await gyrfalcon(['inspect', join(folder, 'none')]);
    expect(plain).toMatchObject({ code: 1, out: '' });
    expect(plain.err).toMatch(/^error BUNDLE_NOT_FOUND: [^\n]+\n$/);
    expect(leftovers('never')).toEqual([]);
  });

  it('gives 3 for a bundle that does not verify, and keeps none', async () => {
    const out = join(folder, 'rough');
    const model = join(example, 'model.onnx');
    const flags = ['--table-dtype=int4', '--verify=8', '--tolerance=0'];
    const { code, err } = await gyrfalcon(['import', model, '--out', out, ...flags]);
    expect(code).toBe(3);
    expect(err).toMatch(/^error VERIFY_FAILED: /);
    expect(leftovers('rough')).toEqual([]);
  });

  it('draws progress on a terminal only, without colours', () => {
    const out = join(folder, 'terminal');
    const command = `'${process.execPath}' '${main}' import '${join(example, 'model.onnx')}' --out '${out}' --verify=64`;
    const terminal = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8' });
    expect(terminal.status).toBe(0);
    expect(terminal.stdout).toContain('\r\u001b[Kverify 100%');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's colours
    expect(terminal.stdout).not.toMatch(/\u001b\[[\d;]*m/);
    // The last line drawn is taken back.
    expect(terminal.stdout.lastIndexOf('%')).toBeLessThan(terminal.stdout.lastIndexOf('\u001b[K'));
  });
});

describe('interruptions', () => {
  it('of an import by a signal leave no directory', async () => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const out = join(folder, 'stopped');
      const flags = ['--out', out, '--verify=100000000', '--json'];
      const { child, finished } = start(['import', join(example, 'model.onnx'), ...flags]);
      child.stdin.end();
      while (leftovers('stopped.tmp').length === 0) await new Promise((go) => setTimeout(go, 5));
      child.kill(signal);
      const ended = await finished;
      expect(ended).toMatchObject({ code, out: '' });
      expect(failure(ended).code).toBe('ABORTED');
      expect(leftovers('stopped')).toEqual([]);
    }
  });

  it('of a score end it while its writer is silent, and keep no file', async () => {
    const output = join(folder, 'cut.jsonl');
    const { child, finished } = start(['score', bags, '--input', '-', '--output', output]);
    child.stdin.write(`${row([1], [1])}\n`);
    while (leftovers('cut.jsonl').length === 0) await new Promise((go) => setTimeout(go, 5));
    expect(leftovers('cut.jsonl')[0]).toMatch(/^cut\.jsonl\.tmp-/);
    child.kill('SIGINT');
    expect((await finished).code).toBe(130);
    expect(leftovers('cut.jsonl')).toEqual([]);
    child.stdin.destroy();
  });

  it('by a bad row end it while its writer goes on', async () => {
    for (const format of ['jsonl', 'csv']) {
      const { child, finished } = start(['score', bags, '--input=-', `--input-format=${format}`]);
      child.stdin.write('bad\n1\n{"bad"}\n');
      const { code, err } = await finished;
      expect(code).toBe(1);
      expect(err).toMatch(/^error INVALID_ARGUMENT: line [123]: /);
      child.stdin.destroy();
    }
  });

  it('by a reader that has seen enough are no failure', async () => {
    const many = join(folder, 'many.jsonl');
    writeFileSync(many, readFileSync(requests, 'utf8').repeat(40));
    const flags = ['--input', many, '--ignore-extra', '--batch=16'];
    const child = spawn(process.execPath, [main, 'score', films, ...flags]);
    let err = '';
    child.stderr.on('data', (chunk) => {
      err += String(chunk);
    });
    await once(child.stdout, 'data');
    child.stdout.destroy();
    const [code] = (await once(child, 'exit')) as [number];
    expect([code, err]).toEqual([0, '']);
  });
});

describe('rows on standard input', () => {
  it('are JSONL or CSV, with or without byte order mark, in either line ending', async () => {
    const jsonl = [row([1, 2, 3], [0.5, 1, -1]), row([], []), row([29], [2])];
    const cells = jsonl.map((line) => {
      const { indices } = JSON.parse(line) as { indices: object };
      return `"${JSON.stringify(indices).replaceAll('"', '""')}"`;
    });
    const expected = lines(await scoreBags(jsonl.join('\n')));
    expect(expected).toHaveLength(3);
    expect(new Set(expected.map((value) => JSON.stringify(value))).size).toBe(3);
    for (const end of ['\n', '\r\n']) {
      for (const mark of ['', '\uFEFF']) {
        expect(lines(await scoreBags(mark + jsonl.join(end) + end))).toEqual(expected);
        const csv = mark + ['indices', ...cells].join(end) + end;
        expect(lines(await scoreBags(csv, '--input-format=csv'))).toEqual(expected);
      }
    }
  });

  it('may be none', async () => {
    for (const flags of [[], ['--input-format=csv'], ['--output-format=csv']]) {
      expect(await scoreBags('', ...flags)).toEqual({ code: 0, out: '', err: '' });
    }
    expect(await scoreBags('indices\n', '--input-format=csv')).toMatchObject({ code: 0, out: '' });
  });

  it.each([
    ['a missing input', '{}', 'INVALID_ARGUMENT', /^line 1: expected a value for indices/],
    ['another field', '{"x":1}', 'INVALID_ARGUMENT', /^line 1: .*received "x"/],
    ['no weights', '{"indices":[1]}', 'INVALID_ARGUMENT', /received no weights/],
    ['too few weights', row([1, 2], [1]), 'SHAPE_MISMATCH', /expected 2 weights/],
    ['a word for an id', '{"indices":{"indices":["a"],"weights":[1]}}', 'DTYPE_MISMATCH', /"a"/],
    ['half an id', row([0.5], [1]), 'DTYPE_MISMATCH', /integer of i32/],
    ['an id past the table', row([30], [1]), 'INDEX_OUT_OF_RANGE', /^line 1: .*30/],
    ['a negative id', row([-1], [1]), 'INDEX_OUT_OF_RANGE', /^line 1: .*-1/],
    ['an id past int32', row([2 ** 31], [1]), 'DTYPE_MISMATCH', /2147483648/],
    [
      'a weight past float32',
      '{"indices":{"indices":[1],"weights":[1e39]}}',
      'DTYPE_MISMATCH',
      /f32.*1e\+39/,
    ],
    [
      'a weight that is infinite',
      '{"indices":{"indices":[1],"weights":[1e999]}}',
      'DTYPE_MISMATCH',
      /Infinity/,
    ],
    ['no object', '7', 'INVALID_ARGUMENT', /^line 1: expected a JSON object/],
    ['bytes that are no text', '\0\u0001', 'INVALID_ARGUMENT', /^line 1: /],
    [
      'arrays deeper than any stack',
      `{"indices":${'['.repeat(1e5)}${']'.repeat(1e5)}}`,
      'DTYPE_MISMATCH',
      /an array/,
    ],
    [
      'a field whose name is long',
      JSON.stringify({ ['x'.repeat(1e6)]: 1 }),
      'INVALID_ARGUMENT',
      /^.{1,300}$/s,
    ],
  ])('are refused for %s', async (_, input, code, message) => {
    const refused = await scoreBags(`${input}\n`, '--json');
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(failure(refused)).toEqual({ code, message: expect.stringMatching(message) as string });
  });

  it('are refused for a line past the limit, of either format', async () => {
    for (const [format, limit] of [
      ['jsonl', 2 ** 26],
      ['csv', 2 ** 22],
    ] as const) {
      const flags = ['score', bags, '--input=-', `--input-format=${format}`, '--json'];
      const refused = await gyrfalcon(flags, Buffer.alloc(limit + 2 ** 17, 'x'));
      expect(failure(refused).code, format).toBe('LIMIT_EXCEEDED');
    }
  });

  it('pass through in bounded memory', async () => {
    const flags = ['score', bags, '--input=-', '--ignore-extra', '--batch=64'];
    const { child, finished } = start(flags, ['--max-old-space-size=48']);
    const pad = 'x'.repeat(2000);
    let next = Promise.resolve<unknown>(undefined);
    // 100 MB of rows through a heap of 48.
    for (let block = 0; block < 500; block++) {
      let text = '';
      for (let i = 0; i < 100; i++) text += `{"pad":"${pad}${i}",${row([i % 30], [1]).slice(1)}\n`;
      await next;
      if (!child.stdin.write(text)) next = once(child.stdin, 'drain');
    }
    child.stdin.end();
    const { code, out, err } = await finished;
    expect([code, err]).toEqual([0, '']);
    expect(out.split('\n')).toHaveLength(50_001);
  });
});

describe('the output file', () => {
  it('is replaced as a whole, through a link, and stays as it was when a row is bad', async () => {
    const target = join(folder, 'scores.csv');
    const link = join(folder, 'link.csv');
    symlinkSync(target, link);
    writeFileSync(target, 'before');
    const bad = await scoreBags(`${row([1], [1])}\nbad\n`, '--output', link, '--batch=1');
    expect(bad.code).toBe(1);
    expect(readFileSync(target, 'utf8')).toBe('before');
    const good = await scoreBags(`${row([1], [1])}\n`, '--output', link);
    expect(good).toMatchObject({ code: 0, out: `1 rows scored into ${link}\n` });
    expect(readFileSync(target, 'utf8')).toMatch(/^\w+.*\n-?\d.*\n$/);
    expect(leftovers('scores.csv')).toEqual(['scores.csv']);
  });

  it('may be the input', async () => {
    const file = join(folder, 'both.jsonl');
    writeFileSync(file, `${row([1], [1])}\n${row([2], [1])}\n`);
    const both = await gyrfalcon(['score', bags, '--input', file, '--output', file, '--json']);
    expect(JSON.parse(both.out)).toMatchObject({ rows: 2 });
    expect(readFileSync(file, 'utf8')).toBe(
      (await scoreBags(`${row([1], [1])}\n${row([2], [1])}\n`)).out,
    );
  });

  it('may be a device', async () => {
    const null_ = await scoreBags(`${row([1], [1])}\n`, '--output=/dev/null');
    expect(null_).toMatchObject({ code: 0, err: '' });
    const full = await scoreBags(`${row([1], [1])}\n`, '--output=/dev/full', '--json');
    expect(full).toMatchObject({ code: 1, out: '' });
    expect(failure(full).code).toBe('IO_ERROR');
  });

  it('is an error when it cannot be made', async () => {
    const output = join(folder, 'no such folder', 'x');
    const { code, out, err } = await scoreBags(`${row([1], [1])}\n`, '--output', output, '--json');
    expect([code, out]).toEqual([1, '']);
    expect((JSON.parse(err) as { error: { code: string } }).error.code).toBe('IO_ERROR');
  });
});

describe('a damaged or hostile bundle', () => {
  const copy = join(folder, 'hostile');
  const withManifest = (change: (manifest: Record<string, unknown>) => unknown): void => {
    rmSync(copy, { recursive: true, force: true });
    cpSync(bags, copy, { recursive: true });
    const file = join(copy, 'model.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    writeFileSync(file, JSON.stringify(change(manifest)));
  };

  it.each<[string, (manifest: Record<string, unknown>) => unknown, string]>([
    ['null', () => null, 'BUNDLE_INVALID'],
    ['an input that is null', (m) => ({ ...m, inputs: [null] }), 'BUNDLE_INVALID'],
    [
      'a shape that is a word',
      (m) => ({ ...m, inputs: [{ name: 'x', kind: 'tensor', dtype: 'f32', shape: 'y' }] }),
      'BUNDLE_INVALID',
    ],
    ['tables that are an object', (m) => ({ ...m, tables: {} }), 'BUNDLE_INVALID'],
    ['symbols that are null', (m) => ({ ...m, symbols: null }), 'BUNDLE_INVALID'],
    ['a report that is a number', (m) => ({ ...m, report: [3] }), 'BUNDLE_INVALID'],
    ['another version', (m) => ({ ...m, version: 2 }), 'BUNDLE_VERSION'],
    [
      'a dense graph elsewhere',
      (m) => ({ ...m, dense: { file: '../bags/dense.onnx' } }),
      'PATH_ESCAPE',
    ],
  ])('with %s is refused by inspect and bench', async (_, change, code) => {
    withManifest(change);
    for (const args of [
      ['inspect', copy],
      ['bench', copy, '--seconds=0.01'],
    ]) {
      const refused = await gyrfalcon([...args, '--json']);
      expect(refused, args[0]).toMatchObject({ code: 1, out: '' });
      const known = failure(refused).code;
      expect(
        args[0] === 'bench' && code === 'PATH_ESCAPE'
          ? /PATH_ESCAPE|BUNDLE_INVALID/
          : new RegExp(`^${code}$`),
        args[0],
      ).toSatisfy((pattern: RegExp) => pattern.test(known));
    }
  });

  it('cannot steer the terminal', async () => {
    withManifest((manifest) => ({ ...manifest, name: 'a\u001b[2Jb\u202ec' }));
    const { code, out } = await gyrfalcon(['inspect', copy]);
    expect(code).toBe(0);
    expect(out).toContain('a\\u{1b}[2Jb\\u{202e}c');
    const missing = await gyrfalcon(['inspect', 'no\u001b[2Jne']);
    expect(missing.err).toContain('no\\u{1b}[2Jne');
  });

  it('cannot make bench allocate without bound', async () => {
    const flags = ['--batch=65536', '--seconds=0.01', '--json'];
    withManifest((manifest) => ({
      ...manifest,
      inputs: [{ name: 'x', kind: 'tensor', dtype: 'f32', shape: ['batch', 2 ** 28] }],
    }));
    const refused = await gyrfalcon(['bench', copy, ...flags]);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(failure(refused).code).not.toBe('INTERNAL');
  });

  it('has a manifest of at most 16 MiB', async () => {
    rmSync(copy, { recursive: true, force: true });
    mkdirSync(copy);
    writeFileSync(join(copy, 'model.json'), Buffer.alloc(2 ** 24 + 1, ' '));
    expect(failure(await gyrfalcon(['inspect', copy, '--json'])).code).toBe('LIMIT_EXCEEDED');
    expect(existsSync(join(copy, 'dense.onnx'))).toBe(false);
  });
});
