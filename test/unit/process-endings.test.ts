/** Processes and workers that end in the midst of scores, in every way they can. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { times } from '../scale.js';
import { type ExampleBundle, exampleBundle } from './example-bundle.js';

const child = fileURLToPath(new URL('../lifetime/child.mjs', import.meta.url));
const TOGETHER = 2;
let example: ExampleBundle;

beforeAll(async () => {
  example = await exampleBundle();
});

afterAll(() => example.remove());

/** How one child ended: its code or signal, and what it said if that is not `expected`. */
function run(ending: string, expected: string, rounds: number): Promise<string> {
  const argv = ['--expose-gc', child, ending, example.bundle, String(rounds)];
  const started = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  started.stderr.on('data', (text) => {
    said += text;
  });
  return new Promise((resolve) =>
    started.once('close', (code, signal) => {
      const end = String(signal ?? code);
      resolve(end === expected ? end : `${end}: ${said.slice(0, 4000)}`);
    }),
  );
}

async function repeat(ending: string, expected: string, count: number, rounds = 1): Promise<void> {
  let left = count;
  const lane = async () => {
    while (left-- > 0) expect(await run(ending, expected, rounds)).toBe(expected);
  };
  await Promise.all(Array.from({ length: TOGETHER }, lane));
}

const LONG = 3_600_000;

test.each([
  ['natural', '0'],
  ['unawaited', '0'],
  ['exit', '7'],
  ['reallyExit', '7'],
  ['exitInThen', '7'],
  ['exitWhileLoading', '7'],
  ['exitOverWorkers', '7'],
  ['throws', '1'],
  ['rejects', '1'],
  ['caught', '7'],
  ['sigterm', 'SIGTERM'],
  ['sigint', 'SIGINT'],
  ['beforeExit', '7'],
])(
  'a process that ends by "%s" ends with %s',
  async (ending, expected) => {
    await repeat(ending, expected, times(2, 250));
  },
  LONG,
);

test.each([
  ['collected', times(20, 1000)],
  ['forgotten', times(10, 500)],
  ['views', times(5, 200)],
  ['exitInWorker', times(5, 250)],
])(
  'what is in flight outlives "%s", %i times',
  async (ending, rounds) => {
    await repeat(ending, '0', 1, rounds);
  },
  LONG,
);

test(
  'workers score side by side',
  async () => {
    await repeat('workers', '0', times(1, 50));
  },
  LONG,
);

test.each([
  ['terminated', times(20, 1000)],
  ['terminatedLoading', times(10, 500)],
  ['terminatedCalling', times(10, 500)],
])(
  'a worker is "%s", %i times',
  async (ending, rounds) => {
    await repeat(ending, '0', 1, rounds);
  },
  LONG,
);
