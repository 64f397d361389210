/** The example's model as a bundle in a folder of the test's own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import {
  type Batch,
  importModel,
  type LoadOptions,
  loadModel,
  type Model,
} from '../../lib/index.js';

const source = fileURLToPath(new URL('../../examples/movielens/model.onnx', import.meta.url));

export interface ExampleInputs {
  dense: Float32Array;
  user: Int32Array<ArrayBuffer>;
  item: Int32Array;
  year: Int32Array;
  genres: Int32Array;
  history: Int32Array;
}
export interface ExampleOutputs {
  score: Float32Array;
}
export type ExampleModel = Model<ExampleInputs, ExampleOutputs>;
export type ExampleBatch = Batch<ExampleInputs>;
/** The same tests run for every device. */
export const device = process.env['GYRFALCON_TEST_DEVICE'] ?? 'cpu';
export const loadExample = (directory: string, options: LoadOptions = {}): Promise<ExampleModel> =>
  loadModel<ExampleInputs, ExampleOutputs>(directory, { device, ...options });

/** Of models whose inputs a test finds by what the model says of them. */
// biome-ignore lint/suspicious/noExplicitAny: known at run time
export type Untyped = Readonly<Record<string, any>>;

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
