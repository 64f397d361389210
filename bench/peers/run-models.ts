/** Whole models: our bundle against each peer on the model that the bundle was made from. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { importModel } from '#lib/index.js';
import type { Child } from './child.js';
import { type Agreement, agree, checkVariety, F32_BOUND, PRECISION_BOUNDS } from './compare.js';
import type { Context } from './context.js';
import { availableMemory } from './environment.js';
import { generateModel, MODEL_FILE, type ModelSpec, SPEC_FILE } from './generate.js';
import { accessName, coresOf, type Variant } from './options.js';
import { originalTables, referenceOutputs, tablesOfBundle } from './reference.js';
import type { Access, RequestShape, Ring } from './requests.js';
import { sweepRing } from './requests.js';
import { interleave } from './rounds.js';
import { PEERS, type Peer, startOurs, startPeer } from './sides.js';
import { capTables, idsPerRow, rowBytes, tableBytes, type Workload } from './workloads.js';

/** Rows that are compared with the reference, as far as their ids are not too many. */
const CHECKED_ROWS = 64;
const CHECKED_IDS = 60_000;

interface Prepared {
  readonly context: Context;
  readonly workload: Workload;
  readonly spec: ModelSpec;
  readonly model: string;
  /** By table storage, '' for the model's own; made when first wanted. */
  readonly bundle: (tables: Variant['tables']) => Promise<string>;
  /** By what the tables hold, access and batch. */
  readonly references: Map<string, Float32Array>;
}

export async function runWorkload(context: Context, given: Workload): Promise<void> {
  const { options } = context;
  const { workload, cap } = capTables(given, options.capBytes / 2);
  const bytes = tableBytes(workload);
  context.caps[workload.name] = { rows: cap, bytes };
  const capped = cap === null ? '' : `, capped at ${cap} rows`;
  context.log(`${workload.name}: ${(bytes / 1e9).toFixed(2)} GB of tables${capped}`);
  if (availableMemory() < 2.3 * bytes) {
    context.skip(
      workload.name,
      `expected ${((2.3 * bytes) / 1e9).toFixed(1)} GB of free memory but there are ` +
        `${(availableMemory() / 1e9).toFixed(1)}: lower --cap-gb`,
    );
    return;
  }
  const key = `${workload.name}-${bytes}-${options.seed}`;
  const model = await context.once(key, async (directory) => {
    await generateModel(workload, directory, options.seed);
  });
  const spec = JSON.parse(await readFile(join(model, SPEC_FILE), 'utf8')) as ModelSpec;
  const prepared: Prepared = {
    context,
    workload,
    spec,
    model,
    bundle: async (tables) => {
      const name = `${key}-${tables ?? 'as-is'}`;
      const folder = await context.once(name, async (directory) => {
        await importModel(join(model, MODEL_FILE), join(directory, 'bundle'), {
          ...(tables === undefined ? {} : { tableDtype: tables }),
        });
      });
      return join(folder, 'bundle');
    },
    references: new Map(),
  };
  const peers = PEERS.filter(({ name, models }) => models && options.peers.includes(name));
  for (const threads of options.threads) {
    for (const [at, peer] of peers.entries()) {
      // Other precisions and storages are for the peer that the same users would take.
      const variants = at === 0 ? options.variants : options.variants.slice(0, 1);
      await runPeer(prepared, peer, threads, variants);
    }
  }
  if (options.scaling) await runScaling(prepared);
  context.forgetRings();
}

async function runPeer(
  prepared: Prepared,
  peer: Peer,
  threads: number,
  variants: readonly Variant[],
): Promise<void> {
  const { context, workload, model } = prepared;
  const { options } = context;
  const label = `${workload.name}, ${peer.name}, threads ${threads}`;
  if (variants.every(({ tables }) => workload.interaction === 'none' && tables !== undefined))
    return;
  const child = startPeer(peer, coresOf(options, threads), options.python);
  try {
    context.sides[`${peer.name}, threads ${threads}`] = await child.load({
      kind: 'model',
      model,
      threads,
    });
    if (peer.maps === true) await touch(prepared, child);
    for (const variant of variants) {
      if (workload.interaction === 'none' && variant.name !== 'f32') continue;
      await withOurs(prepared, variant, threads, async (ours) => {
        for (const cell of cellsOf(prepared, options.batch)) {
          await measureCell(prepared, ours, child, { ...cell, variant, threads, peer: peer.name });
        }
      });
    }
  } catch (error) {
    context.skip(label, error, peer);
  } finally {
    await child.close();
  }
}

/** Ourselves on all threads against ourselves on one. */
async function runScaling(prepared: Prepared): Promise<void> {
  const { context, workload } = prepared;
  const { threads, batch, variants } = context.options;
  const most = Math.max(...threads);
  if (!threads.includes(1) || most === 1 || workload.interaction === 'none') return;
  for (const variant of variants.filter(({ tables }) => tables === undefined)) {
    await withOurs(prepared, variant, 1, async (single) => {
      await withOurs(prepared, variant, most, async (ours) => {
        for (const cell of cellsOf(prepared, [Math.max(...batch)])) {
          const peer = 'ourselves on 1 thread';
          await measureCell(prepared, ours, single, { ...cell, variant, threads: most, peer });
        }
      });
    });
  }
}

