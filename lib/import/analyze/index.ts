/**
 * From an ONNX graph to lookups and a dense graph.
 *
 * An embedding lookup is a Gather of rows of a constant matrix by ids that come from an input; what
 * exporters write around it differs endlessly. The analysis therefore does not match patterns. It
 * interprets the graph once, in order, over an abstract domain, and asks at the end what is known:
 *
 * 0. Rows of inputs that stack several tables' indices or offsets become inputs (stacks.ts).
 * 1. Local functions are inlined, an If on a constant is replaced by its branch (interpreter.ts).
 * 2. Every value gets a meaning (domain.ts). Small constants are known by value (fold.ts), integers
 *    made from shapes as polynomials of the free dimensions (shapes.ts, poly.ts). A tensor whose
 *    elements are ids, masks, counts, weights or rows of tables is a *grid* (grid.ts): axes made of
 *    factors (the batch, a free dimension, a listed one, copies, the numbers of a row) and one cell
 *    for each listed position. Operators that move elements move cells (views.ts); arithmetic acts on
 *    cells (cells.ts): an id plus 40 is an id with `add`, rows times a mask are rows with padding.
 *    A sum of rows along an axis is a pooled bag (reduce.ts, bags.ts, contraction.ts), one of masks
 *    a count, and a padded sum divided by its own, never zero count a mean. The Loops that
 *    nn.EmbeddingBag becomes are read for one bag of unknown number (embedding-bag.ts, bag-values.ts).
 *    Everything else is opaque, with the reason.
 * 3. The cut (cut.ts): walking back from the outputs, a value made of rows that a bundle can express
 *    (cuttable.ts) becomes a slot; the walk ends there. Nodes that it meets stay. Since it starts at
 *    the outputs, lookups are cut as late as possible: after the Concat that joins them, after the
 *    pooling. A lookup shared by several slots is made once; rows that are read one by one anyway are
 *    pooled by the dense graph.
 * 4. The dense graph is written (dense-graph.ts), with slots and remaining inputs in front, and the
 *    manifest's parts (bundle-parts.ts). A table that stayed is reported (report.ts).
 *
 * A rule that does not know says so (null), and its value is opaque: computed by the dense graph, from
 * the original's own nodes. So what is not understood stays correct.
 */
import { GyrfalconError } from '../../errors.js';
import type { AnalyzeOptions, LoweredModel, LoweredTable } from '../lowered.js';
import type { ManifestInput } from '../manifest.js';
import type { OnnxModel } from '../onnx/types.js';
import {
  denseInputs,
  dtypeName,
  type InputUse,
  inputUse,
  makeSlot,
  manifestBags,
  manifestInputs,
  manifestOutputs,
} from './bundle-parts.js';
import { type Cut, cutGraph, type LookupValue, placeLookups } from './cut.js';
import { bagsOf } from './cuttable.js';
import { buildDenseGraph } from './dense-graph.js';
import { type Dimensions, NO_HINTS, type RaggedHints, readDimensions } from './inputs.js';
import { type Interpretation, interpret } from './interpreter.js';
import {
  reportLengths,
  reportMoved,
  reportShared,
  reportStacks,
  reportTables,
  reportUnpooled,
} from './report.js';
import { type StackRows, unstack } from './stacks.js';

/** How a ragged input's offsets are given in the original model. */
export interface RaggedSource {
  offsets: string;
  /** With the total as the last entry (include_last_offset): [batch + 1], else [batch]. */
  includesLast: boolean;
  /** They are the rows' lengths: [batch]. */
  areLengths: boolean;
}

export interface AnalyzedModel extends LoweredModel {
  /** By ragged input. */
  raggedSources: Record<string, RaggedSource>;
}

/** A conflict between lookups is settled by leaving one in the graph; more than this is a defect. */
const MAX_ROUNDS = 64;

/**
 * Takes the embedding lookups of a model apart from its dense network. The model is not changed.
 * @throws ONNX_UNSUPPORTED, ONNX_INVALID, LIMIT_EXCEEDED, INVALID_ARGUMENT, IO_ERROR
 */
export function analyze(model: OnnxModel, options: AnalyzeOptions = {}): AnalyzedModel {
  for (const input of model.graph.inputs) {
    if (dtypeName(input.dataType) === null) {
      throw new GyrfalconError(
        'ONNX_UNSUPPORTED',
        `expected a numeric tensor for input ${JSON.stringify(input.name)} but received type ${input.dataType}`,
      );
    }
  }
  const kept = new Set<string>();
  for (;;) {
    const unstacked = unstack(model, kept);
    if (unstacked === null) return { ...settle(model, options), stacks: {} };
    const analyzed = settle(unstacked.model, options);
    const others = otherThanRagged(unstacked.rows, analyzed.inputs);
    if (others.length === 0) {
      const report = [...reportStacks(unstacked.rows), ...analyzed.report];
      return { ...analyzed, stacks: unstacked.rows, report };
    }
    for (const name of others) kept.add(name);
  }
}

/** Stacks of which a row is something else than indices, offsets or weights of ragged bags. */
function otherThanRagged(stacks: StackRows, inputs: readonly ManifestInput[]): string[] {
  const ragged = new Set(
    inputs.flatMap((input) =>
      input.kind === 'ragged' ? [input.name, ...Object.values(input.source ?? {})] : [],
    ),
  );
  return Object.keys(stacks).filter((name) =>
    stacks[name]?.some((row) => row !== null && !ragged.has(row)),
  );
}

