import {
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';
import { parseOnnxModel, readOnnxModel } from '../../../lib/import/onnx/read.js';
import { readTensor, tensorBytes, tensorRows } from '../../../lib/import/onnx/tensor-data.js';
import type { OnnxTensor } from '../../../lib/import/onnx/types.js';
import {
  attribute,
  bytes,
  codeOf,
  concat,
  external,
  float,
  fn,
  graph,
  int,
  model,
  node,
  raw,
  str,
  tag,
  tensor,
  valueInfo,
  varint,
  withDirectory,
} from './onnx-builder.js';

const MODELS = join(import.meta.dirname, '../../models');
const fixtures = readdirSync(MODELS).filter((file) => file.endsWith('.onnx'));

function onlyTensor(built: Uint8Array): OnnxTensor {
  const read = parseOnnxModel(model({ initializers: [built] }));
  return [...read.graph.initializers.values()][0] as OnnxTensor;
}

function inlineBytes(of: OnnxTensor): number[] {
  if (of.source.kind !== 'inline') throw new Error('expected inline bytes');
  return [...of.source.bytes];
}

const le = (array: ArrayBufferView): number[] => [
  ...new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
];

describe('readOnnxModel', () => {
  const selfContained = fixtures.filter((file) => !readdirSync(MODELS).includes(`${file}.data`));
  it.each(selfContained)('reads %s the same from its file and from memory', async (file) => {
    const path = join(MODELS, file);
    const fromFile = await readOnnxModel(path);
    const fromMemory = parseOnnxModel(readFileSync(path));
    expect(fromFile.graph.nodes).toHaveLength(fromMemory.graph.nodes.length);
    expect(fromFile.graph.inputs).toEqual(fromMemory.graph.inputs);
    for (const [name, inMemory] of fromMemory.graph.initializers) {
      const inFile = fromFile.graph.initializers.get(name) as OnnxTensor;
      expect(Buffer.compare(await readTensor(inFile), await readTensor(inMemory)), name).toBe(0);
    }
  });

  it('reads names, attributes, opsets and shapes', () => {
    const read = parseOnnxModel(
      model({
        nodes: [
          node({
            op: 'Gather',
            domain: 'ai.onnx',
            inputs: ['x', '', 'w'],
            attributes: [
              attribute('i', 2, int(3, -7)),
              attribute('f', 1, float(2, 0.5)),
              attribute('s', 3, str(4, 'text')),
              attribute('is', 7, int(8, 1), bytes(8, varint(2), varint(-3))),
              attribute(
                'fs',
                6,
                float(7, 1),
                bytes(7, new Uint8Array(Float32Array.of(2, 3).buffer)),
              ),
              attribute('ss', 8, str(9, 'a'), str(9, 'b')),
              attribute('t', 4, bytes(5, tensor())),
              // Older writers left the type out.
              concat(str(1, 'old'), int(3, 5)),
              // Bytes that are no text, and a type that is not interpreted.
              attribute('b', 3, bytes(4, Uint8Array.of(0xff, 0xfe))),
              attribute('tp', 13, bytes(14, int(99, 1))),
            ],
          }),
        ],
        inputs: [valueInfo('x', ['batch', 3], 7)],
        opset: concat(bytes(8, int(2, 18)), bytes(8, str(1, 'other'), int(2, 4))),
      }),
    );
    const [first] = read.graph.nodes;
    expect(first?.domain).toBe('');
    expect(first?.inputs).toEqual(['x', '', 'w']);
    const attributes = first?.attributes;
    expect(attributes?.get('i')).toEqual({ type: 'int', value: -7n });
    expect(attributes?.get('f')).toEqual({ type: 'float', value: 0.5 });
    expect(attributes?.get('s')).toEqual({ type: 'string', value: 'text' });
    expect(attributes?.get('is')).toEqual({ type: 'ints', value: [1n, 2n, -3n] });
    expect(attributes?.get('fs')).toEqual({ type: 'floats', value: [1, 2, 3] });
    expect(attributes?.get('ss')).toEqual({ type: 'strings', value: ['a', 'b'] });
    expect(attributes?.get('t')).toMatchObject({ type: 'tensor', value: { dims: [2] } });
    expect(attributes?.get('old')).toEqual({ type: 'int', value: 5n });
    expect(attributes?.get('b')?.type).toBe('raw');
    expect(attributes?.get('tp')?.type).toBe('raw');
    expect(read.opsets).toEqual(
      new Map([
        ['', 18],
        ['other', 4],
      ]),
    );
    expect(read.graph.inputs).toEqual([{ name: 'x', dataType: 7, dims: ['batch', 3] }]);
  });

  it('leaves initializers out of the inputs, as IR version 3 lists both', () => {
    const read = parseOnnxModel(
      model({ ir: 3, initializers: [tensor()], inputs: [valueInfo('x'), valueInfo('w')] }),
    );
    expect(read.graph.inputs.map((input) => input.name)).toEqual(['x']);
  });

  it('reads local functions with references to their attributes', () => {
    const body = node({
      inputs: ['a'],
      outputs: ['b'],
      attributes: [concat(str(1, 'axis'), str(21, 'dim'), int(20, 2))],
    });
    const read = parseOnnxModel(
      model({
        nodes: [node({ op: 'F', domain: 'local' })],
        functions: [
          fn({ nodes: [body], extra: [str(6, 'dim'), bytes(11, attribute('k', 2, int(3, 4)))] }),
        ],
      }),
    );
    const [read_] = read.functions;
    expect(read_?.attributes).toEqual(['dim']);
    expect(read_?.attributeDefaults.get('k')).toEqual({ type: 'int', value: 4n });
    expect(read_?.nodes[0]?.attributes.get('axis')).toEqual({
      type: 'ref',
      value: 'dim',
      attributeType: 2,
    });
  });

  it('keeps the type of values that are not tensors', () => {
    const sequence = bytes(4, bytes(1, bytes(1, int(1, 1))));
    const read = parseOnnxModel(model({ outputs: [concat(str(1, 'y'), bytes(2, sequence))] }));
    expect(read.graph.outputs[0]).toEqual({
      name: 'y',
      dataType: 0,
      dims: null,
      otherType: sequence,
    });
  });

  it('is ABORTED by a signal that fired before', async () => {
    const path = join(MODELS, fixtures[0] as string);
    expect(await codeOf(() => readOnnxModel(path, { signal: AbortSignal.abort() }))).toBe(
      'ABORTED',
    );
  });

  it('is IO_ERROR for a missing file and for a directory', async () => {
    expect(await codeOf(() => readOnnxModel(join(MODELS, 'absent.onnx')))).toBe('IO_ERROR');
    expect(await codeOf(() => readOnnxModel(MODELS))).toBe('IO_ERROR');
  });
});

describe('tensors', () => {
  const single = (field: number, values: (number | bigint)[]) => values.map((v) => int(field, v));
  const packed = (field: number, values: (number | bigint)[]) => [
    bytes(field, ...values.map((v) => varint(v))),
  ];
  const f64 = new Uint8Array(Float64Array.of(1.5, -2).buffer);
  it.each([
    ['raw float', 1, [raw(1, 2)], le(Float32Array.of(1, 2))],
    [
      'float_data packed',
      1,
      [bytes(4, new Uint8Array(Float32Array.of(3, 4).buffer))],
      le(Float32Array.of(3, 4)),
    ],
    ['float_data single', 1, [float(4, 3), float(4, 4)], le(Float32Array.of(3, 4))],
    ['double_data', 11, [bytes(10, f64)], [...f64]],
    ['int64_data single', 7, single(7, [5, -6]), le(BigInt64Array.of(5n, -6n))],
    ['int64_data packed', 7, packed(7, [2n ** 62n, -1]), le(BigInt64Array.of(2n ** 62n, -1n))],
    ['int32_data', 6, packed(5, [7, -8]), le(Int32Array.of(7, -8))],
    ['int8 in int32_data', 3, packed(5, [7, -8]), le(Int8Array.of(7, -8))],
    ['uint8 in int32_data', 2, packed(5, [7, 255]), [7, 255]],
    ['int16 in int32_data', 5, packed(5, [7, -8]), le(Int16Array.of(7, -8))],
    ['bool in int32_data', 9, packed(5, [1, 0]), [1, 0]],
    ['float16 in int32_data', 10, packed(5, [0x3c00, 0xc000]), le(Uint16Array.of(0x3c00, 0xc000))],
    ['bfloat16 in int32_data', 16, packed(5, [0x3f80, 0]), le(Uint16Array.of(0x3f80, 0))],
    ['uint64_data', 13, packed(11, [2n ** 64n - 1n, 1]), le(BigUint64Array.of(2n ** 64n - 1n, 1n))],
    ['uint32 in uint64_data', 12, packed(11, [2 ** 32 - 1, 1]), le(Uint32Array.of(2 ** 32 - 1, 1))],
    ['int4 in int32_data', 22, packed(5, [0x21]), [0x21]],
  ] as const)('decodes %s', (_name, type, data, expected) => {
    expect(inlineBytes(onlyTensor(tensor({ type, data: [...data] })))).toEqual([...expected]);
  });

  it('reads scalars, empty tensors and packed dims', () => {
    expect(onlyTensor(tensor({ dims: [], data: [raw(5)] })).dims).toEqual([]);
    expect(inlineBytes(onlyTensor(tensor({ dims: [0, 7], data: [] })))).toEqual([]);
    const built = concat(bytes(1, varint(1), varint(2)), int(2, 1), str(8, 'w'), raw(1, 2));
    expect(onlyTensor(built).dims).toEqual([1, 2]);
  });

  it('reads external data by range, with and without offset and length', async () => {
    await withDirectory(async (directory) => {
      writeFileSync(join(directory, 'w.bin'), new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer));
      const path = join(directory, 'm.onnx');
      const read = async (entries: Record<string, string>, dims: number[]) => {
        writeFileSync(path, model({ initializers: [tensor({ dims, data: external(entries) })] }));
        const { graph: g } = await readOnnxModel(path);
        return le(await readTensor(g.initializers.get('w') as OnnxTensor));
      };
      expect(await read({ location: 'w.bin' }, [4])).toEqual(le(Float32Array.of(1, 2, 3, 4)));
      expect(await read({ location: './w.bin', offset: '4', length: '8' }, [2])).toEqual(
        le(Float32Array.of(2, 3)),
      );
      // A link that stays inside is as good as a file.
      symlinkSync('w.bin', join(directory, 'link.bin'));
      expect(await read({ location: 'link.bin', offset: '12' }, [1])).toEqual(
        le(Float32Array.of(4)),
      );
    });
  });

  it.each([
    [
      'float',
      1,
      new Uint8Array(Float32Array.of(1, -0.5, 65504, 0, 1e30, -2).buffer),
      [1, -0.5, 65504, 0, Math.fround(1e30), -2],
    ],
    [
      'float16',
      10,
      new Uint8Array(Uint16Array.of(0x3c00, 0xb800, 0x7bff, 0x0001, 0x7c00, 0xc000).buffer),
      [1, -0.5, 65504, 2 ** -24, Infinity, -2],
    ],
    [
      'bfloat16',
      16,
      new Uint8Array(Uint16Array.of(0x3f80, 0xbf00, 0x4780, 0, 0x7f80, 0xc000).buffer),
      [1, -0.5, 65536, 0, Infinity, -2],
    ],
    [
      'double',
      11,
      new Uint8Array(Float64Array.of(1, -0.5, 0.1, 0, 1e30, -2).buffer),
      [1, -0.5, Math.fround(0.1), 0, Math.fround(1e30), -2],
    ],
  ] as const)('gives %s tables as f32 rows, in blocks', async (_name, type, data, expected) => {
    await withDirectory(async (directory) => {
      writeFileSync(join(directory, 'w.bin'), data);
      const path = join(directory, 'm.onnx');
      const places = { inline: [bytes(9, data)], file: external({ location: 'w.bin' }) };
      for (const place of Object.values(places)) {
        writeFileSync(path, model({ initializers: [tensor({ type, dims: [3, 2], data: place })] }));
        const { graph: g } = await readOnnxModel(path);
        const table = g.initializers.get('w') as OnnxTensor;
        for (const blockBytes of [1, 16, 1024]) {
          const values: number[] = [];
          for await (const block of tensorRows(table, { blockBytes })) {
            expect(block.start * 2).toBe(values.length);
            expect(block.values).toHaveLength(block.rows * 2);
            values.push(...block.values);
          }
          expect(values).toEqual([...expected]);
        }
      }
    });
  });

  it('refuses a tensor over the limit that the caller gives, and not one at it', async () => {
    const built = onlyTensor(tensor());
    expect((await readTensor(built, 8)).byteLength).toBe(8);
    expect(await codeOf(() => readTensor(built, 7))).toBe('LIMIT_EXCEEDED');
  });
});

