/** The manifest's inputs, slots, bags and outputs of a cut graph. */
import type { AnalyzeOptions } from '../lowered.js';
import type {
  DtypeName,
  Extent,
  IdStep,
  ManifestBag,
  ManifestInput,
  ManifestOutput,
} from '../manifest.js';
import { type OnnxModel, OnnxType, type OnnxValueInfo } from '../onnx/types.js';
import { isInteger } from './constants.js';
import type { LookupValue, Slot } from './cut.js';
import { bagsOf, canonicalFactors, groupBags, isCanonical, symbolOf } from './cuttable.js';
import type { DenseInput } from './dense-graph.js';
import type { Bag } from './domain.js';
import { axisSize } from './grid.js';
import type { Names } from './inline-functions.js';
import { BATCH, bundleOrder, type Dimensions, resolveDim } from './inputs.js';
import type { Interpretation } from './interpreter.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';
import { valueShape } from './values.js';

const DTYPES: ReadonlyMap<number, DtypeName> = new Map([
  [OnnxType.float, 'f32'],
  [OnnxType.double, 'f64'],
  [OnnxType.float16, 'f16'],
  [OnnxType.bfloat16, 'bf16'],
  [OnnxType.int8, 'i8'],
  [OnnxType.uint8, 'u8'],
  [OnnxType.int16, 'i16'],
  [OnnxType.uint16, 'u16'],
  [OnnxType.int32, 'i32'],
  [OnnxType.int64, 'i64'],
  [OnnxType.bool, 'bool'],
]);

/** Null for types that a bundle has no name for. */
export function dtypeName(dataType: number): DtypeName | null {
  return DTYPES.get(dataType) ?? null;
}

/** A ragged input's indices and where its offsets and weights came from. */
export interface RaggedUse {
  readonly offsets: string;
  readonly complete: boolean;
  readonly areLengths: boolean;
  weights: string | null;
}

/** Which inputs the bags read, and how. */
export interface InputUse {
  readonly ids: ReadonlySet<string>;
  /** Inputs whose 64-bit numbers are reduced to ids. */
  readonly wide: ReadonlySet<string>;
  readonly ragged: ReadonlyMap<string, RaggedUse>;
  /** Inputs whose values another form replaces: offsets and weights of ragged bags. */
  readonly replaced: ReadonlySet<string>;
}

/** @returns the use, or the name of a ragged input that is used in two ways. */
export function inputUse(
  lookups: readonly LookupValue[],
): InputUse | { readonly conflict: string } {
  const ids = new Set<string>();
  const wide = new Set<string>();
  const ragged = new Map<string, RaggedUse>();
  for (const bag of lookups.flatMap(({ grid }) => bagsOf(grid))) {
    const { input, ragged: source } = bag.run;
    if (source === null) {
      ids.add(input);
      if (reducesIds(bag)) wide.add(input);
      if (bag.length !== null) ids.add(bag.length.input);
      continue;
    }
    if (reducesIds(bag)) wide.add(input);
    const weights = bag.weights?.input ?? null;
    const known = ragged.get(input);
    if (known === undefined) ragged.set(input, { ...source, weights });
    else {
      if (
        known.offsets !== source.offsets ||
        known.complete !== source.complete ||
        known.areLengths !== source.areLengths
      )
        return { conflict: input };
      if (weights !== null && known.weights !== null && weights !== known.weights)
        return { conflict: input };
      known.weights ??= weights;
    }
  }
  const replaced = new Set(
    [...ragged.values()].flatMap((use) => [
      use.offsets,
      ...(use.weights === null ? [] : [use.weights]),
    ]),
  );
  for (const input of ragged.keys())
    if (ids.has(input) || replaced.has(input)) return { conflict: input };
  return { ids, wide, ragged, replaced };
}

/** Whether numbers that are no row of any table can be ids all the same, such as 64-bit hashes. */
function reducesIds({ run }: Bag): boolean {
  return run.map.some((step) => step.op === 'mod' || step.op === 'rem' || step.op === 'mul');
}

/** The type that ids have in batches. */
function idType(info: OnnxValueInfo, use: InputUse, options: AnalyzeOptions): 'i32' | 'i64' {
  if (info.dataType === OnnxType.int32 || options.ids === 'i32') return 'i32';
  if (options.ids === 'i64') return 'i64';
  return use.wide.has(info.name) && info.dataType === OnnxType.int64 ? 'i64' : 'i32';
}

export function manifestInputs(
  dimensions: Dimensions,
  use: InputUse,
  options: AnalyzeOptions,
): ManifestInput[] {
  const out: ManifestInput[] = [];
  for (const input of dimensions.inputs) {
    const { info, dims, batchAxis } = input;
    const ragged = use.ragged.get(info.name);
    if (ragged !== undefined) {
      out.push({
        name: info.name,
        kind: 'ragged',
        dtype: idType(info, use, options),
        weights: ragged.weights !== null,
        source: {
          [ragged.areLengths ? 'lengths' : 'offsets']: ragged.offsets,
          ...(ragged.weights === null ? {} : { weights: ragged.weights }),
        },
      });
      continue;
    }
    if (use.replaced.has(info.name)) continue;
    const dtype =
      use.ids.has(info.name) && isInteger(info.dataType)
        ? idType(info, use, options)
        : dtypeName(info.dataType);
    if (dtype === null) throw new Error(`no dtype for input ${info.name}`);
    out.push({
      name: info.name,
      kind: 'tensor',
      dtype,
      shape: bundleOrder(input).map((axis) => extent(dims[axis] as Poly, axis === batchAxis)),
    });
  }
  return out;
}

