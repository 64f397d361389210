/**
 * nn.EmbeddingBag as PyTorch's exporters write it: a Loop over the bags. The body is read for one
 * bag of unknown number; when what it yields is that bag's pooled rows, the Loop is a lookup.
 *
 * The TorchScript exporter slices the ids by neighbouring offsets, looks them up, pools them and
 * stacks the results as a scan output. The dynamo exporter looks all ids up first, slices the rows,
 * treats an empty bag and (for means) the last bag apart and collects the results in a sequence;
 * with padding_idx an inner Loop lists the positions that are not padding.
 */
import type { OnnxGraph, OnnxNode } from '../onnx/types.js';
import { graphAttribute, intAttribute } from './attributes.js';
import { poolBags } from './bags.js';
import * as cells from './cells.js';
import type {
  Bag,
  Bounds,
  Cell,
  Grid,
  LoopTest,
  Padding,
  PooledSegment,
  RowCell,
  Segment,
  Value,
} from './domain.js';
import { alongAxis, axisSize, makeGrid, reshape, shapeOf } from './grid.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';
import { reduceAxes } from './shapes.js';
import { gridValue, INT64, scalarOf, toInts } from './values.js';
import { asBounds, wholeInput } from './views.js';

type Inputs = readonly (Value | null)[];
export type Environment = (name: string) => Value | null;
/** Evaluates a subgraph's outputs in an environment. */
export type EvaluateGraph = (
  graph: OnnxGraph,
  outer: Environment,
  inputs: readonly (Value | null)[],
) => (Value | null)[];

const BAG: Value = { kind: 'bag-index', dataType: INT64, shift: 0 };

function test(name: LoopTest['test'], more: Partial<LoopTest> = {}): Value {
  return {
    kind: 'test',
    dataType: 9,
    test: name,
    bags: null,
    bounds: null,
    padding: null,
    ...more,
  };
}

function sameBounds(a: Bounds | null, b: Bounds | null): boolean {
  if (a === null || b === null) return false;
  if (a.complete !== b.complete || !p.equal(a.length, b.length)) return false;
  if (a.source.kind === 'range')
    return b.source.kind === 'range' && a.source.step === b.source.step;
  return b.source.kind === 'input' && a.source.name === b.source.name;
}

function samePadding(a: Padding | null, b: Padding | null): boolean {
  if (a === null || b === null) return a === b;
  return a.id === b.id && JSON.stringify(wholeInput(a.grid)) === JSON.stringify(wholeInput(b.grid));
}

/** The number of bags that bounds delimit. */
function bagCount(bounds: Bounds): Poly {
  return p.add(bounds.length, p.ONE, -1);
}

/** The rule for a Loop: its outputs, or null when it is not an EmbeddingBag's. */
export function evaluateLoop(
  node: OnnxNode,
  inputs: Inputs,
  outer: Environment,
  evaluate: EvaluateGraph,
  batchSize: Poly,
): readonly (Value | null)[] | null {
  const body = graphAttribute(node, 'body');
  if (body === null) return null;
  const [trip, condition, ...initial] = inputs;
  const isInner = initial.some((value) => value?.kind === 'bound');
  const states = initial.map((value, i) =>
    initialState(value ?? null, isInner, node.inputs[i + 2] ?? ''),
  );
  if (states.includes(null)) return null;
  const results = evaluate(body, outer, [
    initial.length === 0 ? BAG : null,
    condition ?? null,
    ...states,
  ]);
  if (isInner) return innerLoop(results, states);
  if (initial.length === 0) return scanLoop(trip ?? null, results, batchSize);
  return sequenceLoop(trip ?? null, results, states, batchSize);
}

function initialState(value: Value | null, isInner: boolean, name: string): Value | null {
  if (value?.kind === 'sequence' && value.item === null) return value;
  if (value?.kind === 'bound' && value.shift === 0) {
    return { kind: 'position', dataType: value.dataType, bounds: value.bounds, shift: 0 };
  }
  if (value?.kind !== 'const' || name === '') return null;
  if (isInner && value.tensor.data.length === 0) {
    return { kind: 'kept', dataType: value.dataType, state: 'before', bounds: null, padding: null };
  }
  return !isInner && scalarOf(value) === 0 ? BAG : null;
}

function scanLoop(
  trip: Value | null,
  results: readonly (Value | null)[],
  batchSize: Poly,
): readonly (Value | null)[] | null {
  const [go, row] = results;
  if (results.length !== 2 || row?.kind !== 'pooled' || row.keep || scalarOf(go ?? null) !== 1)
    return null;
  const count = toInts(trip)?.values[0];
  if (count === undefined || !p.equal(count, bagCount(row.segment.bounds))) return null;
  return [finish(row, batchSize)];
}

