/** Bags and runs of ids: how single lookups become pooled ones. */
import type { IdStep } from '../manifest.js';
import type { Bag, CountCell, IdCell, Matrix, Run } from './domain.js';
import { isPlaced, joinMaps } from './places.js';

/** Sums of more ids than this are not taken apart again. */
const MAX_APART = 1 << 12;

export function singleRun(id: IdCell): Run {
  return {
    input: id.input,
    start: id.start,
    step: id.step,
    count: 1,
    ragged: null,
    isBatched: id.isBatched,
    map: id.map,
    adds: [id.add],
    clamped: id.clamped,
  };
}

export function lookupBag(table: Matrix, id: IdCell): Bag {
  return {
    table,
    pooling: 'none',
    run: singleRun(id),
    padding: null,
    paddingMap: [],
    length: null,
    weights: null,
    share: null,
  };
}

/** Whether a bag is still one id (per batch row and symbol). */
export function isSingle(bag: Bag): boolean {
  return bag.pooling === 'none' && bag.run.count === 1 && bag.run.ragged === null;
}

export function sameMap(a: readonly IdStep[], b: readonly IdStep[]): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** Whether two runs read the same elements of the same input, whatever is made of them. */
export function sameElements(a: Run, b: Run): boolean {
  return (
    a.input === b.input &&
    a.start === b.start &&
    (a.step === b.step || a.count === 1) &&
    a.count === b.count &&
    a.ragged === null &&
    b.ragged === null
  );
}

/** One run for ids that are looked up one after another: their places must form a progression. */
export function joinRuns(runs: readonly Run[], symbol: string | null): Run | null {
  const [first, second] = runs;
  if (
    first === undefined ||
    runs.some((run) => run.count !== 1 || run.ragged !== null || run.input !== first.input)
  ) {
    return null;
  }
  // Places from the row's beginning and from its end have no distance.
  if (runs.some((run) => run.start < 0 !== first.start < 0)) return null;
  const clamped = runs.some((run) => run.clamped);
  if (symbol !== null) return runs.length === 1 ? { ...first, count: symbol } : null;
  if (second === undefined) return first;
  const step = second.start - first.start;
  if (step < 0 || runs.some((run, i) => run.start !== first.start + i * step || run.step !== 0))
    return null;
  const adds = runs.flatMap((run) => run.adds);
  const map = joinMaps(
    runs.map((run) => run.map),
    step,
  );
  if (map === null) return null;
  // One element again and again is only one run where its place makes it another id.
  if (step === 0 && !isPlaced(map) && adds.every((add) => add === adds[0])) return null;
  return {
    ...first,
    map,
    step,
    count: runs.length,
    adds: adds.every((add) => add === adds[0]) ? [adds[0] ?? 0] : adds,
    clamped,
  };
}

/** A pooled sum (or mean) taken apart, so that sums of sums can be pooled in one; null: too many. */
function takeApart(bag: Bag, mode: 'sum' | 'mean'): readonly Bag[] | null {
  const { run, weights } = bag;
  if (bag.pooling !== mode) return [bag];
  if (typeof run.count !== 'number' || run.ragged !== null || run.count > MAX_APART) return null;
  if (isPlaced(run.map)) return null;
  if (mode === 'mean' && (bag.padding !== null || bag.length !== null)) return null;
  return Array.from({ length: run.count }, (_, i): Bag => {
    const single = {
      ...run,
      start: run.start + i * run.step,
      step: 0,
      count: 1,
      adds: [run.adds[i] ?? run.adds[0] ?? 0],
    };
    const own =
      weights === null ? null : { ...weights, start: weights.start + i * weights.step, step: 0 };
    const length = bag.length === null ? null : { ...bag.length, first: bag.length.first + i };
    return { ...bag, pooling: 'none', run: single, weights: own, length };
  });
}

/** The bag of lookups, one after another along an axis; null when they do not make one. */
export function poolBags(
  given: readonly Bag[],
  mode: 'sum' | 'mean',
  symbol: string | null,
): Bag | null {
  const counts = new Set(given.map((bag) => bag.run.count));
  // A mean of means is a mean when they are of equally many.
  if (symbol !== null || counts.size !== 1) return poolSingles(given, mode, symbol);
  const apart = given.map((bag) => takeApart(bag, mode));
  return apart.includes(null) ? null : poolSingles((apart as Bag[][]).flat(), mode, symbol);
}

function poolSingles(
  bags: readonly Bag[],
  mode: 'sum' | 'mean',
  symbol: string | null,
): Bag | null {
  const ordered = [...bags].sort((a, b) => a.run.start - b.run.start);
  const [first] = ordered;
  if (first === undefined) return null;
  if (
    ordered.some((bag) => !isSingle(bag) || bag.table !== first.table || !samePadding(bag, first))
  )
    return null;
  if (!lengthsFollow(ordered, symbol)) return null;
  const run = joinRuns(
    ordered.map((bag) => bag.run),
    symbol,
  );
  if (run === null) return null;
  const weights = joinWeights(ordered, symbol);
  if (weights === undefined) return null;
  if (first.share !== null) {
    const shared = ordered.every(
      (bag) => bag.share !== null && sameCount(bag.share, { ...bag, run }),
    );
    if (!shared || mode !== 'sum' || weights !== null) return null;
    return { ...first, pooling: 'mean', run, share: null };
  }
  if (ordered.some((bag) => bag.share !== null)) return null;
  // A mean over all positions is not the mean over those that count.
  if (mode === 'mean' && (first.padding !== null || first.length !== null)) return null;
  if (run.count === 1) return first;
  return { ...first, pooling: mode, run, weights };
}

/** Undefined when the weights do not follow the ids. */
function joinWeights(bags: readonly Bag[], symbol: string | null): Bag['weights'] | undefined {
  const all = bags.map((bag) => bag.weights);
  const [first, second] = all;
  if (all.every((weights) => weights === null)) return null;
  if (first == null || all.includes(null)) return undefined;
  if (symbol !== null) return first;
  const step = second == null ? 1 : second.start - first.start;
  const follow = all.every(
    (weights, i) =>
      weights?.input === first.input &&
      weights.start === first.start + i * step &&
      weights.step === 0,
  );
  return follow && step >= 1 ? { ...first, step } : undefined;
}

export function samePadding(a: Bag, b: Bag): boolean {
  return a.padding === b.padding && sameMap(a.paddingMap, b.paddingMap);
}

/** Whether the bags are cut off by one length, each at its place among them. */
export function lengthsFollow(bags: readonly Bag[], symbol: string | null): boolean {
  const first = bags[0]?.length ?? null;
  return bags.every(({ length }, i) => {
    if (length === null || first === null) return length === first;
    const place = symbol === null ? first.first + i : first.first;
    return (
      length.input === first.input && length.element === first.element && length.first === place
    );
  });
}

/** Whether a count counts exactly the ids of a bag that are not its padding. */
export function sameCount(count: CountCell, { run, padding, paddingMap, length }: Bag): boolean {
  return (
    count.padding === padding &&
    length === null &&
    sameMap(count.ids.map, paddingMap) &&
    (count.exact || sameMap(paddingMap, run.map)) &&
    sameElements(count.ids, run)
  );
}

/** Text that is equal for equal bags. */
export function bagKey(bag: Bag): string {
  const { table, ...rest } = bag;
  return JSON.stringify([table.name, rest]);
}
