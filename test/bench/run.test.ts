/** `npm run bench:peers` as a process: a small run against ONNX Runtime, and peers that fail. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderHtml } from '../../bench/peers/html.js';
import type { Result } from '../../bench/peers/result.js';
import { SHARES } from '../../bench/peers/stats.js';
import { renderRows } from '../../bench/peers/text.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const standIn = fileURLToPath(new URL('./stand-in.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-run-'));

beforeAll(() => {
  const built = spawnSync(process.execPath, [
    join(root, 'node_modules/typescript/bin/tsc'),
    ...['-p', join(root, 'bench/tsconfig.json')],
  ]);
  expect([built.status, built.stdout.toString()]).toEqual([0, '']);
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly result: Result;
  readonly html: string;
  /** Commands that the stand-in was given. */
  readonly asked: string[];
}

function run(name: string, peers: string, python: string, variants: string): Run {
  const out = join(folder, name);
  const log = join(folder, `${name}.log`);
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(root, 'build/bench/bench/peers/main.js'),
      ...['--workload', 'kaggle', '--cap-gb', '0.004', '--access', 'uniform', '--batch', '2'],
      ...['--threads', '1', '--variant', variants, '--rounds', '7', '--ms', '1'],
      ...['--keep', join(folder, 'models'), '--out', out, '--peer', peers, '--python', python],
    ],
    // Without a compiler memory is not measured, which takes long and a gigabyte.
    { env: { ...process.env, CXX: 'no-such-compiler', STAND_IN_LOG: log } },
  );
  const read = (file: string): string => {
    if (!existsSync(join(out, file))) throw new Error(`no ${file}: ${stderr.toString()}`);
    return readFileSync(join(out, file), 'utf8');
  };
  return {
    code: status,
    out: stdout.toString(),
    result: JSON.parse(read('report.json')) as Result,
    html: read('report.html'),
    asked: existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [],
  };
}

const number = expect.any(Number);
const text = expect.any(String);
const spread = { median: number, q1: number, q3: number, min: number, max: number };
const side = {
  calls: number,
  p50: number,
  distribution: Array(SHARES.length).fill(number),
  rowsPerSecond: number,
};