function sequenceLoop(
  trip: Value | null,
  results: readonly (Value | null)[],
  states: readonly (Value | null)[],
  batchSize: Poly,
): readonly (Value | null)[] | null {
  const [go, ...next] = results;
  if (trip !== null || go?.kind !== 'test' || go.test !== 'more-bags' || go.bags === null)
    return null;
  const outputs: (Value | null)[] = [];
  for (const [i, state] of states.entries()) {
    const value = next[i];
    if (state?.kind === 'bag-index') {
      if (value?.kind !== 'bag-index' || value.shift !== 1) return null;
      outputs.push(null);
      continue;
    }
    if (value?.kind !== 'sequence' || value.item === null || !value.item.keep) return null;
    if (!p.equal(go.bags, bagCount(value.item.segment.bounds))) return null;
    const item = finish(value.item, batchSize);
    outputs.push(item === null ? null : { kind: 'sequence-of', dataType: item.dataType, item });
  }
  return next.length === states.length ? outputs : null;
}

/** The loop of the padded form: which positions of the bag are not padding. */
function innerLoop(
  results: readonly (Value | null)[],
  states: readonly (Value | null)[],
): readonly (Value | null)[] | null {
  const [go, ...next] = results;
  if (go?.kind !== 'test' || go.test !== 'more-ids' || next.length !== states.length) return null;
  return states.map((state, i) => {
    const value = next[i];
    if (state?.kind !== 'kept' || value?.kind !== 'kept' || value.state !== 'step') return null;
    return { ...value, state: 'filtered', bounds: go.bounds };
  });
}

/** The pooled rows of all bags: [batch, dim]. */
function finish(row: PooledSegment, batchSize: Poly): Value | null {
  const { segment, mode } = row;
  if (mode === 'last-mean') return null;
  if (mode === 'max') return { kind: 'max-pooled', dataType: row.dataType, segment };
  const grid = segment.padding === null ? segment.grid : padRows(segment.grid, segment.padding);
  if (grid === null || grid.axes.length !== 2) return null;
  const { source } = segment.bounds;
  const pooled =
    source.kind === 'range'
      ? poolFixed(grid, source.step, bagCount(segment.bounds), mode)
      : poolRagged(grid, segment.bounds, mode, batchSize);
  return gridValue(pooled, row.dataType);
}

function padRows(grid: Grid, padding: Padding): Grid | null {
  const own = padding.grid.cells;
  if (own.length !== grid.cells.length) return null;
  const list = grid.cells.map((cell, i): Cell | null => {
    const id = own[i];
    if (id?.type !== 'id') return null;
    return cells.multiply(cell, { type: 'mask', id, padding: padding.id - id.add, keep: true });
  });
  return list.includes(null) ? null : { axes: grid.axes, cells: list as Cell[] };
}

/** Offsets 0, n, 2n, …: every batch row is a bag of n ids. */
function poolFixed(grid: Grid, n: number, bags: Poly, mode: 'sum' | 'mean'): Grid | null {
  const [, width] = shapeOf(grid);
  const cube = reshape(grid, [bags, p.poly(n), width as Poly]);
  if (cube === null) return null;
  const list: Cell[] = [];
  for (const group of alongAxis(cube, 1)) {
    const parts: Bag[] = [];
    for (const [i] of (group[0] as RowCell).parts.entries()) {
      // A padded mean divides by what is left: pooled as a sum first, since a plain mean would not.
      const bag = poolBags(
        group.map((cell) => (cell as RowCell).parts[i] as Bag),
        'sum',
        null,
      );
      if (bag === null) return null;
      parts.push(bag.pooling === 'sum' ? { ...bag, pooling: mode } : bag);
    }
    list.push({ type: 'row', parts });
  }
  const [outer, , inner] = cube.axes;
  return outer === undefined || inner === undefined ? null : makeGrid([outer, inner], list);
}

/** Offsets from an input: ragged bags. */
function poolRagged(
  grid: Grid,
  bounds: Bounds,
  mode: 'sum' | 'mean',
  batchSize: Poly,
): Grid | null {
  const { source } = bounds;
  if (source.kind !== 'input') return null;
  const parts = (grid.cells[0] as RowCell).parts.map((first, i): Bag | null => {
    const own = grid.cells.map((cell) => (cell as RowCell).parts[i] as Bag);
    const whole = own.every((bag, at) => follows(bag, first, at)) && first.run.start === 0;
    if (!whole || first.run.adds.length !== 1) return null;
    const run = {
      ...first.run,
      count: 1,
      step: 1,
      ragged: { offsets: source.name, complete: bounds.complete },
    };
    return { ...first, run, pooling: mode };
  });
  if (parts.includes(null) || !ownAxis(grid)) return null;
  const vector = grid.axes[1] ?? [];
  return makeGrid(
    [[{ kind: 'batch', size: batchSize }], vector],
    [{ type: 'row', parts: parts as Bag[] }],
  );
}

