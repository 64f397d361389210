/** The native parts of an import, behind an interface so that writers are testable without them. */
import type { StorageName } from './manifest.js';

/** XXH64 (seed 0) of the bytes it has seen; `digest` gives 16 lower-case hexadecimal digits. */
export interface ContentHash {
  update(bytes: Uint8Array): void;
  digest(): string;
}

export interface TableCodec {
  /** `src`: [rows, dim] row-major; the result has the row layout of docs/bundle-format.md. */
  encodeRows(src: Float32Array, rows: number, dim: number, storage: StorageName): Uint8Array;
  createHash(): ContentHash;
}
