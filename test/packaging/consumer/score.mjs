// A user's program: imports a model, scores it in the main thread and in a worker, and compares
// with ONNX Runtime on the original.
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { capabilities, importModel, loadModel } from 'gyrfalcon';
import ort from 'onnxruntime-node';

const ROWS = 3;
const dense = Float32Array.from({ length: ROWS * 4 }, (_, i) => Math.sin(i));
const ids = { user: [0, 39, 7], item: [24, 0, 3], genre: [59, 1, 0] };

const workerCode = `
  const { workerData, parentPort } = require('node:worker_threads');
  (async () => {
    const { loadModel } = await import(workerData.entry);
    const model = await loadModel(workerData.bundle);
    const batch = model.createBatch(${ROWS});
    batch.inputs.dense.set(workerData.dense);
    for (const [name, values] of Object.entries(workerData.ids)) batch.inputs[name].set(values);
    batch.rows = ${ROWS};
    parentPort.postMessage([...model.scoreSync(batch).score]);
    await model.close();
  })();
`;

function scoreInWorker(bundle) {
  const entry = import.meta.resolve('gyrfalcon');
  const worker = new Worker(workerCode, { eval: true, workerData: { entry, bundle, dense, ids } });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

const bundle = fileURLToPath(new URL('bundle', import.meta.url));
const onnx = fileURLToPath(new URL('model.onnx', import.meta.url));
rmSync(bundle, { recursive: true, force: true });
await importModel(onnx, bundle);

const model = await loadModel(bundle);
const batch = model.createBatch(8);
batch.inputs.dense.set(dense);
for (const [name, values] of Object.entries(ids)) batch.inputs[name].set(values);
batch.rows = ROWS;
const main = [...model.scoreSync(batch).score.subarray(0, ROWS)];
await model.close();

const session = await ort.InferenceSession.create(onnx);
const tensor = (values) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [ROWS]);
const expected = await session.run({
  dense: new ort.Tensor('float32', dense, [ROWS, 4]),
  ...Object.fromEntries(Object.entries(ids).map(([name, values]) => [name, tensor(values)])),
});

console.log(
  JSON.stringify({
    main,
    worker: await scoreInWorker(bundle),
    expected: [...expected.score.data],
    capabilities: capabilities(),
  }),
);
