/** Compares a bundle with the model that it was made from, on random rows. */
import { GyrfalconError } from '../errors.js';
import type { DtypeName, Manifest } from './manifest.js';
import { throwIfAborted } from './onnx/read.js';
import type { VerifyRequest, VerifyResult } from './run-import.js';
import { moveBatch, type TensorData, toNumbers, toTensorData } from './tensor-values.js';
import { defaultTolerance, isJudged, runsOf, type VerifyRun } from './verify-runs.js';
import { makeSample, Random, SAMPLE_MODES, type Sample, sizeOf } from './verify-sample.js';

export interface NamedTensor {
  data: TensorData;
  dims: number[];
}

export interface OriginalInput {
  readonly name: string;
  readonly dtype: DtypeName;
  /** Numbers where the model fixes a size, anything else where it does not. */
  readonly dims: readonly unknown[];
}

type Awaitable<T> = T | Promise<T>;

/** The original model in ONNX Runtime. */
export interface OriginalModel {
  inputs: readonly OriginalInput[];
  /** @throws ENGINE_FAILED when the model refuses the feeds */
  run(feeds: Record<string, NamedTensor>): Awaitable<Record<string, NamedTensor>>;
  close(): Promise<void>;
}

/** The bundle, loaded. */
export interface ScoredBundle {
  /** Scores the sample; output name → values, row-major. */
  score(sample: Sample): Awaitable<Record<string, TensorData>>;
  close(): Promise<void>;
}

export interface VerifyParts {
  openOriginal(request: VerifyRequest): Promise<OriginalModel>;
  openBundle(request: VerifyRequest, run: VerifyRun): Promise<ScoredBundle>;
}

/** Rows of the requests: one alone, a few, then more; and sizes for symbols without a default. */
const BATCH_SIZES = [1, 7, 64];
const SYMBOL_SIZES = [5, 3, 8];
/** Ids of a row of a stack, for each row of the batch, at most. */
const MAX_STACK_HOTNESS = 4;
const SEED = 0x67797266;

/**
 * Runs `request.rows` random rows (more where a fixed batch asks for it) through the original and
 * through the bundle in every engine and precision that it can be run in.
 * The error of an output element is |bundle − original| / max(1, largest |original| of that output in all rows).
 * @throws VERIFY_FAILED past the tolerance or when the original does not run; ABORTED
 */
export async function verifyBundle(
  request: VerifyRequest,
  parts: VerifyParts,
): Promise<VerifyResult> {
  const { manifest } = request;
  const trials = runsOf(manifest).map((run) => new Trial(run, request));
  const original = await parts.openOriginal(request);
  let done = 0;
  try {
    try {
      for (const trial of trials) trial.bundle = await parts.openBundle(request, trial.run);
      const caller = new OriginalCaller(manifest, original, request);
      const random = new Random(SEED);
      for (let request_ = 0; done < request.rows; request_++) {
        throwIfAborted(request.signal);
        const rows = requestRows(manifest, request_, request.rows - done);
        const { sample, outputs } = await caller.run(rows, symbolSizes(manifest, request_), random);
        for (const trial of trials) {
          const scores = await (trial.bundle as ScoredBundle).score(sample);
          for (const output of manifest.outputs) {
            compareOutput(output, scores[output.name], outputs[output.name], trial.comparisons);
          }
        }
        done += rows;
        request.onRows(Math.min(done, request.rows));
        // Lets signals and progress through between requests.
        await new Promise<void>((resume) => setImmediate(resume));
      }
    } finally {
      for (const { bundle } of trials) await bundle?.close();
    }
  } finally {
    await original.close();
  }
  trials.forEach((trial, i) => {
    if (isJudged(trial.run, i)) trial.judge(done);
  });
  const [first] = trials as [Trial];
  return {
    rows: done,
    ...first.worst(),
    tolerance: first.tolerance,
    perOutput: first.perOutput(),
    runs: trials.map((trial) => ({ ...trial.run, ...trial.worst(), tolerance: trial.tolerance })),
  };
}

/** The bundle in one engine and precision, and how far its outputs were off. */
class Trial {
  readonly comparisons = new Map<string, Comparison>();
  readonly tolerance: number;
  bundle: ScoredBundle | undefined;

  constructor(
    readonly run: VerifyRun,
    { manifest, tolerance }: VerifyRequest,
  ) {
    this.tolerance = tolerance ?? defaultTolerance(manifest, run.precision);
    for (const { name } of manifest.outputs)
      this.comparisons.set(name, { maxAbsError: 0, scale: 1 });
  }

  perOutput(): VerifyResult['perOutput'] {
    return [...this.comparisons].map(([name, { maxAbsError, scale }]) => ({
      name,
      maxAbsError,
      maxError: maxAbsError / scale,
    }));
  }

