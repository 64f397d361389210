/** Rows into a batch. */
import type { Batch, TypedArray } from '../batch.js';
import type { DtypeName } from '../import/manifest.js';
import type { Row, RowInput } from './values.js';

/** Ids of each ragged input in all rows. */
export function countIndices(rows: readonly Row[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const row of rows) {
    for (const [name, { indices }] of row.ragged) {
      counts[name] = (counts[name] ?? 0) + indices.length;
    }
  }
  return counts;
}

// Which inputs there are is known at run time only.
// biome-ignore lint/suspicious/noExplicitAny: as above
export type FillableBatch = Pick<Batch<Readonly<Record<string, any>>>, 'inputs' | 'rows'>;

/** Precondition: the batch has room, and its free sizes are the rows'. */
export function fillBatch(
  batch: FillableBatch,
  inputs: readonly RowInput[],
  rows: readonly Row[],
): void {
  batch.rows = rows.length;
  for (const input of inputs) {
    const target = batch.inputs[input.name];
    if (input.kind === 'tensor') {
      const used = input.shape[0] === 'batch' ? rows : rows.slice(0, 1);
      let at = 0;
      for (const row of used) {
        for (const value of row.tensors.get(input.name) ?? []) {
          setValue(target, at++, input.dtype, value);
        }
      }
      continue;
    }
    let at = 0;
    target.offsets[0] = 0;
    rows.forEach((row, r) => {
      const { indices, weights } = row.ragged.get(input.name) ?? { indices: [] };
      indices.forEach((id, i) => {
        setValue(target.indices, at + i, input.dtype, id);
        if (weights !== undefined) target.weights[at + i] = weights[i];
      });
      at += indices.length;
      target.offsets[r + 1] = at;
    });
  }
}

function setValue(target: TypedArray, at: number, dtype: DtypeName, value: number): void {
  if (target instanceof BigInt64Array) target[at] = BigInt(value);
  else if (dtype === 'f16') target[at] = halfBits(value);
  else if (dtype === 'bf16') target[at] = bfloatBits(value);
  else target[at] = value;
}

/** IEEE 754 binary16, nearest, ties to even. */
export function halfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | nearestEven(size * 2 ** 24);
  let exponent = Math.floor(Math.log2(size));
  // log2 may round up to the next whole number.
  if (2 ** exponent > size) exponent--;
  return sign | (((exponent + 15) << 10) + nearestEven(size * 2 ** (10 - exponent)) - 1024);
}

function nearestEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

const scratch = new DataView(new ArrayBuffer(4));

function bfloatBits(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
