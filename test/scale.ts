/**
 * How often the tests that repeat something do it: `few` in every run, `full` with
 * GYRFALCON_TEST_SCALE=full, and a multiple of `few` with GYRFALCON_TEST_SCALE=number.
 */
export function times(few: number, full: number): number {
  const scale = process.env['GYRFALCON_TEST_SCALE'] ?? '1';
  if (scale === 'full') return full;
  const factor = Number(scale);
  if (!(factor > 0)) throw new Error(`expected "full" or a number but received ${scale}`);
  return Math.max(1, Math.min(full, Math.round(few * factor)));
}
