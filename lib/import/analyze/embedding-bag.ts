/**
 * nn.EmbeddingBag as PyTorch's exporters write it: a Loop over the bags. The body is read for one
 * bag of unknown number; when what it yields is that bag's pooled rows, the Loop is a lookup.
 *
 * The TorchScript exporter slices the ids by neighbouring offsets, looks them up, pools them and
 * stacks the results as a scan output. The dynamo exporter looks all ids up first, slices the rows,
 * treats an empty bag and (for means) the last bag apart and collects the results in a sequence;
 * with padding_idx an inner Loop lists the positions that are not padding.
 */ import type { OnnxGraph, OnnxNode } from '../onnx/types.js';
import { graphAttribute } from './attributes.js';
import { finish } from './bag-pooling.js';
import { bagCount } from './bounds.js';
import type { Value } from './domain.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';
import { INT64, scalarOf, toInts } from './values.js';

type Inputs = readonly (Value | null)[];
export type Environment = (name: string) => Value | null;
/** Evaluates a subgraph's outputs in an environment. */
export type EvaluateGraph = (
  graph: OnnxGraph,
  outer: Environment,
  inputs: readonly (Value | null)[],
) => (Value | null)[];
const BAG: Value = { kind: 'bag-index', dataType: INT64, shift: 0 };

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
  if (results.length !== 2 || scalarOf(go ?? null) !== 1) return null;
  if (row?.kind !== 'scaled-pooled' && (row?.kind !== 'pooled' || row.keep)) return null;
  const count = toInts(trip)?.values[0];
  if (count === undefined || !p.equal(count, bagCount(row.segment.bounds))) return null;
  return [row.kind === 'pooled' ? finish(row, batchSize) : row];
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
