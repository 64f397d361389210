/** `gyrfalcon bench` */
import type { Model } from '../model.js';
import type { LoadOptions } from '../options.js';
import type { Skew } from './arguments.js';
import { type LatencyHistogram, toHgrm } from './bench-histogram.js';
import { measure } from './bench-measure.js';
import { renderChanges, renderCsv, renderPage, renderText } from './bench-output.js';
import { randomFor } from './bench-random.js';
import { makePool } from './bench-requests.js';
import {
  BENCH_FORMAT,
  type BenchResult,
  type BenchRun,
  type Change,
  compareResults,
  type Mode,
  readBenchResult,
} from './bench-result.js';
import type { Objective } from './bench-slo.js';
import { readManifest } from './bundle.js';
import { AssertionFailure, type Io, Progress, write } from './io.js';
import { openOutput } from './output-file.js';
import { printable } from './text.js';

export interface BenchFlags {
  batch: number[];
  threads: number[];
  skew: Skew;
  duration: number;
  warmUp?: number;
  window?: number;
  full?: boolean;
  concurrency?: number;
  rate?: number;
  seed: number;
  slo?: Objective[];
  assert?: boolean;
  compare?: string;
  /** Percent. */
  allow: number;
  csv?: string;
  html?: string;
  hgrm?: string;
  dim?: Record<string, number>;
  engine?: NonNullable<LoadOptions['engine']>;
  precision?: NonNullable<LoadOptions['precision']>;
  onnxruntime?: string;
  json?: boolean;
}

/** Batches in flight of an open loop, unless --concurrency says otherwise. */
const OPEN_CONCURRENCY = 64;
const NANOSECONDS = 1e9;

export async function bench(bundle: string, flags: BenchFlags, io: Io): Promise<void> {
  const earlier = flags.compare === undefined ? undefined : await readBenchResult(flags.compare);
  const { result, histograms } = await runAll(bundle, flags, io);
  const changes = earlier === undefined ? [] : compareResults(earlier, result);
  if (flags.csv !== undefined) await save(flags.csv, renderCsv(result));
  if (flags.html !== undefined) {
    await save(flags.html, renderPage(result, histograms, changes));
  }
  if (flags.hgrm !== undefined) await writeHgrm(flags.hgrm, result.runs, histograms);
  await write(
    io.stdout,
    flags.json === true
      ? `${JSON.stringify(earlier === undefined ? result : { ...result, changes })}\n`
      : printable(`${renderText(result)}${changes.length === 0 ? '' : renderChanges(changes)}`),
  );
  if (flags.assert === true) assertAll(result, changes, flags.allow);
}

function assertAll(result: BenchResult, changes: readonly Change[], percent: number): void {
  const missed = [
    ...result.runs.flatMap(({ batch, threads, slo }) =>
      slo
        .filter(({ met }) => !met)
        .map(({ objective }) => `${objective} (batch ${batch}, threads ${threads})`),
    ),
    ...changes
      .filter(({ worse }) => !(worse <= percent / 100))
      .map(
        ({ metric, batch, threads, before, after }) =>
          `${metric} of ${before}, now ${after} (batch ${batch}, threads ${threads})`,
      ),
  ];
  if (missed.length > 0) throw new AssertionFailure(`not met: ${missed.join('; ')}`);
}

async function runAll(
  bundle: string,
  flags: BenchFlags,
  io: Io,
): Promise<{ result: BenchResult; histograms: LatencyHistogram[] }> {
  const { capabilities } = await import('../index.js');
  const manifest = await readManifest(bundle);
  const progress = new Progress(io.stderr);
  const mode: Mode =
    flags.rate !== undefined ? 'open' : flags.concurrency !== undefined ? 'closed' : 'sync';
  const concurrency = flags.concurrency ?? (mode === 'open' ? OPEN_CONCURRENCY : 1);
  const runs: BenchRun[] = [];
  const histograms: LatencyHistogram[] = [];
  let engine = { isa: '', engine: '', engineVersion: '', precision: '' };
  try {
    for (const threads of flags.threads) {
      const model = await open(bundle, threads, flags);
      try {
        const { isa, engine: name, engineVersion, precision } = model.info;
        engine = { isa, engine: name, engineVersion, precision };
        for (const rows of flags.batch) {
          const all = flags.threads.length * flags.batch.length;
          progress.show(`batch ${rows}, threads ${threads}`, runs.length, all);
          const random = randomFor(flags.skew, flags.seed);
          const pool = makePool(manifest, rows, flags.dim ?? {}, random);
          const { run, histogram } = await measure(model, pool, {
            mode,
            rows,
            threads,
            concurrency,
            rate: flags.rate ?? 0,
            seed: flags.seed,
            limits: {
              window: (flags.window ?? Math.min(0.5, flags.duration / 6)) * NANOSECONDS,
              warmUp: (flags.warmUp ?? Math.min(0.5, flags.duration / 5)) * NANOSECONDS,
              duration: flags.duration * NANOSECONDS,
              untilStable: flags.full !== true,
            },
            slo: flags.slo ?? [],
            signal: io.signal,
          });
          runs.push(run);
          histograms.push(histogram);
        }
      } finally {
        await model.close();
      }
    }
  } finally {
    progress.clear();
  }
  const { node, cpu } = capabilities();
  const result: BenchResult = {
    format: BENCH_FORMAT,
    environment: { node, cpu: cpu.model, cores: cpu.cores, ...engine },
    model: manifest.name,
    mode,
    concurrency,
    rate: flags.rate ?? null,
    skew: flags.skew,
    seed: flags.seed,
    runs,
  };
  return { result, histograms };
}

async function open(bundle: string, threads: number, flags: BenchFlags): Promise<Model> {
  const { loadModel } = await import('../index.js');
  const { engine, precision, onnxruntime } = flags;
  return await loadModel(bundle, {
    threads,
    ...(engine === undefined ? {} : { engine }),
    ...(precision === undefined ? {} : { precision }),
    ...(onnxruntime === undefined ? {} : { onnxruntime }),
  });
}

/** Complete or not at all. */
async function save(path: string, text: string): Promise<void> {
  const file = await openOutput(path);
  try {
    await write(file.stream, text);
    await file.commit();
  } finally {
    await file.discard();
  }
}

/** One file a run: `latency.hgrm` becomes `latency-b16-t1.hgrm` where there are several. */
async function writeHgrm(
  path: string,
  runs: readonly BenchRun[],
  histograms: readonly LatencyHistogram[],
): Promise<void> {
  for (const [i, { batch, threads }] of runs.entries()) {
    const histogram = histograms[i];
    if (histogram === undefined) continue;
    const mark = runs.length === 1 ? '' : `-b${batch}-t${threads}`;
    await save(
      path.replace(/(\.[^./]*)?$/, (end) => `${mark}${end}`),
      toHgrm(histogram),
    );
  }
}
