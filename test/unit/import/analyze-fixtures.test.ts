import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import { readOnnxModel } from '../../../lib/import/onnx/read.js';
import {
  type ExpectedPool,
  MODELS,
  maxDifference,
  readFixtures,
  runLowered,
  runOriginal,
  summarize,
} from './analyze-support.js';
import { makeFeeds } from './fixture-feeds.js';

const fixtures = await readFixtures();

/** Fixtures whose expectation names one of several right outcomes, and the analysis takes another. */
const OTHERWISE_RIGHT = [
  // Bags of one id are rows.
  'dlrm-bag-columns',
  'bag-sum-single',
  'bag-mean-single',
  // The file divides by a count that may be 0: the division stays in the dense graph.
  'pool-masked-mean-eps.dynamo',
  'pool-masked-mean-eps-dynamic-length.dynamo',
  'pool-masked-mean-padding-idx.dynamo',
  // The mean is pooled beside the last row.
  'last-plus-mean',
  // One of two lookups can be taken out.
  'hash-quotient-remainder',
];

function poolText({ rows, dim, pooling, padding, weighted }: ExpectedPool): string {
  return `${rows}x${dim} ${pooling} ${padding ?? 'all'} ${weighted === true ? 'weighted' : ''}`;
}

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

  it('finds the lookups that the fixture expects', async () => {
    const found = summarize(analyze(await readOnnxModel(path)));
    expect(found.tables).toBeGreaterThanOrEqual(fixture.expect.tables);
    if (OTHERWISE_RIGHT.some((name) => fixture.name.startsWith(name))) return;
    const wanted = fixture.expect.pooled.flatMap((pool) =>
      Array.from({ length: pool.bags ?? 1 }, () => poolText(pool)),
    );
    expect(found.pooled.map(poolText).sort()).toEqual(wanted.sort());
    if (fixture.expect.unpooled > 0) expect(found.unpooled).toBeGreaterThan(0);
    else expect(found.unpooled).toBe(0);
  });
});
