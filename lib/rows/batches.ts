/** Rows in groups that fit one batch, and the batches for them. */
import type { Batch } from '../batch.js';
import { countIndices } from './fill.js';
import type { RawRow } from './source.js';
import { type Row, type RowInput, readRow } from './values.js';

/** Up to `most` rows at a time, in order; all of a group have the same free sizes. */
export async function* rowBatches(
  source: AsyncIterable<RawRow> | Iterable<RawRow>,
  inputs: readonly RowInput[],
  most: number,
  ignoreExtra: boolean,
): AsyncGenerator<Row[]> {
  let pending: Row[] = [];
  for await (const { fields, line } of source) {
    const row = readRow(inputs, fields, line, ignoreExtra);
    if (pending.length === most || (pending.length > 0 && pending[0]?.group !== row.group)) {
      yield pending;
      pending = [];
    }
    pending.push(row);
  }
  if (pending.length > 0) yield pending;
}

/** Keeps one batch and makes another only when free sizes change or ids do not fit. */
export class Batches<B extends Pick<Batch<object>, 'inputs'>> {
  #batch: B | undefined;
  #key = '';
  #room: Record<string, number> = {};

  constructor(
    private readonly make: (symbols: Record<string, number>, indices: Record<string, number>) => B,
  ) {}

  forRows(rows: readonly Row[]): B {
    const symbols = rows[0]?.symbols ?? {};
    const key = JSON.stringify(Object.entries(symbols).sort());
    const needed = countIndices(rows);
    const fits = Object.entries(needed).every(([name, n]) => n <= (this.#room[name] ?? 0));
    if (this.#batch !== undefined && key === this.#key && fits) return this.#batch;
    for (const [name, n] of Object.entries(needed)) {
      // Half as much again, so that rows which grow slowly do not need a batch each.
      if (n > (this.#room[name] ?? 0)) this.#room[name] = Math.ceil(n * 1.5);
      this.#room[name] = Math.max(1, this.#room[name] ?? 0);
    }
    this.#batch = this.make(symbols, { ...this.#room });
    this.#key = key;
    return this.#batch;
  }
}
