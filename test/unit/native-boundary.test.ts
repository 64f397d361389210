import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ERROR_CODES, GyrfalconError } from '../../lib/errors.js';
import { native } from '../../lib/native.js';

test('the addon exports exactly what lib/native.ts declares', () => {
  const source = readFileSync(new URL('../../lib/native.ts', import.meta.url), 'utf8');
  const body = /export interface Native \{\n(.*?)\n\}/s.exec(source)?.[1] ?? '';
  const declared = [...body.matchAll(/^ {2}(?:readonly )?(\w+)[(:]/gm)].map((match) => match[1]);
  expect(declared.length).toBeGreaterThan(10);
  expect(Object.keys(native()).sort()).toEqual(declared.sort());
});

test('error codes are the same list on both sides', () => {
  expect(native().errorCodes()).toEqual(['OK', ...ERROR_CODES]);
});

test('errors from native code are GyrfalconErrors with a code', () => {
  const call = () => native().encodeRows(new Float32Array(3), 2, 2, 'f32');
  expect(call).toThrow(GyrfalconError);
  expect(call).toThrow(expect.objectContaining({ code: 'SHAPE_MISMATCH' }));
});
