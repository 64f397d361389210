/** `npm run bench`: what JavaScript adds to the native work. */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatTable } from '#lib/cli/text.js';
import { importModel, loadModel, type Model } from '#lib/index.js';
import type { Spread } from '../peers/stats.js';
import { fillCases, scoreCases } from './cases.js';
import { heapBytes } from './heap.js';
import { type Measured, measureCases } from './measure.js';
import { writeNoWorkModel } from './no-work.js';

const USAGE = `npm run bench -- [options]

  --rounds N   of all cases in turn (5)
  --ms N       of each case in each round (200)
  --json       print figures as JSON
  --assert     exit with 1 if a goal is not met`;

const example = fileURLToPath(
  new URL('../../../../examples/movielens/model.onnx', import.meta.url),
);

/** Microseconds that a synchronous call may add to its native work, bytes it may allocate. */
const MOST_SYNC = 0.5;
const MOST_HEAP = 0.1;
/** Microseconds that an asynchronous call may add to a synchronous one. */
const MOST_ASYNC = 15;

interface Goal {
  readonly goal: string;
  readonly most: number;
  readonly measured: number | undefined;
}

interface Figures {
  readonly environment: Record<string, unknown>;
  readonly cases: readonly Measured[];
  /** Bytes of one call; absent without --expose-gc. */
  readonly heap: Readonly<Record<string, number>>;
  readonly goals: readonly Goal[];
}

async function open(source: string, folder: string): Promise<Model> {
  await importModel(source, folder);
  return await loadModel(folder);
}

async function measure(folder: string, rounds: number, ms: number): Promise<Figures> {
  const tiny = join(folder, 'no-work.onnx');
  await writeNoWorkModel(tiny);
  const noWork = await open(tiny, join(folder, 'no-work'));
  const films = await open(example, join(folder, 'films'));
  const load = [loadavg()[0]];
  const cases = await measureCases(
    [
      ...scoreCases('no work', noWork, [0, 1]),
      ...scoreCases('films', films, [1, 16, 128]),
      ...fillCases(films, [1, 16, 128]),
    ],
    rounds,
    ms,
  );
  const batch = noWork.createBatch(1);
  const sync = await heapBytes(() => noWork.scoreSync(batch), 20_000);
  const async = await heapBytes(() => noWork.score(batch), 2000);
  load.push(loadavg()[0]);
  const { isa, engine, engineVersion } = films.info;
  await noWork.close();
  await films.close();
  const named = (name: string): Measured | undefined => cases.find((one) => one.name === name);
  return {
    environment: {
      ...{ node: process.version, cpu: cpus()[0]?.model, cores: cpus().length },
      ...{ isa, engine, engineVersion, load, rounds, ms },
    },
    cases,
    heap: {
      ...(sync === undefined ? {} : { scoreSync: sync }),
      ...(async === undefined ? {} : { score: async }),
    },
    goals: [
      {
        goal: 'scoreSync above its native work, us',
        most: MOST_SYNC,
        measured: named('no work, 1 rows, scoreSync')?.above?.median,
      },
      { goal: 'heap bytes of scoreSync', most: MOST_HEAP, measured: sync },
      {
        goal: 'score above scoreSync, us',
        most: MOST_ASYNC,
        measured: named('no work, 1 rows, score')?.above?.median,
      },
    ],
  };
}

const micro = (value: number | undefined): string => value?.toFixed(3) ?? '-';
const between = (spread: Spread | undefined): string =>
  spread === undefined ? '-' : `${micro(spread.min)}-${micro(spread.max)}`;
const met = ({ measured, most }: Goal): boolean | null =>
  measured === undefined ? null : measured <= most;

function render({ environment, cases, heap, goals }: Figures): string {
  const header = ['microseconds of a call', 'p50', 'min-max', 'p99', 'native', 'above', 'min-max'];
  const rows = cases.map(({ name, p50, p99, native, above }) => [
    ...[name, micro(p50.median), between(p50), micro(p99)],
    ...[micro(native), micro(above?.median), between(above)],
  ]);
  const bytes = Object.entries(heap).map(([name, value]) => `${name} ${value.toFixed(1)}`);
  return [
    `${JSON.stringify(environment)}\n`,
    'p50: median of the rounds, with their extremes. above: scoreSync over its native work, score over scoreSync.\n\n',
    formatTable(header, rows),
    bytes.length === 0 ? '' : `\nheap bytes of a call: ${bytes.join(', ')}\n`,
    '\n',
    formatTable(
      ['goal', 'at most', 'measured', 'met'],
      goals.map((one) => {
        const reached = met(one);
        const verdict = reached === null ? 'not measured' : reached ? 'yes' : 'NO';
        return [one.goal, String(one.most), micro(one.measured), verdict];
      }),
    ),
  ].join('');
}

function count(text: string, option: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 60_000) return value;
  throw new Error(`expected 1 to 60000 for ${option} but received ${text}\n\n${USAGE}`);
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    ms: { type: 'string', default: '200' },
    json: { type: 'boolean', default: false },
    assert: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(`${USAGE}\n`);
} else {
  const [rounds, ms] = [count(values.rounds, 'rounds'), count(values.ms, 'ms')];
  const folder = await mkdtemp(join(tmpdir(), 'gyrfalcon-bench-'));
  try {
    const figures = await measure(folder, rounds, ms);
    process.stdout.write(values.json ? `${JSON.stringify(figures)}\n` : render(figures));
    if (values.assert && figures.goals.some((one) => met(one) === false)) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
