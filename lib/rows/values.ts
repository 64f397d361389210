/** One row of a request: from named fields to numbers that fit the model's inputs. */
import { type ErrorCode, GyrfalconError } from '../errors.js';
import type { DtypeName } from '../import/manifest.js';

/** As in `model.info.inputs`. */
export type RowInput =
  | {
      readonly name: string;
      readonly kind: 'tensor';
      readonly dtype: DtypeName;
      readonly shape: readonly (number | string | null)[];
    }
  | {
      readonly name: string;
      readonly kind: 'ragged';
      readonly dtype: 'i32' | 'i64';
      readonly weights: boolean;
    };

export interface RaggedRow {
  indices: number[];
  weights?: number[];
}

export interface Row {
  /** In the source, from 1. */
  line: number;
  tensors: Map<string, number[]>;
  ragged: Map<string, RaggedRow>;
  /** Sizes of the free dimensions, as this row's arrays have them. */
  symbols: Record<string, number>;
  /** Rows can share a batch when theirs agree: free sizes, and inputs without a batch dimension. */
  group: string;
}

const INTEGER_RANGE: Partial<Record<DtypeName, readonly [number, number]>> = {
  i8: [-(2 ** 7), 2 ** 7 - 1],
  u8: [0, 2 ** 8 - 1],
  i16: [-(2 ** 15), 2 ** 15 - 1],
  u16: [0, 2 ** 16 - 1],
  i32: [-(2 ** 31), 2 ** 31 - 1],
  i64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  bool: [0, 1],
};

/** Numbers from here on round to infinity. */
const FLOAT_LIMIT: Partial<Record<DtypeName, number>> = {
  f16: 65520,
  bf16: 2 ** 128 - 2 ** 119,
  f32: 2 ** 128 - 2 ** 103,
};

/**
 * Checks `fields` against the inputs.
 * @throws INVALID_ARGUMENT: missing or unknown fields; SHAPE_MISMATCH; DTYPE_MISMATCH. Messages
 * start with the line and name the input.
 */
export function readRow(
  inputs: readonly RowInput[],
  fields: ReadonlyMap<string, unknown>,
  line: number,
  ignoreExtra: boolean,
): Row {
  const names = new Set(inputs.map((input) => input.name));
  for (const name of fields.keys()) {
    if (!names.has(name) && !ignoreExtra) {
      throw at(
        line,
        'INVALID_ARGUMENT',
        `expected only the inputs ${[...names].join(', ')} but received ${show(name)} ` +
          '(--ignore-extra ignores other fields)',
      );
    }
  }
  const row: Row = { line, tensors: new Map(), ragged: new Map(), symbols: {}, group: '' };
  const shared: unknown[] = [];
  for (const input of inputs) {
    const value = fields.get(input.name);
    if (value === undefined) {
      throw at(line, 'INVALID_ARGUMENT', `expected a value for ${input.name} but received none`);
    }
    if (input.kind === 'ragged') {
      row.ragged.set(input.name, readRagged(input, value, line));
      continue;
    }
    const values = readTensor(input, value, line, row.symbols);
    row.tensors.set(input.name, values);
    if (input.shape[0] !== 'batch') shared.push(values);
  }
  row.group = JSON.stringify([Object.entries(row.symbols).sort(), shared]);
  return row;
}

function readTensor(
  input: RowInput & { kind: 'tensor' },
  value: unknown,
  line: number,
  symbols: Record<string, number>,
): number[] {
  const shape = input.shape[0] === 'batch' ? input.shape.slice(1) : input.shape;
  const lengths: number[] = [];
  const values: number[] = [];
  flatten(value, 0, { input, depth: shape.length, line, lengths, values });
  const nested = lengths.length > 1;
  if (nested) {
    if (lengths.length !== shape.length) {
      throw at(
        line,
        'SHAPE_MISMATCH',
        `expected ${describe(shape)} for ${input.name} but received arrays ${lengths.length} deep`,
      );
    }
    shape.forEach((extent, i) => {
      const length = lengths[i] as number;
      if (!fits(extent, length, symbols)) throw mismatch(input.name, shape, lengths, line);
    });
    return values;
  }
  let known = 1;
  const free: string[] = [];
  for (const extent of shape) {
    if (typeof extent === 'number') known *= extent;
    else if (extent !== null && symbols[extent] !== undefined) known *= symbols[extent];
    else free.push(extent ?? '?');
  }
  const [symbol] = free;
  if (free.length > 1) {
    throw at(
      line,
      'SHAPE_MISMATCH',
      `expected nested arrays ${describe(shape)} for ${input.name}, which has several free sizes`,
    );
  }
  if (symbol !== undefined) {
    const size = values.length / known;
    if (!Number.isInteger(size) || size < 1) throw mismatch(input.name, shape, lengths, line);
    symbols[symbol] = size;
  } else if (values.length !== known || (lengths.length === 0 && shape.length > 0 && known > 1)) {
    throw mismatch(input.name, shape, [values.length], line, known);
  }
  return values;
}

