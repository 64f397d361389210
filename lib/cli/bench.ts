/** `gyrfalcon bench` */
import type { Batch } from '../batch.js';
import { GyrfalconError } from '../errors.js';
import type { Manifest } from '../import/manifest.js';
import { type TensorData, toTensorData } from '../import/tensor-values.js';
import { makeSample, type Sample, sizeOf } from '../import/verify-sample.js';
import type { Model } from '../model.js';
import type { Skew } from './arguments.js';
import { randomFor, summarizeTimes, type Timings } from './bench-random.js';
import { readManifest } from './bundle.js';
import { type Io, Progress, write } from './io.js';
import { formatTable, printable } from './text.js';

export interface BenchFlags {
  batch: number[];
  threads: number[];
  skew: Skew;
  seconds: number;
  seed: number;
  dim?: Record<string, number>;
  onnxruntime?: string;
  json?: boolean;
}

interface BenchRun extends Timings {
  batch: number;
  threads: number;
}

interface BenchResult {
  environment: {
    node: string;
    cpu: string;
    cores: number;
    isa: string;
    engine: string;
    engineVersion: string;
  };
  model: string;
  skew: Skew;
  seed: number;
  seconds: number;
  runs: BenchRun[];
}

/** Requests made beforehand; calls take them in turn. */
const POOL = 64;
/** Pools stay under this many rows in all. */
const POOL_ROWS = 65_536;
/** The values of all requests of a pool, and of one. */
const POOL_VALUES = 2 ** 26;
const MOST_VALUES = 2 ** 28;
const WARM_UP_CALLS = 10;
/** Their times are kept, so a long measurement ends here. */
const MOST_CALLS = 2 ** 22;
const PAUSE_MS = 20;
/** For free sizes without a default. */
const DEFAULT_SIZE = 16;

export async function bench(bundle: string, flags: BenchFlags, io: Io): Promise<void> {
  const { capabilities, loadModel } = await import('../index.js');
  const manifest = await readManifest(bundle);
  const progress = new Progress(io.stderr);
  const runs: BenchRun[] = [];
  let engine = { isa: '', engine: '', engineVersion: '' };
  try {
    for (const threads of flags.threads) {
      const model = await loadModel(bundle, {
        threads,
        ...(flags.onnxruntime === undefined ? {} : { onnxruntime: flags.onnxruntime }),
      });
      try {
        const { isa, engine: name, engineVersion } = model.info;
        engine = { isa, engine: name, engineVersion };
        for (const rows of flags.batch) {
          const all = flags.threads.length * flags.batch.length;
          progress.show(`batch ${rows}, threads ${threads}`, runs.length, all);
          const timings = await measure(model, manifest, rows, flags, io.signal);
          runs.push({ batch: rows, threads, ...timings });
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
    environment: { node, cpu: cpu.model, cores: cpu.cores, ...engine },
    model: manifest.name,
    skew: flags.skew,
    seed: flags.seed,
    seconds: flags.seconds,
    runs,
  };
  await write(
    io.stdout,
    flags.json === true ? `${JSON.stringify(result)}\n` : printable(renderBench(result)),
  );
}

async function measure(
  model: Model,
  manifest: Manifest,
  rows: number,
  flags: BenchFlags,
  signal: AbortSignal,
): Promise<Timings> {
  const symbols: Record<string, number> = {};
  for (const [name, size] of Object.entries(manifest.symbols)) {
    symbols[name] = flags.dim?.[name] ?? size ?? DEFAULT_SIZE;
  }
  const random = randomFor(flags.skew, flags.seed);
  const pool = Array.from({ length: poolSize(manifest, rows, symbols) }, () =>
    prepare(manifest, makeSample(manifest, rows, symbols, 'inside', random)),
  );
  const indices: Record<string, number> = {};
  for (const request of pool) {
    for (const { name, data, offsets } of request) {
      if (offsets !== undefined) indices[name] = Math.max(indices[name] ?? 1, data.length);
    }
  }
  const batch = model.createBatch(rows, { symbols, indices });
  const total: number[] = [];
  const lookup: number[] = [];
  const engine: number[] = [];
  const end = performance.now() + flags.seconds * 1000;
  let pause = 0;
  for (let call = 0; total.length === 0 || performance.now() < end; call++) {
    if (total.length === MOST_CALLS) break;
    put(batch, pool[call % pool.length] ?? []);
    const start = process.hrtime.bigint();
    model.scoreSync(batch);
    const time = Number(process.hrtime.bigint() - start);
    if (call >= WARM_UP_CALLS) {
      const { times } = batch;
      total.push(time);
      lookup.push(times.lookup);
      engine.push(times.engine);
    }
    if (performance.now() >= pause) {
      pause = performance.now() + PAUSE_MS;
      // Lets an interrupt be heard.
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
    }
  }
  return summarizeTimes(rows, total, lookup, engine);
}

/** Requests to make. @throws LIMIT_EXCEEDED when the values of one are too many */
function poolSize(manifest: Manifest, rows: number, symbols: Record<string, number>): number {
  let values = rows;
  for (const input of manifest.inputs) {
    if (input.kind !== 'tensor') continue;
    values += input.shape.reduce<number>((n, extent) => n * sizeOf(extent, rows, symbols), 1);
  }
  if (values > MOST_VALUES) {
    throw new GyrfalconError(
      'LIMIT_EXCEEDED',
      `expected at most ${MOST_VALUES} input values in a request but received ${values}`,
    );
  }
  const wanted = Math.max(4, Math.min(POOL, Math.floor(POOL_ROWS / rows)));
  return Math.max(1, Math.min(wanted, Math.floor(POOL_VALUES / values)));
}

interface PreparedInput {
  name: string;
  data: TensorData;
  offsets?: Int32Array;
  weights?: Float32Array | undefined;
}

function prepare(manifest: Manifest, sample: Sample): PreparedInput[] {
  return manifest.inputs.map(({ name, dtype }) => {
    const value = sample.inputs.get(name);
    if (value?.kind === 'ragged') {
      const { indices, offsets, weights } = value;
      return { name, data: toTensorData(dtype, indices), offsets, weights };
    }
    return { name, data: toTensorData(dtype, value?.values ?? []) };
  });
}

function put(batch: Batch, request: readonly PreparedInput[]): void {
  for (const { name, data, offsets, weights } of request) {
    const target = batch.inputs[name];
    if (target === undefined) continue;
    if (offsets === undefined) {
      target.set(data);
      continue;
    }
    target.indices.set(data);
    target.offsets.set(offsets);
    if (weights !== undefined) target.weights.set(weights);
  }
}

function renderBench({ environment: env, model, skew, seed, runs }: BenchResult): string {
  const law = skew.kind === 'zipf' ? `zipf:${skew.exponent}` : skew.kind;
  return [
    `${model}: ids ${law}, seed ${seed}\n`,
    `Node ${env.node}; ${env.cpu}, ${env.cores} cores; kernels ${env.isa}; `,
    `${env.engine} ${env.engineVersion}\n`,
    'times in microseconds; lookup and engine are medians\n',
    formatTable(
      ['batch', 'threads', 'p50', 'p90', 'p99', 'p99.9', 'lookup', 'engine', 'rows/s', 'calls'],
      runs.map(({ batch, threads, latency, stages, rowsPerSecond, calls }) => [
        batch,
        threads,
        latency.p50,
        latency.p90,
        latency.p99,
        latency.p999,
        stages.lookup,
        stages.engine,
        rowsPerSecond,
        calls,
      ]),
    ),
  ].join('');
}
