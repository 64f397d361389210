/** The bytes of one tensor, at once; tensor-data.ts reads large ones in blocks. */
import { closeSync, openSync, readSync } from 'node:fs';
import { GyrfalconError } from '../../errors.js';
import type { OnnxTensor } from './types.js';

/**
 * @param length what type and dims make of it
 * @throws ONNX_INVALID (another length), IO_ERROR
 */
export function readTensorBytes(tensor: OnnxTensor, length: number): Uint8Array {
  const { source } = tensor;
  const available = source.kind === 'inline' ? source.bytes.byteLength : source.length;
  if (available !== length) {
    throw new GyrfalconError(
      'ONNX_INVALID',
      `expected ${length} bytes for tensor ${JSON.stringify(tensor.name)} but received ${available}`,
    );
  }
  if (source.kind === 'inline') return source.bytes;
  const bytes = new Uint8Array(length);
  if (source.kind === 'joined') {
    let at = 0;
    for (const part of source.parts) {
      const size = part.kind === 'inline' ? part.bytes.byteLength : part.length;
      bytes.set(readTensorBytes({ ...tensor, source: part }, size), at);
      at += size;
    }
    return bytes;
  }
  let file: number | undefined;
  try {
    file = openSync(source.path, 'r');
    let done = 0;
    while (done < length) {
      // One read call takes less than 2 GiB.
      const part = Math.min(length - done, 1 << 28);
      const n = readSync(file, bytes, done, part, source.offset + done);
      if (n === 0) throw new Error('the file is shorter');
      done += n;
    }
  } catch (cause) {
    throw new GyrfalconError('IO_ERROR', `expected to read tensor ${JSON.stringify(tensor.name)}`, {
      cause,
    });
  } finally {
    if (file !== undefined) closeSync(file);
  }
  return bytes;
}
