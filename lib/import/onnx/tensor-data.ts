/** Reads the values of tensors: small ones at once, large ones in blocks of rows. */
import { type FileHandle, open } from 'node:fs/promises';

import { GyrfalconError } from '../../errors.js';
import { halfValue } from '../half.js';
import { ioError } from './byte-source.js';
import { elementTypeName } from './element-types.js';
import { BLOCK_BYTES } from './limits.js';
import { type OnnxTensor, OnnxType, type TensorSource } from './types.js';

const SMALL_TENSOR_BYTES = 64 * 1024 * 1024;

/** Rows [start, start + rows) of a table. The arrays are reused: copy what is to be kept. */
export interface RowBlock {
  readonly start: number;
  readonly rows: number;
  /** [rows, dim] */
  readonly values: Float32Array;
}

export interface BlockOptions {
  signal?: AbortSignal | undefined;
  /** Bytes of a block at most; one row is always allowed. */
  blockBytes?: number;
}

/**
 * All bytes of a tensor, little-endian.
 * @throws LIMIT_EXCEEDED past `limit` bytes, IO_ERROR
 */
export async function readTensor(
  tensor: OnnxTensor,
  limit: number = SMALL_TENSOR_BYTES,
): Promise<Uint8Array> {
  const { source } = tensor;
  const length = sourceLength(source);
  if (length > limit) {
    throw new GyrfalconError(
      'LIMIT_EXCEEDED',
      `expected at most ${limit} bytes for tensor ${JSON.stringify(tensor.name)} ` +
        `but received ${length}`,
    );
  }
  if (source.kind === 'inline') return source.bytes;
  const bytes = new Uint8Array(length);
  if (source.kind === 'joined') {
    let done = 0;
    for (const part of source.parts) {
      bytes.set(await readTensor({ ...tensor, source: part }, limit), done);
      done += sourceLength(part);
    }
    return bytes;
  }
  await withFile(source.path, (file) => readFully(file, source.path, bytes, source.offset));
  return bytes;
}

/** The bytes of a tensor in blocks; each block is valid until the next one is asked for. */
export async function* tensorBytes(
  source: TensorSource,
  options: BlockOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  if (source.kind === 'inline') {
    yield source.bytes;
    return;
  }
  if (source.kind === 'joined') {
    for (const part of source.parts) yield* tensorBytes(part, options);
    return;
  }
  const block = new Uint8Array(Math.min(source.length, options.blockBytes ?? BLOCK_BYTES));
  yield* fileBlocks(source, block, options.signal);
}

/** The rows of a [rows, dim] table of float, float16, bfloat16 or double, as f32. */
export async function* tensorRows(
  tensor: OnnxTensor,
  options: BlockOptions = {},
): AsyncGenerator<RowBlock, void, undefined> {
  const { dim, rows } = tableShape(tensor);
  const convert = converter(tensor.dataType);
  const { source } = tensor;
  const rowBytes = dim * convert.width;
  if (source.kind === 'joined') {
    let before = 0;
    for (const part of source.parts) {
      const count = sourceLength(part) / rowBytes;
      const rowsOfPart = { ...tensor, dims: [count, dim], source: part };
      for await (const block of tensorRows(rowsOfPart, options))
        yield { ...block, start: before + block.start };
      before += count;
    }
    return;
  }
  const rowsPerBlock = Math.max(
    1,
    Math.min(rows, Math.floor((options.blockBytes ?? BLOCK_BYTES) / (dim * 4))),
  );
  const values = new Float32Array(rowsPerBlock * dim);
  let start = 0;
  const blockOf = (bytes: Uint8Array): RowBlock => {
    const count = bytes.byteLength / rowBytes;
    const target = values.subarray(0, count * dim);
    convert.run(bytes, target);
    const block = { start, rows: count, values: target };
    start += count;
    return block;
  };
  if (source.kind === 'inline') {
    for (let row = 0; row < rows; row += rowsPerBlock) {
      const end = Math.min(rows, row + rowsPerBlock);
      yield blockOf(source.bytes.subarray(row * rowBytes, end * rowBytes));
    }
    return;
  }
  // Float blocks are read to where they are used.
  const block =
    tensor.dataType === OnnxType.float
      ? new Uint8Array(values.buffer)
      : new Uint8Array(rowsPerBlock * rowBytes);
  for await (const bytes of fileBlocks(source, block, options.signal)) yield blockOf(bytes);
}

