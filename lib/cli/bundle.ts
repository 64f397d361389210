/** Reads a bundle's manifest without loading the model. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { GyrfalconError } from '../errors.js';
import { MANIFEST_FILE } from '../import/bundle-writer.js';
import type { Manifest } from '../import/manifest.js';

/** @throws BUNDLE_NOT_FOUND, BUNDLE_INVALID, BUNDLE_VERSION */
export async function readManifest(bundle: string): Promise<Manifest> {
  let text: string;
  try {
    text = await readFile(join(bundle, MANIFEST_FILE), 'utf8');
  } catch (error) {
    throw new GyrfalconError(
      'BUNDLE_NOT_FOUND',
      `expected a bundle with a readable ${MANIFEST_FILE} but received ${bundle}`,
      { cause: error },
    );
  }
  let value: Partial<Manifest>;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GyrfalconError('BUNDLE_INVALID', `expected JSON in ${MANIFEST_FILE}`, {
      cause: error,
    });
  }
  if (value?.format !== 'gyrfalcon-bundle') {
    throw new GyrfalconError(
      'BUNDLE_INVALID',
      `expected "gyrfalcon-bundle" for format but received ${JSON.stringify(value?.format)}`,
    );
  }
  if (value.version !== 1) {
    throw new GyrfalconError(
      'BUNDLE_VERSION',
      `expected version 1 of the bundle format but received ${JSON.stringify(value.version)}`,
    );
  }
  for (const key of ['inputs', 'tables', 'slots', 'bags', 'outputs'] as const) {
    if (!Array.isArray(value[key])) {
      throw new GyrfalconError('BUNDLE_INVALID', `expected an array for ${key}`);
    }
  }
  if (typeof value.dense?.file !== 'string' || typeof value.symbols !== 'object') {
    throw new GyrfalconError('BUNDLE_INVALID', 'expected objects for dense and symbols');
  }
  return value as Manifest;
}
