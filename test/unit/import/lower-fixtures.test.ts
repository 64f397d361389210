import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import { lower } from '../../../lib/import/lower/index.js';
import { readOnnxModel } from '../../../lib/import/onnx/read.js';
import {
  denseArrays,
  MODELS,
  maxDifference,
  readFixtures,
  readTables,
  runOriginal,
} from './analyze-support.js';
import { makeFeeds } from './fixture-feeds.js';
import { interpret } from './fused-interpreter.js';

const fixtures = await readFixtures();

/** Fixtures whose dense network the fused engine does not run, by what is in the way. */
const NOT_COVERED: Readonly<Record<string, RegExp>> = {
  'dien-gru.': /GRU .* is not covered/,
  'gru4rec.': /GRU .* is not covered/,
  'dien-lstm-fixed-batch.': /LSTM .* is not covered/,
  'table-computed.': /along the batch/,
  'ids-remapped.': /picks by what inputs say/,
  'item-features.': /picks by what inputs say/,
  'hand-gather-nd.': /picks by what inputs say/,
  'pool-avg-pool.dynamo': /integers that may be above/,
  'time-buckets-as-floats.': /integers that may be above/,
  'time-buckets-signed-as-floats.': /integers that may be above/,
  'quotients-as-floats.': /picks by what inputs say/,
  'sequence-first.': /GRU .* is not covered/,
  'sequence-first-features.': /GRU .* is not covered/,
  'sequence-first-dynamic-length.': /GRU .* is not covered/,
  'bag-computed-weights-softmax.dynamo': /the number of rows is used as a number/,
  'bag-computed-weights-gate.dynamo': /the number of rows is used as a number/,
  'bag-computed-weights-offsets.dynamo': /picks by what inputs say/,
  'bag-computed-weights-offsets.torchscript': /along the batch/,
  'bag-max-offsets.dynamo': /picks by what inputs say/,
  'bag-max-offsets.torchscript': /along the batch/,
  'one-user-': /picks by what inputs say/,
};

describe.each(fixtures.map((fixture) => [fixture.name, fixture] as const))(
  '%s',
  (name, fixture) => {
    const path = join(MODELS, fixture.file);
    const reason = Object.entries(NOT_COVERED).find(([start]) => name.startsWith(start))?.[1];

    it(reason === undefined ? 'computes what the original computes' : 'says why not', async () => {
      const analyzed = analyze(await readOnnxModel(path));
      const lowered = lower(analyzed);
      if (reason !== undefined) {
        expect(lowered).toEqual({ reason: expect.stringMatching(reason) });
        return;
      }
      if ('reason' in lowered) throw new Error(lowered.reason);
      const tables = await readTables(analyzed);
      for (const batch of fixture.batch === null ? [1, 5] : [fixture.batch]) {
        const feeds = makeFeeds(fixture, batch, batch + 7);
        const results = interpret(lowered, denseArrays(analyzed, batch, feeds, tables), batch);
        const found = Object.fromEntries(
          [...results].map(([output, { dims, data }]) => [
            output,
            { dims, data: Array.from(data) },
          ]),
        );
        expect(maxDifference(await runOriginal(path, feeds), found)).toBeLessThan(1e-5);
      }
    });
  },
);
