/** Rows of tables from files, dequantised: an account of the formats that shares no kernel. */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { rowBytes } from './workloads.js';

export interface StoredTable {
  readonly path: string;
  /** Of the first row. */
  readonly offset: number;
  readonly storage: string;
  readonly dim: number;
}

/** The tables of a bundle, by name. */
export async function bundleTables(
  bundle: string,
  manifest: { tables: readonly { name: string; file: string; storage: string; dim: number }[] },
): Promise<Map<string, StoredTable>> {
  const found = new Map<string, StoredTable>();
  for (const { name, file, storage, dim } of manifest.tables) {
    const path = join(bundle, file);
    const handle = await open(path);
    const lead = Buffer.alloc(8);
    await handle.read(lead, 0, 8, 0);
    await handle.close();
    found.set(name, { path, offset: 8 + Number(lead.readBigUInt64LE(0)), storage, dim });
  }
  return found;
}

/** @returns [rows, dim] */
export async function readRows(table: StoredTable, rows: ArrayLike<number>): Promise<Float32Array> {
  const handle = await open(table.path);
  try {
    const out = new Float32Array(rows.length * table.dim);
    for (let i = 0; i < rows.length; i++) {
      const row = await readRow(handle, table, rows[i] ?? 0);
      out.set(decodeRow(table.storage, row, table.dim), i * table.dim);
    }
    return out;
  } finally {
    await handle.close();
  }
}

async function readRow(handle: FileHandle, table: StoredTable, row: number): Promise<Buffer> {
  const width = rowBytes(table.storage, table.dim);
  const { buffer } = await handle.read(Buffer.alloc(width), 0, width, table.offset + row * width);
  return buffer;
}

export function decodeRow(storage: string, row: Buffer, dim: number): Float32Array {
  const value = (i: number): number => {
    switch (storage) {
      case 'f32':
        return row.readFloatLE(4 * i);
      case 'f16':
        return half(row.readUInt16LE(2 * i));
      case 'bf16':
        return bfloat(row.readUInt16LE(2 * i));
      case 'int8':
        return (row[i] ?? 0) * row.readFloatLE(dim) + row.readFloatLE(dim + 4);
      case 'int4': {
        const at = Math.ceil(dim / 2);
        const nibble = ((row[i >> 1] ?? 0) >> (4 * (i & 1))) & 15;
        return nibble * half(row.readUInt16LE(at)) + half(row.readUInt16LE(at + 2));
      }
      default:
        throw new Error(`unknown storage ${storage}`);
    }
  };
  return Float32Array.from({ length: dim }, (_, i) => value(i));
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

function bfloat(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(0, bits);
  return view.getFloat32(0);
}
