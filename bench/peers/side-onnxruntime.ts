/** onnxruntime-node on the whole graph: inputs and outputs in tensors that are made once. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { MODEL_FILE } from './generate.js';
import { OUTPUT } from './graph.js';
import { type LoadCommand, type SideModel, serve } from './side-loop.js';

const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as {
  version: string;
};

await serve(async ({ model, threads }: LoadCommand): Promise<SideModel> => {
  const options: InferenceSession.SessionOptions = {
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    enableCpuMemArena: true,
    enableMemPattern: true,
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  };
  const session = await InferenceSession.create(join(model ?? '', MODEL_FILE), options);
  const shape = session.outputMetadata[0];
  const width = shape?.isTensor === true ? Number(shape.shape.at(-1)) : 1;
  let feeds: Record<string, Tensor> = {};
  let fetches: Record<string, Tensor> = {};
  let ids = new BigInt64Array();
  let dense = new Float32Array();
  let output = new Float32Array();
  return {
    details: { version, threads, ...options },
    shape: ({ batch, idWidth, denseWidth }) => {
      ids = new BigInt64Array(batch * idWidth);
      dense = new Float32Array(batch * denseWidth);
      output = new Float32Array(batch * width);
      feeds = { sparse: new Tensor('int64', ids, [batch, idWidth]) };
      if (denseWidth > 0) feeds['dense'] = new Tensor('float32', dense, [batch, denseWidth]);
      fetches = { [OUTPUT]: new Tensor('float32', output, [batch, width]) };
    },
    prepare: (ring, index) => {
      const count = ring.batch * ring.idWidth;
      const from = index * count;
      for (let i = 0; i < count; i++) ids[i] = BigInt(ring.ids[from + i] ?? 0);
      const size = ring.batch * ring.denseWidth;
      dense.set(ring.dense.subarray(index * size, (index + 1) * size));
    },
    run: () => session.run(feeds, fetches),
    output: () => output,
  };
});
