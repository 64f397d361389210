/** Outputs of a batch as one value for each row. */
import type { TypedArray } from '../batch.js';
import type { DtypeName } from '../import/manifest.js';
import { toNumbers } from '../import/tensor-values.js';

export type OutputValue = number | boolean | (number | boolean)[];

/** One value for each row: a number where the output has one element a row, else an array. */
export function outputRows(
  output: { readonly dtype: DtypeName; readonly shape: readonly (number | string | null)[] },
  data: TypedArray,
  rows: number,
): OutputValue[] {
  const all = [...toNumbers(output.dtype, data)].map((value) => readable(output.dtype, value));
  // Without a batch dimension the whole output belongs to every row.
  const perRow = output.shape[0] === 'batch' ? all.length / rows : all.length;
  return Array.from({ length: rows }, (_, r) => {
    const from = output.shape[0] === 'batch' ? r * perRow : 0;
    const values = all.slice(from, from + perRow);
    return perRow === 1 ? (values[0] as number | boolean) : values;
  });
}

/** A float32 as the shortest number that names it. */
function readable(dtype: DtypeName, value: number): number | boolean {
  if (dtype === 'bool') return value !== 0;
  if (dtype !== 'f32' || !Number.isFinite(value)) return value;
  // 9 digits name every float32; most need fewer.
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}
