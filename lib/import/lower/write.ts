/** Writes fused.json and fused.safetensors; docs/fused-format.md is the specification. */
import { join } from 'node:path';

import { GyrfalconError } from '../../errors.js';
import type { TableCodec } from '../codec.js';
import { FileWriter } from '../file-writer.js';
import type { Manifest } from '../manifest.js';
import { throwIfAborted } from '../onnx/read.js';
import { safetensorsHeader } from '../safetensors-writer.js';
import { count } from './constant.js';
import type { Emitted } from './emit.js';

export const GRAPH_FILE = 'fused.json';
export const WEIGHTS_FILE = 'fused.safetensors';
/** The limit of every JSON file of a bundle. */
const MAX_JSON_BYTES = 16 * 1024 * 1024;

export interface WriteFusedOptions {
  codec: TableCodec;
  signal?: AbortSignal | undefined;
  /** Bytes of weights. */
  onProgress?: (done: number, total: number) => void;
}

/** The text of fused.json; null when it is longer than readers take. */
export function graphText(emitted: Emitted): Uint8Array | null {
  const bytes = Buffer.from(`${JSON.stringify(emitted.graph)}\n`, 'utf8');
  return bytes.byteLength > MAX_JSON_BYTES ? null : bytes;
}

/**
 * Writes both files into `directory` and makes them durable. One tensor is in memory at a time.
 * @throws LIMIT_EXCEEDED, IO_ERROR, ABORTED
 */
export async function writeFused(
  emitted: Emitted,
  directory: string,
  options: WriteFusedOptions,
): Promise<NonNullable<Manifest['fused']>> {
  const text = graphText(emitted);
  if (text === null) {
    throw new GyrfalconError(
      'LIMIT_EXCEEDED',
      `expected a fused graph of at most ${MAX_JSON_BYTES} bytes`,
    );
  }
  const hash = options.codec.createHash();
  await writeFile(join(directory, GRAPH_FILE), async (file) => {
    hash.update(text);
    await file.write(text);
  });
  const weights = options.codec.createHash();
  const total = emitted.weights.reduce((sum, { constant }) => sum + 4 * count(constant), 0);
  await writeFile(join(directory, WEIGHTS_FILE), async (file) => {
    const tensors = emitted.weights.map(({ name, constant }) => ({
      name,
      dtype: 'F32',
      shape: constant.dims,
      bytes: 4 * count(constant),
    }));
    await file.write(safetensorsHeader(tensors));
    let done = 0;
    for (const { name, constant } of emitted.weights) {
      throwIfAborted(options.signal);
      const data = constant.read();
      if (data.length !== count(constant)) {
        throw new GyrfalconError(
          'INTERNAL',
          `expected ${count(constant)} numbers for ${JSON.stringify(name)} but received ${data.length}`,
        );
      }
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      weights.update(bytes);
      await file.write(bytes);
      done += bytes.byteLength;
      options.onProgress?.(done, total);
    }
  });
  return {
    file: GRAPH_FILE,
    xxh64: hash.digest(),
    weights: WEIGHTS_FILE,
    weightsXxh64: weights.digest(),
  };
}

async function writeFile(path: string, fill: (file: FileWriter) => Promise<void>): Promise<void> {
  const file = await FileWriter.create(path);
  try {
    await fill(file);
    await file.finish();
  } catch (error) {
    await file.abandon();
    throw error;
  }
}
