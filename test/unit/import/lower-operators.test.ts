import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import { type Emitted, lower } from '../../../lib/import/lower/index.js';
import { parseOnnxModel } from '../../../lib/import/onnx/read.js';
import { maxDifference, runOriginal } from './analyze-support.js';
import { type Feeds, random } from './fixture-feeds.js';
import { interpret } from './fused-interpreter.js';
import {
  attribute,
  type Bytes,
  bytes,
  float,
  int,
  model,
  node,
  raw,
  str,
  tensor,
  valueInfo,
  withDirectory,
} from './onnx-builder.js';

const f = (name: string, value: number): Bytes => attribute(name, 1, float(2, value));
const i = (name: string, value: number): Bytes => attribute(name, 2, int(3, value));
const s = (name: string, value: string): Bytes => attribute(name, 3, str(4, value));
const list = (name: string, ...values: number[]): Bytes =>
  attribute(name, 7, ...values.map((value) => int(8, value)));

const next = random(7);
const weights = (name: string, ...dims: number[]): Bytes =>
  tensor({
    name,
    dims,
    data: [raw(...Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => next() * 2 - 1))],
  });
const positive = (name: string, n: number): Bytes =>
  tensor({ name, dims: [n], data: [raw(...Array.from({ length: n }, () => next() + 0.5))] });
const numbers = (name: string, dims: number[], ...values: number[]): Bytes =>
  tensor({ name, dims, data: [raw(...values)] });
const integers = (name: string, ...values: number[]): Bytes =>
  tensor({
    name,
    type: 7,
    dims: [values.length],
    data: [bytes(9, new Uint8Array(BigInt64Array.from(values, BigInt).buffer))],
  });

interface Case {
  /** operator, inputs, attributes; the first takes x, each next one the one before as `_` */
  nodes: [string, string[], ...Bytes[]][];
  initializers?: Bytes[];
  /** Without the batch; x, and y where nodes name it. */
  x?: (number | string)[];
  y?: (number | string)[];
  out: (number | string)[];
  opset?: number;
  /** Operators of the fused graph, in order. */
  ops?: string[];
}

function build({ nodes, initializers = [], x = [3, 4], y, out, opset = 18 }: Case): Bytes {
  return model({
    nodes: nodes.map(([op, inputs, ...attributes], n) =>
      node({
        op,
        inputs: inputs.map((name) => (name === '_' ? `v${n - 1}` : name)),
        outputs: [n === nodes.length - 1 ? 'out' : `v${n}`],
        attributes,
      }),
    ),
    initializers,
    inputs: [
      valueInfo('x', ['batch', ...x]),
      ...(y === undefined ? [] : [valueInfo('y', ['batch', ...y])]),
    ],
    outputs: [valueInfo('out', ['batch', ...out])],
    opset: bytes(8, int(2, opset)),
  });
}

function lowered(file: Bytes): Emitted {
  const result = lower(analyze(parseOnnxModel(file)));
  if ('reason' in result) throw new Error(result.reason);
  return result;
}

async function difference(file: Bytes, given: Case, rows: number): Promise<number> {
  const feed = (dims: (number | string)[]) => {
    const sizes = [rows, ...dims.map((n) => (typeof n === 'number' ? n : 5))];
    const n = sizes.reduce((a, b) => a * b, 1);
    const data = Array.from({ length: n }, () => Math.fround(next() * 6 - 3));
    return { dtype: 'float32' as const, dims: sizes, data };
  };
  const feeds: Feeds = { x: feed(given.x ?? [3, 4]) };
  if (given.y !== undefined) feeds.y = feed(given.y);
  const results = interpret(lowered(file), new Map(Object.entries(feeds)), rows);
  const found = [...results].map(([k, { dims, data }]) => [k, { dims, data: Array.from(data) }]);
  return await withDirectory(async (directory) => {
    const path = join(directory, 'm.onnx');
    writeFileSync(path, file);
    return maxDifference(await runOriginal(path, feeds), Object.fromEntries(found));
  });
}

