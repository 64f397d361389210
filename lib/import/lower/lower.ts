/** The dense ONNX graph as a fused graph, node by node. */
import { describe } from '../analyze/attributes.js';
import { constantNode, decodeTensor } from '../analyze/constants.js';
import type { Value } from '../analyze/domain.js';
import { fold } from '../analyze/fold.js';
import { BATCH as BATCH_NAME } from '../analyze/inputs.js';
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import { evaluateShapes } from '../analyze/shapes.js';
import { constant as constantValue } from '../analyze/values.js';
import type { LoweredModel } from '../lowered.js';
import type { DtypeName, Extent } from '../manifest.js';
import { type OnnxNode, type OnnxTensor, OnnxType } from '../onnx/types.js';
import { ofTensor, toConstTensor } from './constant.js';
import { Context, type Entry } from './context.js';
import { Graph } from './graph.js';
import { applyRule } from './rules.js';
import { BATCH, batchedTensor, full, onnxDims, shared } from './tensor.js';
import { dimsText, extent, fail, NotCovered, type Val } from './value.js';

export interface Output {
  readonly name: string;
  readonly val: Val;
}

export interface Draft {
  readonly graph: Graph;
  readonly inputs: readonly Val[];
  readonly outputs: readonly Output[];
}

const INPUT_BOUND: Readonly<Partial<Record<DtypeName, number>>> = {
  f32: Infinity,
  i32: Infinity,
  i64: Infinity,
  u8: 255,
  i8: 128,
  bool: 1,
};
const TYPES: Readonly<Partial<Record<DtypeName, number>>> = {
  f32: OnnxType.float,
  i32: OnnxType.int32,
  i64: OnnxType.int64,
  u8: OnnxType.uint8,
  i8: OnnxType.int8,
  bool: OnnxType.bool,
};

/** @throws NotCovered with the reason */
export function draft(model: LoweredModel): Draft {
  const { dense } = model;
  const batch = model.batch === null ? p.symbol(BATCH_NAME) : p.poly(model.batch);
  const graph = new Graph();
  const c = new Context(graph, batch, dense.opsets.get('') ?? 1);
  const inputs = dense.graph.inputs.map((info) => {
    const found = declared(model, info.name);
    const bound = INPUT_BOUND[found.dtype];
    const type = TYPES[found.dtype];
    if (bound === undefined || type === undefined)
      return fail(`input '${info.name}' is ${found.dtype}`);
    const isBatched = found.shape[0] === 'batch';
    const dims = (isBatched ? found.shape.slice(1) : found.shape).map(size);
    const val = graph.input(info.name, found.dtype, dims, isBatched);
    const tensor = isBatched ? batchedTensor(val, type, bound) : shared(val, type, bound);
    c.entries.set(info.name, { value: opaque(onnxDims(tensor, batch), type), tensor });
    return val;
  });
  for (const [name, tensor] of dense.graph.initializers)
    c.entries.set(name, initializer(c, name, tensor));
  for (const node of dense.graph.nodes) {
    try {
      evaluate(node, c);
    } catch (error) {
      if (!(error instanceof NotCovered)) throw error;
      throw new NotCovered(`${describe(node)}: ${error.message}`);
    }
  }
  const outputs = model.outputs.map((output) => {
    const entry = c.entries.get(output.name);
    const what = `output '${output.name}'`;
    const tensor = entry?.tensor;
    if (tensor == null) return fail(`${what} does not depend on the inputs' values`);
    if (output.dtype !== 'f32') return fail(`${what} is ${output.dtype}`);
    const [first] = tensor.axes;
    if (output.shape[0] !== 'batch' || first?.length !== 1 || first[0] !== BATCH)
      return fail(`${what} does not have the batch in front`);
    const val = full(graph, tensor);
    if (!val.batched) return fail(`${what} is the same for all rows`);
    if (val.dims.some((dim) => extent(dim) === null))
      return fail(`${what} has the shape ${dimsText(val.dims)}`);
    return { name: output.name, val };
  });
  return { graph, inputs, outputs };
}

function declared(model: LoweredModel, name: string): { dtype: DtypeName; shape: Extent[] } {
  const slot = model.slots.find((other) => other.name === name);
  if (slot !== undefined) return { dtype: 'f32', shape: slot.shape };
  const input = model.inputs.find((other) => other.name === name);
  return input?.kind === 'tensor' ? input : fail(`input '${name}' is not a tensor`);
}

function size(value: Extent): Poly {
  return typeof value === 'number' ? p.poly(value) : p.symbol(value);
}

function opaque(shape: readonly Poly[], dataType: number): Value {
  return { kind: 'opaque', dataType, shape, reason: 'computed' };
}

function initializer(c: Context, name: string, tensor: OnnxTensor): Entry {
  const small = toConstTensor(tensor) ?? decodeTensor(tensor);
  if (small !== null) return { value: constantValue(small), tensor: null };
  const constant = ofTensor(tensor);
  if (constant === null || constant.dims.includes(0)) return { value: null, tensor: null };
  const val = c.g.constant(constant, name);
  return { value: opaque(val.dims, tensor.dataType), tensor: shared(val, tensor.dataType) };
}

function evaluate(node: OnnxNode, c: Context): void {
  if (node.opType === 'Constant') {
    const tensor = constantNode(node);
    if (tensor === null) fail('is not of numbers');
    c.entries.set(node.outputs[0] as string, initializer(c, node.outputs[0] as string, tensor));
    return;
  }
  for (const name of node.inputs)
    if (name !== '' && !c.entries.has(name)) fail(`'${name}' has no value`);
  const known = knownValues(node, c);
  const results = known === null ? applyRule(node, c) : null;
  node.outputs.forEach((name, i) => {
    if (name === '') return;
    const value = known?.[i];
    const tensor = results?.[i];
    if (value != null) c.entries.set(name, { value, tensor: null });
    else if (tensor != null)
      c.entries.set(name, { value: opaque(onnxDims(tensor, c.batch), tensor.type), tensor });
  });
}

/** Constants and sizes, where the results are that. */
function knownValues(node: OnnxNode, c: Context): readonly (Value | null)[] | null {
  const values = node.inputs.map((_, i) => c.value(node, i));
  const given = node.inputs.every((name, i) => name === '' || values[i]?.kind === 'const');
  if (given && node.inputs.length > 0) {
    const folded = fold(node, c.smalls(node));
    if (folded !== null && !folded.includes(null))
      return folded.map((tensor) => (tensor === null ? null : constantValue(tensor)));
  }
  if (node.opType === 'ConstantOfShape') return null;
  const sizes = evaluateShapes(node, values);
  const isKnown = (value: Value): boolean =>
    value.kind === 'const' || value.kind === 'ints' || value.kind === 'range';
  return sizes?.every(isKnown) ? sizes : null;
}
