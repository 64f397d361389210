/** What a reader of the bundle should know: tables that stayed, rows that are not pooled. */
import type { ManifestInput, ReportEntry } from '../manifest.js';
import type { OnnxModel, OnnxNode } from '../onnx/types.js';
import { describe, intAttribute } from './attributes.js';
import { isComputedConstant } from './computed-tables.js';
import { isFloat } from './constants.js';
import { type Cut, type LookupValue, usedNames } from './cut.js';
import { bagsOf, obstacle } from './cuttable.js';
import type { Value } from './domain.js';
import type { Interpretation } from './interpreter.js';
import { normaliseAxis } from './operands.js';
import * as p from './poly.js';
import type { StackRows } from './stacks.js';
import { initializerValue, matrixOf, valueShape } from './values.js';

/** Entries for inputs whose rows became inputs of their own. */
export function reportStacks(stacks: StackRows): ReportEntry[] {
  return Object.entries(stacks).map(([input, rows]) => ({
    level: 'info',
    text:
      `each row of input '${input}' belongs to a feature of its own: ` +
      rows.flatMap((row) => (row === null ? [] : [`'${row}'`])).join(', '),
  }));
}

/** Entries for inputs of lengths that became offsets. */
export function reportLengths(inputs: readonly ManifestInput[]): ReportEntry[] {
  return inputs.flatMap((input): ReportEntry[] => {
    const lengths = input.kind === 'ragged' ? input.source?.lengths : undefined;
    const text = `input '${lengths}' has the lengths of rows of '${input.name}'; batches have their offsets`;
    return lengths === undefined ? [] : [{ level: 'info', text }];
  });
}

/** Entries for tables in the dense graph's lookups, in its order. */
export function reportTables(
  dense: OnnxModel,
  interpretation: Interpretation,
  taken: ReadonlySet<string>,
  reasons: ReadonlyMap<string, string>,
): ReportEntry[] {
  const entries: ReportEntry[] = [];
  const told = new Set<string>();
  const visit = (nodes: readonly OnnxNode[], inside: OnnxNode | null): void => {
    for (const node of nodes) {
      const entry = stayed(node, inside, dense, interpretation, taken, reasons);
      if (entry !== null && !told.has(entry.text)) {
        told.add(entry.text);
        entries.push(entry);
      }
      for (const attribute of node.attributes.values()) {
        if (attribute.type === 'graph') visit(attribute.value.nodes, inside ?? node);
      }
    }
  };
  visit(dense.graph.nodes, null);
  return entries;
}

function stayed(
  node: OnnxNode,
  inside: OnnxNode | null,
  dense: OnnxModel,
  interpretation: Interpretation,
  taken: ReadonlySet<string>,
  reasons: ReadonlyMap<string, string>,
): ReportEntry | null {
  if (node.opType !== 'Gather' && node.opType !== 'GatherND') return null;
  const name = node.inputs[0] ?? '';
  const tensor = dense.graph.initializers.get(name);
  const data =
    interpretation.values.get(name) ??
    (tensor === undefined ? null : initializerValue(name, tensor));
  const matrix: ReportedTable | null = matrixOf(data) ?? computedMatrix(name, data, interpretation);
  const rowIds = interpretation.values.get(node.inputs[1] ?? '');
  if (matrix === null) {
    if (data?.kind !== 'opaque' || rowIds?.kind !== 'grid' || rowIds.grid.cells[0]?.type !== 'id')
      return null;
    return {
      level: 'warn',
      text: `rows of '${name}' are not taken out: the table is ${data.reason} (${describe(node)})`,
    };
  }
  const also = taken.has(matrix.name) ? ' as well as in the bundle' : '';
  const made = matrix.by === undefined ? '' : `, made by ${matrix.by} from constants,`;
  const what = `table '${matrix.name}' [${matrix.rows}, ${matrix.dim}]${made} stays in the dense graph${also}`;
  const where = `${describe(node)}${inside === null ? '' : ` inside ${describe(inside)}`}`;
  const ids = interpretation.values.get(node.inputs[1] ?? '') ?? null;
  if (normaliseAxis(intAttribute(node, 'axis', 0), 2) !== 0) {
    return ids?.kind === 'grid' || readsInputs(node.inputs[1] ?? '', interpretation)
      ? { level: 'warn', text: `${what}: its columns are looked up, not its rows (${where})` }
      : null;
  }
  if (inside === null && !readsInputs(node.inputs[1] ?? '', interpretation)) {
    return {
      level: 'info',
      text: `${what}: its ids in ${where} do not depend on the inputs' values`,
    };
  }
  if (ids?.kind === 'grid' && matrix.isFollowed === false) {
    return { level: 'warn', text: `${what}: it is not computed at import (${where})` };
  }
  return {
    level: 'warn',
    text: `${what}: ${reason(node, ids, inside, interpretation, reasons)} (${where})`,
  };
}

