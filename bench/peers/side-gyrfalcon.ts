/** Our side: a bundle through `loadModel`, or one table through `EmbeddingTable`. */
import { capabilities, EmbeddingTable, type LoadOptions, loadModel } from '#lib/index.js';
import { OUTPUT } from './graph.js';
import { type LoadCommand, type SideModel, type SideRing, serve } from './side-loop.js';

interface Inputs {
  sparse: Int32Array;
  dense: Float32Array;
}
type Outputs = Readonly<Record<typeof OUTPUT, Float32Array<ArrayBuffer>>>;

await serve((command) => (command.kind === 'bag' ? loadBag(command) : loadBundle(command)));

async function loadBundle(command: LoadCommand): Promise<SideModel> {
  const { engine, precision, threads } = command;
  const chosen = {
    threads,
    // Generated a moment ago by this benchmark.
    verify: false,
    ...(engine === undefined ? {} : { engine }),
    ...(precision === undefined ? {} : { precision }),
  };
  // The driver checked the names.
  const model = await loadModel<Inputs, Outputs>(command.bundle ?? '', chosen as LoadOptions);
  const { info } = model;
  const { tableBytes, hugePageBytes } = model.stats();
  let batch = model.createBatch(1);
  let output = new Float32Array();
  const hasDense = info.inputs.some(({ name }) => name === 'dense');
  return {
    details: {
      version: capabilities().version,
      engine: info.engine,
      engineVersion: info.engineVersion,
      precision: info.precision,
      isa: info.isa,
      threads,
      tableBytes,
      hugePages: tableBytes === 0 ? 0 : Math.min(1, hugePageBytes / tableBytes),
      storages: [...new Set(info.tables.map(({ storage }) => storage))],
      tables: info.tables.length,
    },
    shape: (ring: SideRing) => {
      batch = model.createBatch(ring.batch);
    },
    prepare: (ring, index) => {
      const ids = ring.batch * ring.idWidth;
      batch.inputs.sparse.set(ring.ids.subarray(index * ids, (index + 1) * ids));
      if (!hasDense) return;
      const dense = ring.batch * ring.denseWidth;
      batch.inputs.dense.set(ring.dense.subarray(index * dense, (index + 1) * dense));
    },
    run: () => {
      output = model.scoreSync(batch)[OUTPUT];
      return undefined;
    },
    output: () => output,
    stages: () => batch.times,
  };
}

async function loadBag(command: LoadCommand): Promise<SideModel> {
  const { storage, hotness = 1, threads } = command;
  const residency = command.inPlace === true ? 'map' : 'copy';
  const options = { tensor: 'table', storage, dim: command.dim, threads, residency };
  const table = await EmbeddingTable.fromSafetensors(
    command.file ?? '',
    options as Parameters<typeof EmbeddingTable.fromSafetensors>[1],
  );
  const { tableBytes, hugePageBytes } = table.stats();
  const ids = { indices: new Int32Array(), offsets: new Int32Array(), out: new Float32Array() };
  return {
    details: {
      version: capabilities().version,
      isa: capabilities().cpu.isa,
      threads,
      residency,
      tableBytes,
      // Of a mapped file the pages come with the first reads.
      ...(residency === 'copy' && tableBytes > 0
        ? { hugePages: Math.min(1, hugePageBytes / tableBytes) }
        : {}),
      storages: [table.storage],
    },
    shape: ({ batch, idWidth }) => {
      ids.indices = new Int32Array(batch * idWidth);
      ids.offsets = Int32Array.from({ length: batch + 1 }, (_, bag) => bag * hotness);
      ids.out = new Float32Array(batch * table.dim);
    },
    prepare: (ring, index) => {
      const count = ring.batch * ring.idWidth;
      ids.indices.set(ring.ids.subarray(index * count, (index + 1) * count));
    },
    run: () => {
      table.bag(ids.indices, ids.offsets, { out: ids.out });
      return undefined;
    },
    output: () => ids.out,
  };
}
