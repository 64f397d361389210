/** What each table storage looks like in a file; docs/bundle-format.md has the layouts. */

import type { StorageName } from './manifest.js';
import { OnnxType } from './onnx/types.js';

export const STORAGE_NAMES = ['f32', 'f16', 'bf16', 'int8', 'int4'] as const;

export function isStorageName(value: unknown): value is StorageName {
  return (STORAGE_NAMES as readonly unknown[]).includes(value);
}

/** The safetensors dtype and the row's extent in elements of it. */
export function storedRow(
  storage: StorageName,
  dim: number,
): { dtype: string; width: number; bytes: number } {
  switch (storage) {
    case 'f32':
      return { dtype: 'F32', width: dim, bytes: dim * 4 };
    case 'f16':
      return { dtype: 'F16', width: dim, bytes: dim * 2 };
    case 'bf16':
      return { dtype: 'BF16', width: dim, bytes: dim * 2 };
    case 'int8':
      return { dtype: 'U8', width: dim + 8, bytes: dim + 8 };
    case 'int4': {
      const bytes = Math.ceil(dim / 2) + 4;
      return { dtype: 'U8', width: bytes, bytes };
    }
  }
}

/** The storage whose bytes are those of an ONNX tensor type, if there is one. */
export function sameStorage(dataType: number): StorageName | undefined {
  if (dataType === OnnxType.float) return 'f32';
  if (dataType === OnnxType.float16) return 'f16';
  if (dataType === OnnxType.bfloat16) return 'bf16';
  return undefined;
}

/** What a table is stored as unless the caller says otherwise: as it came, doubles as f32. */
export function defaultStorage(dataType: number): StorageName {
  return sameStorage(dataType) ?? 'f32';
}
