/** The operators in the body of an EmbeddingBag's loop, on values of one bag of unknown number. */
import { type OnnxNode, OnnxType } from '../onnx/types.js';
import { intAttribute, intsAttribute } from './attributes.js';
import { bagCount, sameBounds, samePadding } from './bounds.js';
import type { Grid, LoopTest, Opaque, PooledSegment, Segment, Value } from './domain.js';
import { axisSize } from './grid.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';
import { reduceAxes } from './shapes.js';
import { gridValue, INT64, scalarOf, toInts } from './values.js';
import { asBounds } from './views.js';

type Inputs = readonly (Value | null)[];

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
      if (a?.kind === 'computed') return asColumn(node, inputs);
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
      return (
        scale(a ?? null, b ?? null) ??
        scale(b ?? null, a ?? null) ??
        throughSegments(node, inputs, evaluatePlain)
      );
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
  if (start?.kind !== 'bound' || start.shift !== 0) return null;
  if (data?.kind === 'opaque') return computed(node.inputs[0] ?? '', data, start, end ?? null);
  if (data?.kind !== 'grid') return null;
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

/** Per-sample weights that are no input: the dense graph's, bag by bag. */
function computed(
  name: string,
  { dataType, shape }: Opaque,
  start: Extract<Value, { kind: 'bound' }>,
  end: Value | null,
): Value | null {
  if (shape?.length !== 1 || dataType !== OnnxType.float) return null;
  if (end?.kind !== 'bound' || end.shift !== 1 || !sameBounds(start.bounds, end.bounds))
    return null;
  return { kind: 'computed', dataType, name, bounds: start.bounds, isColumn: false };
}

function asColumn(node: OnnxNode, [data, given]: Inputs): Value | null {
  if (data?.kind !== 'computed' || data.isColumn || node.opType !== 'Unsqueeze') return null;
  const axes = intsAttribute(node, 'axes') ?? toInts(given ?? null)?.values.map(p.constant);
  const isLast = axes?.length === 1 && (axes[0] === 1 || axes[0] === -1);
  return isLast ? { ...data, isColumn: true } : null;
}

function scale(rows: Value | null, by: Value | null): Value | null {
  if (rows?.kind !== 'segment' || by?.kind !== 'computed' || !by.isColumn) return null;
  if (rows.toEnd || rows.grid.axes.length !== 2 || !sameBounds(rows.bounds, by.bounds)) return null;
  return { kind: 'scaled', dataType: rows.dataType, segment: rows, weights: by.name };
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
  if (data?.kind === 'scaled' && node.opType === 'ReduceSum') {
    const along = reduceAxes(node, inputs, 2);
    const isSum = along?.length === 1 && along[0] === 0 && intAttribute(node, 'keepdims', 1) === 0;
    return isSum ? { ...data, kind: 'scaled-pooled' } : null;
  }
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
