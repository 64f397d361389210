/** The command line of `npm run bench:peers`. */
import { parseArgs } from 'node:util';
import type { Access } from './requests.js';
import { PEERS } from './sides.js';
import { BAGS, WORKLOADS } from './workloads.js';

export const PRECISIONS = ['f32', 'bf16', 'int8'] as const;
const TABLES = ['f32', 'f16', 'bf16', 'int8', 'int4'] as const;
const ENGINES = ['auto', 'fused', 'onnxruntime'] as const;

/** How we run: the precision of the network and the storage of the tables. */
export interface Variant {
  readonly name: string;
  readonly precision: (typeof PRECISIONS)[number];
  /** Undefined: as in the model, f32. */
  readonly tables: (typeof TABLES)[number] | undefined;
}

export interface Options {
  readonly workloads: readonly string[];
  readonly access: readonly Access[];
  readonly batch: readonly number[];
  readonly threads: readonly number[];
  readonly cores: readonly number[];
  readonly peers: readonly string[];
  readonly variants: readonly Variant[];
  readonly rounds: number;
  readonly ms: number;
  readonly capBytes: number;
  readonly seed: number;
  readonly engine: (typeof ENGINES)[number] | undefined;
  readonly python: string;
  readonly json: boolean;
  readonly assert: boolean;
  readonly scaling: boolean;
  readonly out: string;
  readonly save: string | undefined;
  readonly keep: string | undefined;
  /** Bags: both sides map the table's file, and so read the same memory. */
  readonly inPlace: boolean;
}

export const USAGE = `npm run bench:peers -- [options]

  --workload LIST   ${WORKLOADS.map(({ name }) => name).join(', ')};
                    bags, or some of them: ${BAGS.map(({ name }) => name).join(', ')}
  --access LIST     uniform, zipf (exponent 1.05), zipf:EXPONENT
  --batch LIST      rows of a call, for models
  --threads LIST
  --cores LIST      a side gets as many of them as it has threads, from the first one on
  --peer LIST       ${PEERS.map(({ name }) => name).join(', ')}
  --variant LIST    ours: PRECISION or PRECISION+TABLES, such as f32, bf16, f32+int8;
                    ${PRECISIONS.join(', ')}; tables ${TABLES.join(', ')}
  --engine NAME     ours: ${ENGINES.join(', ')}
  --rounds N        at least 7
  --ms N            of each side in each round
  --cap-gb N        memory for the f32 tables of the two sides that are measured together
  --seed N          of weights and requests
  --python PATH     else GYRFALCON_BENCH_PYTHON, else python3
  --no-scaling      do not compare ourselves with ourselves on fewer threads
  --out DIR         for report.html and report.json; build/bench/report by default
  --save NAME       keep the report's JSON as bench/results/NAME.json too
  --keep DIR        keep generated models there and use those that are there
  --in-place        bags: both sides map the table's file instead of copying it; on huge pages where
                    --keep is a tmpfs that was mounted with huge=always
  --json            print the whole result instead of the tables
  --assert          exit with 1 if a goal that was measured is not met`;

const list = (text: string): string[] => text.split(',').map((part) => part.trim());

