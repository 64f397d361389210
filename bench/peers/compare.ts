/** Whether answers are right. No timing counts before this. */
import type { Variant } from './options.js';

/** Answers are wrong: nothing of the run can be believed. */
export class DisagreementError extends Error {}

export interface Agreement {
  /** Largest error, relative to 1 or to the given magnitude where that is larger. */
  readonly maxError: number;
  readonly bound: number;
  readonly values: number;
}

/** Everything in f32, whatever the tables' storage: they are dequantised on both sides. */
export const F32_BOUND = 1e-5;
/** Networks in a smaller precision, on probabilities. */
export const PRECISION_BOUNDS: Readonly<Record<Variant['precision'], number>> = {
  f32: F32_BOUND,
  bf16: 2e-2,
  int8: 5e-2,
};

/** @throws DisagreementError that names the first value past the bound */
export function agree(
  label: string,
  actual: Float32Array,
  expected: Float32Array,
  bound: number,
  magnitudes?: Float32Array,
): Agreement {
  if (actual.length !== expected.length || actual.length === 0) {
    throw new DisagreementError(
      `${label}: expected ${expected.length} values but received ${actual.length}`,
    );
  }
  let maxError = 0;
  for (let i = 0; i < actual.length; i++) {
    const want = expected[i] ?? Number.NaN;
    const scale = Math.max(1, magnitudes?.[i] ?? Math.abs(want));
    const error = Math.abs((actual[i] ?? Number.NaN) - want) / scale;
    // Written so that NaN is an error.
    if (!(error <= bound)) {
      throw new DisagreementError(
        `${label}: expected ${want} within ${bound} at ${i} but received ${actual[i]}`,
      );
    }
    maxError = Math.max(maxError, error);
  }
  return { maxError, bound, values: actual.length };
}

/** Outputs that are all alike or saturated would hide errors. @throws DisagreementError */
export function checkVariety(label: string, outputs: Float32Array): void {
  const mean = outputs.reduce((sum, value) => sum + value, 0) / outputs.length;
  const variance = outputs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / outputs.length;
  const saturated = outputs.filter((value) => value < 1e-3 || value > 1 - 1e-3).length;
  if (!(Math.sqrt(variance) > 1e-3) || saturated > outputs.length / 4) {
    throw new DisagreementError(
      `${label}: expected outputs that differ and are not saturated but received a deviation of ` +
        `${Math.sqrt(variance)} and ${saturated} of ${outputs.length} at an end`,
    );
  }
}
