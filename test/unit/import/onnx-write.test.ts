import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';

import { parseOnnxModel, readOnnxModel } from '../../../lib/import/onnx/read.js';
import { readTensor } from '../../../lib/import/onnx/tensor-data.js';
import type { OnnxGraph, OnnxModel, OnnxNode, OnnxTensor } from '../../../lib/import/onnx/types.js';
import { encodeOnnxModel, writeOnnxModel } from '../../../lib/import/onnx/write.js';
import { referenceHash } from './bundle-codec.js';
import {
  codeOf,
  external,
  model,
  nested,
  raw,
  tensor,
  valueInfo,
  withDirectory,
} from './onnx-builder.js';

const MODELS = join(import.meta.dirname, '../../models');
const fixtures = readdirSync(MODELS).filter((file) => file.endsWith('.onnx'));

/** The model with every tensor's bytes in place of its source. */
async function plain(of: OnnxModel): Promise<unknown> {
  const tensorOf = async (t: OnnxTensor) => ({
    ...t,
    source: Buffer.from(await readTensor(t)).toString('base64'),
  });
  const nodeOf = async (n: OnnxNode): Promise<unknown> => {
    const attributes: unknown[] = [];
    for (const [name, a] of n.attributes) {
      if (a.type === 'graph') attributes.push([name, await graphOf(a.value)]);
      else if (a.type === 'tensor') attributes.push([name, await tensorOf(a.value)]);
      else attributes.push([name, a]);
    }
    return { ...n, attributes };
  };
  const graphOf = async (g: OnnxGraph): Promise<unknown> => ({
    ...g,
    nodes: await Promise.all(g.nodes.map(nodeOf)),
    initializers: await Promise.all([...g.initializers.values()].map(tensorOf)),
    valueInfo: [...g.valueInfo.values()].filter((info) => info.dataType !== 0),
  });
  return {
    ...of,
    graph: await graphOf(of.graph),
    functions: await Promise.all(
      of.functions.map(async (f) => ({ ...f, nodes: await Promise.all(f.nodes.map(nodeOf)) })),
    ),
  };
}

describe('writeOnnxModel', () => {
  it.each(fixtures)(
    'writes %s so that it reads the same and ONNX Runtime takes it',
    async (file) => {
      await withDirectory(async (directory) => {
        const original = await readOnnxModel(join(MODELS, file));
        const path = join(directory, 'copy.onnx');
        const hash = referenceHash();
        const { bytes, xxh64 } = await writeOnnxModel(original, path, { maxDepth: 16, hash });
        const written = readFileSync(path);
        expect(bytes).toBe(written.byteLength);
        const again = referenceHash();
        again.update(written);
        expect(xxh64).toBe(again.digest());
        expect(await plain(await readOnnxModel(path))).toEqual(await plain(original));
        const session = await InferenceSession.create(path, { logSeverityLevel: 3 });
        expect(session.inputNames).toEqual(original.graph.inputs.map((input) => input.name));
        await session.release();
      });
    },
  );

  it('puts external data inside', async () => {
    await withDirectory(async (directory) => {
      writeFileSync(join(directory, 'w.bin'), new Uint8Array(Float32Array.of(9, 5, 6).buffer));
      const data = external({ location: 'w.bin', offset: '4' });
      writeFileSync(join(directory, 'm.onnx'), model({ initializers: [tensor({ data })] }));
      const path = join(directory, 'copy.onnx');
      await writeOnnxModel(await readOnnxModel(join(directory, 'm.onnx')), path);
      const copy = parseOnnxModel(readFileSync(path));
      const bytes = await readTensor(copy.graph.initializers.get('w') as OnnxTensor);
      expect([...new Float32Array(bytes.slice().buffer)]).toEqual([5, 6]);
    });
  });

  it('lifts the IR version to where initializers need not be inputs', () => {
    const read = parseOnnxModel(
      model({ ir: 3, initializers: [tensor()], inputs: [valueInfo('x'), valueInfo('w')] }),
    );
    expect(parseOnnxModel(encodeOnnxModel(read)).irVersion).toBe(4);
  });

  it('accepts subgraphs 4 deep and no deeper', () => {
    const deep = (depth: number) => parseOnnxModel(model({ nodes: [nested(depth)] }));
    expect(encodeOnnxModel(deep(4)).byteLength).toBeGreaterThan(0);
    expect(() => encodeOnnxModel(deep(5))).toThrow(/subgraphs at most 4 deep/);
  });

  it('takes models up to 2^31 - 1 bytes and leaves nothing behind', async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, 'out.onnx');
      const sized = (length: number): OnnxModel => {
        const read = parseOnnxModel(model({ initializers: [tensor({ data: [raw(1, 2)] })] }));
        read.graph.initializers.set('w', {
          name: 'w',
          dataType: 2,
          dims: [length],
          source: { kind: 'file', path: join(directory, 'absent.bin'), offset: 0, length },
        });
        return read;
      };
      // At the limit the write begins, and stops at the file that is not there.
      const guess = 2 ** 31 - 1 - 1000;
      expect(await codeOf(() => writeOnnxModel(sized(guess), path))).toBe('IO_ERROR');
      expect(await codeOf(() => writeOnnxModel(sized(2 ** 31 - 1), path))).toBe('LIMIT_EXCEEDED');
      expect(existsSync(path)).toBe(false);
    });
  });

  it('never writes over a file', async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, 'out.onnx');
      writeFileSync(path, 'kept');
      expect(await codeOf(() => writeOnnxModel(parseOnnxModel(model()), path))).toBe('IO_ERROR');
      expect(statSync(path).size).toBe(4);
    });
  });

  it('stops when aborted, between blocks', async () => {
    await withDirectory(async (directory) => {
      writeFileSync(join(directory, 'w.bin'), new Uint8Array(8));
      const data = external({ location: 'w.bin' });
      writeFileSync(join(directory, 'm.onnx'), model({ initializers: [tensor({ data })] }));
      const read = await readOnnxModel(join(directory, 'm.onnx'));
      const path = join(directory, 'out.onnx');
      const signal = AbortSignal.abort();
      expect(await codeOf(() => writeOnnxModel(read, path, { signal }))).toBe('ABORTED');
      expect(existsSync(path)).toBe(false);
    });
  });
});