  worst(): { maxError: number; maxAbsError: number } {
    const outputs = this.perOutput();
    return {
      maxError: Math.max(0, ...outputs.map((output) => output.maxError)),
      maxAbsError: Math.max(0, ...outputs.map((output) => output.maxAbsError)),
    };
  }

  /** @throws VERIFY_FAILED past the tolerance */
  judge(rows: number): void {
    const failed = this.perOutput().filter((output) => !(output.maxError <= this.tolerance));
    if (failed.length === 0) return;
    const list = failed.map(
      (o) => `${JSON.stringify(o.name)} is off by ${o.maxError.toPrecision(3)}`,
    );
    throw new GyrfalconError(
      'VERIFY_FAILED',
      `expected an error of at most ${this.tolerance.toPrecision(3)} over ${rows} rows with engine ` +
        `${this.run.engine} and precision ${this.run.precision} but received more: ${list.join(', ')}`,
    );
  }
}

/** What has been seen of one output so far. */
interface Comparison {
  maxAbsError: number;
  /** max(1, largest finite |original|) */
  scale: number;
}

function compareOutput(
  output: Manifest['outputs'][number],
  scored: TensorData | undefined,
  expected: NamedTensor | undefined,
  comparisons: ReadonlyMap<string, Comparison>,
): void {
  const comparison = comparisons.get(output.name) as Comparison;
  const got = scored === undefined ? undefined : toNumbers(output.dtype, scored);
  const want = expected === undefined ? undefined : toNumbers(output.dtype, expected.data);
  if (got === undefined || want === undefined || got.length !== want.length) {
    throw new GyrfalconError(
      'VERIFY_FAILED',
      `expected ${want?.length ?? 0} elements of output ${JSON.stringify(output.name)} ` +
        `but received ${got?.length ?? 0}`,
    );
  }
  for (let i = 0; i < want.length; i++) {
    const a = got[i] as number;
    const b = want[i] as number;
    if (Number.isFinite(b)) comparison.scale = Math.max(comparison.scale, Math.abs(b));
    if (Object.is(a, b) || a === b) continue;
    const difference = Math.abs(a - b);
    // One of them is NaN, or infinities differ: no tolerance covers that.
    const absolute = Number.isNaN(difference) ? Infinity : difference;
    comparison.maxAbsError = Math.max(comparison.maxAbsError, absolute);
  }
}

function requestRows(manifest: Manifest, request: number, left: number): number {
  if (manifest.batch !== null) return manifest.batch;
  return Math.min(left, BATCH_SIZES[Math.min(request, BATCH_SIZES.length - 1)] as number);
}

function symbolSizes(manifest: Manifest, request: number): Record<string, number> {
  const fallback = SYMBOL_SIZES[request % SYMBOL_SIZES.length] as number;
  return Object.fromEntries(
    Object.entries(manifest.symbols).map(([name, size]) => [name, size ?? fallback]),
  );
}

function product(sizes: readonly (number | undefined)[]): number {
  return sizes.reduce((total: number, size) => total * (size ?? Number.NaN), 1);
}

function rowLengths(offsets: Int32Array): Int32Array {
  return offsets.subarray(1).map((end, row) => end - (offsets[row] as number));
}

/** Feeds samples to the original in the form that it declares. */
class OriginalCaller {
  /** Whether offsets come with the end of the last row; PyTorch calls it include_last_offset. */
  private lastOffset: boolean | undefined;
  /** Ragged inputs that the original takes with a fixed number of ids in all. */
  private readonly raggedTotals = new Map<string, number>();
  /** Ragged inputs that the original takes as rows of a stack with a free number of ids. */
  private readonly stackOf = new Map<string, string>();

  constructor(
    private readonly manifest: Manifest,
    private readonly model: OriginalModel,
    private readonly forms: Pick<VerifyRequest, 'batchAxes' | 'stacks'>,
  ) {
    const ragged = new Set(
      manifest.inputs.flatMap(({ name, kind }) => (kind === 'ragged' ? [name] : [])),
    );
    for (const { name, dims } of model.inputs) {
      const rows = forms.stacks[name]?.filter((row) => row !== null && ragged.has(row));
      const size = dims[rows === undefined ? 0 : 1];
      const isFixed = typeof size === 'number' && size > 0;
      if (ragged.has(name) && isFixed) this.raggedTotals.set(name, size);
      for (const row of (rows ?? []) as string[]) {
        if (isFixed) this.raggedTotals.set(row, size);
        else this.stackOf.set(row, name);
      }
    }
  }

  /** Totals of one sample: rows of a stack have the same number of ids. */
  private totals(rows: number, random: Random): ReadonlyMap<string, number> {
    const totals = new Map(this.raggedTotals);
    const ofStack = new Map<string, number>();
    for (const [row, stack] of this.stackOf) {
      const total = ofStack.get(stack) ?? random.integer(1, MAX_STACK_HOTNESS * rows + 1);
      ofStack.set(stack, total);
      totals.set(row, total);
    }
    return totals;
  }

