/** What the rules for operators share: the graph, the values so far, and readings of operands. */
import { isFloat } from '../analyze/constants.js';
import type { ConstTensor, Value } from '../analyze/domain.js';
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import { toInts } from '../analyze/values.js';
import { type OnnxNode, OnnxType } from '../onnx/types.js';
import type { Constant } from './constant.js';
import * as constants from './constant.js';
import type { Graph } from './graph.js';
import { EXACT, full, shared, type Tensor } from './tensor.js';
import { affine, extent, fail, type Val } from './value.js';

/** A value of the ONNX graph: known by value or as sizes, as a tensor of the fused graph, or both. */
export interface Entry {
  value: Value | null;
  tensor: Tensor | null;
}

/** Sizes are counts of things that are in memory. */
const SIZE_BOUND = 2 ** 23;

export class Context {
  readonly entries = new Map<string, Entry>();

  constructor(
    readonly g: Graph,
    /** The batch size. */
    readonly batch: Poly,
    readonly opset: number,
  ) {}

  has(node: OnnxNode, at: number): boolean {
    return (node.inputs[at] ?? '') !== '';
  }

  value(node: OnnxNode, at: number): Value | null {
    return this.entries.get(node.inputs[at] ?? '')?.value ?? null;
  }

  /** A small constant; null when it is not one or not given. */
  small(node: OnnxNode, at: number): ConstTensor | null {
    const value = this.value(node, at);
    return value?.kind === 'const' ? value.tensor : null;
  }

  /** The single number of a constant operand. */
  number(node: OnnxNode, at: number): number | null {
    const tensor = this.small(node, at);
    return tensor?.data.length === 1 ? (tensor.data[0] as number) : null;
  }

  /** Integers known as sizes; null when they are not. */
  sizes(node: OnnxNode, at: number): readonly Poly[] | null {
    return toInts(this.value(node, at))?.values ?? null;
  }

  smalls(node: OnnxNode): (ConstTensor | null)[] {
    return node.inputs.map((_, i) => this.small(node, i));
  }

  /** A constant of any size. */
  constant(node: OnnxNode, at: number): Constant | null {
    return full(this.g, this.tensor(node, at)).constant ?? null;
  }

  tensor(node: OnnxNode, at: number): Tensor {
    const name = node.inputs[at] ?? '';
    if (name === '') return fail(`operand ${at} is missing`);
    const entry = this.entries.get(name);
    if (entry === undefined) return fail(`'${name}' has no value`);
    entry.tensor ??= this.ofValue(entry.value, name);
    return entry.tensor;
  }

  private ofValue(value: Value | null, name: string): Tensor {
    switch (value?.kind) {
      case 'const': {
        const { dataType, data } = value.tensor;
        const constant = constants.ofConstTensor(value.tensor);
        if (constant === null) return fail(`constant '${name}' has integers above 2^24`);
        const bound = isFloat(dataType)
          ? Infinity
          : data.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        const val = this.g.constant(constant, name);
        const uniform = constants.count(constant) > 1 ? constants.uniformValue(constant) : null;
        if (uniform === null) return shared(val, dataType, bound);
        const ones = val.dims.map(() => 1);
        const one = this.g.constant(constants.ofValues(ones, [uniform]), name);
        return { ...shared(one, dataType, bound), inner: val.dims };
      }
      case 'ints': {
        if (value.dims.length > 1) return fail(`'${name}' holds sizes`);
        const parts = value.values.map((size) => this.size(size));
        const rows = parts.map((part) => this.g.reshape(part, [p.ONE]));
        const val = value.dims.length === 0 ? (parts[0] as Val) : this.g.concat(rows, 0);
        return shared(val, value.dataType, SIZE_BOUND);
      }
      case 'range': {
        const step = p.constant(value.step);
        const start = p.constant(value.start);
        if (step === null || start === null) return fail('a Range has a free start or step');
        const val = this.g.unary(this.g.iota(value.length), affine(step, start));
        return shared(val, value.dataType, SIZE_BOUND);
      }
      default:
        return fail(`'${name}' is not a tensor of numbers`);
    }
  }

  /** A size as a value. */
  private size(size: Poly): Val {
    const { g } = this;
    let sum: Val = g.scalar(0);
    for (const [key, factor] of size.terms) {
      let term = g.scalar(factor);
      for (const name of key === '' ? [] : key.split('\u0001')) {
        const dim = p.symbol(name);
        if (p.constant(this.batch) === null && p.equal(dim, this.batch))
          fail('the number of rows is used as a number');
        if (extent(dim) === null) fail('a size is not known');
        const ones = g.expand(g.constant(constants.ofValues([1], [1]), 'one'), [dim]);
        term = g.binary('mul', g.reduce(ones, 'sum', [0], false), term);
      }
      sum = g.binary('add', sum, term);
    }
    return sum;
  }
}

export function isWhole(type: number): boolean {
  return !isFloat(type);
}

/** Integers must be exact in f32 wherever that could change a result. */
export function checkExact(t: Tensor, what: string): void {
  if (isWhole(t.type) && t.bound > EXACT) fail(`${what} of integers that may be above 2^24`);
}

export const BOOL: number = OnnxType.bool;