/** What an entry says of a table. */
interface ReportedTable {
  readonly name: string;
  readonly rows: number | string;
  readonly dim: number | string;
  /** The node that computes it, if one does. */
  readonly by?: string;
  readonly isFollowed?: boolean;
}

/** A matrix of floats that nodes make of constants. */
function computedMatrix(
  name: string,
  data: Value | null,
  interpretation: Interpretation,
): ReportedTable | null {
  const producer = interpretation.producers.get(name);
  if (producer === undefined || data === null || !isFloat(data.dataType)) return null;
  const shape = valueShape(data);
  if (shape === null ? data.kind !== 'opaque' : shape.length !== 2) return null;
  if (!isComputedConstant(name, interpretation)) return null;
  const [rows, dim] = (shape ?? [null, null]).map((size) =>
    size === null ? '?' : (p.constant(size) ?? '?'),
  );
  const isFollowed = data.kind !== 'opaque';
  return { name, rows: rows ?? '?', dim: dim ?? '?', by: describe(producer), isFollowed };
}

/** Whether a value depends on more of the inputs than their shapes. */
function readsInputs(name: string, { producers, inputs }: Interpretation): boolean {
  const seen = new Set<string>();
  const queue = [name];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    if (inputs.has(next)) return true;
    const node = producers.get(next);
    if (node === undefined || node.opType === 'Shape' || node.opType === 'Size') continue;
    queue.push(...usedNames(node));
  }
  return false;
}

function reason(
  node: OnnxNode,
  ids: Value | null,
  inside: OnnxNode | null,
  interpretation: Interpretation,
  reasons: ReadonlyMap<string, string>,
): string {
  const own = interpretation.values.get(node.outputs[0] ?? '') ?? null;
  const given = reasons.get(node.outputs[0] ?? '');
  if (given !== undefined) return given;
  if (own?.kind === 'grid')
    return obstacle(own.grid) ?? 'its rows are pooled in a way that bundles do not have';
  if (inside !== null) return insideReason(inside, interpretation, reasons);
  if (ids?.kind === 'opaque') return `its ids are ${ids.reason}`;
  if (ids?.kind === 'grid') return 'its ids are not integers of the inputs';
  return 'its ids are not known';
}

/** Why a Loop was not read as bags, where more is known than that. */
function insideReason(
  { outputs }: OnnxNode,
  interpretation: Interpretation,
  reasons: ReadonlyMap<string, string>,
): string {
  const given = outputs.map((name) => reasons.get(name) ?? interpretation.notes.get(name));
  return (
    given.find((text) => text !== undefined) ??
    'it is looked up inside a subgraph that is not a sum or a mean'
  );
}

/** Entries for rows of several ids that the dense graph takes one by one. */
export function reportUnpooled(lookups: readonly LookupValue[], cut: Cut): ReportEntry[] {
  const entries = lookups.flatMap(({ name, grid }) => {
    const histories = new Map<string, number>();
    for (const bag of bagsOf(grid)) {
      if (bag.pooling !== 'none' || bag.run.ragged !== null) continue;
      const key = `table '${bag.table.name}' for input '${bag.run.input}'`;
      const free = grid.axes.flat().some((factor) => factor.kind === 'symbol');
      histories.set(key, (histories.get(key) ?? 0) + (free ? 2 : 1));
    }
    const user = [...cut.nodes].find((node) => node.inputs.includes(name));
    return [...histories].flatMap(([key, n]) =>
      n > 1
        ? [
            `rows of ${key} are not pooled: ${user === undefined ? 'they are an output' : `${describe(user)} uses them one by one`}`,
          ]
        : [],
    );
  });
  return [...new Set(entries)].map((text) => ({ level: 'info', text }));
}

/** Entries for inputs whose batch axis a bundle has in front, unlike the model. */
export function reportMoved(
  moved: readonly (readonly [string, number])[],
  inputs: readonly ManifestInput[],
): ReportEntry[] {
  return moved.flatMap(([name, axis]): ReportEntry[] => {
    const input = inputs.find((other) => other.name === name);
    if (input?.kind !== 'tensor') return [];
    const [batch, ...rest] = input.shape;
    const original = [...rest.slice(0, axis), batch, ...rest.slice(axis)];
    const text = `input '${name}' is [${original.join(', ')}] in the model and [${input.shape.join(', ')}] in batches: row by row`;
    return [{ level: 'info', text }];
  });
}

/** Matrices that the dense graph uses although their lookups are taken out. */
export function reportShared(dense: OnnxModel, tables: ReadonlySet<string>): ReportEntry[] {
  return [...tables].flatMap((name): ReportEntry[] => {
    if (!dense.graph.initializers.has(name)) return [];
    const user = dense.graph.nodes.find((node) => node.inputs.includes(name));
    if (user === undefined || user.opType === 'Gather' || user.opType === 'GatherND') return [];
    return [
      {
        level: 'info',
        text: `table '${name}' is in the dense graph too: ${describe(user)} uses the whole matrix`,
      },
    ];
  });
}