async function withOurs(
  prepared: Prepared,
  variant: Variant,
  threads: number,
  use: (ours: Child) => Promise<void>,
): Promise<void> {
  const { context, workload } = prepared;
  const { engine } = context.options;
  const bundle = await prepared.bundle(variant.tables);
  const ours = startOurs(coresOf(context.options, threads));
  try {
    context.sides[`gyrfalcon ${workload.name} ${variant.name}, threads ${threads}`] =
      await ours.load({
        kind: 'model',
        bundle,
        threads,
        ...(variant.precision === 'f32' ? {} : { precision: variant.precision }),
        ...(engine === undefined ? {} : { engine }),
      });
    await use(ours);
  } catch (error) {
    context.skip(`${workload.name}, ${variant.name}, threads ${threads}`, error);
  } finally {
    await ours.close();
  }
}

const shapeOf = (workload: Workload, batch: number): RequestShape => ({
  batch,
  dense: workload.bottom[0] ?? 0,
  tables: workload.tables,
});

/** First touches of pages are not what is measured. Who copies the tables has made them. */
async function touch({ workload }: Prepared, child: Child): Promise<void> {
  await child.ring(sweepRing(shapeOf(workload, 128), 4 * workload.dim));
  await child.sweep();
}

function cellsOf({ context, workload }: Prepared, batches: readonly number[]) {
  return batches.flatMap((batch) =>
    context.options.access.map((access) => ({
      access,
      batch,
      ring: context.ring(
        workload.name,
        shapeOf(workload, batch),
        rowBytes(
          context.options.variants.some(({ tables }) => tables === 'int8') ? 'int8' : 'f32',
          workload.dim,
        ),
        access,
      ),
    })),
  );
}

interface CellPlan {
  readonly access: Access;
  readonly batch: number;
  readonly ring: Ring;
  readonly variant: Variant;
  readonly threads: number;
  readonly peer: string;
}

async function measureCell(prepared: Prepared, ours: Child, peer: Child, plan: CellPlan) {
  const { context, workload } = prepared;
  const { access, batch, ring, variant, threads } = plan;
  try {
    await ours.ring(ring);
    await peer.ring(ring);
    const agreement = await compareSides(prepared, ours, peer, plan);
    const { rounds, ms } = context.options;
    const result = await interleave(ours, peer, batch, rounds, ms);
    context.add({
      workload: workload.name,
      access: accessName(access),
      batch,
      threads,
      variant: variant.name,
      peer: plan.peer,
      requests: ring.count,
      rowBytesPerRequest:
        batch * idsPerRow(workload) * rowBytes(variant.tables ?? 'f32', workload.dim),
      agreement,
      ...result,
    });
  } catch (error) {
    context.skip(
      `${workload.name}, ${variant.name}, ${plan.peer}, threads ${threads}, batch ${batch}, ${accessName(access)}`,
      error,
    );
  }
}

/** Both against the reference, and against each other where both compute in f32. */
async function compareSides(
  prepared: Prepared,
  ours: Child,
  peer: Child,
  { ring, variant, access, batch, peer: peerName }: CellPlan,
): Promise<Record<string, Agreement>> {
  const { workload } = prepared;
  const requests = Math.min(ring.count, Math.ceil(CHECKED_ROWS / batch));
  const rows = Math.max(
    1,
    Math.min(requests * batch, Math.floor(CHECKED_IDS / idsPerRow(workload))),
  );
  const reference = (tables: Variant['tables']): Promise<Float32Array> =>
    referenceFor(prepared, tables, ring, rows, `${accessName(access)} ${batch}`);
  const [mine, theirs] = [await ours.outputs(requests), await peer.outputs(requests)];
  const want = await reference(variant.tables);
  const plain = variant.tables === undefined ? want : await reference(undefined);
  if (workload.interaction !== 'none') checkVariety(workload.name, theirs);
  const bound = PRECISION_BOUNDS[variant.precision];
  const same = variant.precision === 'f32' && variant.tables === undefined;
  return {
    'ours, reference': agree('ours', mine.subarray(0, want.length), want, bound),
    'peer, f32 reference': agree(
      'the peer',
      theirs.subarray(0, plain.length),
      plain,
      // With ourselves as the peer, it has the same precision.
      PEERS.some(({ name }) => name === peerName) ? F32_BOUND : bound,
    ),
    ...(same ? { 'ours, peer': agree('ours and the peer', mine, theirs, F32_BOUND) } : {}),
  };
}

async function referenceFor(
  prepared: Prepared,
  tables: Variant['tables'],
  ring: Ring,
  rows: number,
  what: string,
): Promise<Float32Array> {
  const { references, context, spec, model } = prepared;
  const key = `${tables ?? ''} ${what}`;
  let found = references.get(key);
  if (found === undefined) {
    const stored =
      tables === undefined
        ? originalTables(spec, model)
        : await tablesOfBundle(await prepared.bundle(tables));
    const folder = context.fresh('reference');
    found = await referenceOutputs(spec, model, stored, ring, rows, folder);
    references.set(key, found);
  }
  return found;
}
