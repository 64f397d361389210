/** Why tables of exported models stay in the dense graph, in the report's words. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import { readOnnxModel } from '../../../lib/import/onnx/read.js';
import { MODELS } from './analyze-support.js';

describe('a table that stays', () => {
  it.each([
    ['bag-max-offsets.torchscript', 'bags of different lengths are no pooling of a bundle'],
    ['bag-max-offsets.dynamo', 'bags that are no sum or mean that a bundle has'],
    ['bag-computed-weights-offsets.torchscript', 'its weights are computed by the dense graph'],
    ['bag-computed-weights-offsets.dynamo', 'bags that are no sum or mean that a bundle has'],
    ['one-user-scalar.torchscript', "from input 'user', which has no batch axis"],
    ['one-user-row.torchscript', 'they are the same for all rows'],
    ['one-user-history.dynamo', "from input 'user', which has no batch axis"],
  ])('%s: %s', async (name, reason) => {
    const { report } = analyze(await readOnnxModel(join(MODELS, `${name}.onnx`)));
    const warnings = report.filter(({ level }) => level === 'warn');
    expect(warnings.map(({ text }) => text)).toEqual([expect.stringContaining(reason)]);
  });
});