/** @throws ONNX_INVALID when the tensor is not a matrix with at least one element */
export function tableShape(tensor: OnnxTensor): { rows: number; dim: number } {
  const [rows, dim] = tensor.dims;
  if (tensor.dims.length !== 2 || rows === undefined || dim === undefined || rows * dim === 0) {
    throw new GyrfalconError(
      'ONNX_INVALID',
      `expected dims [rows, dim] for table ${JSON.stringify(tensor.name)} ` +
        `but received [${tensor.dims.join(', ')}]`,
    );
  }
  return { rows, dim };
}

export function sourceLength(source: TensorSource): number {
  return source.kind === 'inline' ? source.bytes.byteLength : source.length;
}

async function* fileBlocks(
  source: Extract<TensorSource, { kind: 'file' }>,
  block: Uint8Array,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await openFile(source.path);
  try {
    for (let done = 0; done < source.length; ) {
      if (signal?.aborted === true) {
        throw new GyrfalconError('ABORTED', 'the import was aborted', { cause: signal.reason });
      }
      const bytes = block.subarray(0, Math.min(block.byteLength, source.length - done));
      await readFully(file, source.path, bytes, source.offset + done);
      done += bytes.byteLength;
      yield bytes;
    }
  } finally {
    await file.close();
  }
}

async function withFile(path: string, use: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await openFile(path);
  try {
    await use(file);
  } finally {
    await file.close();
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    throw ioError(`cannot open ${path}`, cause);
  }
}

async function readFully(
  file: FileHandle,
  path: string,
  into: Uint8Array,
  offset: number,
): Promise<void> {
  let done = 0;
  while (done < into.byteLength) {
    let read: number;
    try {
      ({ bytesRead: read } = await file.read(into, done, into.byteLength - done, offset + done));
    } catch (cause) {
      throw ioError(`cannot read ${path}`, cause);
    }
    if (read === 0)
      throw new GyrfalconError('IO_ERROR', `${path} became shorter while it was read`);
    done += read;
  }
}

interface Converter {
  /** Bytes of a source element. */
  readonly width: number;
  run(bytes: Uint8Array, into: Float32Array): void;
}

function converter(dataType: number): Converter {
  switch (dataType) {
    case OnnxType.float:
      return { width: 4, run: copyFloats };
    case OnnxType.float16:
      return { width: 2, run: convertHalves };
    case OnnxType.bfloat16:
      return { width: 2, run: convertBfloats };
    case OnnxType.double:
      return { width: 8, run: convertDoubles };
    default:
      throw new GyrfalconError(
        'ONNX_UNSUPPORTED',
        `expected a table of float, float16, bfloat16 or double but received ` +
          elementTypeName(dataType),
      );
  }
}

function copyFloats(bytes: Uint8Array, into: Float32Array): void {
  if (bytes.buffer === into.buffer) return;
  new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(bytes);
}

function convertHalves(bytes: Uint8Array, into: Float32Array): void {
  halfValues ??= Float32Array.from({ length: 65536 }, (_, bits) => halfValue(bits));
  for (let i = 0; i < into.length; i++) {
    const bits = (bytes[2 * i] as number) | ((bytes[2 * i + 1] as number) << 8);
    into[i] = halfValues[bits] as number;
  }
}

function convertBfloats(bytes: Uint8Array, into: Float32Array): void {
  const target = new Uint32Array(into.buffer, into.byteOffset, into.length);
  for (let i = 0; i < target.length; i++) {
    target[i] = ((bytes[2 * i] as number) << 16) | ((bytes[2 * i + 1] as number) << 24);
  }
}

function convertDoubles(bytes: Uint8Array, into: Float32Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < into.length; i++) into[i] = view.getFloat64(8 * i, true);
}

let halfValues: Float32Array | undefined;