/** @throws Error for what is not understood */
export function parseOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      workload: { type: 'string', default: 'kaggle,terabyte64,dcnv2,rm1,rm2,rm3,lookup26,bags' },
      access: { type: 'string', default: 'uniform,zipf' },
      batch: { type: 'string', default: '1,16,128,512' },
      threads: { type: 'string', default: '1,2' },
      cores: { type: 'string' },
      peer: { type: 'string', default: PEERS.map(({ name }) => name).join(',') },
      variant: { type: 'string', default: 'f32,bf16,f32+int8' },
      engine: { type: 'string' },
      rounds: { type: 'string', default: '9' },
      ms: { type: 'string', default: '200' },
      'cap-gb': { type: 'string', default: '4.5' },
      seed: { type: 'string', default: '1' },
      python: { type: 'string' },
      'no-scaling': { type: 'boolean', default: false },
      out: { type: 'string', default: 'build/bench/report' },
      save: { type: 'string' },
      keep: { type: 'string' },
      'in-place': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      assert: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const known = [...WORKLOADS, ...BAGS].map(({ name }) => name).concat('bags');
  const threads = list(values.threads).map((text) => number(text, 'threads', 1, 1024));
  const cores =
    values.cores === undefined
      ? []
      : list(values.cores).map((text) => number(text, 'cores', 0, 65_535));
  const most = Math.max(...threads);
  if (values.cores !== undefined && new Set(cores).size < most) {
    throw new Error(`expected ${most} different cores but received ${values.cores}`);
  }
  return {
    workloads: several(list(values.workload), known, 'workload'),
    access: list(values.access).map(parseAccess),
    batch: list(values.batch).map((text) => number(text, 'batch', 1, 65_536)),
    threads,
    cores,
    peers: several(
      list(values.peer),
      PEERS.map(({ name }) => name),
      'peer',
    ),
    variants: list(values.variant).map(parseVariant),
    rounds: number(values.rounds, 'rounds', 7, 1001),
    ms: number(values.ms, 'ms', 1, 60_000),
    capBytes: number(values['cap-gb'], 'cap-gb', 0.001, 4096, false) * 1e9,
    seed: number(values.seed, 'seed', 0, 2 ** 31 - 1),
    engine: values.engine === undefined ? undefined : one(values.engine, ENGINES, 'engine'),
    save: values.save === undefined ? undefined : plainName(values.save),
    python: values.python ?? process.env['GYRFALCON_BENCH_PYTHON'] ?? 'python3',
    json: values.json,
    assert: values.assert,
    scaling: !values['no-scaling'],
    out: values.out,
    keep: values.keep,
    inPlace: values['in-place'],
  };
}

function parseAccess(text: string): Access {
  if (text === 'uniform') return { kind: 'uniform' };
  if (text === 'zipf') return { kind: 'zipf', exponent: 1.05 };
  const [, digits] = /^zipf:(.+)$/.exec(text) ?? [];
  if (digits === undefined)
    throw new Error(`expected uniform or zipf for access but received ${text}`);
  return { kind: 'zipf', exponent: number(digits, 'the exponent', 0.01, 10, false) };
}

function parseVariant(text: string): Variant {
  const [precision = '', tables, ...rest] = text.split('+');
  if (rest.length > 0) {
    throw new Error(`expected PRECISION or PRECISION+TABLES for variant but received ${text}`);
  }
  return {
    name: text,
    precision: one(precision, PRECISIONS, 'precision'),
    tables: tables === undefined ? undefined : one(tables, TABLES, 'tables'),
  };
}

/** The name of a file, not a way to one. */
function plainName(text: string): string {
  if (/^[\w.-]+$/.test(text) && !text.startsWith('.')) return text;
  throw new Error(`expected letters, digits, - and _ for save but received ${text}`);
}

function one<Name extends string>(text: string, known: readonly Name[], option: string): Name {
  const found = known.find((name) => name === text);
  if (found !== undefined) return found;
  throw new Error(`expected ${known.join(', ')} for ${option} but received ${text}`);
}

const several = (texts: string[], known: readonly string[], option: string): string[] =>
  texts.map((text) => one(text, known, option));

function number(text: string, option: string, least: number, most: number, whole = true): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= least && value <= most && (!whole || Number.isInteger(value))) return value;
  throw new Error(
    `expected ${least} to ${most} for ${option} but received ${JSON.stringify(text)}`,
  );
}

/** Those that a side with so many threads runs on: the machine's first ones by default. */
export function coresOf({ cores }: Pick<Options, 'cores'>, threads: number): number[] {
  if (cores.length === 0) return Array.from({ length: threads }, (_, i) => i);
  return cores.slice(0, threads);
}

export const accessName = (access: Access): string =>
  access.kind === 'uniform' ? 'uniform' : `zipf:${access.exponent}`;

/** The command line as it is kept with a result: without what names places on this machine. */
export function portableArguments(args: readonly string[]): string[] {
  const places = ['--python', '--out', '--keep'];
  return args.filter((arg, i) => {
    const [name = ''] = arg.split('=', 1);
    return !places.includes(name) && !(places.includes(args[i - 1] ?? '') && !arg.startsWith('--'));
  });
}
