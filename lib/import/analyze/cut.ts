/** Where the graph is cut: which values become slots, and which nodes stay in the dense graph. */
import type { OnnxGraph, OnnxNode } from '../onnx/types.js';
import { bagKey } from './bags.js';
import { encodeTensor } from './constants.js';
import { bagsOf, obstacle, symbolOf } from './cuttable.js';
import type { Bag, Grid, Value } from './domain.js';
import type { Interpretation } from './interpreter.js';
import * as p from './poly.js';
import { isRows } from './values.js';

export interface Cut {
  /** Rows that the dense graph reads, in the order in which it meets them. */
  readonly lookups: readonly LookupValue[];
  /** Nodes that stay. */
  readonly nodes: ReadonlySet<OnnxNode>;
  /** Graph inputs that the dense graph reads itself. */
  readonly inputs: ReadonlySet<string>;
  /** Initializers that it reads. */
  readonly initializers: ReadonlySet<string>;
  /** Values that are known constants although nodes computed them. */
  readonly constants: ReadonlySet<string>;
  /** Sizes of the batch, computed anew instead of from ids. */
  readonly sizes: ReadonlySet<string>;
}

export interface LookupValue {
  readonly name: string;
  readonly grid: Grid;
  readonly dataType: number;
}

/** Names that a node reads, those inside its subgraphs included. */
export function usedNames(node: OnnxNode, into: Set<string> = new Set()): Set<string> {
  for (const name of node.inputs) if (name !== '') into.add(name);
  for (const attribute of node.attributes.values()) {
    if (attribute.type === 'graph') for (const name of freeNames(attribute.value)) into.add(name);
  }
  return into;
}

/** Names that a subgraph takes from outside. */
export function freeNames(graph: OnnxGraph): Set<string> {
  const free = new Set<string>();
  for (const node of graph.nodes) usedNames(node, free);
  for (const info of graph.outputs) free.add(info.name);
  for (const node of graph.nodes) for (const name of node.outputs) free.delete(name);
  for (const info of graph.inputs) free.delete(info.name);
  for (const name of graph.initializers.keys()) free.delete(name);
  return free;
}

export function cutGraph(
  interpretation: Interpretation,
  outputs: readonly string[],
  inputs: ReadonlySet<string>,
): Cut {
  const inDense = new Set<string>();
  for (;;) {
    const cut = collect(interpretation, outputs, inputs, inDense);
    const redundant = pooledAgain(cut.lookups);
    if (redundant.length === 0) return cut;
    for (const name of redundant) inDense.add(name);
  }
}

function collect(
  interpretation: Interpretation,
  outputs: readonly string[],
  graphInputs: ReadonlySet<string>,
  inDense: ReadonlySet<string>,
): Cut {
  const { values, producers, initializers } = interpretation;
  const lookups: LookupValue[] = [];
  const nodes = new Set<OnnxNode>();
  const inputs = new Set<string>();
  const used = new Set<string>();
  const constants = new Set<string>();
  const sizes = new Set<string>();
  const seen = new Set<string>();
  const queue = [...outputs].reverse();
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const value = values.get(name) ?? null;
    if (graphInputs.has(name)) {
      inputs.add(name);
      continue;
    }
    if (initializers.has(name)) {
      used.add(name);
      continue;
    }
    if (
      value?.kind === 'grid' &&
      isRows(value) &&
      !inDense.has(name) &&
      obstacle(value.grid) === null
    ) {
      lookups.push({ name, grid: value.grid, dataType: value.dataType });
      continue;
    }
    if (value?.kind === 'const' && encodeTensor(name, value.tensor) !== null) {
      constants.add(name);
      continue;
    }
    if (isBatchArithmetic(value) && readsIds(interpretation, name, graphInputs)) {
      sizes.add(name);
      continue;
    }
    const node = producers.get(name);
    if (node === undefined) continue;
    nodes.add(node);
    queue.push(...[...usedNames(node)].reverse());
  }
  return { lookups, nodes, inputs, initializers: used, constants, sizes };
}

/** Integers that are multiples of the batch size, or constants. */
function isBatchArithmetic(value: Value | null): boolean {
  return value?.kind === 'ints' && value.values.every((size) => batchMultiple(size) !== null);
}

/** The factor of a multiple of the batch size, or the constant (`batch: false`). */
export function batchMultiple(size: p.Poly): { factor: number; batch: boolean } | null {
  const fixed = p.constant(size);
  if (fixed !== null) return { factor: fixed, batch: false };
  const [term] = size.terms;
  return size.terms.size === 1 && term?.[0] === 'batch' ? { factor: term[1], batch: true } : null;
}

/** Whether a size is taken from an integer input, which then need not be an input of the dense graph. */
function readsIds(
  interpretation: Interpretation,
  name: string,
  graphInputs: ReadonlySet<string>,
): boolean {
  const seen = new Set<string>();
  const queue = [name];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    const value = interpretation.values.get(next);
    if (graphInputs.has(next)) {
      if (value?.kind === 'grid' && value.grid.cells[0]?.type === 'id') return true;
      continue;
    }
    const node = interpretation.producers.get(next);
    if (node !== undefined) queue.push(...usedNames(node));
  }
  return false;
}

