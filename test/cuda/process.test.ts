import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { importModel } from '../../lib/index.js';

// Whole processes that find `libcuda.so.1` as programs do; what they left is read when they ended.

const folder = mkdtempSync(join(tmpdir(), 'gyrfalcon-process-'));
const bundle = join(folder, 'model');
const report = join(folder, 'report');
const library = fileURLToPath(new URL('../../build/cusim/', import.meta.url));
const dist = new URL('../../dist/index.js', import.meta.url).href;

beforeAll(async () => {
  const onnx = fileURLToPath(new URL('../models/dlrm-separate.dynamo.onnx', import.meta.url));
  await importModel(onnx, bundle, { overwrite: true });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const score = `
  const fill = (batch, seed) => {
    for (const { name } of model.info.inputs) {
      const data = batch.inputs[name];
      for (let i = 0; i < data.length; i++) {
        const id = (i * 7 + seed) % 5;
        data[i] = data instanceof BigInt64Array ? BigInt(id) : id;
      }
    }
    return batch;
  };
  const batches = [1, 2, 3].map((seed) => fill(model.createBatch(64), seed));
  const scores = [];
  for (let round = 0; round < 3; round++) {
    const all = await Promise.all(batches.map((batch) => model.score(batch)));
    scores.push(all.map((outputs) => Object.values(outputs).map((each) => [...each])));
  }
  console.log(JSON.stringify(scores));
`;

interface Ended {
  readonly scores: unknown;
  /** What was not given back to the driver and how often its rules were broken; '': not opened. */
  readonly left: string;
}

function run(body: string, env: Record<string, string>): Ended {
  rmSync(report, { force: true });
  const program = `const { loadModel, EmbeddingTable } = await import(${JSON.stringify(dist)});
    const bundle = ${JSON.stringify(bundle)};\n${body}`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', program],
    {
      encoding: 'utf8',
      env: {
        ...process.env,
        GYRFALCON_CUDA_DRIVER: '',
        LD_LIBRARY_PATH: library,
        CUSIM_REPORT: report,
        ...env,
      },
    },
  );
  expect(status, stderr).toBe(0);
  expect(stderr).toBe('');
  const left = existsSync(report) ? readFileSync(report, 'utf8') : '';
  return { scores: JSON.parse(stdout), left };
}

test.each(['late', 'prompt', '1', '2', '3', '4'])(
  'scores are those of the CPU and nothing is left at the end (order: %s)',
  (order) => {
    const cpu = run(`const model = await loadModel(bundle);${score} await model.close();`, {});
    expect(cpu.left).toBe('');
    const whole = run(
      `const model = await loadModel(bundle, { device: 'cuda:0' });${score} await model.close();`,
      { CUSIM_ORDER: order },
    );
    expect(whole.scores).toEqual(cpu.scores);
    expect(whole.left).toBe('0 0\n');
    const cached = run(
      `const names = (await loadModel(bundle)).info.tables.map(({ name }) => name);
       const model = await loadModel(bundle, { device: 'cuda:0',
         caches: Object.fromEntries(names.map((name) => [name, { cacheRows: 16 }])) });
       await model.warm(names[0], new Int32Array([0, 1, 2]));${score} await model.close();`,
      { CUSIM_ORDER: order },
    );
    expect(cached.scores).toEqual(cpu.scores);
    expect(cached.left).toBe('0 0\n');
  },
);

test('a model that is not closed is given back when the process ends', () => {
  const { left } = run(`const model = await loadModel(bundle, { device: 'cuda:0' });${score}`, {
    CUSIM_ORDER: '1',
  });
  expect(left).toBe('0 0\n');
});

test('a process that is ended in the middle leaves what it had, by name', () => {
  const { left } = run(
    `const model = await loadModel(bundle, { device: 'cuda:0' });
     const { writeSync } = await import('node:fs');
     writeSync(1, '0');
     process.reallyExit(0);`,
    {},
  );
  expect(left).toMatch(/^[1-9]\d* 0\n/);
  expect(left).toMatch(/device memory \(number \d+\) of \d+ bytes/);
  expect(left).toMatch(/context of device 0, retained 1 times/);
});
