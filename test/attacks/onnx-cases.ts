/** Hostile ONNX files by name, each with the code it has to end with. */
import {
  attribute,
  bytes,
  concat,
  float,
  fn,
  graph,
  int,
  model,
  nested,
  node,
  raw,
  str,
  tag,
  tensor,
  valueInfo,
  varint,
} from '../unit/import/onnx-builder.js';

export interface AttackCase {
  name: string;
  file: Uint8Array;
  code: 'ONNX_INVALID' | 'ONNX_UNSUPPORTED' | 'LIMIT_EXCEEDED' | 'PATH_ESCAPE';
  /** What the message has to name. */
  says?: RegExp;
}

const FF = (count: number) => new Uint8Array(count).fill(0xff);
const one = (initializer: Uint8Array) => model({ initializers: [initializer] });
const of = (...fields: Uint8Array[]) => model({ nodes: [concat(node(), ...fields)] });
const withAttribute = (...fields: Uint8Array[]) =>
  model({ nodes: [node({ attributes: [concat(...fields)] })] });
const typed = (type: number, dims: (number | bigint)[], ...data: Uint8Array[]) =>
  one(tensor({ type, dims, data }));
const call = (op: string, inputs = ['a'], outputs = ['b']) =>
  node({ op, domain: 'local', inputs, outputs });
const name = (length: number) => 'n'.repeat(length);
/** A field with a length but without the bytes. */
const hollow = (field: number, length: bigint | number) => concat(tag(field, 2), varint(length));
const attributeProto = (type: number, ...value: Uint8Array[]) =>
  bytes(5, attribute('a', type, ...value));

function chain(length: number): Uint8Array {
  const functions = Array.from({ length }, (_, i) =>
    fn({
      name: `F${i}`,
      nodes: [i + 1 < length ? call(`F${i + 1}`) : node({ inputs: ['a'], outputs: ['b'] })],
    }),
  );
  return model({ nodes: [call('F0', ['x'], ['y'])], functions });
}