describe('a model over 4 GiB', () => {
  it('is read by ranges, without its bytes in memory', async () => {
    await withDirectory(async (directory) => {
      const rows = 1_200_000_000;
      const hole = rows * 4;
      const head = concat(
        int(1, rows),
        int(1, 1),
        int(2, 1),
        str(8, 'big'),
        tag(9, 2),
        varint(hole),
      );
      const small = bytes(5, tensor({ name: 'small', data: [raw(3, 4)] }));
      const rest = graph({ nodes: [node()] });
      const bigTensor = concat(tag(5, 2), varint(head.byteLength + hole));
      const graphBytes = bigTensor.byteLength + head.byteLength + hole;
      const graphHead = concat(tag(7, 2), varint(graphBytes + small.byteLength + rest.byteLength));
      const start = concat(int(1, 8), graphHead, bigTensor, head);
      const path = join(directory, 'm.onnx');
      const fd = openSync(path, 'w');
      const end = start.byteLength + hole;
      ftruncateSync(fd, end);
      writeSync(fd, start, 0, start.byteLength, 0);
      writeSync(fd, new Uint8Array(Float32Array.of(7).buffer), 0, 4, end - 4);
      const tail = concat(small, rest, bytes(8, int(2, 18)));
      writeSync(fd, tail, 0, tail.byteLength, end);
      closeSync(fd);

      const before = process.memoryUsage();
      const read = await readOnnxModel(path);
      const big = read.graph.initializers.get('big') as OnnxTensor;
      expect(big.source).toEqual({ kind: 'file', path, offset: start.byteLength, length: hole });
      const tailOnly: OnnxTensor = {
        ...big,
        dims: [2, 1],
        source: { kind: 'file', path, offset: end - 8, length: 8 },
      };
      for await (const block of tensorRows(tailOnly)) expect([...block.values]).toEqual([0, 7]);
      let blocks = 0;
      for await (const block of tensorBytes(big.source)) {
        expect(block.byteLength).toBe(16 * 1024 * 1024);
        if (++blocks === 4) break;
      }
      const after = process.memoryUsage();
      expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(40 * 1024 * 1024);
      expect(after.rss - before.rss).toBeLessThan(128 * 1024 * 1024);
      const inline = await readTensor(read.graph.initializers.get('small') as OnnxTensor);
      expect(le(inline)).toEqual(le(Float32Array.of(3, 4)));
    });
  });
});
