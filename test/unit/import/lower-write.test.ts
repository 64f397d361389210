import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { renderSummary, summarize } from '../../../lib/cli/inspect.js';
import { analyze } from '../../../lib/import/analyze/index.js';
import { writeBundle } from '../../../lib/import/bundle-writer.js';
import { type Emitted, lower } from '../../../lib/import/lower/index.js';
import { writeFused } from '../../../lib/import/lower/write.js';
import { readOnnxModel } from '../../../lib/import/onnx/read.js';
import { MODELS } from './analyze-support.js';
import { referenceCodec, xxh64 } from './bundle-codec.js';
import { codeOf, withDirectory } from './onnx-builder.js';

async function fusedOf(file: string): Promise<Emitted> {
  const lowered = lower(analyze(await readOnnxModel(join(MODELS, file))));
  if ('reason' in lowered) throw new Error(lowered.reason);
  return lowered;
}

function readTensors(file: Uint8Array): { names: string[]; data: Uint8Array; header: object } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const text = Buffer.from(file.subarray(8, 8 + length)).toString();
  const header = JSON.parse(text) as object;
  return { names: Object.keys(header), data: file.subarray(8 + length), header };
}

describe('writeFused', () => {
  it('writes a graph and weights whose hashes are those it gives', async () => {
    const emitted = await fusedOf('dlrm-columns.dynamo.onnx');
    await withDirectory(async (directory) => {
      const entry = await writeFused(emitted, directory, { codec: referenceCodec });
      const graph = readFileSync(join(directory, entry.file));
      expect(entry.xxh64).toBe(xxh64(graph));
      expect(JSON.parse(graph.toString())).toEqual(emitted.graph);
      const { names, data, header } = readTensors(readFileSync(join(directory, entry.weights)));
      expect(entry.weightsXxh64).toBe(xxh64(data));
      expect(names).toEqual(emitted.graph.constants.map(({ name }) => name));
      let at = 0;
      for (const [i, { name, shape }] of emitted.graph.constants.entries()) {
        const values = emitted.weights[i]?.constant.read() as Float32Array;
        const bytes = values.length * 4;
        expect(Reflect.get(header, name)).toEqual({
          dtype: 'F32',
          shape,
          data_offsets: [at, at + bytes],
        });
        const copy = Uint8Array.from(data.subarray(at, at + bytes));
        expect(new Float32Array(copy.buffer)).toEqual(Float32Array.from(values));
        at += bytes;
      }
      expect(at).toBe(data.byteLength);
    });
  });

  it('aligns the data to 64 bytes', async () => {
    const emitted = await fusedOf('mmoe.dynamo.onnx');
    await withDirectory(async (directory) => {
      const { weights } = await writeFused(emitted, directory, { codec: referenceCodec });
      const file = readFileSync(join(directory, weights));
      expect(Number(file.readBigUInt64LE(0) + 8n) % 64).toBe(0);
    });
  });

  it('stops between tensors when it is aborted', async () => {
    const emitted = await fusedOf('dlrm-columns.dynamo.onnx');
    const controller = new AbortController();
    await withDirectory(async (directory) => {
      const onProgress = (): void => controller.abort();
      const { signal } = controller;
      const options = { codec: referenceCodec, signal, onProgress };
      expect(await codeOf(() => writeFused(emitted, directory, options))).toBe('ABORTED');
    });
  });

  it('goes into the manifest when a bundle is given one', async () => {
    const analyzed = analyze(await readOnnxModel(join(MODELS, 'no-tables.dynamo.onnx')));
    const fused = lower(analyzed);
    if ('reason' in fused) throw new Error(fused.reason);
    const options = { storage: new Map(), codec: referenceCodec, producer: 'test' };
    await withDirectory(async (directory) => {
      const manifest = await writeBundle(analyzed, directory, { ...options, fused });
      expect(manifest.fused).toMatchObject({ file: 'fused.json', weights: 'fused.safetensors' });
      expect(readdirSync(directory)).toContain('fused.json');
      const summary = await summarize(directory);
      expect(summary.fused?.nodes).toBe(fused.graph.nodes.length);
      expect(renderSummary(summary)).toContain('fused graph: fused.json');
    });
    await withDirectory(async (directory) => {
      const manifest = await writeBundle(analyzed, directory, options);
      expect(manifest).not.toHaveProperty('fused');
      expect(readdirSync(directory)).not.toContain('fused.json');
      expect((await summarize(directory)).fused).toBeNull();
    });
  });
});
