/** One table, 512 bags of 20 ids: `EmbeddingTable.bag` against the peers' bag operators. */
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Child, Slice } from './child.js';
import { type Agreement, agree, F32_BOUND } from './compare.js';
import type { Context } from './context.js';
import { generateBag } from './generate.js';
import { measureRows } from './memory-limits.js';
import { accessName, coresOf } from './options.js';
import { referenceBags } from './reference.js';
import { type RequestShape, type Ring, sweepRing } from './requests.js';
import type { Cell } from './result.js';
import { compareRounds, type Turns, takeTurns } from './rounds.js';
import type { LoadCommand } from './side-loop.js';
import { PEERS, type Peer, startOurs, startPeer } from './sides.js';
import { medianOf, spreadOf } from './stats.js';
import { type BagWorkload, rowBytes } from './workloads.js';

const BATCH = 512;
const TABLE_BYTES = 1.2e9;
const CHECKED_REQUESTS = 2;

export async function runBags(context: Context, bags: readonly BagWorkload[]): Promise<void> {
  for (const bag of bags) {
    await runBag(context, bag);
    context.forgetRings();
  }
}

async function runBag(context: Context, bag: BagWorkload): Promise<void> {
  const { options } = context;
  const width = rowBytes(bag.storage, bag.dim);
  const bytes = Math.min(TABLE_BYTES, options.capBytes / 2);
  const rows = Math.floor(bytes / width);
  context.caps[bag.name] = { rows: null, bytes: rows * width };
  context.log(`${bag.name}: ${rows} rows, ${((rows * width) / 1e9).toFixed(2)} GB`);
  const folder = await context.once(`${bag.name}-${rows}-${options.seed}`, (directory) =>
    generateBag(bag, directory, options.seed, bytes),
  );
  const file = join(folder, 'table.safetensors');
  const command: LoadCommand = {
    kind: 'bag',
    threads: 1,
    file,
    storage: bag.storage,
    dim: bag.dim,
    rows,
    rowBytes: width,
    dataOffset: (await stat(file)).size - rows * width,
    hotness: bag.hotness,
    inPlace: options.inPlace,
  };
  const peers = PEERS.filter(
    ({ name, bags }) => bags.includes(bag.storage) && options.peers.includes(name),
  );
  for (const threads of options.threads) {
    for (const peer of peers) await runPeer(context, bag, peer, { ...command, threads });
  }
}

async function runPeer(
  context: Context,
  bag: BagWorkload,
  peer: Peer,
  command: LoadCommand,
): Promise<void> {
  const { threads } = command;
  const found = new Map<string, Measured>();
  // Which memory a table gets is luck that lasts as long as its process: the same lookups take up to
  // 1.8 times as long in some of a guest's memory as in the rest. So both sides are started twice, and
  // load their tables in turns.
  try {
    for (const first of ['peer', 'ours'] as const) {
      await runPlacement(context, bag, peer, command, first, found);
    }
  } catch (error) {
    context.skip(`${bag.name}, ${peer.name}, threads ${threads}`, error, peer);
    return;
  }
  for (const [access, { turns, requests, agreement, touched }] of found) {
    const rounds = compareRounds(turns.ours, turns.peer, BATCH);
    const row = compareToTouch(turns.ours, touched, BATCH * bag.hotness);
    context.add({
      workload: bag.name,
      access,
      batch: BATCH,
      threads,
      variant: bag.storage,
      peer: peer.name,
      requests,
      rowBytesPerRequest: BATCH * bag.hotness * rowBytes(bag.storage, bag.dim),
      agreement,
      ...rounds,
      ...(row === undefined ? {} : { row }),
    });
  }
}

interface Measured {
  readonly turns: Turns;
  readonly requests: number;
  readonly agreement: Record<string, Agreement>;
  /** Nanoseconds. */
  readonly touched: number[];
}

