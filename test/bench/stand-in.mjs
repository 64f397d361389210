#!/usr/bin/env node
// Takes Python's place in the benchmark against peers: as ONNX Runtime it gives wrong answers, as
// PyTorch it is not installed, as torch.compile it dies. STAND_IN_LOG: the file that notes what
// they were asked.
import { appendFileSync } from 'node:fs';
import { readFrames, writeFrame } from '../../build/bench/bench/peers/frames.js';

const name = process.argv.at(-1);
if (name === 'side_torch:compile') {
  process.stderr.write('no more memory\n');
  process.exit(3);
}
let batch = 0;
for await (const { header } of readFrames(process.stdin)) {
  const { command, count = 0 } = header;
  appendFileSync(process.env.STAND_IN_LOG ?? '', `${name} ${command}\n`);
  if (name === 'side_torch') {
    writeFrame(process.stdout, { ok: false, missing: true, error: "No module named 'torch'" });
    continue;
  }
  batch = header.batch ?? batch;
  // Plausible and different from each other, but not what the model says.
  const outputs = Float32Array.from({ length: batch * count }, (_, i) => 0.3 + 0.05 * (i % 9));
  const answers = { outputs: [outputs], measure: [Float64Array.of(1, 1, 1)] };
  writeFrame(process.stdout, { ok: true, details: {} }, answers[command] ?? []);
}
