/**
 * Finds the x_scale of a fused graph's products: how large each element of their x is on given rows.
 *
 * The bundle is scored once with the products' x as its outputs. An element that is always large
 * would take the 8 bits of the others; dividing x by its scale and multiplying the weights instead
 * (Xiao et al., SmoothQuant, 2023) shares the range between both.
 */
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { GyrfalconError } from '../errors.js';
import { Batches, rowBatches } from '../rows/batches.js';
import { fillBatch } from '../rows/fill.js';
import type { RawRow } from '../rows/source.js';
import { MANIFEST_FILE, writeManifest } from './bundle-writer.js';
import type { TableCodec } from './codec.js';
import type { Constant } from './lower/constant.js';
import type { Emitted, Product, Weight } from './lower/index.js';
import { GRAPH_FILE, WEIGHTS_FILE, writeFused } from './lower/write.js';
import type { Manifest } from './manifest.js';
import { throwIfAborted } from './onnx/read.js';
import type { RuntimeModel } from './verify-runtime.js';

export interface CalibrateRequest {
  /** With the files of a finished bundle; they are written again. */
  directory: string;
  manifest: Manifest;
  fused: Emitted;
  rows: AsyncIterable<RawRow> | Iterable<RawRow>;
  signal: AbortSignal | undefined;
  onRows: (done: number) => void;
}

export interface CalibrateParts {
  codec: TableCodec;
  /** In the fused engine, in f32. */
  loadModel(directory: string): Promise<RuntimeModel>;
}

const BATCH_ROWS = 64;
/** The limit of a model's outputs. */
const MAX_OUTPUTS = 1024;
/** Products of this size and less are never computed in 8 bits (native/engines/fused/gemm). */
const SHALLOW = 32;
const NARROW = 4;
/**
 * The scale is x^0.3 / w^0.7 of the largest magnitudes. On MovieLens 0.2 to 0.5 give the same mean
 * error; on networks with many channels that are rarely active, more than 0.3 gave outliers.
 */
const X_POWER = 0.3;
/** Smaller magnitudes count as this part of the largest: what rows did not show may still come. */
const FLOOR = 1 / 128;
const MOST = 2 ** 20;

/** @throws INVALID_ARGUMENT: no rows, or rows that do not fit; LIMIT_EXCEEDED, ABORTED, IO_ERROR */
export async function calibrate(
  request: CalibrateRequest,
  parts: CalibrateParts,
): Promise<Emitted> {
  const products = request.fused.products.filter(
    (product) => product.x !== null && isBytes(request.fused, product),
  );
  const largest = await observe(request, parts, products);
  const ofWeights = new Map<number, Float64Array>();
  for (const { x, weights } of products) {
    const seen = largest.get(x?.value as number);
    if (seen === undefined) continue;
    const before = ofWeights.get(weights);
    ofWeights.set(
      weights,
      before === undefined ? seen : seen.map((v, i) => Math.max(v, before[i] as number)),
    );
  }
  const scales = new Map<number, Float32Array>();
  for (const [weights, magnitudes] of ofWeights) {
    const scale = scaleOf(magnitudes, rowMagnitudes(request.fused, weights));
    if (scale !== null) scales.set(weights, scale);
  }
  return request.fused.scaled(scales);
}

function weightsOf(fused: Emitted, place: number): Constant {
  return (fused.weights[place] as Weight).constant;
}

function isBytes(fused: Emitted, { weights }: Product): boolean {
  const [k, n] = weightsOf(fused, weights).dims as [number, number];
  return k > SHALLOW && n > NARROW;
}

