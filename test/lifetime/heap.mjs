// Prints how many bytes of the JavaScript heap a call takes, by what is called. Bundle: first
// argument; engine: second. Needs --expose-gc, and a new space that holds what a round allocates,
// so that nothing is collected in the midst of it.
import { getHeapStatistics } from 'node:v8';
import { loadModel } from '../../dist/index.js';

const [bundle, engine] = process.argv.slice(2);
const CALLS = 2000;
const ROUNDS = 9;

const model = await loadModel(bundle, { engine });
const batch = model.createBatch(4);
let kept;
const calls = {
  // Twice, and with a changed number of rows: what is found by rows must not be made anew.
  scoreSync: () => {
    batch.rows = 4;
    model.scoreSync(batch);
    batch.rows = 3;
    kept = model.scoreSync(batch).score;
  },
  // Controls, from the smallest object to one that a caller might make: they must be seen.
  object: () => {
    kept = { batch };
  },
  copy: () => {
    kept = model.scoreSync(batch).score.slice();
  },
  times: () => {
    model.scoreSync(batch);
    kept = batch.times;
  },
};

const used = () => getHeapStatistics().used_heap_size;
function round(call) {
  for (let i = 0; i < CALLS; i++) call();
  globalThis.gc();
  const before = used();
  for (let i = 0; i < CALLS; i++) call();
  return used() - before;
}

const report = {};
for (const [name, call] of Object.entries(calls)) {
  // The least: compilers at work allocate too, now and then, which no call did.
  report[name] = Math.min(...Array.from({ length: ROUNDS }, () => round(call))) / CALLS;
}
// What reading the heap's size takes, shared by the calls of a round.
globalThis.gc();
const start = used();
report.reading = (used() - start) / CALLS;
process.stdout.write(JSON.stringify({ ...report, kept: kept !== undefined }));
await model.close();
