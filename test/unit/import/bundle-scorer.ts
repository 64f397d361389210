/**
 * Scores a lowered model as docs/bundle-format.md says, in plain TypeScript, with the dense graph in
 * onnxruntime-node: the reference that importer tests compare with, independent of the addon.
 */
import { join } from 'node:path';

import { InferenceSession, Tensor } from 'onnxruntime-node';

import { GyrfalconError } from '../../../lib/errors.js';
import type { LoweredModel } from '../../../lib/import/lowered.js';
import type { DtypeName, ManifestBag } from '../../../lib/import/manifest.js';
import { tensorRows } from '../../../lib/import/onnx/tensor-data.js';
import { writeOnnxModel } from '../../../lib/import/onnx/write.js';
import { type TensorData, toTensorData } from '../../../lib/import/tensor-values.js';
import type {
  NamedTensor,
  OriginalInput,
  OriginalModel,
  ScoredBundle,
} from '../../../lib/import/verify.js';
import { type Sample, sizeOf } from '../../../lib/import/verify-sample.js';
import { idOf, isCut } from './id-steps.js';
import { withDirectory } from './onnx-builder.js';

const ORT_TYPES: Record<DtypeName, string> = {
  f32: 'float32',
  f64: 'float64',
  f16: 'float16',
  bf16: 'bfloat16',
  i8: 'int8',
  u8: 'uint8',
  i16: 'int16',
  u16: 'uint16',
  i32: 'int32',
  i64: 'int64',
  bool: 'bool',
};

async function runSession(
  session: InferenceSession,
  feeds: Map<string, { dtype: DtypeName; data: TensorData; dims: number[] }>,
): Promise<Record<string, NamedTensor>> {
  const tensors: Record<string, Tensor> = {};
  for (const [name, { dtype, data, dims }] of feeds) {
    tensors[name] = new Tensor(ORT_TYPES[dtype] as 'float32', data as Float32Array, dims);
  }
  let outputs: InferenceSession.ReturnType;
  try {
    outputs = await session.run(tensors);
  } catch (cause) {
    throw new GyrfalconError('ENGINE_FAILED', String(cause), { cause });
  }
  const result: Record<string, NamedTensor> = {};
  for (const [name, tensor] of Object.entries(outputs)) {
    result[name] = { data: tensor.data as TensorData, dims: [...tensor.dims] };
  }
  return result;
}

/** `inputs`: what the model declares. */
export async function openOriginal(
  path: string,
  inputs: readonly OriginalInput[],
): Promise<OriginalModel> {
  const session = await InferenceSession.create(path, { logSeverityLevel: 4 });
  const dtypes = new Map(inputs.map(({ name, dtype }) => [name, dtype]));
  return {
    inputs,
    run: (feeds) => {
      const typed = Object.entries(feeds).map(
        ([name, tensor]) => [name, { ...tensor, dtype: dtypes.get(name) as DtypeName }] as const,
      );
      return runSession(session, new Map(typed));
    },
    close: () => session.release(),
  };
}

export async function openLowered(model: LoweredModel): Promise<ScoredBundle> {
  const session = await withDirectory(async (directory) => {
    const path = join(directory, 'dense.onnx');
    await writeOnnxModel(model.dense, path);
    return await InferenceSession.create(path, { logSeverityLevel: 4 });
  });
  const tables = new Map<string, Float32Array>();
  for (const table of model.tables) {
    const values = new Float32Array(table.rows * table.dim);
    for await (const block of tensorRows(table.tensor)) {
      values.set(block.values, block.start * table.dim);
    }
    tables.set(table.name, values);
  }
  return {
    score: async (sample) => {
      const feeds = new Map<string, { dtype: DtypeName; data: TensorData; dims: number[] }>();
      for (const { name, shape } of model.slots) {
        const dims = shape.map((extent) => sizeOf(extent, sample.rows, sample.symbols));
        const data = new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(NaN);
        for (const bag of model.bags) if (bag.slot === name) pool(model, tables, bag, sample, data);
        feeds.set(name, { dtype: 'f32', data, dims });
      }
      for (const input of model.inputs) {
        const value = sample.inputs.get(input.name);
        if (!model.denseInputs.includes(input.name) || value?.kind !== 'tensor') continue;
        const data = toTensorData(input.dtype, value.values);
        feeds.set(input.name, { dtype: input.dtype, data, dims: value.dims });
      }
      const outputs = await runSession(session, feeds);
      return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
    },
    close: () => session.release(),
  };
}