/** Whether axis 0 runs through one input and nothing else. */
function ownAxis(grid: Grid): boolean {
  const axis = grid.axes[0] ?? [];
  return (
    axis.length <= 1 &&
    axis.every(
      (factor) => factor.kind === 'batch' || factor.kind === 'symbol' || factor.kind === 'fixed',
    )
  );
}

function follows(bag: Bag, first: Bag, at: number): boolean {
  const { run, weights } = bag;
  return (
    bag.pooling === 'none' &&
    bag.share === null &&
    bag.padding === first.padding &&
    run.input === first.run.input &&
    run.start === first.run.start + at &&
    run.adds[0] === first.run.adds[0] &&
    !run.clamped &&
    (weights === null
      ? first.weights === null
      : first.weights !== null && weights.input === first.weights.input && weights.start === at)
  );
}

/** The rules for values that exist only inside such a body; null: none of them. */
export function evaluateLoopValues(
  node: OnnxNode,
  inputs: Inputs,
  evaluatePlain: (node: OnnxNode, inputs: Inputs) => readonly (Value | null)[] | null,
): readonly (Value | null)[] | null {
  const result = evaluateOne(node, inputs, evaluatePlain);
  return result === null ? null : [result];
}

function evaluateOne(
  node: OnnxNode,
  inputs: Inputs,
  evaluatePlain: (node: OnnxNode, inputs: Inputs) => readonly (Value | null)[] | null,
): Value | null {
  const [a, b] = inputs;
  switch (node.opType) {
    case 'Identity':
      return a ?? null;
    case 'SequenceEmpty':
      return { kind: 'sequence', dataType: 0, item: null };
    case 'ConcatFromSequence':
      return a?.kind === 'sequence-of' &&
        intAttribute(node, 'axis', 0) === 0 &&
        intAttribute(node, 'new_axis', 0) === 0
        ? a.item
        : null;
    case 'SequenceInsert':
      return a?.kind === 'sequence' &&
        a.item === null &&
        b?.kind === 'pooled' &&
        inputs.length === 2
        ? { ...a, item: b }
        : null;
    case 'Reshape':
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Cast':
    case 'CastLike':
      if (a?.kind === 'segment') return throughSegments(node, inputs, evaluatePlain);
      if (a?.kind === 'pooled') return node.opType === 'Cast' ? a : null;
      if (a !== null && a !== undefined && isPlace(a)) return a;
      if (
        node.opType === 'CastLike' &&
        a?.kind === 'const' &&
        b !== null &&
        b !== undefined &&
        isPlace(b)
      )
        return a;
      return null;
    case 'Add':
    case 'Sub':
      return move(node.opType === 'Add' ? 1 : -1, a ?? null, b ?? null);
    case 'Gather':
      return gather(node, inputs, evaluatePlain);
    case 'Slice':
      return slice(node, inputs);
    case 'Concat':
      return a?.kind === 'kept' && a.state === 'before' && b?.kind === 'position' && b.shift === 0
        ? { ...a, state: 'with', bounds: b.bounds }
        : null;
    case 'Size':
      return a?.kind === 'kept' && a.state === 'filtered' && a.padding !== null
        ? { kind: 'kept-count', dataType: INT64, padding: a.padding }
        : null;
    case 'Equal':
      return compareEqual(a ?? null, b ?? null);
    case 'Less':
      return compareLess(a ?? null, b ?? null);
    case 'Greater':
      return a?.kind === 'last-length' && scalarOf(b ?? null) === 0
        ? test('last-not-empty', { bounds: a.bounds })
        : null;
    case 'Not':
      return a?.kind === 'test' && a.test === 'padding' ? { ...a, test: 'not-padding' } : null;
    case 'Mul':
      return throughSegments(node, inputs, evaluatePlain);
    case 'Div':
      return a?.kind === 'pooled' &&
        a.mode === 'sum' &&
        b?.kind === 'last-length' &&
        coversAll(a, b.total)
        ? { ...a, mode: 'last-mean' }
        : null;
    case 'ReduceSum':
    case 'ReduceMean':
    case 'ReduceMax':
      return pool(node, inputs);
    default:
      return null;
  }
}

