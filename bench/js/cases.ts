/** What is measured: calls, each with how often it is made for one sample. */
import type { Batch, Model } from '#lib/index.js';

export interface Case {
  readonly name: string;
  /** Calls of one sample; the clock is read before and after them. */
  readonly calls: number;
  readonly call: () => unknown;
  /** Nanoseconds of the last call's native work, where there is any. */
  readonly native?: () => number;
  /** The synchronous case that an asynchronous one is compared with. */
  readonly above?: string;
}

const nativeOf = (batch: Batch<object>) => (): number => {
  const { lookup, engine } = batch.times;
  return lookup + engine;
};

/** Synchronous and asynchronous scores of so many rows; `rows` 0: the way to native code and back. */
export function scoreCases(label: string, model: Model, rows: readonly number[]): Case[] {
  return rows.flatMap((count) => {
    const batch = model.createBatch(Math.max(1, count));
    batch.rows = count;
    const sync = `${label}, ${count} rows, scoreSync`;
    const cases: Case[] = [
      {
        name: sync,
        calls: count > 16 ? 20 : 500,
        call: () => model.scoreSync(batch),
        native: nativeOf(batch),
      },
    ];
    if (count === 0) return cases;
    const other = model.createBatch(count);
    return [
      ...cases,
      {
        name: `${label}, ${count} rows, score`,
        calls: 1,
        call: () => model.score(other),
        native: nativeOf(other),
        above: sync,
      },
    ];
  });
}

interface FilmInputs {
  readonly dense: Float32Array;
  readonly user: Int32Array;
  readonly item: Int32Array;
  readonly year: Int32Array;
  readonly genres: Int32Array;
  readonly history: Int32Array;
}

/** The example model's inputs, filled as a service would. */
export function fillCases(model: Model, rows: readonly number[]): Case[] {
  return rows.flatMap((count) => {
    const inputs = model.createBatch(count).inputs as unknown as FilmInputs;
    const single = Int32Array.from({ length: count }, (_, i) => i % 50);
    const dense = new Float32Array(inputs.dense.length).fill(0.5);
    const genres = new Int32Array(inputs.genres.length).fill(3);
    const history = new Int32Array(inputs.history.length).fill(7);
    const width = inputs.history.length / count;
    const listed = Array.from({ length: count }, () => Array.from({ length: width }, () => 7));
    const calls = count > 16 ? 50 : 500;
    return [
      {
        name: `fill ${count} rows, every input by set()`,
        calls,
        call: () => {
          inputs.dense.set(dense);
          inputs.user.set(single);
          inputs.item.set(single);
          inputs.year.set(single);
          inputs.genres.set(genres);
          inputs.history.set(history);
        },
      },
      {
        name: `fill ${count} rows, one input by set()`,
        calls,
        call: () => inputs.user.set(single),
      },
      {
        name: `fill ${count} rows, histories from arrays`,
        calls,
        call: () => {
          for (let row = 0, at = 0; row < count; row++, at += width) {
            const ids = listed[row] ?? [];
            for (let i = 0; i < ids.length; i++) inputs.history[at + i] = ids[i] ?? 0;
          }
        },
      },
    ];
  });
}