/** One bag for every batch row. */
function pool(
  model: LoweredModel,
  tables: ReadonlyMap<string, Float32Array>,
  bag: ManifestBag,
  sample: Sample,
  slot: Float32Array,
): void {
  const table = model.tables.find(({ name }) => name === bag.table);
  const values = tables.get(bag.table);
  if (table === undefined || values === undefined) throw new Error(`no table ${bag.table}`);
  const { dim } = table;
  const slotRow = slot.length / sample.rows;
  for (let row = 0; row < sample.rows; row++) {
    const ids = idsOf(bag, sample, row);
    const at = row * slotRow + bag.offset;
    let counted = 0;
    if (bag.pooling !== 'none') slot.fill(0, at, at + dim);
    ids.forEach(({ id, weight }, i) => {
      const target = bag.pooling === 'none' ? at + i * dim : at;
      if (bag.pooling === 'none') slot.fill(0, target, target + dim);
      if (id === undefined) return;
      if (id < 0 || id >= table.rows) throw new Error(`id ${id} outside ${bag.table}`);
      counted++;
      for (let d = 0; d < dim; d++) {
        slot[target + d] = (slot[target + d] as number) + weight * (values[id * dim + d] as number);
      }
    });
    if (bag.pooling === 'mean' && counted > 0) {
      for (let d = 0; d < dim; d++) slot[at + d] = (slot[at + d] as number) / counted;
    }
  }
}

function rowOf(values: Float64Array, rows: number, row: number): Float64Array {
  const width = values.length / rows;
  return values.subarray(row * width, (row + 1) * width);
}

/** The rows of the table that a batch row asks for; undefined for padding. */
function idsOf(
  bag: ManifestBag,
  sample: Sample,
  row: number,
): { id: number | undefined; weight: number }[] {
  const input = sample.inputs.get(bag.input);
  const lengths = bag.length === undefined ? undefined : sample.inputs.get(bag.length.input);
  const lengthRow =
    lengths?.kind === 'tensor' ? rowOf(lengths.values, sample.rows, row) : undefined;
  const own = input?.kind === 'tensor' ? rowOf(input.values, sample.rows, row) : undefined;
  const shifted = (raw: number, i: number): number | undefined => {
    const id = isCut(bag, i, lengthRow)
      ? undefined
      : idOf(bag, raw, i, (element) => own?.at(element) ?? raw);
    if (id === undefined) return undefined;
    return id + (Array.isArray(bag.add) ? (bag.add[i] ?? 0) : (bag.add ?? 0));
  };
  if (input?.kind === 'ragged') {
    const ids: { id: number | undefined; weight: number }[] = [];
    const end = input.offsets[row + 1] as number;
    for (let i = input.offsets[row] as number; i < end; i++) {
      const weight = bag.weights === true ? (input.weights?.[i] as number) : 1;
      ids.push({ id: shifted(input.indices[i] as number, 0), weight });
    }
    return ids;
  }
  if (input === undefined) throw new Error(`no input ${bag.input}`);
  const count = sizeOf(bag.count ?? 1, sample.rows, sample.symbols);
  return Array.from({ length: count }, (_, i) => {
    const raw = own?.at((bag.start ?? 0) + i * (bag.step ?? 1)) as number;
    let weight = 1;
    if (typeof bag.weights === 'object') {
      const from = sample.inputs.get(bag.weights.input);
      if (from?.kind !== 'tensor') throw new Error(`no weights ${bag.weights.input}`);
      const weightSize = from.values.length / sample.rows;
      const position = row * weightSize + bag.weights.start + i * bag.weights.step;
      weight = Math.fround(from.values[position] as number);
    }
    return { id: shifted(raw, i), weight };
  });
}
