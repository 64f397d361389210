/** `gyrfalcon inspect` */
import { readFile, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

import { GyrfalconError } from '../errors.js';
import type { FusedGraph } from '../import/lower/format.js';
import type { Manifest, PrecisionName } from '../import/manifest.js';
import { readOnnxModel } from '../import/onnx/read.js';
import { storedRow } from '../import/storage.js';
import { readManifest } from './bundle.js';
import { type Io, write } from './io.js';
import { formatBytes, formatShape, formatTable, printable } from './text.js';

export interface BundleSummary {
  name: string;
  producer: string;
  source: NonNullable<Manifest['source']> | null;
  batch: number | null;
  symbols: Manifest['symbols'];
  inputs: Manifest['inputs'];
  tables: { name: string; rows: number; dim: number; storage: string; bytes: number }[];
  tableBytes: number;
  bags: { table: string; input: string; pooling: string; slot: string; bags: number }[];
  slots: Manifest['slots'];
  dense: { file: string; bytes: number; nodes: number; ops: Record<string, number> };
  /** The dense network as the fused engine runs it; null where ONNX Runtime does. */
  fused: {
    file: string;
    /** That it runs with by default. */
    precision: PrecisionName;
    /** Products with scales for int8. */
    calibrated: number;
    nodes: number;
    ops: Record<string, number>;
  } | null;
  outputs: Manifest['outputs'];
  report: NonNullable<Manifest['report']>;
}

/** @throws BUNDLE_NOT_FOUND, BUNDLE_INVALID, BUNDLE_VERSION, PATH_ESCAPE, ONNX_INVALID, IO_ERROR */
export async function summarize(bundle: string): Promise<BundleSummary> {
  const manifest = await readManifest(bundle);
  const { file } = manifest.dense;
  const path = inBundle(bundle, file, 'dense.file');
  const { size } = await stat(path);
  const { graph } = await readOnnxModel(path);
  const ops = graph.nodes.map(({ domain, opType }) =>
    domain === '' ? opType : `${domain}.${opType}`,
  );
  const tables = manifest.tables.map(({ name, rows, dim, storage }) => ({
    name,
    rows,
    dim,
    storage,
    bytes: storedRow(storage, dim).bytes * rows,
  }));
  return {
    name: manifest.name,
    producer: manifest.producer,
    source: manifest.source ?? null,
    batch: manifest.batch,
    symbols: manifest.symbols,
    inputs: manifest.inputs,
    tables,
    tableBytes: tables.reduce((sum, table) => sum + table.bytes, 0),
    bags: groupBags(manifest),
    slots: manifest.slots,
    dense: {
      file,
      bytes: size,
      nodes: graph.nodes.length,
      ops: counted(ops),
    },
    fused: await summarizeFused(bundle, manifest),
    outputs: manifest.outputs,
    report: manifest.report ?? [],
  };
}

function inBundle(bundle: string, file: string, name: string): string {
  if (!isAbsolute(file) && !file.split(/[\\/]/).includes('..')) return join(bundle, file);
  throw new GyrfalconError(
    'PATH_ESCAPE',
    `expected a file in the bundle for ${name} but received ${JSON.stringify(file)}`,
  );
}

/** How often each name occurs, the most frequent first. */
function counted(names: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a, n], [b, m]) => m - n || a.localeCompare(b)));
}

async function summarizeFused(
  bundle: string,
  { fused }: Manifest,
): Promise<BundleSummary['fused']> {
  if (fused === undefined) return null;
  const text = await readFile(inBundle(bundle, fused.file, 'fused.file'), 'utf8');
  let graph: Partial<FusedGraph>;
  try {
    graph = JSON.parse(text);
  } catch (cause) {
    throw new GyrfalconError('BUNDLE_INVALID', `expected JSON in ${fused.file}`, { cause });
  }
  const nodes = Array.isArray(graph?.nodes) ? graph.nodes : [];
  return {
    file: fused.file,
    precision: fused.precision ?? 'f32',
    calibrated: nodes.filter((node) => node?.x_scale !== undefined).length,
    nodes: nodes.length,
    ops: counted(nodes.map((node) => String(node?.op))),
  };
}

/** Bags that differ only in position, counted. */
function groupBags(manifest: Manifest): BundleSummary['bags'] {
  const groups = new Map<string, BundleSummary['bags'][number]>();
  for (const { table, input, pooling, slot } of manifest.bags) {
    const key = JSON.stringify([table, input, pooling, slot]);
    const group = groups.get(key) ?? { table, input, pooling, slot, bags: 0 };
    group.bags++;
    groups.set(key, group);
  }
  return [...groups.values()];
}

export function renderSummary(summary: BundleSummary): string {
  const { dense } = summary;
  const symbols = Object.entries(summary.symbols).map(
    ([name, size]) => `${name}=${size ?? 'free'}`,
  );
  const parts = [
    `${summary.name}  (${summary.producer})\n`,
    summary.source == null
      ? ''
      : `source: ${summary.source.file}, ${formatBytes(summary.source.bytes)}\n`,
    `batch: ${summary.batch ?? 'free'}${symbols.length === 0 ? '' : `; ${symbols.join(', ')}`}\n`,
    '\ninputs\n',
    formatTable(
      ['name', 'dtype', 'shape'],
      summary.inputs.map((input) => [
        input.name,
        input.dtype,
        input.kind === 'tensor'
          ? formatShape(input.shape)
          : `ragged${input.weights ? ', weighted' : ''}`,
      ]),
    ),
    `\ntables (${formatBytes(summary.tableBytes)})\n`,
    formatTable(
      ['name', 'rows', 'dim', 'dtype', 'size'],
      summary.tables.map((t) => [t.name, t.rows, t.dim, t.storage, formatBytes(t.bytes)]),
    ),
    '\nbags\n',
    formatTable(
      ['table', 'input', 'pooling', 'slot', 'bags'],
      summary.bags.map((bag) => [bag.table, bag.input, bag.pooling, bag.slot, bag.bags]),
    ),
    '\nslots\n',
    formatTable(
      ['name', 'shape'],
      summary.slots.map((slot) => [slot.name, formatShape(slot.shape)]),
    ),
    `\ndense graph: ${dense.file}, ${formatBytes(dense.bytes)}, ${dense.nodes} nodes\n`,
    formatTable(['op', 'nodes'], Object.entries(dense.ops)),
    ...(summary.fused === null
      ? []
      : [
          `\nfused graph: ${summary.fused.file}, ${summary.fused.nodes} nodes, ` +
            `precision ${summary.fused.precision}, ` +
            `${summary.fused.calibrated} products calibrated\n`,
          formatTable(['op', 'nodes'], Object.entries(summary.fused.ops)),
        ]),
    '\noutputs\n',
    formatTable(
      ['name', 'dtype', 'shape'],
      summary.outputs.map((output) => [output.name, output.dtype, formatShape(output.shape)]),
    ),
    ...(summary.report.length === 0 ? [] : ['\nreport\n']),
    ...summary.report.map(({ level, text }) => `  ${level}: ${text}\n`),
  ];
  return parts.join('');
}

export async function inspect(bundle: string, flags: { json?: boolean }, io: Io): Promise<void> {
  const summary = await summarize(bundle);
  const text =
    flags.json === true ? `${JSON.stringify(summary)}\n` : printable(renderSummary(summary));
  await write(io.stdout, text);
}