/** The largest magnitude of each element of x, by x's value number. */
async function observe(
  request: CalibrateRequest,
  parts: CalibrateParts,
  products: readonly Product[],
): Promise<Map<number, Float64Array>> {
  const { directory, manifest, fused, signal } = request;
  const shapes = new Map<number, NonNullable<Product['x']>['shape']>();
  for (const { x } of products) if (x !== null) shapes.set(x.value, x.shape);
  const watched = [...shapes].slice(0, MAX_OUTPUTS);
  const largest = new Map<number, Float64Array>();
  // Without a product to watch the rows are still read: they may be wrong.
  const outputs = watched.map(([value, shape]) => ({
    name: `x${value}`,
    value,
    shape: [...shape],
  }));
  if (watched.length > 0) {
    const graph = { ...fused.graph, outputs };
    const observed = outputs.map(({ name, shape }) => ({ name, dtype: 'f32' as const, shape }));
    await replaceFused(
      { ...manifest, outputs: observed },
      directory,
      { ...fused, graph },
      parts.codec,
    );
  }
  const model = await parts.loadModel(directory);
  let done = 0;
  try {
    const capacity = manifest.batch ?? BATCH_ROWS;
    const batches = new Batches((symbols, indices) =>
      model.createBatch(capacity, { symbols, indices }),
    );
    for await (const rows of rowBatches(request.rows, manifest.inputs, capacity, true)) {
      throwIfAborted(signal);
      const batch = batches.forRows(rows);
      fillBatch(batch, manifest.inputs, rows);
      const scores = await model.scoreSync(batch);
      for (const { name, value, shape } of outputs) {
        const values = scores[name] as Float32Array;
        // A model of a fixed batch computes the rows that were not filled too.
        const used = (values.length / (manifest.batch ?? rows.length)) * rows.length;
        const k = shape[shape.length - 1] as number;
        const seen = largest.get(value) ?? new Float64Array(k);
        for (let i = 0; i < used; i++) {
          const magnitude = Math.abs(values[i] as number);
          if (magnitude > (seen[i % k] as number) && magnitude !== Infinity)
            seen[i % k] = magnitude;
        }
        largest.set(value, seen);
      }
      done += rows.length;
      request.onRows(done);
      // Lets signals and progress through between batches.
      await new Promise<void>((resume) => setImmediate(resume));
    }
  } finally {
    await model.close();
  }
  if (done === 0) {
    throw new GyrfalconError(
      'INVALID_ARGUMENT',
      'expected rows to calibrate with but received none',
    );
  }
  return largest;
}

/** The largest magnitude in each row of weights. */
function rowMagnitudes(fused: Emitted, weights: number): Float64Array {
  const constant = weightsOf(fused, weights);
  const [k, n] = constant.dims as [number, number];
  const values = constant.read();
  return Float64Array.from({ length: k }, (_, i) =>
    values.subarray(i * n, (i + 1) * n).reduce((max, w) => Math.max(max, Math.abs(w)), 0),
  );
}

/** Null where nothing was seen, or nothing is multiplied. */
export function scaleOf(x: Float64Array, w: Float64Array): Float32Array | null {
  const finite = (values: Float64Array) => values.map((v) => (Number.isFinite(v) ? v : 0));
  const [seen, weights] = [finite(x), finite(w)];
  const xTop = Math.max(...seen);
  const wTop = Math.max(...weights);
  if (!(xTop > 0 && wTop > 0)) return null;
  const logs = seen.map((magnitude, i) => {
    const floored = Math.max(magnitude, xTop * FLOOR);
    const weight = Math.max(weights[i] as number, wTop * FLOOR);
    return X_POWER * Math.log(floored) - (1 - X_POWER) * Math.log(weight);
  });
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  return Float32Array.from(logs, (log) => Math.min(Math.max(Math.exp(log - mean), 1 / MOST), MOST));
}

/** Writes the fused graph and the manifest of a bundle again. */
export async function replaceFused(
  manifest: Manifest,
  directory: string,
  fused: Emitted,
  codec: TableCodec,
): Promise<Manifest> {
  for (const file of [GRAPH_FILE, WEIGHTS_FILE, MANIFEST_FILE]) await unlink(join(directory, file));
  const written = await writeFused(fused, directory, { codec });
  const precision = manifest.fused?.precision;
  const renewed = {
    ...manifest,
    fused: { ...written, ...(precision === undefined ? {} : { precision }) },
  };
  await writeManifest(renewed, join(directory, MANIFEST_FILE));
  return renewed;
}