function fits(
  extent: number | string | null,
  length: number,
  symbols: Record<string, number>,
): boolean {
  if (typeof extent === 'number') return extent === length;
  if (extent === null || length < 1) return false;
  symbols[extent] ??= length;
  return symbols[extent] === length;
}

function readRagged(input: RowInput & { kind: 'ragged' }, value: unknown, line: number): RaggedRow {
  let indices: unknown = value;
  let weights: unknown;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    ({ indices, weights } = value as { indices?: unknown; weights?: unknown });
  }
  // A CSV cell with one id is no array.
  if (typeof indices === 'number') indices = [indices];
  const list = numbers(indices, input.name, input.dtype, line);
  if (!input.weights) {
    if (weights === undefined) return { indices: list };
    throw at(
      line,
      'INVALID_ARGUMENT',
      `expected no weights for ${input.name}, which has none, but received some`,
    );
  }
  if (weights === undefined) {
    throw at(
      line,
      'INVALID_ARGUMENT',
      `expected {"indices": […], "weights": […]} for ${input.name} but received no weights`,
    );
  }
  const factors = numbers(weights, `${input.name}.weights`, 'f32', line);
  if (factors.length !== list.length) {
    throw at(
      line,
      'SHAPE_MISMATCH',
      `expected ${list.length} weights for ${input.name} but received ${factors.length}`,
    );
  }
  return { indices: list, weights: factors };
}

function numbers(value: unknown, name: string, dtype: DtypeName, line: number): number[] {
  if (!Array.isArray(value)) {
    throw at(line, 'DTYPE_MISMATCH', `expected an array for ${name} but received ${show(value)}`);
  }
  return value.map((item) => readNumber(item, name, dtype, line));
}

interface Flattening {
  readonly input: RowInput;
  /** Levels of arrays that the input's shape allows; a flat array is always allowed. */
  readonly depth: number;
  readonly line: number;
  /** Array lengths by level. */
  readonly lengths: number[];
  readonly values: number[];
}

/** Appends the numbers in `value`. */
function flatten(value: unknown, level: number, state: Flattening): void {
  const { input, line, lengths, values } = state;
  if (!Array.isArray(value)) {
    if (level < lengths.length) {
      throw at(line, 'SHAPE_MISMATCH', `expected arrays of one depth for ${input.name}`);
    }
    values.push(readNumber(value, input.name, input.dtype, line));
    return;
  }
  const most = Math.max(1, state.depth);
  if (level >= most) {
    const text = `expected arrays at most ${most} deep for ${input.name} but received deeper ones`;
    throw at(line, 'SHAPE_MISMATCH', text);
  }
  lengths[level] ??= value.length;
  if (lengths[level] !== value.length) {
    throw at(
      line,
      'SHAPE_MISMATCH',
      `expected arrays of ${lengths[level]} for ${input.name} but received one of ${value.length}`,
    );
  }
  for (const item of value) flatten(item, level + 1, state);
}

function readNumber(value: unknown, name: string, dtype: DtypeName, line: number): number {
  const number = dtype === 'bool' && typeof value === 'boolean' ? Number(value) : value;
  const range = INTEGER_RANGE[dtype];
  if (typeof number === 'number') {
    if (range === undefined) {
      if (Math.abs(number) < (FLOAT_LIMIT[dtype] ?? Infinity)) return number;
    } else if (Number.isInteger(number) && number >= range[0] && number <= range[1]) {
      return number;
    }
  }
  const expected =
    range === undefined
      ? `a number of ${dtype}`
      : dtype === 'bool'
        ? 'true or false'
        : `an integer of ${dtype} (${range[0]} to ${range[1]})`;
  throw at(line, 'DTYPE_MISMATCH', `expected ${expected} for ${name} but received ${show(value)}`);
}

function mismatch(
  name: string,
  shape: readonly (number | string | null)[],
  lengths: readonly number[],
  line: number,
  expected?: number,
): GyrfalconError {
  const wanted = expected === undefined ? describe(shape) : `${expected} ${values(expected)}`;
  return at(
    line,
    'SHAPE_MISMATCH',
    `expected ${wanted} for ${name} but received ${lengths.length === 0 ? 1 : lengths.join('×')}`,
  );
}

function values(count: number): string {
  return count === 1 ? 'value' : 'values';
}

function describe(shape: readonly (number | string | null)[]): string {
  return `[${shape.join(', ')}]`;
}

/** A value of the caller's, short enough for a message. */
export function show(value: unknown): string {
  // Rows may hold anything of any size and depth: only what is printed is looked at.
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string') return String(value);
  return value.length > 40 ? `${JSON.stringify(value.slice(0, 40))}…` : JSON.stringify(value);
}

export function at(line: number, code: ErrorCode, text: string): GyrfalconError {
  return new GyrfalconError(code, `line ${line}: ${text}`);
}
