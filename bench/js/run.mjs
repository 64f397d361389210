// Cost of the JS boundary, on the example's model: filling a batch, a synchronous score, an
// asynchronous round trip. `node bench/js/run.mjs`, after `npm run build`; times in microseconds.
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Bench } from 'tinybench';
import { importModel, loadModel } from '../../dist/index.js';

const source = fileURLToPath(new URL('../../examples/movielens/model.onnx', import.meta.url));
const directory = await mkdtemp(join(tmpdir(), 'gyrfalcon-bench-'));
try {
  await importModel(source, join(directory, 'bundle'));
  const model = await loadModel(join(directory, 'bundle'));
  console.log(
    `node ${process.version}, ${cpus()[0]?.model}, ${model.info.isa}, ${model.info.engine} ${model.info.engineVersion}`,
  );
  const bench = new Bench({ time: 500, warmupTime: 200 });
  for (const rows of [1, 16, 128]) {
    const batch = model.createBatch(rows);
    const ids = Int32Array.from({ length: rows }, (_, i) => i % 50);
    bench.add(`fill user, ${rows} rows`, () => batch.inputs.user.set(ids));
    bench.add(`scoreSync, ${rows} rows`, () => model.scoreSync(batch));
    bench.add(`score, ${rows} rows`, async () => await model.score(batch));
  }
  await bench.run();
  for (const { name, result } of bench.tasks) {
    if (!('latency' in result)) throw new Error(`${name} did not run`);
    const { p50, p99 } = result.latency;
    const show = (milliseconds) => (milliseconds * 1000).toFixed(2).padStart(9);
    console.log(`${name.padEnd(24)} p50 ${show(p50)}  p99 ${show(p99)}`);
  }
  const batch = model.createBatch(1);
  for (let i = 0; i < 1000; i++) model.scoreSync(batch);
  const { lookup, engine } = batch.times;
  console.log(`stages of one row: lookup ${lookup} ns, engine ${engine} ns`);
  await model.close();
} finally {
  await rm(directory, { recursive: true, force: true });
}
