/** Which axis is the batch, what the other dimensions are, and what the graph inputs are as values. */
import { GyrfalconError } from '../../errors.js';
import type { AnalyzeOptions } from '../lowered.js';
import { type OnnxDim, type OnnxGraph, OnnxType, type OnnxValueInfo } from '../onnx/types.js';
import { isInteger } from './constants.js';
import type { Axis, Cell, Factor, IdCell, Opaque, Value } from './domain.js';
import { fixed, MAX_CELLS } from './grid.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';

/** Float inputs wider than this are dense features, not weights of bags. */
const MAX_WEIGHTS = 1 << 13;

/** The name of the batch size among symbols; the manifest's word for it too. */
export const BATCH = 'batch';

export interface Dimensions {
  /** The rows that the model was exported with, or null when that is free. */
  readonly batch: number | null;
  readonly batchSize: Poly;
  /** Symbols of the model that stand for the batch. */
  readonly batchNames: ReadonlySet<string>;
  readonly inputs: readonly InputDims[];
}

export interface InputDims {
  readonly info: OnnxValueInfo;
  /** The axis that is the batch; null when none is. A bundle has it in front. */
  readonly batchAxis: number | null;
  /** As the model has them. */
  readonly dims: readonly Poly[];
}

/** What ragged bags, once found, say about their inputs: whose axis is the batch and whose is not. */
export interface RaggedHints {
  /** Indices, weights and offsets that hold the total too. */
  readonly others: ReadonlySet<string>;
  /** Offsets of complete lists: the batch size plus one. */
  readonly complete: ReadonlySet<string>;
}

export const NO_HINTS: RaggedHints = { others: new Set(), complete: new Set() };

/** @throws ONNX_UNSUPPORTED (an input of unknown rank), INVALID_ARGUMENT (dims) */
export function readDimensions(
  graph: OnnxGraph,
  options: AnalyzeOptions,
  hints: RaggedHints = NO_HINTS,
): Dimensions {
  const pins = new Map(Object.entries(options.dims ?? {}));
  const names = new Set<string>();
  const inputs = graph.inputs.map((info) => {
    if (info.dims === null || info.dataType === 0) {
      throw new GyrfalconError(
        'ONNX_UNSUPPORTED',
        `expected a tensor of known rank for input ${JSON.stringify(info.name)} but received none`,
      );
    }
    const dims = info.dims.map((dim) => {
      if (typeof dim === 'string') names.add(dim);
      return typeof dim === 'string' ? (pins.get(dim) ?? dim) : dim;
    });
    return { info, dims };
  });
  for (const [name, size] of pins) {
    if (!names.has(name)) {
      throw new GyrfalconError(
        'INVALID_ARGUMENT',
        `expected dims to name a free dimension (${[...names].join(', ')}) but received ${JSON.stringify(name)}`,
      );
    }
    if (!Number.isInteger(size) || size < 1) {
      throw new GyrfalconError(
        'INVALID_ARGUMENT',
        `expected a size of at least 1 for dims.${name} but received ${size}`,
      );
    }
  }
  const first = inputs.flatMap(({ info, dims }): OnnxDim[] => {
    const [size] = dims;
    if (size === undefined || hints.others.has(info.name)) return [];
    if (!hints.complete.has(info.name)) return [size];
    return typeof size === 'number' ? [size - 1] : [];
  });
  const outer = graph.outputs.flatMap((info) =>
    info.dims !== null && info.dims.length > 0 ? [info.dims[0] as OnnxDim] : [],
  );
  const inner = inputs.flatMap(({ info, dims }) =>
    hints.others.has(info.name) || hints.complete.has(info.name) ? [] : dims.slice(1),
  );
  const choice = chooseBatch(first, inner, outer);
  const isBatch = (name: string, dim: OnnxDim | undefined): boolean => {
    if (hints.others.has(name) || hints.complete.has(name)) return false;
    if (typeof choice === 'number') return dim === choice;
    return dim === null || (typeof dim === 'string' && choice.has(dim));
  };
  const batch = typeof choice === 'number' ? choice : null;
  const batchSize = batch === null ? p.symbol(BATCH) : p.poly(batch);
  const batchNames = typeof choice === 'number' ? new Set<string>() : choice;
  return {
    batch,
    batchSize,
    batchNames,
    inputs: inputs.map(({ info, dims }) => {
      // A size says little about the axes behind the first: only a name is taken there.
      const at = dims.findIndex((dim, axis) =>
        axis === 0 ? isBatch(info.name, dim) : typeof dim === 'string' && isBatch(info.name, dim),
      );
      const batchAxis = at < 0 ? null : at;
      const sizes = dims.map((dim, axis) => {
        if (axis === batchAxis) return batchSize;
        if (typeof dim === 'number') return p.poly(dim);
        if (typeof dim === 'string')
          return batchNames.has(dim) ? batchSize : p.symbol(symbolName(dim));
        return p.symbol(symbolName(`${info.name}_${axis}`));
      });
      return { info, batchAxis, dims: sizes };
    }),
  };
}

/** `batch` is the manifest's word; another dimension of that name gets a different one. */
function symbolName(name: string): string {
  return name === BATCH ? `${BATCH}_1` : name;
}

/** Names that exporters make up: they say nothing about which dimensions are equal. */
function isMadeUp(name: string): boolean {
  return /dynamic_axes|^unk_|^\?$/.test(name);
}

