/** One load on one model: requests, windows, stages. */
import type { Batch } from '../batch.js';
import { Random } from '../import/verify-sample.js';
import type { Model } from '../model.js';
import { LatencyHistogram } from './bench-histogram.js';
import { type Load, poissonGaps, realClock, runClosed, runOpen } from './bench-load.js';
import type { RequestPool } from './bench-requests.js';
import type { BenchRun, Mode } from './bench-result.js';
import { judgeSlo, type Objective } from './bench-slo.js';
import { type WindowLimits, Windows } from './bench-windows.js';

export interface MeasureOptions {
  readonly mode: Mode;
  readonly rows: number;
  readonly threads: number;
  /** Batches in flight at most. */
  readonly concurrency: number;
  /** Requests a second, for open loops. */
  readonly rate: number;
  readonly seed: number;
  readonly limits: WindowLimits;
  readonly slo: readonly Objective[];
  readonly signal: AbortSignal;
}

export interface Measured {
  readonly run: BenchRun;
  readonly histogram: LatencyHistogram;
}

/** A synchronous caller lets the event loop turn this often (ns), so that an interrupt is heard. */
const PAUSE = 20e6;

export async function measure(
  model: Model,
  pool: RequestPool,
  options: MeasureOptions,
): Promise<Measured> {
  const { mode, rows, signal } = options;
  const places = mode === 'sync' ? 1 : options.concurrency;
  const batches = Array.from({ length: places }, () => {
    const batch = model.createBatch(rows, pool.batch);
    batch.rows = Math.min(rows, batch.capacity);
    return batch;
  });
  const windows = new Windows(options.limits, realClock.now());
  const stages = {
    queue: new LatencyHistogram(),
    lookup: new LatencyHistogram(),
    engine: new LatencyHistogram(),
  };
  const record = (latency: number, waited: number, batch: Batch): void => {
    if (!windows.record(latency, realClock.now())) return;
    const { queue, lookup, engine } = batch.times;
    stages.queue.record(queue + waited);
    stages.lookup.record(lookup);
    stages.engine.record(engine);
  };
  const finished = (): boolean => {
    signal.throwIfAborted();
    return windows.finished(realClock.now());
  };
  let next = 0;
  let pause = 0;
  if (mode === 'sync') {
    const [batch] = batches as [Batch];
    while (!finished()) {
      pool.fill(batch, next++);
      const start = realClock.now();
      model.scoreSync(batch);
      record(realClock.now() - start, 0, batch);
      if (realClock.now() < pause) continue;
      pause = realClock.now() + PAUSE;
      await new Promise((resolve) => setImmediate(resolve));
    }
  } else {
    const load: Load = {
      clock: realClock,
      places,
      serve: async (place) => {
        const batch = batches[place] as Batch;
        pool.fill(batch, next++);
        await model.score(batch);
      },
      record: (latency, waited, place) => record(latency, waited, batches[place] as Batch),
      finished,
    };
    if (mode === 'closed') await runClosed(load);
    else await runOpen(load, poissonGaps(options.rate, new Random(options.seed)));
  }
  return { run: summarize(windows, stages, options), histogram: windows.total };
}

function summarize(
  windows: Windows,
  stages: Record<'queue' | 'lookup' | 'engine', LatencyHistogram>,
  { rows, threads, slo }: MeasureOptions,
): BenchRun {
  const { total } = windows;
  const micro = (nanoseconds: number): number => Math.round(nanoseconds / 10) / 100;
  const at = (share: number): number => micro(total.percentile(share));
  const requestsPerSecond = Math.round((total.count * 1e9) / windows.elapsed);
  return {
    batch: rows,
    threads,
    calls: total.count,
    requestsPerSecond,
    rowsPerSecond: Math.round((total.count * rows * 1e9) / windows.elapsed),
    latency: {
      mean: micro(total.mean),
      p50: at(0.5),
      p90: at(0.9),
      p99: at(0.99),
      p999: at(0.999),
      max: micro(total.max),
    },
    stages: {
      queue: micro(stages.queue.percentile(0.5)),
      lookup: micro(stages.lookup.percentile(0.5)),
      engine: micro(stages.engine.percentile(0.5)),
    },
    windows: windows.windows,
    stable: windows.stable,
    slo: judgeSlo(slo, total, requestsPerSecond),
  };
}