/** Half of the rounds, with each side's table where it lands when `first` loads first. */
async function runPlacement(
  context: Context,
  bag: BagWorkload,
  peer: Peer,
  command: LoadCommand,
  first: 'ours' | 'peer',
  found: Map<string, Measured>,
): Promise<void> {
  const { options } = context;
  const { threads, rows = 1, dataOffset = 0, file = '' } = command;
  const shape: RequestShape = { batch: BATCH, dense: 0, tables: [{ rows, hotness: bag.hotness }] };
  const width = rowBytes(bag.storage, bag.dim);
  const rounds = Math.ceil(options.rounds / 2);
  const cores = coresOf(options, threads);
  const ours = startOurs(cores);
  const child = startPeer(peer, cores, options.python);
  try {
    const sides = first === 'peer' ? [child, ours] : [ours, child];
    for (const side of sides) {
      const name = side === ours ? 'gyrfalcon, bags' : `${peer.name}, bags, threads ${threads}`;
      context.sides[name] = await side.load(command);
    }
    for (const side of sides) {
      await side.ring(sweepRing(shape, width));
      await side.sweep();
    }
    for (const access of options.access) {
      const ring = context.ring(bag.name, shape, width, access);
      await child.ring(ring);
      await ours.ring(ring);
      const table = { path: file, offset: dataOffset, storage: bag.storage, dim: bag.dim };
      const agreement = await compareBags(bag, table, ring, ours, child);
      const touched: number[] = [];
      const turns = await takeTurns(ours, child, rounds, options.ms, async () => {
        touched.push(...(await touchRows(context, command, ring, cores)));
      });
      const before = found.get(accessName(access));
      before?.turns.ours.push(...turns.ours);
      before?.turns.peer.push(...turns.peer);
      before?.touched.push(...touched);
      if (before === undefined) {
        found.set(accessName(access), { turns, requests: ring.count, agreement, touched });
      }
    }
  } finally {
    await child.close();
    await ours.close();
  }
}

/** Round by round; undefined where the rows were not touched in every round. */
function compareToTouch(
  slices: readonly Slice[],
  touched: readonly number[],
  rows: number,
): Cell['row'] {
  if (touched.length === 0 || touched.length !== slices.length) return undefined;
  const ours = slices.map(({ samples }) => medianOf(samples) / rows);
  const ratio = spreadOf(ours.map((mine, i) => (touched[i] ?? Number.NaN) / mine));
  return { ours: medianOf(ours), touched: medianOf(touched), ratio };
}

/** Nanoseconds a row; none where tables are copied, as their memory is not ours to touch. */
async function touchRows(
  context: Context,
  { inPlace, file = '', dataOffset = 0, rowBytes = 0 }: LoadCommand,
  ring: Ring,
  cores: readonly number[],
): Promise<number[]> {
  if (inPlace !== true || context.limits === undefined) return [];
  const ids = context.fresh('ids');
  try {
    await writeFile(ids, ring.ids);
    const found = measureRows(context.limits, cores, { file, dataOffset, rowBytes, ids });
    if (typeof found === 'number') return [found];
    context.log(`  touching rows: ${found}`);
    return [];
  } finally {
    await rm(ids, { force: true });
  }
}

async function compareBags(
  bag: BagWorkload,
  table: { path: string; offset: number; storage: string; dim: number },
  ring: Ring,
  ours: Child,
  peer: Child,
): Promise<Record<string, Agreement>> {
  const { values, magnitudes } = await referenceBags(bag, table, ring, CHECKED_REQUESTS);
  const [mine, theirs] = [
    await ours.outputs(CHECKED_REQUESTS),
    await peer.outputs(CHECKED_REQUESTS),
  ];
  return {
    'ours, reference': agree('ours', mine, values, F32_BOUND, magnitudes),
    'peer, reference': agree('the peer', theirs, values, F32_BOUND, magnitudes),
    'ours, peer': agree('ours and the peer', mine, theirs, F32_BOUND, magnitudes),
  };
}
