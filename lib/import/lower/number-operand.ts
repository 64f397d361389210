/** Binary operators with a number on one side: acts on the other side. */
import { type Act, affine } from './value.js';

/** x fn c as acts on x, in order; null where it has no such form. */
export function withNumber(fn: string, c: number): readonly Act[] | null {
  switch (fn) {
    case 'add':
      return [affine(1, c)];
    case 'sub':
      return [affine(1, -c)];
    case 'mul':
      return [affine(c, 0)];
    case 'div':
      return c === 0 ? null : [affine(1 / c, 0)];
    case 'max':
      return [c === 0 ? { fn: 'relu' } : { fn: 'clip', min: c }];
    case 'min':
      return [{ fn: 'clip', max: c }];
    case 'pow':
      return power(c);
    case 'eq':
      return c === 0 ? [{ fn: 'not' }] : null;
    default:
      return null;
  }
}

function power(c: number): readonly Act[] | null {
  if (c === 1) return [];
  if (c === 2) return [{ fn: 'square' }];
  if (c === 0.5) return [{ fn: 'sqrt' }];
  if (c === -1) return [{ fn: 'reciprocal' }];
  return c === -0.5 ? [{ fn: 'rsqrt' }] : null;
}

/** c fn x as acts on x. */
export function numberWith(fn: string, c: number): readonly Act[] | null {
  if (fn === 'add' || fn === 'mul' || fn === 'max' || fn === 'min' || fn === 'eq')
    return withNumber(fn, c);
  if (fn === 'sub') return [affine(-1, c)];
  if (fn === 'div') return [{ fn: 'reciprocal' }, affine(c, 0)];
  return null;
}
