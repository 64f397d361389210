/** Which lookups a bundle can express. */
import { mapId } from '../id-map.js';
import { joinRuns, lengthsFollow, sameMap, samePadding } from './bags.js';
import type { Bag, Factor, Grid } from './domain.js';
import { axisSize } from './grid.js';
import { NOT_BATCHED } from './inputs.js';
import { mapDifference } from './places.js';
import * as p from './poly.js';

/** docs/bundle-format.md, bags and tables. */
const MAX_COUNT = 2 ** 20;
const MAX_DIM = 16384;
const MAX_STEPS = 16;
const MAX_RANK = 8;
/** More bags than this in one slot are only worth it when they are not far more than their inputs. */
const MANY_BAGS = 64;
const MANY_PER_SOURCE = 4;
/** Each bag along a free dimension has a slot of its own. */
const MAX_PER_SYMBOL = 64;

const UNEVEN =
  'its ids have no batch axis: one list for all rows, or bags that are no sum or mean that a bundle has';

/** The bags of a batch row, in the order of its numbers. */
export function bagsOf(grid: Grid): readonly Bag[] {
  return grid.cells.flatMap((cell) => (cell.type === 'row' ? cell.parts : []));
}

export function widthOf(grid: Grid): number {
  return bagsOf(grid).reduce((sum, bag) => sum + bag.table.dim, 0);
}

export function symbolOf(grid: Grid): string | null {
  for (const factor of grid.axes.flat()) if (factor.kind === 'symbol') return factor.name;
  return null;
}

/** Batch first, then a free dimension, then what is counted, then the numbers of the rows. */
export function canonicalFactors(grid: Grid): Factor[] {
  const factors = grid.axes.flat();
  const ranks: Readonly<Record<Factor['kind'], number>> = {
    batch: 0,
    symbol: 1,
    fixed: 2,
    copy: 2,
    dim: 3,
  };
  const rank = (factor: Factor): number => ranks[factor.kind];
  return [...factors].sort((a, b) => rank(a) - rank(b));
}

/** Whether the axes are the canonical factors in order. */
export function isCanonical(grid: Grid): boolean {
  return canonicalFactors(grid).every((factor, i) => factor === grid.axes.flat()[i]);
}

/** Null when a bundle can look these rows up, else what stands in the way. */
export function obstacle(grid: Grid): string | null {
  const factors = grid.axes.flat();
  const count = (kind: Factor['kind']): number =>
    factors.filter((factor) => factor.kind === kind).length;
  const bags = bagsOf(grid);
  if (bags.length === 0) return 'they are no rows';
  if (count('batch') === 0 && count('symbol') > 0) return UNEVEN;
  if (count('batch') !== 1) return `its ids have no batch axis: ${NOT_BATCHED}`;
  if (count('copy') > 0) return 'its rows are repeated';
  if (count('symbol') > 1) return 'its ids have two free dimensions';
  if (count('symbol') === 1 && bags.length > MAX_PER_SYMBOL)
    return 'its free dimension has too many rows a place';
  if (count('dim') !== 1) return 'its rows are mixed with other numbers';
  if (grid.axes.length > MAX_RANK) return `its rows have more than ${MAX_RANK} axes`;
  if (!isReachable(grid)) return 'its rows are reordered along a free dimension';
  for (const bag of bags) {
    const reason = bagObstacle(bag);
    if (reason !== null) return reason;
  }
  return spread(bags) ? 'its rows alternate with those of other lookups' : null;
}