const same = [3, 4];
const CASES: Record<string, Case> = {
  ...Object.fromEntries(
    [
      'Relu Sigmoid Tanh Erf Neg Abs Sign Floor Ceil Round Softplus Softsign HardSwish Mish Cos Sin',
      'Exp LeakyRelu Elu Celu ThresholdedRelu HardSigmoid Selu',
    ]
      .join(' ')
      .split(' ')
      .map((op): [string, Case] => [op, { nodes: [[op, ['x']]], out: same, opset: 20 }]),
  ),
  'LeakyRelu with alpha': { nodes: [['LeakyRelu', ['x'], f('alpha', 0.3)]], out: same },
  'HardSigmoid with both': {
    nodes: [['HardSigmoid', ['x'], f('alpha', 0.3), f('beta', 0.4)]],
    out: same,
  },
  'Gelu by tanh': { nodes: [['Gelu', ['x'], s('approximate', 'tanh')]], out: same, opset: 20 },
  'Log of Abs': {
    nodes: [
      ['Abs', ['x']],
      ['Log', ['_']],
    ],
    out: same,
  },
  'Sqrt and Reciprocal': {
    nodes: [
      ['Abs', ['x']],
      ['Sqrt', ['_']],
      ['Reciprocal', ['_']],
    ],
    out: same,
  },
  'Clip by attributes': {
    nodes: [['Clip', ['x'], f('min', -1), f('max', 0.5)]],
    out: same,
    opset: 10,
  },
  'Clip by inputs': {
    nodes: [['Clip', ['x', '', 'high']]],
    initializers: [numbers('high', [], 0.25)],
    out: same,
  },
  'Clip by what is computed': {
    nodes: [
      ['ReduceMin', ['w'], i('keepdims', 0)],
      ['ReduceMax', ['w'], i('keepdims', 0)],
      ['Clip', ['x', 'v0', 'v1']],
    ],
    initializers: [weights('w', 4)],
    out: same,
  },
  'PRelu per channel': {
    nodes: [['PRelu', ['x', 's']]],
    initializers: [weights('s', 4)],
    out: same,
  },
  'PRelu per row': {
    nodes: [['PRelu', ['x', 's']]],
    initializers: [weights('s', 3, 1)],
    out: same,
  },
  'number minus x': {
    nodes: [['Sub', ['c', 'x']]],
    initializers: [numbers('c', [], 1)],
    out: same,
  },
  'number over x': {
    nodes: [['Div', ['c', 'x']]],
    initializers: [numbers('c', [1], 2)],
    out: same,
  },
  'Pow of three': {
    nodes: [['Pow', ['x', 'c']]],
    initializers: [numbers('c', [], 3)],
    out: same,
  },
  'Max of three': {
    nodes: [['Max', ['x', 'y', 'c']]],
    initializers: [weights('c', 4)],
    y: same,
    out: same,
  },
  'Min with broadcasting': { nodes: [['Min', ['x', 'y']]], y: [1, 4], out: same },
  'Less and Where': {
    nodes: [
      ['Less', ['x', 'y']],
      ['Where', ['_', 'x', 'c']],
    ],
    initializers: [numbers('c', [], -1)],
    y: [3, 1],
    out: same,
  },
  Mean: { nodes: [['Mean', ['x', 'y', 'x']]], y: same, out: same },
  'Gemm with everything': {
    nodes: [['Gemm', ['x', 'w', 'c'], f('alpha', 0.5), f('beta', 2), i('transB', 1)]],
    initializers: [weights('w', 5, 4), weights('c', 5)],
    x: [4],
    out: [5],
    ops: ['linear'],
  },
  'Gemm with a scalar': {
    nodes: [['Gemm', ['x', 'w', 'c']]],
    initializers: [weights('w', 4, 5), numbers('c', [1], 0.5)],
    x: [4],
    out: [5],
    ops: ['linear'],
  },
  'constant on the left': {
    nodes: [['MatMul', ['w', 'x']]],
    initializers: [weights('w', 5, 3)],
    out: [5, 4],
  },
  'Conv of single columns': {
    nodes: [['Conv', ['x', 'w', 'b']]],
    initializers: [weights('w', 5, 3, 1), weights('b', 5)],
    out: [5, 4],
  },
  'Conv with pads, strides and dilations': {
    nodes: [
      ['Conv', ['x', 'w'], list('pads', 1, 3), list('strides', 2), list('dilations', 2)],
      ['Relu', ['_']],
    ],
    initializers: [weights('w', 2, 3, 3)],
    x: [3, 9],
    out: [2, 5],
  },
  'Conv over a free length': {
    nodes: [['Conv', ['x', 'w', 'b'], list('pads', 1, 1)]],
    initializers: [weights('w', 2, 3, 3), weights('b', 2)],
    x: [3, 'length'],
    out: [2, 'length'],
  },
  'Conv as wide as the rows': {
    nodes: [
      ['Conv', ['x', 'w', 'b']],
      ['Squeeze', ['_', 'last']],
      ['MaxPool', ['_'], list('kernel_shape', 5)],
    ],
    initializers: [weights('w', 6, 2, 3, 4), weights('b', 6), integers('last', 3)],
    x: [2, 7, 4],
    out: [6, 1],
  },
  'Conv over an image, the same size': {
    nodes: [['Conv', ['x', 'w'], s('auto_pad', 'SAME_UPPER')]],
    initializers: [weights('w', 3, 2, 3, 2)],
    x: [2, 5, 4],
    out: [3, 5, 4],
  },
  'MaxPool with pads': {
    nodes: [['MaxPool', ['x'], list('kernel_shape', 3), list('strides', 2), list('pads', 1, 1)]],
    x: [2, 7],
    out: [2, 4],
  },
  'AveragePool over an image': {
    nodes: [['AveragePool', ['x'], list('kernel_shape', 2, 3), list('strides', 1, 2)]],
    x: [2, 4, 7],
    out: [2, 3, 3],
  },
  GlobalMaxPool: { nodes: [['GlobalMaxPool', ['x']]], out: [3, 1] },
  GlobalAveragePool: { nodes: [['GlobalAveragePool', ['x']]], x: [3, 4, 2], out: [3, 1, 1] },
  'vector on the right': {
    nodes: [['MatMul', ['x', 'w']]],
    initializers: [weights('w', 4)],
    out: [3],
  },
  'matrices for each group': {
    nodes: [['MatMul', ['x', 'w']]],
    initializers: [weights('w', 3, 4, 2)],
    x: [3, 1, 4],
    out: [3, 1, 2],
  },
  'one row times matrices for each group': {
    nodes: [['MatMul', ['x', 'w']]],
    initializers: [weights('w', 3, 4, 2)],
    x: [1, 1, 4],
    out: [3, 1, 2],
  },
  'attention with free length': {
    nodes: [
      ['Transpose', ['x'], list('perm', 0, 2, 1)],
      ['MatMul', ['x', '_']],
      ['Mul', ['_', 'c']],
      ['Softmax', ['_']],
      ['MatMul', ['_', 'x']],
    ],
    initializers: [numbers('c', [], 0.5)],
    x: ['length', 4],
    out: ['length', 4],
    ops: ['matmul', 'softmax', 'matmul'],
  },
  'batch in second place': {
    nodes: [
      ['Transpose', ['x'], list('perm', 1, 0, 2)],
      ['MatMul', ['_', 'w']],
      ['Add', ['_', 'b']],
      ['Transpose', ['_'], list('perm', 1, 0, 2)],
    ],
    initializers: [weights('w', 4, 4), weights('b', 4)],
    out: same,
    ops: ['linear'],
  },
  'rows of the batch in one': {
    nodes: [
      ['Reshape', ['x', 'flat']],
      ['Gemm', ['_', 'w', 'b']],
      ['Relu', ['_']],
      ['Reshape', ['_', 'back']],
    ],
    initializers: [
      integers('flat', -1, 4),
      integers('back', -1, 3, 4),
      weights('w', 4, 4),
      weights('b', 4),
    ],
    out: same,
    ops: ['linear'],
  },
  'BatchNormalization before and after': {
    nodes: [
      ['BatchNormalization', ['x', 's', 'b', 'm', 'v']],
      ['MatMul', ['_', 'w']],
      ['BatchNormalization', ['_', 's', 'b', 'm', 'v']],
      ['Relu', ['_']],
    ],
    initializers: [
      weights('s', 4),
      weights('b', 4),
      weights('m', 4),
      positive('v', 4),
      weights('w', 4, 4),
    ],
    x: [4],
    out: [4],
    ops: ['linear'],
  },
  'BatchNormalization of channels': {
    nodes: [['BatchNormalization', ['x', 's', 'b', 'm', 'v']]],
    initializers: [weights('s', 3), weights('b', 3), weights('m', 3), positive('v', 3)],
    out: same,
  },
  LayerNormalization: {
    nodes: [['LayerNormalization', ['x', 's', 'b'], f('epsilon', 0.001)]],
    initializers: [weights('s', 4), weights('b', 4)],
    out: same,
    ops: ['layer_norm'],
  },
  'layer norm written out': {
    nodes: [
      ['ReduceMean', ['x'], list('axes', -1)],
      ['Sub', ['x', '_']],
      ['Pow', ['_', 'two']],
      ['ReduceMean', ['_'], list('axes', -1)],
      ['Add', ['_', 'eps']],
      ['Sqrt', ['_']],
      ['Div', ['v1', '_']],
      ['Mul', ['_', 's']],
      ['Add', ['_', 'b']],
    ],
    initializers: [
      numbers('two', [], 2),
      numbers('eps', [], 1e-5),
      weights('s', 4),
      weights('b', 4),
    ],
    out: same,
    opset: 13,
    ops: ['layer_norm'],
  },
  InstanceNormalization: {
    nodes: [['InstanceNormalization', ['x', 's', 'b']]],
    initializers: [weights('s', 3), weights('b', 3)],
    out: same,
  },
  LpNormalization: { nodes: [['LpNormalization', ['x'], i('axis', 1), i('p', 2)]], out: same },
  'Softmax of old': { nodes: [['Softmax', ['x'], i('axis', 1)]], out: same, opset: 11 },
  LogSoftmax: { nodes: [['LogSoftmax', ['x'], i('axis', 1)]], out: same },
  ...Object.fromEntries(
    ['Sum', 'Mean', 'Max', 'Min', 'SumSquare', 'L2', 'L1', 'Prod', 'LogSumExp'].map((fn) => [
      `Reduce${fn}`,
      { nodes: [[`Reduce${fn}`, ['x'], list('axes', 1), i('keepdims', 0)]], out: [4], opset: 11 },
    ]),
  ),
  'silu, gelu': {
    nodes: [
      ['Sigmoid', ['x']],
      ['Mul', ['x', '_']],
      ['Mul', ['_', 'half']],
      ['Div', ['v1', 'root']],
      ['Erf', ['_']],
      ['Add', ['_', 'one']],
      ['Mul', ['v2', '_']],
    ],
    initializers: [
      numbers('half', [], 0.5),
      numbers('root', [], Math.SQRT2),
      numbers('one', [], 1),
    ],
    out: same,
    ops: ['unary', 'unary'],
  },
  'Split and Concat': {
    nodes: [
      ['Slice', ['x', 'a', 'b', 'axis']],
      ['Concat', ['_', 'x', 'y'], i('axis', 2)],
    ],
    initializers: [integers('a', -3), integers('b', 2147483647), integers('axis', 2)],
    y: [3, 1],
    out: [3, 8],
  },
  'Slice backwards': {
    nodes: [['Slice', ['x', 'a', 'b', 'axis', 'step']]],
    initializers: [
      integers('a', -1),
      integers('b', -2147483648),
      integers('axis', 2),
      integers('step', -2),
    ],
    out: [3, 2],
  },
  'last of a free length': {
    nodes: [['Gather', ['x', 'last'], i('axis', 1)]],
    initializers: [integers('last', -1)],
    x: ['length', 4],
    out: [1, 4],
  },
  'Gather of a matrix of positions': {
    nodes: [
      ['Gather', ['x', 'at'], i('axis', 2)],
      ['Squeeze', ['_', 'one']],
    ],
    initializers: [integers('at', 3, -4, 0, 0, 2), integers('one', 1)],
    x: [1, 4],
    out: [5],
  },
  'Tile and Pad': {
    nodes: [
      ['Tile', ['x', 'times']],
      ['Pad', ['_', 'pads', 'value']],
    ],
    initializers: [
      integers('times', 1, 1, 2),
      integers('pads', 0, 1, 0, 0, 0, 2),
      numbers('value', [], 0.5),
    ],
    out: [4, 10],
  },
  'CumSum backwards': {
    nodes: [['CumSum', ['x', 'axis'], i('reverse', 1), i('exclusive', 1)]],
    initializers: [integers('axis', 1)],
    out: same,
  },
  'Trilu of a free length': {
    nodes: [
      ['Transpose', ['x'], list('perm', 0, 2, 1)],
      ['MatMul', ['x', '_']],
      ['Trilu', ['_'], i('upper', 0)],
    ],
    x: ['length', 4],
    out: ['length', 'length'],
  },
  'Einsum of two': {
    nodes: [['Einsum', ['x', 'y'], s('equation', 'bij,bkj->bki')]],
    y: [2, 4],
    out: [2, 3],
  },
  'Einsum with weights': {
    nodes: [['Einsum', ['x', 'w'], s('equation', 'bnm,mk->bnk')]],
    initializers: [weights('w', 4, 2)],
    out: [3, 2],
    ops: ['linear'],
  },
  'Einsum of an outer product': {
    nodes: [['Einsum', ['x', 'y'], s('equation', 'bhd,bmd->bhmd')]],
    y: [2, 4],
    out: [3, 2, 4],
  },
};