function isBatchName(name: string): boolean {
  return !isExpression(name) && !isMadeUp(name) && /batch|^(b|bs|n)$/i.test(name);
}

/** A size that is computed from others, such as batch+1. */
function isExpression(name: string): boolean {
  return /[+*/() ]|plus|minus/.test(name);
}

/** The symbols that mean the batch, or its fixed size. */
function chooseBatch(
  first: readonly OnnxDim[],
  inner: readonly OnnxDim[],
  outputs: readonly OnnxDim[],
): Set<string> | number {
  // Ids laid out [fields, batch] or [length, batch]: no first axis is what the outputs begin with.
  const behind = inner.find(
    (dim) => typeof dim === 'string' && !isExpression(dim) && outputs.includes(dim),
  );
  const front = first.some(
    (dim) =>
      dim === null || (typeof dim === 'string' && (outputs.includes(dim) || isBatchName(dim))),
  );
  if (typeof behind === 'string' && !front) return new Set([behind]);
  const free = first.filter((dim): dim is string | null => typeof dim !== 'number');
  if (free.length === 0) {
    const sizes = first as readonly number[];
    if (sizes.length === 0) return new Set();
    const shared = outputs.find((dim) => typeof dim === 'number' && sizes.includes(dim));
    return typeof shared === 'number' ? shared : (sizes[0] as number);
  }
  const named = free.filter((dim): dim is string => dim !== null && !isExpression(dim));
  const batch = new Set(named.filter(isMadeUp));
  const given = named.filter((name) => !isMadeUp(name));
  const telling = given.filter(isBatchName);
  for (const name of telling) batch.add(name);
  if (telling.length > 0 || given.length === 0) return batch;
  const count = (name: string): number => given.filter((other) => other === name).length;
  const best = [...new Set(given)].sort(
    (a, b) => Number(outputs.includes(b)) - Number(outputs.includes(a)) || count(b) - count(a),
  );
  const [name] = best;
  // Several names and none of them an output's: a guess could be wrong, and ids would be cut where they are not rows.
  const isSure =
    name !== undefined &&
    (outputs.includes(name) ||
      (new Set(given).size === 1 && !free.some((dim) => dim !== null && isExpression(dim))));
  if (isSure || (name !== undefined && count(name) > 1)) batch.add(name as string);
  return batch;
}

/** The size of a dimension as the model writes it; null when it says nothing. */
export function resolveDim(dim: OnnxDim, dimensions: Dimensions): Poly | null {
  if (typeof dim === 'number') return p.poly(dim);
  if (dim === null) return null;
  if (dimensions.batchNames.has(dim)) return dimensions.batchSize;
  for (const { info, dims } of dimensions.inputs) {
    const at = info.dims?.indexOf(dim) ?? -1;
    if (at >= 0) return dims[at] as Poly;
  }
  return null;
}

/** The axes of an input in the order that a bundle has them: the batch first. */
export function bundleOrder({ dims, batchAxis }: InputDims): number[] {
  const axes = dims.map((_, axis) => axis);
  return batchAxis === null ? axes : [batchAxis, ...axes.filter((axis) => axis !== batchAxis)];
}

/** Why ids without a batch axis are not looked up. */
export const NOT_BATCHED = 'they are the same for all rows, and a bundle looks up ids of each row';

type Element = Pick<IdCell, 'input' | 'start' | 'step' | 'isBatched' | 'isFloat'>;

export function elementId({ input, start, step, isBatched, isFloat }: Element): IdCell {
  return { type: 'id', input, start, step, isBatched, isFloat, map: [], add: 0, clamped: false };
}

/** What an input is: a grid of its own elements when bags could read them. */
export function inputValue(input: InputDims): Value {
  const { info, dims, batchAxis } = input;
  const opaque = (reason: string): Opaque => ({
    kind: 'opaque',
    dataType: info.dataType,
    shape: dims,
    reason,
  });
  const name = `from input '${info.name}', which`;
  const ids = isInteger(info.dataType);
  if (!ids && info.dataType !== OnnxType.float) return opaque(`${name} is not of integers`);
  if (batchAxis === null && dims.length !== 1)
    return opaque(`${name} has no batch axis: ${NOT_BATCHED}`);
  const axes: Axis[] = [];
  let cells = 1;
  let symbols = 0;
  let inner = 1;
  for (const [i, size] of dims.entries()) {
    const n = p.constant(size);
    if (i === batchAxis) axes.push([{ kind: 'batch', size }]);
    else if (n !== null) {
      axes.push(n === 1 ? [] : [fixed(n)]);
      cells *= n;
      if (symbols > 0) inner *= n;
    } else {
      const symbol = p.asSymbol(size);
      if (symbol === null || symbols > 0 || cells > 1) {
        return opaque(`${name} has a free dimension behind another one`);
      }
      symbols += 1;
      axes.push([{ kind: 'symbol', name: symbol, size } satisfies Factor]);
    }
  }
  if (cells === 0 || cells > (ids ? MAX_CELLS : MAX_WEIGHTS))
    return opaque(`${name} has ${cells} elements a row`);
  const step = symbols > 0 ? inner : 0;
  const isBatched = batchAxis !== null;
  const list = Array.from({ length: cells }, (_, start): Cell => {
    const element = { input: info.name, start, step, isBatched };
    return ids ? elementId({ ...element, isFloat: false }) : { type: 'real', ...element };
  });
  return { kind: 'grid', dataType: info.dataType, grid: { axes, cells: list } };
}
