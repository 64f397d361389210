/** Parsers of option values. Each throws commander's InvalidArgumentError: a usage error. */
import { InvalidArgumentError } from 'commander';

import type { StorageName } from '../import/manifest.js';
import { isStorageName, STORAGE_NAMES } from '../import/storage.js';
import { OTHER_TABLES } from '../import/table-storage.js';
import type { TraceSource } from './cache-trace.js';

/** How bench draws ids: all alike, or by Zipf's law with this exponent. */
export type Skew = { kind: 'uniform' } | { kind: 'zipf'; exponent: number };

/** A parser of whole numbers in [least, most]. */
export function wholeNumber(least: number, most = 2 ** 31 - 1): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      `expected a whole number from ${least} to ${most} but received ${JSON.stringify(text)}`,
    );
  };
}

/** A parser of lists such as `1,16,128`, each number in [1, most]. */
export function numberList(most: number): (text: string) => number[] {
  return (text) => text.split(',').map((part) => wholeNumber(1, most)(part.trim()));
}

export function seconds(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value > 0 && value <= 3600) return value;
  throw new InvalidArgumentError(
    `expected seconds, above 0 and at most 3600, but received ${JSON.stringify(text)}`,
  );
}

/** `NAME=SIZE`, comma separated; may be given again. */
export function dims(text: string, before: Record<string, number> = {}): Record<string, number> {
  const sizes: Record<string, number> = { ...before };
  for (const part of text.split(',')) {
    const at = part.lastIndexOf('=');
    if (at < 1) {
      throw new InvalidArgumentError(`expected NAME=SIZE but received ${JSON.stringify(part)}`);
    }
    sizes[part.slice(0, at).trim()] = wholeNumber(1)(part.slice(at + 1).trim());
  }
  return sizes;
}

/** `int8`, or `NAME=int8`, comma separated; may be given again. A bare storage is for the rest. */
export function tableDtypes(
  text: string,
  before: Record<string, StorageName> = {},
): Record<string, StorageName> {
  const chosen: Record<string, StorageName> = { ...before };
  for (const part of text.split(',')) {
    const at = part.lastIndexOf('=');
    const name = at < 0 ? OTHER_TABLES : part.slice(0, at).trim();
    const storage = part.slice(at + 1).trim();
    if (!isStorageName(storage) || name === '') {
      throw new InvalidArgumentError(
        `expected ${STORAGE_NAMES.join(', ')} or NAME=DTYPE but received ${JSON.stringify(part)}`,
      );
    }
    chosen[name] = storage;
  }
  return chosen;
}

/** `zipf:EXPONENT`, or a file's name. */
export function traceSource(text: string): TraceSource {
  if (!text.startsWith('zipf:')) return { kind: 'file', path: text };
  const law = skew(text);
  return { kind: 'zipf', exponent: law.kind === 'zipf' ? law.exponent : 0 };
}

/** `uniform` or `zipf:EXPONENT` */
export function skew(text: string): Skew {
  if (text === 'uniform') return { kind: 'uniform' };
  const [, digits] = /^zipf:(\d+(?:\.\d+)?)$/.exec(text) ?? [];
  const exponent = Number(digits);
  if (exponent > 0 && exponent <= 10) return { kind: 'zipf', exponent };
  throw new InvalidArgumentError(
    `expected uniform or zipf:EXPONENT (above 0, at most 10) but received ${JSON.stringify(text)}`,
  );
}
