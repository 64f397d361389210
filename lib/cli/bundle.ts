/** Reads a bundle's manifest without loading the model. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';

import { GyrfalconError } from '../errors.js';
import { MANIFEST_FILE } from '../import/bundle-writer.js';
import type { Manifest } from '../import/manifest.js';
import { isStorageName } from '../import/storage.js';
import { show } from '../rows/values.js';

/** As in native/core/limits.h. */
const MAX_MANIFEST_BYTES = 16 * 2 ** 20;

/** @throws BUNDLE_NOT_FOUND, BUNDLE_INVALID, BUNDLE_VERSION, LIMIT_EXCEEDED */
export async function readManifest(bundle: string): Promise<Manifest> {
  const text = await readText(bundle);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GyrfalconError('BUNDLE_INVALID', `expected JSON in ${MANIFEST_FILE}`, {
      cause: error,
    });
  }
  const { format, version } = (value ?? {}) as { format?: unknown; version?: unknown };
  if (format !== 'gyrfalcon-bundle') {
    throw new GyrfalconError(
      'BUNDLE_INVALID',
      `expected "gyrfalcon-bundle" for format but received ${show(format)}`,
    );
  }
  if (version !== 1) {
    throw new GyrfalconError(
      'BUNDLE_VERSION',
      `expected version 1 of the bundle format but received ${show(version)}`,
    );
  }
  check(MANIFEST, value, MANIFEST_FILE);
  return value as Manifest;
}

async function readText(bundle: string): Promise<string> {
  const path = join(bundle, MANIFEST_FILE);
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > MAX_MANIFEST_BYTES) {
        const text = `expected at most ${MAX_MANIFEST_BYTES} bytes of ${path} but received ${size}`;
        throw new GyrfalconError('LIMIT_EXCEEDED', text);
      }
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof GyrfalconError) throw error;
    throw new GyrfalconError(
      'BUNDLE_NOT_FOUND',
      `expected a bundle with a readable ${MANIFEST_FILE} but received ${bundle}`,
      { cause: error },
    );
  }
}

/**
 * What a value has to be. Only what the commands read is looked at, so that nothing in a file can
 * make them stumble; whether a bundle obeys the format is for the reader that loads it.
 */
type Rule =
  | { readonly kind: string; readonly test: (value: unknown) => boolean }
  | { readonly list: Rule }
  | { readonly keys: Readonly<Record<string, Rule>> };

const rule = (kind: string, test: (value: unknown) => boolean): Rule => ({ kind, test });
const optional = (inner: { kind: string; test: (value: unknown) => boolean }): Rule =>
  rule(inner.kind, (value) => value === undefined || inner.test(value));

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const TEXT = rule('a string', isText);
const COUNT = rule('a whole number above 0', isCount);
const SHAPE: Rule = {
  list: rule('a number, a string or null', (v) => isText(v) || isCount(v) || v === null),
};

const MANIFEST: Rule = {
  keys: {
    name: TEXT,
    producer: TEXT,
    batch: rule('null or a whole number', (value) => value === null || isCount(value)),
    symbols: rule(
      'an object of sizes',
      (v) => isObject(v) && Object.values(v).every((size) => size === null || isCount(size)),
    ),
    source: optional({
      kind: 'an object with file and bytes',
      test: (v) => isObject(v) && isText(v['file']) && Number.isSafeInteger(v['bytes']),
    }),
    inputs: {
      list: rule(
        'a tensor or ragged input',
        (v) =>
          isObject(v) &&
          isText(v['name']) &&
          isText(v['dtype']) &&
          (v['kind'] === 'ragged' ||
            (v['kind'] === 'tensor' &&
              Array.isArray(v['shape']) &&
              v['shape'].every((extent) => isText(extent) || isCount(extent)))),
      ),
    },
    tables: {
      list: {
        keys: { name: TEXT, rows: COUNT, dim: COUNT, storage: rule('a storage', isStorageName) },
      },
    },
    bags: { list: { keys: { table: TEXT, input: TEXT, pooling: TEXT, slot: TEXT } } },
    slots: { list: { keys: { name: TEXT, shape: SHAPE } } },
    outputs: { list: { keys: { name: TEXT, dtype: TEXT, shape: SHAPE } } },
    dense: { keys: { file: TEXT } },
    fused: optional({
      kind: 'an object with file and, where it has one, a precision',
      test: (v) =>
        isObject(v) &&
        isText(v['file']) &&
        [undefined, 'f32', 'bf16', 'int8'].includes(v['precision'] as string | undefined),
    }),
    report: optional({
      kind: 'an array of level and text',
      test: (v) =>
        Array.isArray(v) &&
        v.every((entry) => isObject(entry) && isText(entry['level']) && isText(entry['text'])),
    }),
  },
};

/** @throws BUNDLE_INVALID with the path to the value */
function check(expected: Rule, value: unknown, path: string): void {
  if ('list' in expected) {
    if (!Array.isArray(value)) throw unexpected('an array', value, path);
    value.forEach((item, i) => {
      check(expected.list, item, `${path}[${i}]`);
    });
  } else if ('keys' in expected) {
    if (!isObject(value)) throw unexpected('an object', value, path);
    for (const [key, inner] of Object.entries(expected.keys)) {
      check(inner, value[key], path === MANIFEST_FILE ? key : `${path}.${key}`);
    }
  } else if (!expected.test(value)) {
    throw unexpected(expected.kind, value, path);
  }
}

function unexpected(kind: string, value: unknown, path: string): GyrfalconError {
  return new GyrfalconError(
    'BUNDLE_INVALID',
    `expected ${kind} for ${path} but received ${show(value)}`,
  );
}