export const ATTACKS: AttackCase[] = [
  // The wire format.
  { name: 'an empty file', file: new Uint8Array(0), code: 'ONNX_INVALID' },
  { name: 'text', file: Buffer.from('#!/bin/sh\necho hello\n'), code: 'ONNX_INVALID' },
  { name: 'zeros', file: new Uint8Array(64), code: 'ONNX_INVALID', says: /field number/ },
  { name: 'ones', file: FF(64), code: 'ONNX_INVALID', says: /10 bytes/ },
  {
    name: 'an 11-byte varint',
    file: concat(tag(1, 0), FF(10), Uint8Array.of(1)),
    code: 'ONNX_INVALID',
    says: /10 bytes/,
  },
  {
    name: 'a varint of more than 64 bits',
    file: concat(tag(1, 0), FF(9), Uint8Array.of(2)),
    code: 'ONNX_INVALID',
    says: /64 bits/,
  },
  {
    name: 'a varint without an end',
    file: concat(tag(1, 0), Uint8Array.of(0x80)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a tag of more than 32 bits',
    file: varint(2n ** 40n),
    code: 'ONNX_INVALID',
    says: /32 bits/,
  },
  { name: 'field number 0', file: concat(model(), int(0, 1)), code: 'ONNX_INVALID' },
  {
    name: 'a group',
    file: concat(model(), tag(30, 3), tag(30, 4)),
    code: 'ONNX_INVALID',
    says: /wire type/,
  },
  { name: 'wire type 6', file: concat(model(), tag(30, 6)), code: 'ONNX_INVALID' },
  { name: 'wire type 7', file: concat(model(), tag(30, 7)), code: 'ONNX_INVALID' },
  {
    name: 'a graph past the end',
    file: concat(int(1, 8), hollow(7, 5)),
    code: 'ONNX_INVALID',
    says: /graph at byte/,
  },
  {
    name: 'a graph of 2^63 bytes',
    file: concat(int(1, 8), hollow(7, 2n ** 63n)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a graph of 2^64 - 1 bytes',
    file: concat(int(1, 8), hollow(7, 2n ** 64n - 1n)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'an unknown field past the end',
    file: concat(model(), hollow(99, 1)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'an unknown fixed64 past the end',
    file: concat(model(), tag(99, 1), FF(7)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a node past its graph, though inside the file',
    file: concat(model({ graph: concat(graph(), hollow(1, 4)) }), bytes(99, FF(8))),
    code: 'ONNX_INVALID',
    says: /graph.node/,
  },
  {
    name: 'a name past its node',
    file: model({ nodes: [concat(node(), hollow(3, 9))] }),
    code: 'ONNX_INVALID',
    says: /graph.node.name/,
  },
  {
    name: 'a varint that runs out of its message',
    file: of(tag(5, 2), varint(2), tag(20, 0)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'packed integers that run out',
    file: withAttribute(str(1, 'a'), bytes(8, Uint8Array.of(0x80))),
    code: 'ONNX_INVALID',
  },
  {
    name: 'packed floats of 5 bytes',
    file: withAttribute(str(1, 'a'), bytes(7, FF(5))),
    code: 'ONNX_INVALID',
  },
  {
    name: 'the graph as a varint',
    file: concat(int(1, 8), int(7, 3)),
    code: 'ONNX_INVALID',
    says: /wire type 2/,
  },
  {
    name: 'ir_version as bytes',
    file: concat(str(1, 'x'), model()),
    code: 'ONNX_INVALID',
    says: /ir_version/,
  },
  { name: 'an op_type as a varint', file: of(int(4, 1)), code: 'ONNX_INVALID', says: /op_type/ },
  {
    name: 'a name that is no UTF-8',
    file: of(bytes(3, FF(3))),
    code: 'ONNX_INVALID',
    says: /UTF-8/,
  },
  {
    name: 'an overlong UTF-8 name',
    file: of(bytes(3, Uint8Array.of(0xc0, 0x80))),
    code: 'ONNX_INVALID',
  },
  // The model.
  {
    name: 'no graph',
    file: concat(int(1, 8), bytes(8, int(2, 18))),
    code: 'ONNX_INVALID',
    says: /graph/,
  },
  { name: 'two graphs', file: model({ modelExtra: [bytes(7, graph())] }), code: 'ONNX_INVALID' },
  {
    name: 'no opset',
    file: model({ opset: new Uint8Array(0) }),
    code: 'ONNX_INVALID',
    says: /opset/,
  },
  { name: 'opset 0', file: model({ opset: bytes(8, int(2, 0)) }), code: 'ONNX_INVALID' },
  { name: 'a negative opset', file: model({ opset: bytes(8, int(2, -1)) }), code: 'ONNX_INVALID' },
  {
    name: 'an opset of 2^62',
    file: model({ opset: bytes(8, int(2, 2n ** 62n)) }),
    code: 'ONNX_INVALID',
  },
  {
    name: 'two versions of one opset',
    file: model({ opset: concat(bytes(8, int(2, 18)), bytes(8, str(1, 'ai.onnx'), int(2, 17))) }),
    code: 'ONNX_INVALID',
  },
  { name: 'ir_version 0', file: model({ ir: 0 }), code: 'ONNX_INVALID', says: /ir_version/ },
  {
    name: 'training_info',
    file: model({ modelExtra: [bytes(20, bytes(1, graph()))] }),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'a sparse initializer',
    file: model({ extra: [bytes(15, bytes(1, tensor()))] }),
    code: 'ONNX_UNSUPPORTED',
    says: /sparse/,
  },
  {
    name: 'a value without a name',
    file: model({ inputs: [bytes(2, bytes(1, int(1, 1)))] }),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a shape of rank 65',
    file: model({ inputs: [valueInfo('x', new Array(65).fill(1))] }),
    code: 'ONNX_INVALID',
    says: /64 dims/,
  },
  {
    name: 'a dim_value of 2^63 - 1',
    file: model({
      inputs: [
        concat(
          str(1, 'x'),
          bytes(2, bytes(1, int(1, 1), bytes(2, bytes(1, int(1, 2n ** 63n - 1n))))),
        ),
      ],
    }),
    code: 'ONNX_INVALID',
  },
  {
    name: 'two inputs of one name',
    file: model({ inputs: [valueInfo('x'), valueInfo('x')] }),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a value made twice',
    file: model({ nodes: [node(), node()] }),
    code: 'ONNX_INVALID',
    says: /"y" twice/,
  },
  {
    name: 'a node that makes an input',
    file: model({ nodes: [node({ outputs: ['x'] })] }),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a node that makes an initializer',
    file: model({ nodes: [node({ outputs: ['w'] })], initializers: [tensor()] }),
    code: 'ONNX_INVALID',
  },
  // Operators and functions.
  {
    name: 'a node without op_type',
    file: model({ nodes: [str(1, 'x')] }),
    code: 'ONNX_INVALID',
    says: /op_type/,
  },
  {
    name: 'an unknown operator',
    file: model({ nodes: [node({ op: 'Exec' })] }),
    code: 'ONNX_UNSUPPORTED',
    says: /"Exec"/,
  },
  {
    name: 'ImageDecoder',
    file: model({ nodes: [node({ op: 'ImageDecoder' })] }),
    code: 'ONNX_UNSUPPORTED',
    says: /ImageDecoder/,
  },
  {
    name: 'a string operator',
    file: model({ nodes: [node({ op: 'RegexFullMatch' })] }),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'an operator called __proto__',
    file: model({ nodes: [node({ op: '__proto__' })] }),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'com.microsoft',
    file: model({ nodes: [node({ op: 'FusedGemm', domain: 'com.microsoft' })] }),
    code: 'ONNX_UNSUPPORTED',
    says: /com\.microsoft\.FusedGemm/,
  },
  {
    name: 'EPContext',
    file: model({
      nodes: [
        node({
          op: 'EPContext',
          domain: 'com.microsoft',
          attributes: [attribute('ep_cache_context', 3, str(4, '../../x.so'))],
        }),
      ],
    }),
    code: 'ONNX_UNSUPPORTED',
    says: /EPContext/,
  },
  {
    name: 'ai.onnx.ml',
    file: model({ nodes: [node({ op: 'LabelEncoder', domain: 'ai.onnx.ml' })] }),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'a custom domain',
    file: model({ nodes: [node({ op: 'Op', domain: 'my.ops' })] }),
    code: 'ONNX_UNSUPPORTED',
    says: /my\.ops\.Op/,
  },
  {
    name: 'a custom operator in a subgraph',
    file: model({
      nodes: [
        node({
          op: 'If',
          attributes: [
            attribute(
              'then_branch',
              5,
              bytes(6, graph({ nodes: [node({ domain: 'my.ops', outputs: ['z'] })], inputs: [] })),
            ),
          ],
        }),
      ],
    }),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'a custom operator in a function',
    file: model({
      functions: [
        fn({ nodes: [node({ op: 'Op', domain: 'my.ops', inputs: ['a'], outputs: ['b'] })] }),
      ],
    }),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'a call of a function in another domain',
    file: model({ nodes: [node({ op: 'F', domain: 'other' })], functions: [fn()] }),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'a function that calls itself',
    file: model({ functions: [fn({ nodes: [call('F')] })] }),
    code: 'ONNX_UNSUPPORTED',
    says: /calls itself/,
  },
  {
    name: 'functions that call each other',
    file: model({
      functions: [fn({ name: 'A', nodes: [call('B')] }), fn({ name: 'B', nodes: [call('A')] })],
    }),
    code: 'ONNX_UNSUPPORTED',
    says: /calls itself/,
  },
  {
    name: 'a function that calls itself from a subgraph',
    file: model({
      functions: [
        fn({
          nodes: [
            node({
              op: 'If',
              inputs: ['a'],
              outputs: ['b'],
              attributes: [
                attribute(
                  'then_branch',
                  5,
                  bytes(6, graph({ nodes: [call('F', ['a'], ['c'])], inputs: [] })),
                ),
              ],
            }),
          ],
        }),
      ],
    }),
    code: 'ONNX_UNSUPPORTED',
    says: /calls itself/,
  },
  { name: 'function calls 33 deep', file: chain(33), code: 'ONNX_UNSUPPORTED', says: /32 deep/ },
  {
    name: '4097 functions',
    file: model({ functions: Array.from({ length: 4097 }, (_, i) => fn({ name: `F${i}` })) }),
    code: 'LIMIT_EXCEEDED',
  },
  { name: 'a function twice', file: model({ functions: [fn(), fn()] }), code: 'ONNX_INVALID' },
  {
    name: 'a function in the default domain',
    file: model({ functions: [fn({ name: 'Gather', domain: '' })] }),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'a function in the domain ai.onnx',
    file: model({ functions: [fn({ name: 'Gather', domain: 'ai.onnx' })] }),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'a function without a name',
    file: model({ functions: [fn({ name: '' })] }),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a function with an overload',
    file: model({ functions: [fn({ extra: [str(13, 'v2')] })] }),
    code: 'ONNX_UNSUPPORTED',
  },
  { name: 'a node with an overload', file: of(str(8, 'v2')), code: 'ONNX_UNSUPPORTED' },
  {
    name: 'a function that makes a value twice',
    file: model({
      functions: [
        fn({
          nodes: [node({ inputs: ['a'], outputs: ['b'] }), node({ inputs: ['a'], outputs: ['b'] })],
        }),
      ],
    }),
    code: 'ONNX_INVALID',
  },
  // Attributes.
  {
    name: 'an attribute without a name',
    file: withAttribute(int(3, 1), int(20, 2)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'an attribute twice',
    file: of(attributeProto(2, int(3, 1)), attributeProto(2, int(3, 2))),
    code: 'ONNX_INVALID',
  },
  { name: 'an attribute without a type', file: withAttribute(str(1, 'a')), code: 'ONNX_INVALID' },
  {
    name: 'an attribute of type 99',
    file: withAttribute(str(1, 'a'), int(20, 99)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'an int attribute that says float',
    file: withAttribute(str(1, 'a'), int(3, 1), int(20, 1)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a tensor attribute without a tensor',
    file: withAttribute(str(1, 'a'), int(20, 4)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a graph attribute without a graph',
    file: withAttribute(str(1, 'a'), int(20, 5)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a reference with a value',
    file: withAttribute(str(1, 'a'), str(21, 'b'), float(2, 1)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'a list of graphs',
    file: withAttribute(str(1, 'a'), bytes(11, graph()), int(20, 10)),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'a list of tensors',
    file: withAttribute(str(1, 'a'), bytes(10, tensor()), int(20, 9)),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'a sparse tensor attribute',
    file: withAttribute(str(1, 'a'), bytes(22, bytes(1, tensor())), int(20, 11)),
    code: 'ONNX_UNSUPPORTED',
  },
  {
    name: 'a type_proto of 64 KiB',
    file: withAttribute(str(1, 'a'), bytes(14, FF(65536)), int(20, 13)),
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'subgraphs 17 deep',
    file: model({ nodes: [nested(17)] }),
    code: 'ONNX_UNSUPPORTED',
    says: /16 deep/,
  },
  { name: 'subgraphs 2000 deep', file: model({ nodes: [nested(2000)] }), code: 'ONNX_UNSUPPORTED' },
  // Strings and counts.
  { name: 'a node name over 64 KiB', file: of(str(3, name(65537))), code: 'LIMIT_EXCEEDED' },
  {
    name: 'a tensor name over 64 KiB',
    file: one(tensor({ name: name(65537) })),
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'a string attribute over 1 MiB',
    file: withAttribute(str(1, 'a'), str(4, name(2 ** 20 + 1)), int(20, 3)),
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'five million empty values',
    file: model({ graph: new Uint8Array(10_000_000).map((_, i) => (i % 2 === 0 ? 0x6a : 0)) }),
    code: 'ONNX_INVALID',
    says: /value_info/,
  },
  {
    name: 'nine million integers in an attribute',
    file: withAttribute(str(1, 'a'), bytes(8, new Uint8Array(9_000_000)), int(20, 7)),
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'five million opsets',
    file: concat(int(1, 8), Buffer.alloc(20_000_000, bytes(8, int(2, 18)))),
    code: 'LIMIT_EXCEEDED',
  },
  // Tensors.
  { name: 'an initializer without a name', file: one(tensor({ name: '' })), code: 'ONNX_INVALID' },
  {
    name: 'an initializer twice',
    file: model({ initializers: [tensor(), tensor()] }),
    code: 'ONNX_INVALID',
    says: /"w" twice/,
  },
  { name: 'a dim of -1', file: typed(1, [-1], raw(1)), code: 'ONNX_INVALID' },
  { name: 'a dim of 2^63 - 1', file: typed(1, [2n ** 63n - 1n], raw(1)), code: 'ONNX_INVALID' },
  {
    name: 'dims whose product wraps to the right size',
    file: typed(1, [2n ** 32n, 2n ** 32n, 2n], raw(1, 2)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'dims whose product is past 2^53',
    file: typed(1, [2n ** 27n, 2n ** 27n], raw(1)),
    code: 'ONNX_INVALID',
  },
  {
    name: '65 dims',
    file: typed(1, new Array(65).fill(1), raw(1)),
    code: 'ONNX_INVALID',
    says: /64 dims/,
  },
  {
    name: 'a million packed dims',
    file: one(concat(bytes(1, new Uint8Array(1e6).fill(1)), int(2, 1), str(8, 'w'))),
    code: 'ONNX_INVALID',
  },
  {
    name: 'raw_data too short',
    file: typed(1, [3], raw(1, 2)),
    code: 'ONNX_INVALID',
    says: /12 bytes.*8/,
  },
  { name: 'raw_data too long', file: typed(1, [1], raw(1, 2)), code: 'ONNX_INVALID' },
  { name: 'raw_data twice', file: typed(1, [1], raw(1), raw(2)), code: 'ONNX_INVALID' },
  { name: 'raw_data past the end', file: typed(1, [1], hollow(9, 4)), code: 'ONNX_INVALID' },
  { name: 'no data', file: typed(1, [2]), code: 'ONNX_INVALID' },
  {
    name: 'raw_data and float_data',
    file: typed(1, [1], raw(1), float(4, 1)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'float_data and double_data',
    file: typed(1, [2], float(4, 1), concat(tag(10, 1), new Uint8Array(8))),
    code: 'ONNX_INVALID',
  },
  {
    name: 'int32_data and int64_data',
    file: typed(7, [2], int(5, 1), int(7, 1)),
    code: 'ONNX_INVALID',
  },
  {
    name: 'int64 values in float_data',
    file: typed(7, [1], bytes(4, new Uint8Array(8))),
    code: 'ONNX_INVALID',
  },
  { name: 'float values in int32_data', file: typed(1, [1], int(5, 1)), code: 'ONNX_INVALID' },
  { name: 'float_data of 5 bytes', file: typed(1, [1], bytes(4, FF(5))), code: 'ONNX_INVALID' },
  { name: 'one integer too many', file: typed(7, [1], int(7, 1), int(7, 2)), code: 'ONNX_INVALID' },
  { name: 'one integer too few', file: typed(7, [2], int(7, 1)), code: 'ONNX_INVALID' },
  { name: 'a tensor of strings', file: typed(8, [1], str(6, 'x')), code: 'ONNX_UNSUPPORTED' },
  { name: 'a tensor of type 0', file: typed(0, [1], raw(1)), code: 'ONNX_UNSUPPORTED' },
  { name: 'a tensor of type 99', file: typed(99, [1], raw(1)), code: 'ONNX_UNSUPPORTED' },
  { name: 'a data_type past 32 bits', file: typed(2 ** 40, [1], raw(1)), code: 'ONNX_INVALID' },
  { name: 'a segment', file: typed(1, [1], bytes(3, int(1, 0))), code: 'ONNX_UNSUPPORTED' },
  { name: 'a data_location of 2', file: typed(1, [1], raw(1), int(14, 2)), code: 'ONNX_INVALID' },
  {
    name: 'external data in a model from memory',
    file: typed(1, [1], bytes(13, str(1, 'location'), str(2, 'w.bin')), int(14, 1)),
    code: 'PATH_ESCAPE',
  },
];

/** The same at the limits, where they are still good. */
export const AT_LIMITS: { name: string; file: Uint8Array }[] = [
  { name: 'a node name of 64 KiB', file: of(str(3, name(65536))) },
  { name: 'a tensor name of 64 KiB', file: one(tensor({ name: name(65536) })) },
  {
    name: 'a string attribute of 1 MiB',
    file: withAttribute(str(1, 'a'), str(4, name(2 ** 20)), int(20, 3)),
  },
  {
    // 3 bytes for the name, 4 before the type, 3 for the attribute's type.
    name: 'a type_proto that fills 64 KiB',
    file: withAttribute(str(1, 'a'), bytes(14, FF(65536 - 10)), int(20, 13)),
  },
  { name: 'a shape of rank 64', file: model({ inputs: [valueInfo('x', new Array(64).fill(1))] }) },
  { name: '64 dims', file: typed(1, new Array(64).fill(1), raw(1)) },
  { name: 'subgraphs 16 deep', file: model({ nodes: [nested(16)] }) },
  { name: 'function calls 32 deep', file: chain(32) },
  {
    name: '4096 functions',
    file: model({ functions: Array.from({ length: 4096 }, (_, i) => fn({ name: `F${i}` })) }),
  },
  {
    name: 'eight million integers in an attribute',
    file: withAttribute(str(1, 'a'), bytes(8, new Uint8Array(8_000_000)), int(20, 7)),
  },
  { name: 'an empty tensor of 2^48 by 0', file: typed(1, [2n ** 48n, 0]) },
  { name: 'a function that nobody calls', file: model({ functions: [fn()] }) },
  { name: 'an unknown field', file: concat(model(), bytes(99, FF(8)), int(98, 1)) },
];
