/**
 * Sizes and shape arithmetic: polynomials with rational-free integer coefficients over the model's
 * free dimensions ("batch", "length", …), each of which is a size and therefore at least 1.
 */

/** Monomial ('' for the constant, else symbol names joined by '*', sorted) → coefficient ≠ 0. */
export interface Poly {
  readonly terms: ReadonlyMap<string, number>;
}

const SEPARATOR = '\u0001';

function make(terms: Map<string, number>): Poly {
  for (const [key, value] of terms) if (value === 0) terms.delete(key);
  return { terms };
}

export function poly(value: number): Poly {
  return make(new Map([['', value]]));
}

export function symbol(name: string): Poly {
  return make(new Map([[name, 1]]));
}

export const ONE = poly(1);

export function add(a: Poly, b: Poly, sign = 1): Poly {
  const terms = new Map(a.terms);
  for (const [key, value] of b.terms) terms.set(key, (terms.get(key) ?? 0) + sign * value);
  return make(terms);
}

export function multiply(a: Poly, b: Poly): Poly {
  const terms = new Map<string, number>();
  for (const [ka, va] of a.terms) {
    for (const [kb, vb] of b.terms) {
      const key = [...split(ka), ...split(kb)].sort().join(SEPARATOR);
      terms.set(key, (terms.get(key) ?? 0) + va * vb);
    }
  }
  return make(terms);
}

export function product(values: readonly Poly[]): Poly {
  return values.reduce(multiply, ONE);
}

/** a / b when b is one term that divides every term of a exactly; otherwise null. */
export function divide(a: Poly, b: Poly): Poly | null {
  const divisor = [...b.terms];
  const [term] = divisor;
  if (term === undefined || divisor.length !== 1) return equal(a, b) ? ONE : null;
  const terms = new Map<string, number>();
  for (const [key, value] of a.terms) {
    if (value % term[1] !== 0) return null;
    const symbols = split(key);
    for (const name of split(term[0])) {
      const at = symbols.indexOf(name);
      if (at < 0) return null;
      symbols.splice(at, 1);
    }
    terms.set(symbols.join(SEPARATOR), value / term[1]);
  }
  return make(terms);
}

export function equal(a: Poly, b: Poly): boolean {
  if (a.terms.size !== b.terms.size) return false;
  for (const [key, value] of a.terms) if (b.terms.get(key) !== value) return false;
  return true;
}

/** The value of a constant; null when a symbol is in it. */
export function constant(a: Poly): number | null {
  if (a.terms.size === 0) return 0;
  return a.terms.size === 1 ? (a.terms.get('') ?? null) : null;
}

export function isOne(a: Poly): boolean {
  return constant(a) === 1;
}

/** The symbol's name when the value is exactly one symbol. */
export function asSymbol(a: Poly): string | null {
  const [term] = a.terms;
  if (term === undefined || a.terms.size !== 1) return null;
  return term[1] === 1 && term[0] !== '' && !term[0].includes(SEPARATOR) ? term[0] : null;
}

/** Sign of a for every choice of sizes ≥ 1: 1, 0 or -1; null when it depends on the sizes. */
export function sign(a: Poly): number | null {
  const fixed = constant(a);
  if (fixed !== null) return Math.sign(fixed);
  const values = [...a.terms].filter(([key]) => key !== '').map(([, value]) => value);
  const sum = [...a.terms.values()].reduce((x, y) => x + y, 0);
  if (values.every((value) => value > 0) && sum > 0) return 1;
  if (values.every((value) => value < 0) && sum < 0) return -1;
  return null;
}

function split(key: string): string[] {
  return key === '' ? [] : key.split(SEPARATOR);
}
