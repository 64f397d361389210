/** What `gyrfalcon bench` found, and how it compares with what it found before. */
import { readFile } from 'node:fs/promises';

import { GyrfalconError } from '../errors.js';
import type { Skew } from './arguments.js';
import type { SloResult } from './bench-slo.js';
import type { Window } from './bench-windows.js';

export const BENCH_FORMAT = 'gyrfalcon-bench-1';

export type Mode = 'sync' | 'closed' | 'open';

/** Microseconds. */
export interface Latency {
  mean: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}

export interface BenchRun {
  batch: number;
  threads: number;
  calls: number;
  requestsPerSecond: number;
  rowsPerSecond: number;
  latency: Latency;
  /** Median microseconds: before the worker, lookups, dense network. */
  stages: { queue: number; lookup: number; engine: number };
  windows: Window[];
  /** Whether three windows in a row agreed. */
  stable: boolean;
  slo: SloResult[];
}

export interface BenchResult {
  format: typeof BENCH_FORMAT;
  environment: {
    node: string;
    cpu: string;
    cores: number;
    isa: string;
    engine: string;
    engineVersion: string;
    precision: string;
  };
  model: string;
  mode: Mode;
  concurrency: number;
  /** Requests a second that were due; null for closed loops. */
  rate: number | null;
  skew: Skew;
  seed: number;
  runs: BenchRun[];
}

export interface Change {
  batch: number;
  threads: number;
  metric: 'p50' | 'p99' | 'rows/s';
  before: number;
  after: number;
  /** Above 0 is worse: slower, or fewer rows. */
  worse: number;
}

/** @throws IO_ERROR, INVALID_ARGUMENT */
export async function readBenchResult(path: string): Promise<BenchResult> {
  let value: Partial<BenchResult>;
  try {
    value = JSON.parse(await readFile(path, 'utf8')) as Partial<BenchResult>;
  } catch (cause) {
    throw new GyrfalconError('IO_ERROR', `cannot read a result from ${path}`, { cause });
  }
  if (value?.format !== BENCH_FORMAT || !Array.isArray(value.runs)) {
    throw new GyrfalconError(
      'INVALID_ARGUMENT',
      `expected the JSON of gyrfalcon bench in ${path} but its format is ${JSON.stringify(value?.format)}`,
    );
  }
  return value as BenchResult;
}

/**
 * Of the runs that both have, by batch and threads.
 * @throws INVALID_ARGUMENT where there is nothing to compare
 */
export function compareResults(before: BenchResult, after: BenchResult): Change[] {
  const key = ({ mode, concurrency, rate }: BenchResult): string =>
    `${mode} ${concurrency} ${rate}`;
  const changes = after.runs.flatMap((run) => {
    const old = before.runs.find(
      ({ batch, threads }) => batch === run.batch && threads === run.threads,
    );
    if (old === undefined || key(before) !== key(after)) return [];
    const { batch, threads } = run;
    const change = (metric: Change['metric'], from: number, to: number, more: boolean): Change => ({
      batch,
      threads,
      metric,
      before: from,
      after: to,
      worse: more ? from / to - 1 : to / from - 1,
    });
    return [
      change('p50', old.latency.p50, run.latency.p50, false),
      change('p99', old.latency.p99, run.latency.p99, false),
      change('rows/s', old.rowsPerSecond, run.rowsPerSecond, true),
    ];
  });
  if (changes.length === 0) {
    throw new GyrfalconError(
      'INVALID_ARGUMENT',
      'expected an earlier result with the same load, batch and threads but received none',
    );
  }
  return changes;
}
