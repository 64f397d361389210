// Scores and ends in the way that its first argument names. Bundle: second argument; rounds, for
// the endings that repeat: third. Addon and package: as installed. Exit codes other than the
// expected one, and signals, are failures.
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { EmbeddingTable, loadModel } from '../../dist/index.js';

const [ending, bundle, rounds = '1'] = workerData ?? process.argv.slice(2);
const count = Number(rounds);

async function flying(batchCount) {
  const model = await loadModel(bundle);
  const batches = Array.from({ length: batchCount }, () => model.createBatch(512));
  const scores = batches.map((batch) => model.score(batch));
  for (const score of scores) score.catch(() => {});
  return { model, batches, scores };
}

function start(...data) {
  return new Worker(new URL(import.meta.url), { workerData: data });
}

function ended(worker) {
  return new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
}

const pause = () => new Promise(setImmediate);

/** Starts workers that say when they are busy, and terminates them at once. */
async function terminate(what) {
  for (let round = 0; round < count; round++) {
    const worker = start(what, bundle);
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
  }
}

const endings = {
  async natural() {
    const { scores } = await flying(4);
    await Promise.all(scores); // nothing keeps the process alive afterwards
  },
  async unawaited() {
    await flying(4); // the event loop waits for what is in flight
  },
  async exit() {
    await flying(16);
    process.exit(7);
  },
  /** An exit that asks nobody: no exit event, no cleanup hooks. */
  async reallyExit() {
    await flying(16);
    process.reallyExit(7);
  },
  async exitInThen() {
    const { model, batches, scores } = await flying(16);
    await scores[0].then(() => {
      for (const batch of batches) if (!batch.inFlight) model.score(batch).catch(() => {});
      process.exit(7);
    });
  },
  async exitWhileLoading() {
    for (let i = 0; i < 4; i++) void loadModel(bundle);
    await pause();
    process.exit(7);
  },
  async throws() {
    await flying(16);
    setImmediate(() => {
      throw new Error('on purpose');
    });
  },
  async rejects() {
    await flying(16);
    setImmediate(() => Promise.reject(new Error('on purpose')));
  },
  /** Somebody else's handler keeps the process alive; what was in flight still settles. */
  async caught() {
    const { scores } = await flying(16);
    process.once('uncaughtException', () => {
      Promise.all(scores).then(() => process.exit(7));
    });
    setImmediate(() => {
      throw new Error('on purpose');
    });
  },
  async sigterm() {
    await flying(16);
    process.kill(process.pid, 'SIGTERM');
    for (;;) await pause();
  },
  async sigint() {
    await flying(16);
    process.kill(process.pid, 'SIGINT');
    for (;;) await pause();
  },
  async beforeExit() {
    const { model, batches } = await flying(4);
    process.once('beforeExit', () => {
      Promise.all(batches.map((batch) => model.score(batch))).then(() => {
        process.exitCode = 7;
      });
    });
  },
  async collected() {
    for (let round = 0; round < count; round++) {
      const { scores } = await flying(2);
      globalThis.gc();
      await Promise.all(scores);
    }
  },
  /** Nothing of ours is referenced while it is in flight, not even the promises. */
  async forgotten() {
    for (let round = 0; round < count; round++) {
      await flying(4);
      EmbeddingTable.from(new Float32Array(1 << 16), { dim: 16 });
      for (let i = 0; i < 3; i++) {
        globalThis.gc();
        await pause();
      }
    }
  },
  async views() {
    for (let round = 0; round < count; round++) {
      const { model, batches, scores } = await flying(1);
      await scores[0];
      const { user, item } = batches.pop().inputs;
      await model.close();
      for (let i = 0; i < 5; i++) {
        globalThis.gc();
        await pause();
      }
      user.fill(3);
      if (user[511] !== 3 || item.length !== 512) process.exit(9);
    }
  },
  terminated: () => terminate('busy'),
  terminatedLoading: () => terminate('loading'),
  terminatedCalling: () => terminate('calling'),
  async busy() {
    const { model, batches, scores } = await flying(8);
    parentPort.postMessage('flying');
    await Promise.all(scores);
    for (;;) await Promise.all(batches.map((batch) => model.score(batch)));
  },
  async loading() {
    const models = Array.from({ length: 4 }, () => loadModel(bundle));
    parentPort.postMessage('loading');
    for (;;) await Promise.all(models.splice(0, 4, loadModel(bundle)));
  },
  /** Every kind of call of the addon, most of them failing. */
  async calling() {
    const model = await loadModel(bundle);
    const table = EmbeddingTable.from(new Float32Array(64), { dim: 16 });
    const batch = model.createBatch(2);
    batch.inputs.item[1] = -1;
    const calls = [
      () => model.scoreSync(batch),
      () => model.createBatch(2),
      () => model.createBatch(2, { symbols: { none: 1 } }),
      () => model.stats(),
      () => table.lookup(Int32Array.of(9)),
      () => table.lookup(Int32Array.of(1, 2)),
      () => table.update(Int32Array.of(2), new Float32Array(16)),
      () => table.stats(),
      () => EmbeddingTable.from(new Float32Array(64), { dim: 16, storage: 'int8' }).close(),
      () => EmbeddingTable.from(new Float32Array(63), { dim: 16 }),
      () => void loadModel(`${bundle}/none`).catch(() => {}),
    ];
    parentPort.postMessage('calling');
    for (let i = 0; ; i++) {
      try {
        calls[i % calls.length]();
      } catch {}
      if (i % 5000 === 0) await pause();
    }
  },
  async workers() {
    const codes = await Promise.all(
      Array.from({ length: 4 }, () => ended(start('natural', bundle))),
    );
    if (codes.some((code) => code !== 0)) process.exit(8);
  },
  /** process.exit in a worker ends the worker only. */
  async exitInWorker() {
    const { scores } = await flying(2);
    for (let round = 0; round < count; round++) {
      if ((await ended(start('exit', bundle))) !== 7) process.exit(8);
    }
    await Promise.all(scores);
  },
  /** The process goes while its workers score. */
  async exitOverWorkers() {
    const workers = Array.from({ length: 3 }, () => start('busy', bundle));
    await Promise.all(workers.map((worker) => new Promise((go) => worker.once('message', go))));
    process.exit(7);
  },
};

await endings[ending]();
