import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import { readOnnxModel } from '../../../lib/import/onnx/read.js';
import {
  MODELS,
  makeFeeds,
  maxDifference,
  readFixtures,
  runLowered,
  runOriginal,
  summarize,
} from './analyze-support.js';

const fixtures = await readFixtures();

describe.each(fixtures.map((fixture) => [fixture.name, fixture] as const))('%s', (_, fixture) => {
  const path = join(MODELS, fixture.file);

  it('computes what the original computes', async () => {
    const lowered = analyze(await readOnnxModel(path));
    const batches = (fixture.batch === null ? [1, 5] : [fixture.batch]).map((batch) => ({
      batch,
      feeds: makeFeeds(fixture, batch, batch + 7),
    }));
    const scores = await runLowered(lowered, batches);
    for (const [i, { feeds }] of batches.entries()) {
      const original = await runOriginal(path, feeds);
      expect(maxDifference(original, scores[i] ?? {})).toBeLessThan(1e-5);
    }
  });

  it('takes every table out that can be', async () => {
    const found = summarize(analyze(await readOnnxModel(path)));
    expect(found.tables).toBeGreaterThanOrEqual(fixture.expect.tables);
  });
});
