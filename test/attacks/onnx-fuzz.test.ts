import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { GyrfalconError } from '../../lib/errors.js';
import { parseOnnxModel } from '../../lib/import/onnx/read.js';
import { encodeOnnxModel } from '../../lib/import/onnx/write.js';
import {
  attribute,
  bytes,
  fn,
  int,
  model,
  nested,
  node,
  tensor,
  varint,
} from '../unit/import/onnx-builder.js';

/** More for a long run: GYRFALCON_FUZZ_ITERATIONS, and GYRFALCON_FUZZ_SEED for other files. */
const ITERATIONS = Number(process.env['GYRFALCON_FUZZ_ITERATIONS'] ?? 40_000);
const SEED = Number(process.env['GYRFALCON_FUZZ_SEED'] ?? 0x9e3779b9);
const ALLOWED = new Set(['ONNX_INVALID', 'ONNX_UNSUPPORTED', 'LIMIT_EXCEEDED', 'PATH_ESCAPE']);
const MODELS = join(import.meta.dirname, '../models');

/** Small numbers from a seed, the same on every machine (xorshift32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const seeds: Uint8Array[] = [
  model({ initializers: [tensor()] }),
  model({ nodes: [nested(3)], functions: [fn()] }),
  model({
    nodes: [
      node({
        attributes: [
          attribute('t', 4, bytes(5, tensor({ type: 7, data: [bytes(7, varint(3), varint(4))] }))),
          attribute('i', 7, bytes(8, varint(1), varint(2))),
          attribute('n', 2, int(3, -1)),
        ],
      }),
    ],
  }),
  ...readdirSync(MODELS)
    .filter((file) => file.endsWith('.onnx') && statSync(join(MODELS, file)).size < 6000)
    .slice(0, 12)
    .map((file) => new Uint8Array(readFileSync(join(MODELS, file)))),
];

function mutate(seed: Uint8Array, random: (below: number) => number): Uint8Array {
  let bytes = Uint8Array.from(seed);
  for (let edits = 1 + random(4); edits > 0; edits--) {
    const at = random(bytes.byteLength);
    switch (random(5)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at] = (bytes[at] as number) ^ (1 << random(8));
        break;
      case 2:
        bytes = new Uint8Array(
          Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + random(9))]),
        );
        break;
      case 3: {
        const from = random(bytes.byteLength);
        const copied = bytes.subarray(from, from + random(17));
        bytes = new Uint8Array(Buffer.concat([bytes.subarray(0, at), copied, bytes.subarray(at)]));
        break;
      }
      default:
        bytes.fill([0, 0x7f, 0x80, 0xff][random(4)] as number, at, at + random(6));
    }
    if (bytes.byteLength === 0) return seed;
  }
  return bytes;
}

describe('mutated ONNX files', () => {
  it(`give a model that can be written and read again, or a typed error (${ITERATIONS} files)`, () => {
    const random = randomFrom(SEED);
    let good = 0;
    let refused = 0;
    for (let i = 0; i < ITERATIONS; i++) {
      const file = mutate(seeds[random(seeds.length)] as Uint8Array, random);
      try {
        const parsed = parseOnnxModel(file);
        good++;
        const written = encodeOnnxModel(parsed, 16);
        const again = encodeOnnxModel(parseOnnxModel(written), 16);
        if (Buffer.compare(written, again) !== 0)
          throw new Error(`file ${i} changed when rewritten`);
      } catch (error) {
        if (!(error instanceof GyrfalconError) || !ALLOWED.has(error.code)) {
          throw new Error(`file ${i}: ${String(error)}`, { cause: error });
        }
        refused++;
      }
    }
    // Both ends are reached often, so neither is tested by accident only.
    expect(good).toBeGreaterThan(ITERATIONS / 20);
    expect(refused).toBeGreaterThan(ITERATIONS / 20);
  });
});
