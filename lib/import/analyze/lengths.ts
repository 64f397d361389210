/**
 * Offsets of bags that the graph makes from their lengths. With n lengths stand the list 0, l0, l1,
 * … and that of its sums 0, l0, l0 + l1, …: n + 1 entries each. Exporters write the second, or all
 * of it but the last entry, in many ways: a CumSum, exclusive or behind a 0, less the lengths
 * themselves, padded by a 0, with one end cut off.
 */
import type { OnnxNode } from '../onnx/types.js';
import { intAttribute, intsAttribute, stringAttribute } from './attributes.js';
import { isInteger } from './constants.js';
import type { LengthList, Value } from './domain.js';
import { normaliseAxis, sliceArguments } from './operands.js';
import * as p from './poly.js';
import { lengthListSize, scalarOf, toInts, valueShape } from './values.js';
import { wholeInput } from './views.js';

type Inputs = readonly (Value | null)[];

/** Null when no input is such a list or the result is none. */
export function evaluateLengths(node: OnnxNode, inputs: Inputs): readonly Value[] | null {
  const result = evaluate(node, inputs);
  return result === null ? null : [result];
}

function evaluate(node: OnnxNode, inputs: Inputs): Value | null {
  const [data, second] = inputs;
  switch (node.opType) {
    case 'CumSum':
      return sums(node, asList(data ?? null), second ?? null);
    case 'Concat':
      return inputs.length === 2 && isZero(data ?? null)
        ? behindZero(asFreeList(second ?? null))
        : null;
    case 'Pad':
      return isZeroInFront(node, inputs) ? behindZero(asFreeList(data ?? null)) : null;
    case 'Sub':
      return withoutOwn(asList(data ?? null), asList(second ?? null));
    case 'Slice':
      return slice(node, inputs, asFreeList(data ?? null));
    case 'Identity':
      return data?.kind === 'lengths' ? data : null;
    case 'Cast': {
      const to = intAttribute(node, 'to', 0);
      return data?.kind === 'lengths' && isInteger(to) ? { ...data, dataType: to } : null;
    }
    case 'Reshape':
      return data?.kind === 'lengths' && keepsShape(data, inputs[1] ?? null) ? data : null;
    default:
      return null;
  }
}

/** A list of lengths, or an input of which there is one for each bag. */
function asList(value: Value | null): LengthList | null {
  if (value?.kind === 'lengths') return value;
  if (value?.kind !== 'grid' || !isInteger(value.dataType)) return null;
  const whole = wholeInput(value.grid);
  if (whole === null || whole.add !== 0) return null;
  return {
    kind: 'lengths',
    dataType: value.dataType,
    input: whole.input,
    count: whole.length,
    isSummed: false,
    skip: 1,
    drop: 0,
  };
}

/** The same for operators that move elements of other inputs too: only along the batch, or what may be that. */
function asFreeList(value: Value | null): LengthList | null {
  const isFixed = value?.kind === 'grid' && value.grid.axes[0]?.[0]?.kind === 'fixed';
  return isFixed ? null : asList(value);
}

function sums(node: OnnxNode, list: LengthList | null, axis: Value | null): Value | null {
  if (list === null || list.isSummed || intAttribute(node, 'reverse', 0) !== 0) return null;
  if (normaliseAxis(scalarOf(axis) ?? 1, 1) === null) return null;
  if (intAttribute(node, 'exclusive', 0) === 0) return { ...list, isSummed: true };
  // Sums of what comes before: the same list, one entry earlier.
  return list.skip === 1 ? { ...list, isSummed: true, skip: 0, drop: list.drop + 1 } : null;
}

function isZero(value: Value | null): boolean {
  const [size, ...more] = valueShape(value) ?? [];
  return size != null && more.length === 0 && p.isOne(size) && scalarOf(value) === 0;
}

function behindZero(list: LengthList | null): Value | null {
  return list?.skip === 1 ? { ...list, skip: 0 } : null;
}

function isZeroInFront(node: OnnxNode, inputs: Inputs): boolean {
  const given = (at: number): boolean => (node.inputs[at] ?? '') !== '';
  const pads = intsAttribute(node, 'pads') ?? toInts(inputs[1] ?? null)?.values.map(p.constant);
  const mode = stringAttribute(node, 'mode') ?? 'constant';
  if (mode !== 'constant' || pads?.length !== 2 || pads[0] !== 1 || pads[1] !== 0) return false;
  if (given(3)) return false;
  return given(2) ? scalarOf(inputs[2] ?? null) === 0 : true;
}

/** Inclusive sums less the lengths themselves. */
function withoutOwn(total: LengthList | null, own: LengthList | null): Value | null {
  if (total === null || own === null || !total.isSummed || own.isSummed) return null;
  if (total.input !== own.input || total.skip !== 1 || own.skip !== 1) return null;
  return total.drop === own.drop ? { ...total, skip: 0, drop: total.drop + 1 } : null;
}

/** One entry less at one of the ends. */
function slice(node: OnnxNode, inputs: Inputs, list: LengthList | null): Value | null {
  if (list === null) return null;
  const consts = inputs.map((value) => (value?.kind === 'const' ? value.tensor : null));
  const [range, ...more] = sliceArguments(node, consts, 1) ?? [];
  if (range === undefined || more.length > 0 || range.step !== 1) return null;
  const size = p.constant(lengthListSize(list));
  const end = size !== null && range.end >= 0 ? Math.min(range.end, size) - size : range.end;
  const isToEnd = end >= 2 ** 31 - 1 || (size !== null && end === 0);
  if (range.start < 0 || (!isToEnd && end >= 0)) return null;
  const skip = list.skip + range.start;
  const drop = list.drop + (isToEnd ? 0 : -end);
  // Cut further there is nothing that bags could be made of.
  return skip <= 1 && drop <= 1 ? { ...list, skip, drop } : null;
}

function keepsShape(list: LengthList, target: Value | null): boolean {
  const sizes = toInts(target)?.values;
  const [size] = sizes ?? [];
  if (sizes?.length !== 1 || size === undefined) return false;
  return p.constant(size) === -1 || p.equal(size, lengthListSize(list));
}
