/** A slow TableCodec from the formulas of docs/bundle-format.md and the XXH64 specification. */
import type { ContentHash, TableCodec } from '../../../lib/import/codec.js';

const MASK = (1n << 64n) - 1n;
const P1 = 11400714785074694791n;
const P2 = 14029467366897019727n;
const P3 = 1609587929392839161n;
const P4 = 9650029242287828579n;
const P5 = 2870177450012600261n;

const rotate = (x: bigint, by: bigint) => ((x << by) | (x >> (64n - by))) & MASK;
const round = (acc: bigint, lane: bigint) => (rotate((acc + lane * P2) & MASK, 31n) * P1) & MASK;

export function xxh64(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.byteLength;
  let at = 0;
  let hash = P5;
  if (length >= 32) {
    const lanes = [(P1 + P2) & MASK, P2, 0n, (MASK + 1n - P1) & MASK];
    for (; at + 32 <= length; at += 32) {
      for (let i = 0; i < 4; i++) {
        lanes[i] = round(lanes[i] as bigint, view.getBigUint64(at + 8 * i, true));
      }
    }
    const [a, b, c, d] = lanes as [bigint, bigint, bigint, bigint];
    hash = (rotate(a, 1n) + rotate(b, 7n) + rotate(c, 12n) + rotate(d, 18n)) & MASK;
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * P1 + P4) & MASK;
  }
  hash = (hash + BigInt(length)) & MASK;
  for (; at + 8 <= length; at += 8) {
    hash = (rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * P1 + P4) & MASK;
  }
  if (at + 4 <= length) {
    hash = (rotate(hash ^ ((BigInt(view.getUint32(at, true)) * P1) & MASK), 23n) * P2 + P3) & MASK;
    at += 4;
  }
  for (; at < length; at++) {
    hash = (rotate(hash ^ ((BigInt(bytes[at] as number) * P5) & MASK), 11n) * P1) & MASK;
  }
  hash = ((hash ^ (hash >> 33n)) * P2) & MASK;
  hash = ((hash ^ (hash >> 29n)) * P3) & MASK;
  return (hash ^ (hash >> 32n)).toString(16).padStart(16, '0');
}

export function referenceHash(): ContentHash {
  const parts: Uint8Array[] = [];
  return {
    update: (bytes) => void parts.push(Uint8Array.from(bytes)),
    digest: () => xxh64(Buffer.concat(parts)),
  };
}

export const referenceCodec: TableCodec = {
  createHash: referenceHash,
  encodeRows(src, rows, dim, storage) {
    if (storage === 'f32') return new Uint8Array(src.slice(0, rows * dim).buffer);
    if (storage !== 'int8') throw new Error(`the reference codec has no ${storage}`);
    const out = new Uint8Array(rows * (dim + 8));
    const view = new DataView(out.buffer);
    for (let r = 0; r < rows; r++) {
      const row = src.subarray(r * dim, (r + 1) * dim);
      const min = Math.min(...row);
      const range = Math.max(...row) - min;
      row.forEach((x, i) => {
        out[r * (dim + 8) + i] = Math.round(((x - min) * 255) / (range + 1e-8));
      });
      view.setFloat32(r * (dim + 8) + dim, range / 255, true);
      view.setFloat32(r * (dim + 8) + dim + 4, min, true);
    }
    return out;
  },
};
