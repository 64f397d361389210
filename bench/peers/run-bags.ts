/** One table, 512 bags of 20 ids: `EmbeddingTable.bag` against the peers' bag operators. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Child } from './child.js';
import { type Agreement, agree, F32_BOUND } from './compare.js';
import type { Context } from './context.js';
import { generateBag } from './generate.js';
import { accessName, coresOf } from './options.js';
import { referenceBags } from './reference.js';
import { type RequestShape, type Ring, sweepRing } from './requests.js';
import { interleave } from './rounds.js';
import type { LoadCommand } from './side-loop.js';
import { PEERS, type Peer, startOurs, startPeer } from './sides.js';
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
  const { options } = context;
  const { threads, rows = 1, dataOffset = 0, file = '' } = command;
  const shape: RequestShape = { batch: BATCH, dense: 0, tables: [{ rows, hotness: bag.hotness }] };
  const width = rowBytes(bag.storage, bag.dim);
  const cores = coresOf(options, threads);
  const ours = startOurs(cores);
  const child = startPeer(peer, cores, options.python);
  try {
    context.sides[`${peer.name}, bags, threads ${threads}`] = await child.load(command);
    context.sides['gyrfalcon, bags'] = await ours.load(command);
    for (const side of [child, ours]) {
      await side.ring(sweepRing(shape, width));
      await side.sweep();
    }
    for (const access of options.access) {
      const ring = context.ring(bag.name, shape, width, access);
      await child.ring(ring);
      await ours.ring(ring);
      const table = { path: file, offset: dataOffset, storage: bag.storage, dim: bag.dim };
      const agreement = await compareBags(bag, table, ring, ours, child);
      const result = await interleave(ours, child, BATCH, options.rounds, options.ms);
      context.add({
        workload: bag.name,
        access: accessName(access),
        batch: BATCH,
        threads,
        variant: bag.storage,
        peer: peer.name,
        requests: ring.count,
        rowBytesPerRequest: BATCH * bag.hotness * width,
        agreement,
        ...result,
      });
    }
  } catch (error) {
    context.skip(`${bag.name}, ${peer.name}, threads ${threads}`, error, peer);
  } finally {
    await child.close();
    await ours.close();
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
