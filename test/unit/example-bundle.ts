/** The example's model as a bundle in a folder of the test's own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { importModel } from '../../lib/index.js';

const source = fileURLToPath(new URL('../../examples/movielens/model.onnx', import.meta.url));

export interface ExampleBundle {
  directory: string;
  bundle: string;
  remove(): void;
}

export async function exampleBundle(): Promise<ExampleBundle> {
  const directory = mkdtempSync(join(tmpdir(), 'gyrfalcon-test-'));
  const bundle = join(directory, 'bundle');
  await importModel(source, bundle);
  return { directory, bundle, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** Matches a GyrfalconError by its code. */
export const code = (name: string) => expect.objectContaining({ code: name });