function bagObstacle({ table, run, padding, paddingMap, share }: Bag): string | null {
  if (table.dim > MAX_DIM) return `its rows are longer than ${MAX_DIM}`;
  if (share !== null) return 'its rows are divided by their count but not added';
  if (run.clamped && padding !== null && padding !== -1)
    return 'negative ids are raised to 0 and others masked';
  if (paddingMap.length > 0 && !sameMap(paddingMap, run.map))
    return 'ids are masked by what is not looked up';
  const sum = run.map.findIndex(({ op }) => op === 'sum');
  // Padding is left out of a sum: it must be one that adds nothing to it.
  if (sum >= 0 && padding !== null && paddingMap.length === 0) {
    if (mapId(run.map.slice(0, sum), padding, 0) !== 0) return 'ids that are padding are counted';
  }
  if (run.map.length >= MAX_STEPS) return 'ids are computed in many steps';
  if (typeof run.count === 'number' && run.count > MAX_COUNT)
    return `more than ${MAX_COUNT} ids a row`;
  if (![...run.adds, padding ?? 0].every(Number.isSafeInteger))
    return 'ids are moved by a fraction';
  if (run.ragged !== null && run.adds.length !== 1) return 'ids are moved unevenly';
  return null;
}

/** Rows of two histories laid side by side, position by position, are cheaper written apart. */
function spread(bags: readonly Bag[]): boolean {
  if (bags.length <= MANY_BAGS) return false;
  const groups = groupBags(bags);
  const sources = new Set(bags.map((bag) => `${bag.table.name}\u0000${bag.run.input}`));
  return groups.length > MANY_BAGS && groups.length > MANY_PER_SOURCE * sources.size;
}

/** Whether Transpose, Unsqueeze and one Reshape with at most one open size give the tensor from its slot. */
function isReachable(grid: Grid): boolean {
  const dynamic = grid.axes.filter((axis) => p.constant(axisSize(axis)) === null);
  if (dynamic.length <= 1 || grid.axes.every((axis) => axis.length <= 1)) return true;
  return dynamic.length === 2 && isCanonical(grid) && grid.axes[0]?.length === 1;
}

/** Unpooled bags that follow each other become one bag of several ids. */
export function groupBags(bags: readonly Bag[]): Bag[] {
  const out: Bag[] = [];
  let open: Bag[] = [];
  const flush = (): void => {
    const [first] = open;
    const run =
      first === undefined
        ? null
        : joinRuns(
            open.map((bag) => bag.run),
            null,
          );
    if (first !== undefined && run !== null) {
      const [w0, w1] = [first.weights, open[1]?.weights ?? null];
      const weights = w0 === null || w1 === null ? w0 : { ...w0, step: w1.start - w0.start };
      out.push({ ...first, run, weights });
    } else out.push(...open);
    open = [];
  };
  for (const bag of bags) {
    if (
      bag.pooling !== 'none' ||
      bag.run.count !== 1 ||
      bag.run.ragged !== null ||
      bag.run.step !== 0
    ) {
      flush();
      out.push(bag);
      continue;
    }
    if (open.length > 0 && !extendsRun(open, bag)) flush();
    open.push(bag);
  }
  flush();
  return out;
}

function followed(a: Bag, b: Bag, step: number): string | null {
  return sameMap(a.run.map, b.run.map) ? '' : mapDifference(a.run.map, b.run.map, step);
}

function extendsRun(open: readonly Bag[], bag: Bag): boolean {
  const last = open[open.length - 1] as Bag;
  const before = open[open.length - 2];
  const step = bag.run.start - last.run.start;
  if (bag.table !== last.table || bag.run.input !== last.run.input || !samePadding(bag, last))
    return false;
  const moved = sameMap(bag.run.map, last.run.map)
    ? ''
    : mapDifference(last.run.map, bag.run.map, step);
  if (moved === null || !lengthsFollow([last, bag], null)) return false;
  if (before !== undefined && moved !== followed(before, last, step)) return false;
  if (bag.run.clamped !== last.run.clamped || step < 0 || open.length >= MAX_COUNT) return false;
  if (step === 0 && moved === '') return false;
  if (before !== undefined && last.run.start - before.run.start !== step) return false;
  if (bag.weights === null || last.weights === null) return bag.weights === last.weights;
  const weightStep = bag.weights.start - last.weights.start;
  if (bag.weights.input !== last.weights.input || weightStep < 1) return false;
  return before?.weights == null || last.weights.start - before.weights.start === weightStep;
}