function extent(size: Poly, isBatch: boolean): Extent {
  if (isBatch) return BATCH;
  const name = p.asSymbol(size);
  // The batch in another place than the first cannot be told to be the batch.
  return p.constant(size) ?? (name === null || name === BATCH ? `${BATCH}_1` : name);
}

export function denseInputs(
  dimensions: Dimensions,
  use: InputUse,
  read: ReadonlySet<string>,
  options: AnalyzeOptions,
): DenseInput[] {
  return dimensions.inputs.flatMap((input) => {
    const { info, dims } = input;
    if (!read.has(info.name)) return [];
    const order = bundleOrder(input);
    const narrow =
      use.ids.has(info.name) && isInteger(info.dataType) && idType(info, use, options) === 'i32';
    return [
      {
        name: info.name,
        dims: order.map((axis) => dims[axis] as Poly),
        order,
        dataType: narrow ? OnnxType.int32 : info.dataType,
        originalType: info.dataType,
      },
    ];
  });
}

/** A slot for (part of) a value's rows; it has the value's own shape where that begins with the batch. */
export function makeSlot(
  names: Names,
  dimensions: Dimensions,
): (value: LookupValue, bags: readonly Bag[]) => Slot {
  let count = 0;
  return (value, bags) => {
    const { grid } = value;
    const width = bags.reduce((sum, bag) => sum + bag.table.dim, 0);
    const symbol = symbolOf(grid);
    const whole = bags.length === bagsOf(grid).length;
    const name = names.fresh(`lookup_${count++}`);
    const common = { name, bags, symbol, width, batch: dimensions.batch ?? BATCH };
    const size = (length: Poly): number | string =>
      p.constant(length) ?? p.asSymbol(length) ?? BATCH;
    if (!whole) return { ...common, shape: symbol === null ? [width] : [symbol, width], owner: '' };
    const front = grid.axes[0] ?? [];
    const natural = isCanonical(grid) && front.length === 1 && front[0]?.kind === 'batch';
    if (natural && (symbol === null || grid.axes.every((axis) => axis.length > 0))) {
      return {
        ...common,
        shape: grid.axes.slice(1).map((axis) => size(axisSize(axis))),
        owner: value.name,
      };
    }
    const factors = canonicalFactors(grid).slice(1);
    return { ...common, shape: factors.map((factor) => size(factor.size)), owner: '' };
  };
}

export function manifestBags(
  slots: readonly Slot[],
  tableNames: ReadonlyMap<string, string>,
): ManifestBag[] {
  return slots.flatMap((slot) => {
    let offset = 0;
    return groupBags(slot.bags).map((bag) => {
      const out = manifestBag(bag, slot, offset, tableNames);
      offset +=
        bag.table.dim *
        (bag.pooling === 'none' && typeof bag.run.count === 'number' ? bag.run.count : 1);
      return out;
    });
  });
}

function manifestBag(
  bag: Bag,
  slot: Slot,
  offset: number,
  tableNames: ReadonlyMap<string, string>,
): ManifestBag {
  const { run, table, pooling, padding, paddingMap, length, weights } = bag;
  // Where the ids below 0 are padding nobody sees what they are raised to.
  const isRaised = run.clamped && padding !== -1;
  const map: IdStep[] = isRaised ? [...run.map, { op: 'clamp', min: 0 }] : [...run.map];
  const symbolic = slot.symbol !== null && pooling === 'none';
  const adds = run.adds.some((add) => add !== 0)
    ? run.adds.length === 1
      ? run.adds[0]
      : [...run.adds]
    : undefined;
  const places = {
    start: run.start,
    step: run.count === 1 && !symbolic ? 1 : run.step,
    count: symbolic ? (slot.symbol as string) : run.count,
  };
  return {
    table: tableNames.get(table.name) ?? table.name,
    input: run.input,
    pooling,
    ...(run.ragged === null ? places : {}),
    ...(map.length === 0 ? {} : { map }),
    ...(adds === undefined ? {} : { add: adds }),
    ...(padding === null ? {} : { padding }),
    ...(paddingMap.length === 0 ? {} : { paddingOf: 'id' }),
    ...(length === null
      ? {}
      : {
          length: {
            input: length.input,
            element: length.element,
            ...(length.first === 0 ? {} : { from: length.first }),
          },
        }),
    ...(weights === null
      ? {}
      : { weights: run.ragged === null ? { ...weights, step: Math.max(1, weights.step) } : true }),
    slot: slot.name,
    offset,
  };
}

export function manifestOutputs(
  model: OnnxModel,
  interpretation: Interpretation,
  dimensions: Dimensions,
): ManifestOutput[] {
  return model.graph.outputs.map((info) => {
    const value = interpretation.values.get(info.name) ?? null;
    const dataType = info.dataType || value?.dataType || OnnxType.float;
    const known = valueShape(value);
    const declared = info.dims;
    const rank = declared?.length ?? known?.length ?? 0;
    const shape = Array.from({ length: rank }, (_, i): Extent | null => {
      const size =
        (declared === null ? null : resolveDim(declared[i] ?? null, dimensions)) ??
        known?.[i] ??
        null;
      if (size === null) return null;
      if (p.equal(size, dimensions.batchSize)) return i === 0 ? BATCH : p.constant(size);
      const name = p.asSymbol(size);
      return p.constant(size) ?? (name?.startsWith('?') ? null : name);
    });
    return { name: info.name, dtype: dtypeName(dataType) ?? 'f32', shape };
  });
}