/** Nothing in the page makes a browser ask for something. */
function expectSelfContained(html: string): void {
  expect(html).not.toMatch(/<(script|link|img|iframe|object|embed|base|meta http)/i);
  expect(html).not.toMatch(/\b(src|href|srcset|action)\s*=|@import|url\(/i);
}

describe('a run', () => {
  let done: Run;
  beforeAll(() => {
    done = run('good', 'onnxruntime-node,torch', join(folder, 'no-such-python'), 'f32,bf16');
  }, 300_000);

  it('is written as JSON of a known form', () => {
    const { result } = done;
    expect(result).toEqual({
      format: 'gyrfalcon-peers-1',
      command: expect.arrayContaining(['--workload', 'kaggle']),
      ...{ seed: 1, rounds: 7, ms: 1 },
      environment: {
        ...{ date: text, cpu: text, cores: number, caches: text, governor: text, memory: number },
        ...{ kernel: text, transparentHugePages: text, node: process.version, revision: text },
        load: [number, number],
      },
      memory: expect.stringContaining('expected a C++ compiler'),
      caps: { kaggle: { rows: number, bytes: number } },
      sides: expect.objectContaining({
        'onnxruntime-node, threads 1': expect.objectContaining({ version: text, threads: 1 }),
        'gyrfalcon kaggle f32, threads 1': expect.objectContaining({ precision: 'f32' }),
        'gyrfalcon kaggle bf16, threads 1': expect.objectContaining({ precision: 'bf16' }),
      }),
      cells: ['f32', 'bf16'].map((variant) => ({
        ...{ workload: 'kaggle', access: 'uniform', batch: 2, threads: 1, variant },
        ...{ peer: 'onnxruntime-node', requests: number, rowBytesPerRequest: 2 * 26 * 16 * 4 },
        agreement: expect.objectContaining({
          'ours, reference': { maxError: number, bound: number, values: number },
        }),
        ...{ ratio: spread, meanRatio: spread, ratios: Array(7).fill(number) },
        mine: { ...side, stages: { lookup: number, engine: number } },
        theirs: side,
      })),
      skipped: [expect.objectContaining({ what: 'kaggle, torch, threads 1' })],
      disagreements: [],
    });
    expect(result.caps['kaggle']?.bytes).toBeLessThanOrEqual(0.002e9);
    for (const { ratio, ratios } of result.cells) {
      expect(ratio.min > 0 && ratio.min <= ratio.median && ratio.median <= ratio.max).toBe(true);
      expect(Math.max(...ratios)).toBeCloseTo(ratio.max, 2);
    }
  });

  it('goes on without a peer that is not installed and says what installs it', () => {
    expect(done.code).toBe(0);
    const [skipped] = done.result.skipped;
    expect(skipped?.install).toMatch(/^pip install torch/);
    expect(skipped?.reason).toContain('no-such-python');
    expect(done.out).toContain(skipped?.install ?? '-');
    expect(done.html).toContain(skipped?.install ?? '-');
  });

  it('is one page that needs nothing else, whatever a peer says', () => {
    expectSelfContained(done.html);
    expect(done.html).toContain('<svg');
    const [first] = done.result.cells;
    if (first === undefined) throw new Error('expected a cell');
    const more: Result = {
      ...done.result,
      memory: [
        {
          threads: 1,
          bytes: 1e9,
          randomLine: 9e9,
          sequential: 2e10,
          rows: [{ bytes: 72, nanoseconds: 12.5 }],
        },
      ],
      cells: [1, 128].flatMap((batch) =>
        ['onnxruntime-node', '<script src="x">'].map((peer) => ({
          ...{ ...first, batch, peer },
          row: { ours: 31.25, touched: 28.5, ratio: { ...first.ratio, median: 0.912 } },
        })),
      ),
      skipped: [{ what: '<img src=x>', reason: '"&<' }],
      disagreements: [{ what: '<link href=x>', reason: 'x' }],
    };
    const page = renderHtml(more);
    expectSelfContained(page.replaceAll(/&#60;.*?&#62;/g, ''));
    expect(page).toContain('31.3 ns</td><td class="n">28.5 ns');
    expect(page).toContain('0.91</td>');
    expect(done.html).not.toContain('of the limit');
    expect(renderRows(more.cells)).toMatch(/ 31\.3 +28\.5 +0\.91 /);
    expect(renderRows(done.result.cells)).toBe('');
    for (const chart of ['rows a second', 'one call in', 'random 64-byte lines', 'sequential']) {
      expect(page).toContain(chart);
    }
  });
});

describe('peers that fail', () => {
  let done: Run;
  beforeAll(() => {
    done = run('bad', 'onnxruntime-python,torch,torch-compile', standIn, 'f32');
  }, 300_000);

  it('with other results make the run fail, and are not timed', () => {
    const { code, out, result, html, asked } = done;
    expect(code).toBe(1);
    expect(result.disagreements).toMatchObject([
      {
        what: expect.stringContaining('onnxruntime-python'),
        reason: expect.stringMatching(/^the peer: expected/),
      },
    ]);
    expect(result.cells).toEqual([]);
    expect(asked).toContain('side_onnxruntime outputs');
    expect(asked.filter((line) => line.includes('measure'))).toEqual([]);
    expect(out).toContain('WRONG');
    expect(html).toContain('Wrong answers');
  });

  it('because their module is missing are skipped with what installs it', () => {
    expect(done.result.skipped[0]).toMatchObject({
      what: 'kaggle, torch, threads 1',
      reason: "No module named 'torch'",
      install: expect.stringMatching(/^pip install torch/),
    });
    expect(done.asked.filter((line) => line.startsWith('side_torch '))).toEqual([
      'side_torch load',
    ]);
  });

  it('because they die are skipped with what they said; nothing has to be installed', () => {
    const [, skipped, ...more] = done.result.skipped;
    expect(skipped?.reason).toContain('no more memory');
    expect(skipped).not.toHaveProperty('install');
    expect(more).toEqual([]);
  });
});

it('leaves nothing behind when it is interrupted', async () => {
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  const args = ['--workload', 'kaggle', '--cap-gb', '0.004', '--peer', 'onnxruntime-node'];
  const started = spawn(
    process.execPath,
    [join(root, 'build/bench/bench/peers/main.js'), ...args, '--out', join(folder, 'never')],
    { env: { ...process.env, CXX: 'no-such-compiler', TMPDIR: temporary }, stdio: 'ignore' },
  );
  const ended = new Promise((resolve) => started.once('exit', resolve));
  const made = (): string[] => readdirSync(temporary, { recursive: true }) as string[];
  while (!made().some((name) => name.endsWith('model.data')) && started.exitCode === null) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  started.kill('SIGTERM');
  expect(await ended).toBe(143);
  expect(made()).toEqual([]);
});