function settle(model: OnnxModel, options: AnalyzeOptions): Omit<AnalyzedModel, 'stacks'> {
  const inputNames = new Set(model.graph.inputs.map((info) => info.name));
  const outputNames = model.graph.outputs.map((info) => info.name);
  const reasons = new Map<string, string>();
  let dimensions = readDimensions(model.graph, options);
  let hints = NO_HINTS;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const interpretation = interpret(model, dimensions, reasons);
    const cut = cutGraph(interpretation, outputNames, inputNames);
    const use = inputUse(cut.lookups);
    const found = raggedHints(cut);
    if (found.others.size > hints.others.size || found.complete.size > hints.complete.size) {
      // Ragged bags tell which axis is the batch; with that, the rest reads differently.
      hints = found;
      dimensions = readDimensions(model.graph, options, hints);
      continue;
    }
    const conflict = 'conflict' in use ? use.conflict : usedTwice(use, cut);
    if (conflict === null) {
      return assemble(model, options, dimensions, interpretation, cut, use as InputUse, reasons);
    }
    for (const name of raggedValues(interpretation, conflict)) {
      reasons.set(name, `input '${conflict}' is used in another way too`);
    }
  }
  throw new GyrfalconError(
    'INTERNAL',
    'expected the lookups of a model to settle but they did not',
  );
}

function raggedHints(cut: Cut): RaggedHints {
  const bags = cut.lookups
    .flatMap(({ grid }) => bagsOf(grid))
    .filter((bag) => bag.run.ragged !== null);
  const sources = bags.flatMap((bag) => (bag.run.ragged?.complete ? [bag.run.ragged.offsets] : []));
  const weights = bags.flatMap((bag) => (bag.weights === null ? [] : [bag.weights.input]));
  return {
    others: new Set([...bags.map((bag) => bag.run.input), ...weights]),
    complete: new Set(sources),
  };
}

/** A ragged input has another form in a bundle, so that nothing else can read the original one. */
function usedTwice(use: InputUse, cut: Cut): string | null {
  for (const [input, { offsets, weights }] of use.ragged) {
    const forms = [input, offsets, ...(weights === null ? [] : [weights])];
    if (forms.some((name) => cut.inputs.has(name) || use.ids.has(name))) return input;
  }
  return null;
}

/** The values that hold bags over a ragged input. */
function raggedValues(interpretation: Interpretation, input: string): string[] {
  return [...interpretation.values].flatMap(([name, value]) => {
    if (value.kind !== 'grid' || value.grid.cells[0]?.type !== 'row') return [];
    return bagsOf(value.grid).some((bag) => bag.run.ragged !== null && bag.run.input === input)
      ? [name]
      : [];
  });
}

function assemble(
  model: OnnxModel,
  options: AnalyzeOptions,
  dimensions: Dimensions,
  interpretation: Interpretation,
  cut: Cut,
  use: InputUse,
  reasons: ReadonlyMap<string, string>,
): Omit<AnalyzedModel, 'stacks'> {
  const { slots, placements } = placeLookups(
    cut.lookups,
    makeSlot(interpretation.names, dimensions),
  );
  const read = new Set([
    ...cut.inputs,
    ...model.graph.outputs.map((info) => info.name).filter((name) => cut.inputs.has(name)),
  ]);
  const inputs = denseInputs(dimensions, use, read, options);
  const dense = buildDenseGraph({
    model,
    interpretation,
    dimensions,
    cut,
    slots,
    placements,
    inputs,
  });
  const tables = lookupTables(cut.lookups);
  const names = new Set(tables.map((table) => table.name));
  const manifest = manifestInputs(dimensions, use, options);
  const bags = manifestBags(slots, new Map());
  const moved = dimensions.inputs.flatMap(({ info, batchAxis }): [string, number][] => {
    const isTensor = manifest.some(({ name, kind }) => name === info.name && kind === 'tensor');
    return isTensor && batchAxis !== null && batchAxis > 0 ? [[info.name, batchAxis]] : [];
  });
  const symbols = new Set<string>();
  const note = (extent: string | number | undefined): void => {
    if (typeof extent === 'string' && extent !== 'batch') symbols.add(extent);
  };
  for (const input of manifest) if (input.kind === 'tensor') input.shape.forEach(note);
  for (const slot of slots) slot.shape.forEach(note);
  for (const bag of bags) note(bag.count);
  const outputs = manifestOutputs(model, interpretation, dimensions).map((output) => ({
    ...output,
    shape: output.shape.map((extent) =>
      typeof extent === 'string' && extent !== 'batch' && !symbols.has(extent) ? null : extent,
    ),
  }));
  return {
    name: model.graph.name,
    batch: dimensions.batch,
    symbols: Object.fromEntries([...symbols].map((name) => [name, null])),
    inputs: manifest,
    batchAxes: Object.fromEntries(moved),
    tables,
    slots: slots.map((slot) => ({ name: slot.name, shape: ['batch', ...slot.shape] })),
    bags,
    denseInputs: dense.graph.inputs.map((info) => info.name),
    dense,
    outputs,
    report: [
      ...reportMoved(moved, manifest),
      ...reportLengths(manifest),
      ...reportTables(dense, interpretation, names, reasons),
      ...reportShared(dense, names),
      ...reportUnpooled(cut.lookups, cut),
    ],
    raggedSources: Object.fromEntries(
      [...use.ragged].map(([name, { offsets, complete, areLengths }]) => [
        name,
        { offsets, includesLast: complete, areLengths },
      ]),
    ),
  };
}

function lookupTables(lookups: readonly LookupValue[]): LoweredTable[] {
  const tables = new Map<string, LoweredTable>();
  for (const { table } of lookups.flatMap(({ grid }) => bagsOf(grid))) {
    tables.set(table.name, {
      name: table.name,
      rows: table.rows,
      dim: table.dim,
      tensor: table.tensor,
    });
  }
  return [...tables.values()];
}
