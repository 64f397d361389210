/** The activations and two-operand functions of the fused graph as functions of numbers. */

/** x ↦ act(x) for acts that have numbers alone. */
export function actFunction(
  fn: string,
  alpha: number,
  beta: number,
  min: number,
  max: number,
): ((x: number) => number) | null {
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  switch (fn) {
    case 'relu':
      return (x) => Math.max(x, 0);
    case 'sigmoid':
      return sigmoid;
    case 'tanh':
      return Math.tanh;
    case 'exp':
      return Math.exp;
    case 'log':
      return Math.log;
    case 'sqrt':
      return Math.sqrt;
    case 'rsqrt':
      return (x) => 1 / Math.sqrt(x);
    case 'neg':
      return (x) => -x;
    case 'abs':
      return Math.abs;
    case 'reciprocal':
      return (x) => 1 / x;
    case 'square':
      return (x) => x * x;
    case 'erf':
      return erf;
    case 'sign':
      return Math.sign;
    case 'not':
      return (x) => (x === 0 ? 1 : 0);
    case 'floor':
      return Math.floor;
    case 'ceil':
      return Math.ceil;
    case 'round':
      return roundEven;
    case 'softplus':
      return softplus;
    case 'softsign':
      return (x) => x / (1 + Math.abs(x));
    case 'silu':
      return (x) => x * sigmoid(x);
    case 'gelu':
      return (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2));
    case 'gelu_tanh':
      return (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    case 'hard_swish':
      return (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6;
    case 'mish':
      return (x) => x * Math.tanh(softplus(x));
    case 'cos':
      return Math.cos;
    case 'sin':
      return Math.sin;
    case 'leaky_relu':
      return (x) => (x < 0 ? alpha * x : x);
    case 'elu':
      return (x) => (x < 0 ? alpha * Math.expm1(x) : x);
    case 'celu':
      return (x) => Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha));
    case 'thresholded_relu':
      return (x) => (x > alpha ? x : 0);
    case 'hard_sigmoid':
      return (x) => Math.max(0, Math.min(1, alpha * x + beta));
    case 'selu':
      return (x) => beta * (x > 0 ? x : alpha * Math.expm1(x));
    case 'clip':
      return (x) => Math.min(Math.max(x, min), max);
    case 'affine':
      return (x) => alpha * x + beta;
    default:
      return null;
  }
}

export function binaryFunction(fn: string): (a: number, b: number) => number {
  return BINARY[fn] as (a: number, b: number) => number;
}

const truth = (value: boolean): number => (value ? 1 : 0);
const BINARY: Readonly<Record<string, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
  pow: (a, b) => a ** b,
  eq: (a, b) => truth(a === b),
  ne: (a, b) => truth(a !== b),
  lt: (a, b) => truth(a < b),
  le: (a, b) => truth(a <= b),
  gt: (a, b) => truth(a > b),
  ge: (a, b) => truth(a >= b),
  and: (a, b) => truth(a !== 0 && b !== 0),
  or: (a, b) => truth(a !== 0 || b !== 0),
  xor: (a, b) => truth((a !== 0) !== (b !== 0)),
};

function roundEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/** By its series, or by the continued fraction of erfc where that is small; 1e-15. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 2.5) {
    let term = a;
    let sum = a;
    for (let n = 1; Math.abs(term) > 1e-17 * sum && n < 200; n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  if (a > 6) return Math.sign(x);
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / ((a + fraction) * Math.sqrt(Math.PI)));
}
