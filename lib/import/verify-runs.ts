/** The ways in which a bundle can be run, each of which verification tries. */
import type { Manifest, PrecisionName, StorageName } from './manifest.js';

export interface VerifyRun {
  engine: 'fused' | 'onnxruntime';
  precision: PrecisionName;
}

/** The first is what runs by default. */
export function runsOf(manifest: Manifest): VerifyRun[] {
  const exact: VerifyRun = { engine: 'onnxruntime', precision: 'f32' };
  if (manifest.fused === undefined) return [exact];
  const first = manifest.fused.precision ?? 'f32';
  const others = (['f32', 'bf16', 'int8'] as const).filter((precision) => precision !== first);
  const fused = [first, ...others].map((precision): VerifyRun => ({ engine: 'fused', precision }));
  return [...fused, exact];
}

/** Whether an error past the tolerance is a failure: not of a precision that nobody asked for. */
export function isJudged(run: VerifyRun, place: number): boolean {
  return place === 0 || run.precision === 'f32';
}

/** What f32 arithmetic in another order may differ by. */
const BASE_TOLERANCE = 1e-5;
/** How much a dense network is taken to amplify the relative error of its inputs, at most. */
const GAIN = 4;
/** Relative error of an element, against the largest of its row. */
const STORAGE_ERROR: Readonly<Record<StorageName, number>> = {
  f32: 0,
  f16: 2 ** -11, // 11 significant bits, rounded
  bf16: 2 ** -8, // 8 significant bits, rounded
  int8: 1 / 255, // half of 1/255 of the row's range, which is at most twice its largest element
  int4: 1 / 15, // the same with 15 steps
};
/** Relative error of a product: of weights and activations, as above. */
const PRECISION_ERROR: Readonly<Record<PrecisionName, number>> = {
  f32: 0,
  bf16: 2 ** -8,
  int8: 1 / 254 + 1 / 255, // weights have 127 steps to each side
};

/**
 * The error that is accepted when the caller does not say: 1e-5 + 4 · (max over tables of the
 * storage's relative error + the precision's). A table whose source was narrower than f32 and is
 * stored as it came loses nothing, but its type alone is looked at, so it gets the tolerance of its
 * storage.
 */
export function defaultTolerance(manifest: Manifest, precision: PrecisionName = 'f32'): number {
  const worst = manifest.tables.reduce(
    (max, table) => Math.max(max, STORAGE_ERROR[table.storage]),
    0,
  );
  return BASE_TOLERANCE + GAIN * (worst + PRECISION_ERROR[precision]);
}
