/** Builds ONNX files by hand, well-formed or not; knows nothing of the code under test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type Bytes = Uint8Array;

export function varint(value: bigint | number): Bytes {
  let rest = BigInt.asUintN(64, BigInt(value));
  const out: number[] = [];
  do {
    const low = Number(rest & 127n);
    rest >>= 7n;
    out.push(rest > 0n ? low + 128 : low);
  } while (rest > 0n);
  return Uint8Array.from(out);
}

export const concat = (...parts: Bytes[]): Bytes => new Uint8Array(Buffer.concat(parts));
export const tag = (field: number, wire: number): Bytes => varint(field * 8 + wire);
export const int = (field: number, value: bigint | number): Bytes =>
  concat(tag(field, 0), varint(value));
export const bytes = (field: number, ...parts: Bytes[]): Bytes => {
  const body = concat(...parts);
  return concat(tag(field, 2), varint(body.byteLength), body);
};
export const str = (field: number, text: string): Bytes => bytes(field, Buffer.from(text, 'utf8'));
export const float = (field: number, value: number): Bytes =>
  concat(tag(field, 5), new Uint8Array(Float32Array.of(value).buffer));

export interface TensorParts {
  name?: string;
  type?: number;
  dims?: (bigint | number)[];
  /** Encoded fields with the data. */
  data?: Bytes[];
}

export const raw = (...values: number[]): Bytes =>
  bytes(9, new Uint8Array(Float32Array.from(values).buffer));

export function tensor(parts: TensorParts = {}): Bytes {
  const { name = 'w', type = 1, dims = [2], data = [raw(1, 2)] } = parts;
  return concat(...dims.map((dim) => int(1, dim)), int(2, type), str(8, name), ...data);
}

export function external(entries: Record<string, string>): Bytes[] {
  return [
    ...Object.entries(entries).map(([key, value]) => bytes(13, str(1, key), str(2, value))),
    int(14, 1),
  ];
}

export interface NodeParts {
  op?: string;
  domain?: string;
  inputs?: string[];
  outputs?: string[];
  attributes?: Bytes[];
  extra?: Bytes[];
}

export function node(parts: NodeParts = {}): Bytes {
  const { op = 'Identity', domain = '', inputs = ['x'], outputs = ['y'] } = parts;
  return concat(
    ...inputs.map((name) => str(1, name)),
    ...outputs.map((name) => str(2, name)),
    str(4, op),
    ...(domain === '' ? [] : [str(7, domain)]),
    ...(parts.attributes ?? []).map((attribute) => bytes(5, attribute)),
    ...(parts.extra ?? []),
  );
}

export function valueInfo(name: string, dims: (number | string)[] = [2], type = 1): Bytes {
  const shape = dims.map((dim) => bytes(1, typeof dim === 'number' ? int(1, dim) : str(2, dim)));
  return concat(str(1, name), bytes(2, bytes(1, int(1, type), bytes(2, ...shape))));
}

export interface GraphParts {
  nodes?: Bytes[];
  initializers?: Bytes[];
  inputs?: Bytes[];
  outputs?: Bytes[];
  extra?: Bytes[];
}

export function graph(parts: GraphParts = {}): Bytes {
  const { nodes = [node()], inputs = [valueInfo('x')], outputs = [valueInfo('y')] } = parts;
  return concat(
    ...nodes.map((body) => bytes(1, body)),
    str(2, 'g'),
    ...(parts.initializers ?? []).map((body) => bytes(5, body)),
    ...inputs.map((body) => bytes(11, body)),
    ...outputs.map((body) => bytes(12, body)),
    ...(parts.extra ?? []),
  );
}

export interface FunctionParts {
  name?: string;
  domain?: string;
  nodes?: Bytes[];
  extra?: Bytes[];
}

export function fn(parts: FunctionParts = {}): Bytes {
  const { name = 'F', domain = 'local', nodes = [node({ inputs: ['a'], outputs: ['b'] })] } = parts;
  return concat(
    str(1, name),
    str(4, 'a'),
    str(5, 'b'),
    ...nodes.map((body) => bytes(7, body)),
    bytes(9, str(1, ''), int(2, 18)),
    str(10, domain),
    ...(parts.extra ?? []),
  );
}

export interface ModelParts extends GraphParts {
  ir?: number;
  graph?: Bytes;
  functions?: Bytes[];
  modelExtra?: Bytes[];
  opset?: Bytes;
}

/** The opset comes last, so that no prefix of the file is a whole model. */
export function model(parts: ModelParts = {}): Bytes {
  return concat(
    int(1, parts.ir ?? 8),
    bytes(7, parts.graph ?? graph(parts)),
    ...(parts.functions ?? []).map((body) => bytes(25, body)),
    ...(parts.modelExtra ?? []),
    parts.opset ?? bytes(8, int(2, 18)),
  );
}

/** An attribute; `value` is the encoded field that holds it. */
export function attribute(name: string, type: number, ...value: Bytes[]): Bytes {
  return concat(str(1, name), ...value, int(20, type));
}

/** A graph in a graph …, `depth` deep. */
export function nested(depth: number): Bytes {
  let body = node({ op: 'Identity', inputs: ['x'], outputs: ['z0'] });
  for (let i = 1; i <= depth; i++) {
    const inner = graph({ nodes: [body], inputs: [], outputs: [valueInfo(`z${i - 1}`)] });
    body = node({
      op: 'If',
      inputs: ['c'],
      outputs: [`z${i}`],
      attributes: [attribute('then_branch', 5, bytes(6, inner))],
    });
  }
  return body;
}

export async function withDirectory<T>(use: (directory: string) => Promise<T> | T): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'gyrfalcon-test-'));
  try {
    return await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The code of the error that `run` ends with, or 'none'. */
export async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run();
    return 'none';
  } catch (error) {
    const { code } = error as { code?: unknown };
    return typeof code === 'string' ? code : `not a typed error: ${String(error)}`;
  }
}