describe.each(Object.entries(CASES))('%s', (_, given) => {
  it('computes what ONNX Runtime computes', async () => {
    const file = build(given);
    for (const rows of [1, 3]) expect(await difference(file, given, rows)).toBeLessThan(1e-5);
    if (given.ops === undefined) return;
    const ops = lowered(file).graph.nodes.map(({ op }) => op);
    expect(ops.filter((op) => op !== 'reshape')).toEqual(given.ops);
  });
});

describe('what the fused graph has no form for', () => {
  const REASONS: Record<string, [Case, RegExp]> = {
    'a sum over the batch': [
      { nodes: [['ReduceSum', ['x'], list('axes', 0)]], out: same, opset: 11 },
      /along the batch/,
    ],
    'rows that meet': [
      {
        nodes: [
          ['Transpose', ['y'], list('perm', 1, 0)],
          ['MatMul', ['x', '_']],
        ],
        x: [4],
        y: [4],
        out: ['batch'],
      },
      /meet each other/,
    ],
    'Conv in groups': [
      {
        nodes: [['Conv', ['x', 'w'], i('group', 3)]],
        initializers: [weights('w', 3, 1, 2)],
        out: [3, 3],
      },
      /groups of channels/,
    ],
    'Conv by weights that are computed': [
      { nodes: [['Conv', ['x', 'y']]], x: [1, 4], y: [1, 2], out: [2, 3] },
      /weights/,
    ],
    'strides along a free length': [
      {
        nodes: [['MaxPool', ['x'], list('kernel_shape', 2), list('strides', 2)]],
        x: [1, 'length'],
        out: [1, 'half'],
      },
      /strides along a free dimension/,
    ],
    'windows of several sizes': [
      { nodes: [['AveragePool', ['x'], list('kernel_shape', 2), list('pads', 1, 1)]], out: [3, 5] },
      /several sizes/,
    ],
    'an unknown operator': [{ nodes: [['Hardmax', ['x']]], out: same }, /Hardmax .* not covered/],
    'a part of the batch': [
      {
        nodes: [
          ['Gather', ['x', 'at'], i('axis', 0)],
          ['Add', ['x', '_']],
        ],
        initializers: [integers('at', 0)],
        out: same,
      },
      /of the batch/,
    ],
  };
  it.each(Object.entries(REASONS))('%s', (_, [given, reason]) => {
    expect(lower(analyze(parseOnnxModel(build(given))))).toEqual({
      reason: expect.stringMatching(reason),
    });
  });
});
