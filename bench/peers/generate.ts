/** Writes the models and tables that are measured, from a seed. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FileWriter } from '#lib/import/file-writer.js';
import { safetensorsHeader, TABLE_TENSOR } from '#lib/import/safetensors-writer.js';
import { buildGraph, type Weight, weights } from './graph.js';
import { FastRandom, seedFor } from './random.js';
import { type BagWorkload, rowBytes, type Workload } from './workloads.js';

export const MODEL_FILE = 'model.onnx';
export const DATA_FILE = 'model.data';
export const SPEC_FILE = 'spec.json';

/** Where everything lies in the data file; what the Python peers read instead of the ONNX model. */
export interface ModelSpec {
  readonly workload: Workload;
  readonly tensors: Readonly<Record<string, { offset: number; dims: readonly number[] }>>;
}

/** Tensors begin at pages, so that a mapped file has aligned rows. */
const PAGE = 4096;
const BLOCK = 1 << 20;

const elements = ({ dims }: Weight): number => dims.reduce((product, dim) => product * dim, 1);

/** Writes model, data and spec into `directory`, which is made. */
export async function generateModel(
  workload: Workload,
  directory: string,
  seed: number,
): Promise<ModelSpec> {
  await mkdir(directory, { recursive: true });
  const tensors: Record<string, { offset: number; dims: readonly number[] }> = {};
  const file = await FileWriter.create(join(directory, DATA_FILE));
  const block = new Float32Array(BLOCK);
  for (const weight of weights(workload)) {
    const random = new FastRandom(seedFor(seed, weight.name));
    tensors[weight.name] = { offset: file.bytes, dims: weight.dims };
    for (let left = elements(weight); left > 0; left -= BLOCK) {
      const part = block.subarray(0, Math.min(left, BLOCK));
      random.fill(part, weight.scale);
      await file.write(new Uint8Array(part.buffer, 0, part.byteLength));
    }
    await file.write(new Uint8Array((PAGE - (file.bytes % PAGE)) % PAGE));
  }
  await file.finish();
  const model = buildGraph(
    workload,
    (weight) => ({
      name: weight.name,
      type: 'f32',
      dims: weight.dims,
      external: { offset: tensors[weight.name]?.offset ?? 0, length: 4 * elements(weight) },
    }),
    DATA_FILE,
  );
  await writeFile(join(directory, MODEL_FILE), model);
  const spec = { workload, tensors };
  await writeFile(join(directory, SPEC_FILE), JSON.stringify(spec));
  return spec;
}

export interface BagTable {
  readonly file: string;
  readonly rows: number;
  /** Where the first row is in the file. */
  readonly dataOffset: number;
}

/** One table of about `bytes`, in the rows' storage: quantised rows are drawn, not computed. */
export async function generateBag(
  bag: BagWorkload,
  directory: string,
  seed: number,
  bytes: number,
): Promise<BagTable> {
  await mkdir(directory, { recursive: true });
  const width = rowBytes(bag.storage, bag.dim);
  const rows = Math.floor(bytes / width);
  const path = join(directory, 'table.safetensors');
  const file = await FileWriter.create(path);
  const plain = bag.storage === 'f32';
  const shape = [rows, plain ? bag.dim : width];
  const dtype = plain ? 'F32' : 'U8';
  await file.write(safetensorsHeader([{ name: TABLE_TENSOR, dtype, shape, bytes: rows * width }]));
  const dataOffset = file.bytes;
  const random = new FastRandom(seedFor(seed, bag.name));
  const perBlock = Math.floor((4 * BLOCK) / width / 4) * 4;
  for (let done = 0; done < rows; done += perBlock) {
    const count = Math.min(perBlock, rows - done);
    const block = Buffer.alloc(count * width + 4);
    drawRows(bag, block, count, random);
    await file.write(block.subarray(0, count * width));
  }
  await file.finish();
  return { file: path, rows, dataOffset };
}

/** `block` has room for `rows` and a last partial word. */
function drawRows(bag: BagWorkload, block: Buffer, rows: number, random: FastRandom): void {
  const width = rowBytes(bag.storage, bag.dim);
  const words = Math.ceil((rows * width) / 4);
  if (bag.storage === 'f32') {
    random.fill(new Float32Array(block.buffer, block.byteOffset, words), 1);
    return;
  }
  const values = new Int32Array(block.buffer, block.byteOffset, words);
  for (let i = 0; i < words; i++) values[i] = random.word();
  for (let row = 0; row < rows; row++) {
    const end = (row + 1) * width;
    if (bag.storage === 'int8') {
      // Values of about -1 to 1.
      block.writeFloatLE((1 + random.unit()) / 256, end - 8);
      block.writeFloatLE(-0.5 - random.unit() / 2, end - 4);
    } else {
      // Halves with a drawn mantissa: scale 1/16 to 1/8, bias -1/2 to -1.
      block.writeUInt16LE((11 << 10) | (random.word() & 0x3ff), end - 4);
      block.writeUInt16LE(0x8000 | (14 << 10) | (random.word() & 0x3ff), end - 2);
    }
  }
}