  /** A sample that the original accepts, and what it makes of it. */
  async run(
    rows: number,
    symbols: Record<string, number>,
    random: Random,
  ): Promise<{ sample: Sample; outputs: Record<string, NamedTensor> }> {
    let failure: unknown;
    // A symbol may be the batch in disguise, where the batch is not the first dimension.
    const square = Object.fromEntries(
      Object.keys(symbols).map((name) => [name, this.manifest.symbols[name] ?? rows]),
    );
    const attempts = SAMPLE_MODES.flatMap((mode) => [
      { mode, sizes: symbols },
      ...(Object.keys(symbols).length > 0 ? [{ mode, sizes: square }] : []),
    ]);
    for (const { mode, sizes } of attempts) {
      const sample = makeSample(
        this.manifest,
        rows,
        sizes,
        mode,
        random,
        this.totals(rows, random),
      );
      for (const lastOffset of this.offsetForms()) {
        try {
          const outputs = await this.model.run(this.feeds(sample, lastOffset));
          if (!this.fits(outputs, sample)) continue;
          this.lastOffset = lastOffset;
          return { sample, outputs };
        } catch (error) {
          if (!(error instanceof GyrfalconError) || error.code !== 'ENGINE_FAILED') throw error;
          failure ??= error;
        }
      }
    }
    const reason = failure instanceof Error ? failure.message : 'its outputs have other sizes';
    throw new GyrfalconError(
      'VERIFY_FAILED',
      `the original model does not run on random rows: ${reason}`,
      { cause: failure },
    );
  }

  private offsetForms(): boolean[] {
    const ragged = this.manifest.inputs.some((input) => input.kind === 'ragged');
    if (!ragged) return [false];
    return this.lastOffset === undefined ? [false, true] : [this.lastOffset];
  }

  /** Offsets in the wrong form give one row too few or too many. */
  private fits(outputs: Record<string, NamedTensor>, sample: Sample): boolean {
    return this.manifest.outputs.every(({ name, shape }) => {
      const dims = outputs[name]?.dims;
      if (dims === undefined) return false;
      if (dims.length !== shape.length) {
        // x.squeeze() loses the batch axis too when it is 1; its numbers are the same.
        const sizes = shape.map((extent, i) =>
          extent === null ? dims[i] : sizeOf(extent, sample.rows, sample.symbols),
        );
        return product(sizes) === product(dims);
      }
      return shape.every(
        (extent, i) => extent === null || dims[i] === sizeOf(extent, sample.rows, sample.symbols),
      );
    });
  }

  private feeds(sample: Sample, lastOffset: boolean): Record<string, NamedTensor> {
    const feeds: Record<string, NamedTensor> = {};
    const rows = new Map<string, ArrayLike<number>>();
    const put = (name: string, values: ArrayLike<number>, dims: number[]): void => {
      rows.set(name, values);
      const dtype = this.model.inputs.find((input) => input.name === name)?.dtype;
      if (dtype !== undefined) feeds[name] = { data: toTensorData(dtype, values), dims };
    };
    for (const input of this.manifest.inputs) {
      const value = sample.inputs.get(input.name);
      if (value?.kind === 'tensor') {
        const axis = this.forms.batchAxes[input.name] ?? 0;
        const { values, dims } = moveBatch(value.values, value.dims, axis);
        put(input.name, values, dims);
      } else if (value !== undefined && input.kind === 'ragged') {
        const {
          offsets: offsetsName,
          lengths: lengthsName,
          weights: weightsName,
        } = input.source ?? {};
        put(input.name, value.indices, [value.indices.length]);
        const offsets = lastOffset ? value.offsets : value.offsets.subarray(0, sample.rows);
        if (offsetsName !== undefined) put(offsetsName, offsets, [offsets.length]);
        if (lengthsName !== undefined) put(lengthsName, rowLengths(value.offsets), [sample.rows]);
        if (weightsName !== undefined && value.weights !== undefined) {
          put(weightsName, value.weights, [value.weights.length]);
        }
      }
    }
    for (const [name, names] of Object.entries(this.forms.stacks)) {
      const parts = names.map((row) => (row === null ? undefined : rows.get(row)));
      const width = Math.max(0, ...parts.map((part) => part?.length ?? 0));
      const values = new Float64Array(names.length * width);
      for (const [row, part] of parts.entries()) if (part) values.set(part, row * width);
      put(name, values, [names.length, width]);
    }
    const missing = this.model.inputs.filter((input) => !(input.name in feeds));
    if (missing.length > 0) {
      throw new GyrfalconError(
        'VERIFY_FAILED',
        `the bundle has no input for ${missing.map((input) => input.name).join(', ')} ` +
          'of the original model',
      );
    }
    return feeds;
  }
}
