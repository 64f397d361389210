/** Random numbers by the hundred million; xorshift32, from a seed. */

export class FastRandom {
  #state: number;

  constructor(seed: number) {
    // Neighbouring seeds must not begin alike; zero is the generator's fixed point.
    let mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    this.#state = (mixed ^ (mixed >>> 16)) | 0 || 0x2545f491;
  }

  /** A signed 32-bit integer. */
  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x;
  }

  /** [0, 1) */
  unit(): number {
    return (this.word() >>> 0) / 4294967296;
  }

  /** Uniform in ±scale. */
  fill(values: Float32Array, scale: number): void {
    const factor = scale / 2147483648;
    for (let i = 0; i < values.length; i++) values[i] = this.word() * factor;
  }
}

/** A seed for each purpose, so that one more draw in one place moves no other. */
export function seedFor(seed: number, purpose: string): number {
  // Mixed first: seed 1 and 'b' must not be what seed 2 and 'a' are.
  let hash = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  hash ^= hash >>> 15;
  for (const char of purpose) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  return hash | 0;
}