/** A single lookup, whatever it is part of. */
function idKey(bag: Bag, start: number, add: number, symbol: string | null): string {
  return JSON.stringify([
    bag.table.name,
    bag.run.input,
    start,
    symbol === null ? 0 : bag.run.step,
    symbol,
    bag.run.map,
    add,
  ]);
}

/** Values that are made of rows which the dense graph reads anyway, one by one: it can pool them itself. */
function pooledAgain(lookups: readonly LookupValue[]): string[] {
  const single = new Set<string>();
  const isPlain = (bag: Bag): boolean =>
    bag.pooling === 'none' && bag.padding === null && bag.weights === null && bag.length === null;
  for (const { grid } of lookups) {
    const symbol = symbolOf(grid);
    for (const bag of bagsOf(grid)) {
      if (isPlain(bag)) single.add(idKey(bag, bag.run.start, bag.run.adds[0] ?? 0, symbol));
    }
  }
  const isKnown = (bag: Bag, symbol: string | null): boolean => {
    const { count, start, step, adds, ragged } = bag.run;
    if (ragged !== null) return false;
    if (typeof count === 'string') return single.has(idKey(bag, start, adds[0] ?? 0, count));
    if (count === 1) return single.has(idKey(bag, start, adds[0] ?? 0, symbol));
    return Array.from({ length: count }, (_, i) => i).every((i) =>
      single.has(idKey(bag, start + i * step, adds[i] ?? adds[0] ?? 0, null)),
    );
  };
  return lookups.flatMap(({ name, grid }) => {
    const symbol = symbolOf(grid);
    return bagsOf(grid).some((bag) => !isPlain(bag) && isKnown(bag, symbol)) ? [name] : [];
  });
}

export interface Slot {
  readonly name: string;
  /** Extents behind the batch. */
  readonly shape: readonly (number | string)[];
  readonly bags: readonly Bag[];
  readonly symbol: string | null;
  readonly width: number;
  /** The value whose shape this is; it can be used as it is. */
  readonly owner: string;
  /** The batch size, or 'batch'. */
  readonly batch: number | string;
}

/** Numbers [begin, end) of each batch row of a slot; along a free dimension, all of it. */
export interface Piece {
  readonly slot: Slot;
  readonly begin: number;
  readonly end: number;
}

export interface Placement {
  readonly value: LookupValue;
  readonly pieces: readonly Piece[];
}

/** Gives every lookup a place in a slot; what two values share is looked up once. */
export function placeLookups(
  lookups: readonly LookupValue[],
  makeSlot: (value: LookupValue, bags: readonly Bag[]) => Slot,
): { slots: Slot[]; placements: Placement[] } {
  const slots: Slot[] = [];
  const found = new Map<LookupValue, Placement>();
  const index = new Map<string, Place[]>();
  const keysOf = new Map<Slot, readonly string[]>();
  // The largest first: smaller values are then parts of what is there.
  for (const value of [...lookups].sort((a, b) => bagsOf(b.grid).length - bagsOf(a.grid).length)) {
    const bags = bagsOf(value.grid);
    const symbol = symbolOf(value.grid);
    const keys = bags.map((bag) => `${symbol}:${bagKey(bag)}`);
    const pieces: Piece[] = [];
    for (let at = 0; at < bags.length; ) {
      const hit = longestMatch(keys, at, index, keysOf);
      if (hit !== null) {
        const { slot, from, n } = hit;
        pieces.push({ slot, begin: offsetOf(slot.bags, from), end: offsetOf(slot.bags, from + n) });
        at += n;
        continue;
      }
      let end = at + 1;
      // A bag along a free dimension is alone in its slot.
      while (symbol === null && end < bags.length && !index.has(keys[end] as string)) end++;
      const slot = makeSlot(value, bags.slice(at, end));
      slots.push(slot);
      const own = keys.slice(at, end);
      keysOf.set(slot, own);
      for (const [from, key] of own.entries()) {
        index.set(key, [...(index.get(key) ?? []), { slot, from }]);
      }
      pieces.push({ slot, begin: 0, end: slot.width });
      at = end;
    }
    found.set(value, { value, pieces });
  }
  return { slots, placements: lookups.map((value) => found.get(value) as Placement) };
}

interface Place {
  readonly slot: Slot;
  readonly from: number;
}

function longestMatch(
  keys: readonly string[],
  at: number,
  index: ReadonlyMap<string, readonly Place[]>,
  keysOf: ReadonlyMap<Slot, readonly string[]>,
): { slot: Slot; from: number; n: number } | null {
  let best: { slot: Slot; from: number; n: number } | null = null;
  for (const { slot, from } of index.get(keys[at] as string) ?? []) {
    const own = keysOf.get(slot) ?? [];
    let n = 1;
    while (at + n < keys.length && from + n < own.length && own[from + n] === keys[at + n]) n++;
    if (best === null || n > best.n) best = { slot, from, n };
  }
  return best;
}

function offsetOf(bags: readonly Bag[], at: number): number {
  return bags.slice(0, at).reduce((sum, bag) => sum + bag.table.dim, 0);
}
