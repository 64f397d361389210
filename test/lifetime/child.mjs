// Scores and ends in the way that its first argument names. Bundle: second argument. Addon and
// package: as installed. Exit codes other than the expected one, and signals, are failures.
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { loadModel } from '../../dist/index.js';

const [ending, bundle] = workerData ?? process.argv.slice(2);

async function flying(count) {
  const model = await loadModel(bundle);
  const batches = Array.from({ length: count }, () => model.createBatch(512));
  const scores = batches.map((batch) => model.score(batch));
  for (const score of scores) score.catch(() => {});
  return { model, batches, scores };
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
  async throws() {
    await flying(16);
    setImmediate(() => {
      throw new Error('on purpose');
    });
  },
  async collected() {
    for (let round = 0; round < 30; round++) {
      const { scores } = await flying(2);
      globalThis.gc();
      await Promise.all(scores);
    }
  },
  async views() {
    const { model, batches, scores } = await flying(1);
    await scores[0];
    const { user, item } = batches.pop().inputs;
    await model.close();
    for (let i = 0; i < 5; i++) {
      globalThis.gc();
      await new Promise(setImmediate);
    }
    user.fill(3);
    if (user[511] !== 3 || item.length !== 512) process.exit(9);
  },
  async terminated() {
    for (let round = 0; round < 25; round++) {
      const worker = new Worker(new URL(import.meta.url), { workerData: ['busy', bundle] });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      await worker.terminate();
    }
  },
  async busy() {
    const { model, batches, scores } = await flying(8);
    parentPort.postMessage('flying');
    await Promise.all(scores);
    for (;;) await Promise.all(batches.map((batch) => model.score(batch)));
  },
  async workers() {
    const ends = Array.from({ length: 4 }, async () => {
      const worker = new Worker(new URL(import.meta.url), { workerData: ['natural', bundle] });
      const code = await new Promise((resolve, reject) =>
        worker.once('exit', resolve).once('error', reject),
      );
      if (code !== 0) process.exit(8);
    });
    await Promise.all(ends);
  },
};

await endings[ending]();