/** Numbers and shapes of one element: views of them change nothing. */
function isPlace(value: Value): boolean {
  return [
    'bag-index',
    'bound',
    'position',
    'element',
    'last-length',
    'kept-count',
    'test',
  ].includes(value.kind);
}

function coversAll(row: PooledSegment, total: Poly): boolean {
  const axis = row.segment.grid.axes[0];
  return axis !== undefined && p.equal(axisSize(axis), total);
}

function move(sign: number, a: Value | null, b: Value | null): Value | null {
  const by = scalarOf(b);
  if (by !== null && Number.isInteger(by)) {
    if (a?.kind === 'bag-index') return { ...a, shift: a.shift + sign * by };
    if (a?.kind === 'position') return { ...a, shift: a.shift + sign * by };
    // The number of rows added to a negative id: the same id.
    if (a?.kind === 'element' && sign > 0) return a;
  }
  const total = toInts(a);
  if (sign < 0 && b?.kind === 'bound' && b.shift === 0 && total?.values.length === 1) {
    return {
      kind: 'last-length',
      dataType: b.dataType,
      total: total.values[0] as Poly,
      bounds: b.bounds,
    };
  }
  return null;
}

function gather(
  node: OnnxNode,
  inputs: Inputs,
  evaluatePlain: (node: OnnxNode, inputs: Inputs) => readonly (Value | null)[] | null,
): Value | null {
  const [data, index] = inputs;
  if (intAttribute(node, 'axis', 0) !== 0) return null;
  if (index?.kind === 'bag-index') {
    const bounds = asBounds(data ?? null);
    return bounds === null
      ? null
      : { kind: 'bound', dataType: data?.dataType ?? 0, bounds, shift: bounds.shift + index.shift };
  }
  if (
    index?.kind === 'position' &&
    index.shift === 0 &&
    data?.kind === 'grid' &&
    wholeRows(data.grid)
  ) {
    return { kind: 'element', dataType: data.dataType, bounds: index.bounds, grid: data.grid };
  }
  if (
    index?.kind === 'kept' &&
    index.state === 'filtered' &&
    index.bounds !== null &&
    data?.kind === 'grid'
  ) {
    return {
      kind: 'segment',
      dataType: data.dataType,
      grid: data.grid,
      bounds: index.bounds,
      padding: index.padding,
      toEnd: false,
    };
  }
  return index?.kind === 'segment' ? throughSegments(node, inputs, evaluatePlain) : null;
}

function wholeRows(grid: Grid): boolean {
  return grid.axes.length === 1 && grid.cells.every((cell) => cell.type === 'id');
}

function slice(node: OnnxNode, inputs: Inputs): Value | null {
  const [data, start, end] = inputs;
  const consts = inputs.map((value, i) =>
    i >= 3 && value?.kind === 'const' ? value.tensor : null,
  );
  const axes = consts[3]?.data ?? [0];
  const steps = consts[4]?.data ?? [1];
  const given = (at: number): boolean => (node.inputs[at] ?? '') === '' || consts[at] !== null;
  if (!given(3) || !given(4) || axes.length !== 1 || axes[0] !== 0 || steps[0] !== 1) return null;
  if (start?.kind === 'bag-index' && end?.kind === 'bag-index' && end.shift === start.shift + 1) {
    const bounds = asBounds(data ?? null);
    return bounds === null
      ? null
      : { kind: 'bound', dataType: data?.dataType ?? 0, bounds, shift: bounds.shift + start.shift };
  }
  if (start?.kind !== 'bound' || start.shift !== 0 || data?.kind !== 'grid') return null;
  const segment = {
    kind: 'segment',
    dataType: data.dataType,
    grid: data.grid,
    bounds: start.bounds,
    padding: null,
  } as const;
  if (end?.kind === 'bound' && end.shift === 1 && sameBounds(start.bounds, end.bounds))
    return { ...segment, toEnd: false };
  const total = toInts(end ?? null)?.values;
  const rows = axisSize(data.grid.axes[0] ?? []);
  return total?.length === 1 && p.equal(total[0] as Poly, rows)
    ? { ...segment, toEnd: true }
    : null;
}

/** An operator that treats every row alike, on segments as on the whole. */
function throughSegments(
  node: OnnxNode,
  inputs: Inputs,
  evaluatePlain: (node: OnnxNode, inputs: Inputs) => readonly (Value | null)[] | null,
): Value | null {
  const segments = inputs.filter((value): value is Segment => value?.kind === 'segment');
  const [first] = segments;
  if (
    first === undefined ||
    segments.some(
      (s) =>
        s.toEnd || !sameBounds(s.bounds, first.bounds) || !samePadding(s.padding, first.padding),
    )
  ) {
    return null;
  }
  const whole = inputs.map((value) =>
    value?.kind === 'segment' ? gridValue(value.grid, value.dataType) : value,
  );
  const result = evaluatePlain(node, whole)?.[0];
  if (result?.kind !== 'grid') return null;
  const [before, after] = [first.grid.axes[0], result.grid.axes[0]];
  if (before === undefined || after === undefined || !p.equal(axisSize(before), axisSize(after)))
    return null;
  return { ...first, dataType: result.dataType, grid: result.grid };
}

function compareEqual(a: Value | null, b: Value | null): Value | null {
  if (
    a?.kind === 'bound' &&
    b?.kind === 'bound' &&
    a.shift === 0 &&
    b.shift === 1 &&
    sameBounds(a.bounds, b.bounds)
  ) {
    return test('bag-empty', { bounds: a.bounds });
  }
  if (a?.kind === 'kept-count' && scalarOf(b) === 0)
    return test('bag-empty', { padding: a.padding });
  const number = scalarOf(b);
  if (a?.kind === 'element' && number !== null)
    return test('padding', { padding: { id: number, grid: a.grid } });
  const last = toInts(b)?.values;
  if (a?.kind === 'bag-index' && a.shift === 0 && last?.length === 1) {
    return test('last-bag', { bags: p.add(last[0] as Poly, p.ONE) });
  }
  return null;
}

function compareLess(a: Value | null, b: Value | null): Value | null {
  if (a?.kind === 'element' && scalarOf(b) === 0) return test('negative-id');
  if (a?.kind === 'bound' && b?.kind === 'bound' && a.shift === 0 && b.shift === 1)
    return test('bag-not-empty', { bounds: a.bounds });
  if (
    a?.kind === 'position' &&
    a.shift === 1 &&
    b?.kind === 'bound' &&
    b.shift === 1 &&
    sameBounds(a.bounds, b.bounds)
  ) {
    return test('more-ids', { bounds: a.bounds });
  }
  const bags = toInts(b)?.values;
  if (a?.kind === 'bag-index' && a.shift === 1 && bags?.length === 1)
    return test('more-bags', { bags: bags[0] as Poly });
  return null;
}

const MODES: Readonly<Record<string, PooledSegment['mode']>> = {
  ReduceSum: 'sum',
  ReduceMean: 'mean',
  ReduceMax: 'max',
};

function pool(node: OnnxNode, inputs: Inputs): Value | null {
  const [data] = inputs;
  if (data?.kind !== 'segment' || data.toEnd) return null;
  const axes = reduceAxes(node, inputs, data.grid.axes.length);
  if (axes?.length !== 1 || axes[0] !== 0) return null;
  return {
    kind: 'pooled',
    dataType: data.dataType,
    segment: data,
    mode: MODES[node.opType] ?? 'sum',
    keep: intAttribute(node, 'keepdims', 1) === 1,
  };
}

/** What an If on a test of the loop gives, from what its branches give; null when that is not known. */
export function chooseBranch(
  condition: LoopTest,
  yes: Value | null,
  no: Value | null,
): Value | null {
  switch (condition.test) {
    case 'bag-empty':
      return scalarOf(yes) === 0 && no?.kind === 'pooled' ? no : null;
    case 'last-bag': {
      if (yes?.kind === 'segment' && no?.kind === 'segment') {
        const alike =
          yes.toEnd && !no.toEnd && sameBounds(yes.bounds, no.bounds) && yes.grid === no.grid;
        return alike && condition.bags !== null && p.equal(condition.bags, bagCount(no.bounds))
          ? no
          : null;
      }
      if (yes?.kind !== 'pooled' || no?.kind !== 'pooled' || condition.bags === null) return null;
      const same =
        sameBounds(yes.segment.bounds, no.segment.bounds) &&
        p.equal(condition.bags, bagCount(no.segment.bounds));
      const alike = yes.mode === no.mode || (yes.mode === 'last-mean' && no.mode === 'mean');
      return same && alike && yes.keep === no.keep ? no : null;
    }
    case 'last-not-empty':
      return yes?.kind === 'pooled' &&
        yes.mode === 'last-mean' &&
        no?.kind === 'pooled' &&
        no.mode === 'sum'
        ? yes
        : null;
    case 'negative-id':
      return yes?.kind === 'element' && no?.kind === 'element' ? no : null;
    case 'not-padding':
      if (
        yes?.kind !== 'kept' ||
        yes.state !== 'with' ||
        no?.kind !== 'kept' ||
        no.state !== 'before'
      )
        return null;
      return { ...yes, state: 'step', padding: condition.padding };
    default:
      return null;
  }
}
